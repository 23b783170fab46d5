"""The list of benchmarks is complete, and every command that the documentation shows exists."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.benchmarks.test_benchmarks import BENCHMARKS, REPOSITORY
from tests.docs.markdown import list_markdown_files

_ROW = re.compile(r"^\| `(?P<script>[\w/]+\.py)` \|[^|]*\|(?P<commands>[^|]*)\|", re.MULTILINE)
_FILE = re.compile(r"\bbenchmarks/[\w/]+\.(?:py|csv|json|md)\b")
_MODULE = re.compile(r"-m\s+(?P<module>benchmarks\.[\w.]+)(?P<rest>[^`\n#|]*)")
_FLAG = re.compile(r"(?<!\S)\[?(--?[A-Za-z][\w-]*)")


def list_scripts() -> list[str]:
    """Return the scripts, such as `speed/server.py`: modules that run as programs."""
    return sorted(
        path.relative_to(BENCHMARKS).as_posix()
        for path in BENCHMARKS.rglob("*.py")
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    )


def read_table() -> dict[str, list[str]]:
    """Return the commands of each script in the table of benchmarks/README.md."""
    text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    return {row["script"]: re.findall(r"`([^`]+)`", row["commands"]) for row in _ROW.finditer(text)}


def load_command(module: str) -> click.Group:
    command = importlib.import_module(module).main
    assert isinstance(command, click.Group)
    return command


def find_problems(text: str) -> Iterator[str]:
    """Yield the files, scripts, commands and flags of benchmarks in a text that do not exist."""
    for file in _FILE.findall(text):
        if not (REPOSITORY / file).is_file():
            yield f"there is no {file}"
    for match in _MODULE.finditer(text):
        script = f"{match['module'].removeprefix('benchmarks.').replace('.', '/')}.py"
        if script not in list_scripts():
            yield f"there is no script {script}"
            continue
        name, *_ = [*match["rest"].split(), ""]
        group = load_command(match["module"])
        if name and not name.startswith(("-", "[")) and name not in group.commands:
            yield f"{script} has no command {name}"
        command = group.commands.get(name, group)
        options = [option for each in command.params for option in each.opts]
        for flag in _FLAG.findall(match["rest"]):
            if flag not in [*options, "--help"]:
                yield f"{script} {name} has no {flag}"


def test_every_script_is_in_the_table_and_there_are_few() -> None:
    assert sorted(read_table()) == list_scripts()
    assert len(list_scripts()) <= 18


@pytest.mark.parametrize("script", list_scripts())
def test_every_script_and_command_answers_help(script: str) -> None:
    group = load_command(f"benchmarks.{script.removesuffix('.py').replace('/', '.')}")
    listed = {command.split()[0] for command in read_table()[script]}
    assert listed == {name for name, each in group.commands.items() if not each.hidden}
    for arguments in (["--help"], *([name, "--help"] for name in group.commands)):
        result = CliRunner().invoke(group, arguments)
        assert result.exit_code == 0, result.output
        assert result.output.startswith("Usage: ")


@pytest.mark.parametrize("script", list_scripts())
def test_every_script_states_its_contract(script: str) -> None:
    text = (BENCHMARKS / script).read_text(encoding="utf-8")
    docstring = text.split('"""')[1]
    assert "Contract" in docstring
    assert f"-m benchmarks.{script.removesuffix('.py').replace('/', '.')}" in docstring


def list_documents() -> list[Path]:
    """Return the files that name benchmarks: pages, recipes, Makefile, the scripts themselves."""
    recipes = sorted((REPOSITORY / "configs").glob("*.yaml"))
    return [
        *list_markdown_files(),
        *recipes,
        REPOSITORY / "Makefile",
        *sorted(BENCHMARKS.rglob("*.py")),
    ]


@pytest.mark.parametrize(
    "path", list_documents(), ids=lambda path: str(path.relative_to(REPOSITORY))
)
def test_every_benchmark_that_a_document_names_exists(path: Path) -> None:
    assert list(find_problems(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("`python -m benchmarks.speed.server soak --minutes 30`", []),
        ("`python -m benchmarks.speed.server`, `--help`", []),
        ("python -m benchmarks.speed.gone", ["there is no script speed/gone.py"]),
        ("python -m benchmarks.speed.plot", ["there is no script speed/plot.py"]),
        ("python -m benchmarks.speed.server sok", ["speed/server.py has no command sok"]),
        (
            "python -m benchmarks.speed.server soak --hours 1",
            ["speed/server.py soak has no --hours"],
        ),
        (
            "see `benchmarks/speed/server.py` and `benchmarks/gone.py`",
            ["there is no benchmarks/gone.py"],
        ),
    ],
)
def test_benchmarks_that_do_not_exist_are_found(text: str, problems: list[str]) -> None:
    assert list(find_problems(text)) == problems
