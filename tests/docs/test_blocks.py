"""Every Python, console and YAML block of the documents for users works."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from crdnet.runtime import list_models
from tests.docs.markdown import Block, MarkdownError, find_blocks, list_blocks
from tests.waiting import HANG_SECONDS

RUNNER = Path(__file__).with_name("run_python_block.py")
CHECKED = ("python", "console", "yaml")
_OF_OURS = re.compile(r"^\$ (?P<command>(?:.*\| *)?crdnet .*)$")


def make_environment() -> dict[str, str]:
    """Return an environment in which `crdnet` belongs to this Python, as in an activated .venv."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}


def run_python(block: Block, folder: Path) -> None:
    arguments = [sys.executable, str(RUNNER), block.source, str(block.line)]
    _run(block, arguments, folder, stdin=block.text)


def run_console(block: Block, folder: Path) -> None:
    script = "\n".join(["set -euo pipefail", *extract_commands(block.text)])
    _run(block, ["bash", "-c", script], folder)


def extract_commands(text: str) -> list[str]:
    """Return the lines of a console block that call crdnet, without output and other commands."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [found["command"] for line in joined.splitlines() if (found := _OF_OURS.match(line))]


def check_yaml(block: Block, folder: Path) -> None:
    list(yaml.safe_load_all(block.text))


RUNNERS = {"python": run_python, "console": run_console, "yaml": check_yaml}


def _run(block: Block, arguments: list[str], folder: Path, stdin: str = "") -> None:
    result = subprocess.run(
        arguments,
        cwd=folder,
        env=make_environment(),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    if result.returncode and "ships no models" in result.stderr and not list_models():
        pytest.skip("crdnet has no shipped model yet, and this block needs one")
    assert result.returncode == 0, (
        f"{block.name} ended with {result.returncode}:\n{result.stdout}{result.stderr}"
    )


def parse_block(language: str, text: str, before: str = "") -> Block:
    (found,) = find_blocks(f"{before}\n```{language}\n{text}\n```\n", "planted.md")
    return found


@pytest.mark.parametrize(
    "shown", [b for b in list_blocks() if b.language in CHECKED], ids=lambda shown: shown.name
)
def test_every_block_of_the_documentation_works(shown: Block, reader_folder: Path) -> None:
    if shown.not_run is not None:
        pytest.skip(f"marked as not run: {shown.not_run}")
    RUNNERS[shown.language](shown, reader_folder)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", "import crdnet\nassert crdnet.__version__ == 'never'"),
        ("python", "from crdnet import does_not_exist"),
        ("console", "$ crdnet derain nowhere.jpg"),
        ("console", "$ crdnet derain --no-such-flag street.jpg"),
        ("yaml", "a: [1"),
    ],
)
def test_a_block_that_does_not_work_fails(language: str, text: str, reader_folder: Path) -> None:
    with pytest.raises((AssertionError, yaml.YAMLError)):
        RUNNERS[language](parse_block(language, text), reader_folder)


def test_a_failing_python_block_is_named_by_file_and_line(reader_folder: Path) -> None:
    with pytest.raises(AssertionError, match=r'File "planted\.md", line 4'):
        run_python(parse_block("python", "x = 1\nraise RuntimeError"), reader_folder)


def test_commands_of_a_console_block_are_run_and_its_output_is_not() -> None:
    text = (
        "$ crdnet derain \\\n    street.jpg\ncrdnet says something\n"
        "$ cat a.png | crdnet derain - > b.png\n$ pip install crdnet\n"
    )
    assert extract_commands(text) == [
        "crdnet derain street.jpg",
        "cat a.png | crdnet derain - > b.png",
    ]


def test_a_block_is_left_out_only_for_a_reason() -> None:
    assert (
        parse_block("console", "$ crdnet serve", before="<!-- not run: it never ends -->\n").not_run
        == "it never ends"
    )
    with pytest.raises(MarkdownError, match="say why"):
        parse_block("console", "$ crdnet serve", before="<!-- not run: -->")


def test_a_mark_applies_to_the_next_block_only() -> None:
    text = "<!-- not run: no -->\n```python\n1\n```\n```python\n2\n```\nText.\n"
    assert [each.not_run for each in find_blocks(text, "planted.md")] == ["no", None]


def test_a_fence_that_is_never_closed_is_an_error() -> None:
    with pytest.raises(MarkdownError, match=r"planted\.md:2: this fence is never closed"):
        list(find_blocks("\n```python\n", "planted.md"))
