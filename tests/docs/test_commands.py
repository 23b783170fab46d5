"""Every `crdnet ...` that the documentation shows names a command and flags that exist."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import click
import pytest

from crdnet.cli.main import cli
from tests.docs.markdown import REPOSITORY, find_commands, list_documents
from tests.waiting import HANG_SECONDS

_FLAG = re.compile(r"(?<![\w-])(--?[A-Za-z][\w.-]*)")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


@cache
def read_flags(path: tuple[str, ...]) -> frozenset[str]:
    """Return the flags of a command, `("data", "check")` for instance, as its --help lists them."""
    if path == ("train",):  # its options are those of the recipe parser, which click does not know
        arguments = [sys.executable, "-m", "crdnet.cli", "train", "--help-all"]
        listing = subprocess.run(
            arguments, capture_output=True, text=True, check=True, timeout=HANG_SECONDS
        ).stdout
        return frozenset(_FLAG.findall(listing)) | {
            "-h",
            "--list",
            "--help-all",
            "--model.network.class_path",  # a key of a mapping, which the parser does not list
        }
    command: click.Command = cli
    context = click.Context(cli)
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(context, name)
        assert found is not None
        command = found
    options = [
        param
        for param in command.get_params(click.Context(command))
        if isinstance(param, click.Option)
    ]
    names = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    return frozenset(names | set(context.help_option_names) | {"-h", "--help"})


def find_problems(arguments: str) -> list[str]:
    """Return the problems in the arguments of one `crdnet ...`."""
    words = _QUOTED.sub("QUOTED", arguments).split()
    path: tuple[str, ...] = ()
    command: click.Command | None = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        # A placeholder, such as COMMAND or {derain,sense}.
        if not re.fullmatch(r"[a-z-]+", words[0]):
            return []
        command = command.get_command(click.Context(command), words[0])
        if command is None:
            return [f"there is no command {' '.join(('crdnet', *path, words[0]))}"]
        path += (words.pop(0),)
    known = read_flags(path)
    return [
        f"{' '.join(('crdnet', *path))} has no {flag}"
        for word in words
        for flag in _FLAG.findall(word.partition("=")[0].strip("[]"))
        if flag not in known and not _is_bundle(flag, known)
    ]


def _is_bundle(flag: str, known: frozenset[str]) -> bool:
    """Return whether this is several short flags in one, such as -rq."""
    return not flag.startswith("--") and all(f"-{letter}" in known for letter in flag[1:])


@pytest.mark.parametrize(
    "path", list_documents(), ids=lambda path: str(path.relative_to(REPOSITORY))
)
def test_every_command_and_flag_in_the_documentation_exists(path: Path) -> None:
    found = find_commands(path.read_text(encoding="utf-8"))
    problems = [
        f"{path.name}:{line}: {problem}"
        for line, arguments in found
        for problem in find_problems(arguments)
    ]
    assert problems == []


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        ("derain a.png -o b.png --strength 0.5", []),
        ("derain a.png --strngth=0.5", ["crdnet derain has no --strngth"]),
        ("derain photos/ -rq", []),
        ("derain photos/ -rz", ["crdnet derain has no -rz"]),
        ("dry a.png", ["there is no command crdnet dry"]),
        ("data chekc PATH", ["there is no command crdnet data chekc"]),
        ("data check PATH --json", []),
        ("--version", []),
        ("--verion", ["crdnet has no --verion"]),
        ("train --config configs/paper.yaml --data.root pairs/ --trainer.max_epochs=3", []),
        ("train --data.rot pairs/", ["crdnet train has no --data.rot"]),
    ],
)
def test_unknown_commands_and_flags_are_found(arguments: str, problems: list[str]) -> None:
    assert find_problems(arguments) == problems


def test_commands_are_found_in_blocks_and_in_spans_of_code() -> None:
    text = (
        "Run `crdnet a --b`, not crdnet c.\n"
        "```\n$ crdnet d -e  # f --g\ncat x | crdnet h - > i\npip install crdnet\n```\n"
    )
    assert list(find_commands(text)) == [(1, "a --b"), (3, "d -e"), (4, "h -")]
