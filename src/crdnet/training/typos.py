"""Explanation of misspelt keys: the file, the line and the nearest key that exists."""

import re
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

# Beginnings of keys whose parts no parser lists: classes and mappings.
_OPEN = (
    "data.root",
    "data.validation",
    "model.losses",
    "model.network.class_path",
    "model.network.init_args",
    "trainer.callbacks",
    "trainer.logger",
    "trainer.plugins",
    "trainer.profiler",
    "trainer.strategy",
)


def list_keys(parser: Any) -> frozenset[str]:
    """Return the keys of a parser of jsonargparse, with dots."""
    return frozenset(
        action.dest for action in parser._actions if action.dest not in ("help", "print_config")
    )


def explain_typo(reason: str, recipes: Sequence[Path], keys: Collection[str]) -> str | None:
    """Return an explanation of the first key that does not exist, None if all exist.

    Args:
        reason: Message of the parser, which names a misspelt option of the command line.
        recipes: Recipes of the run.
        keys: Keys that exist.
    """
    groups = {key[: end.start()] for key in keys for end in re.finditer(r"\.", key)}
    known = {*keys, *groups}
    for recipe in recipes:
        for key, line in _locate_keys(recipe):
            parent = key.rpartition(".")[0]
            if key in known or key.startswith(_OPEN) or (parent and parent not in known):
                continue
            if parent in keys:  # the key of a mapping, whose content its type decides
                parts = {each for each in keys if each.startswith(parent + ".")}
                if not parts:
                    continue
            return f"{recipe} line {line}: there is no key {key}{_suggest(key, known)}"
    option = re.search(
        r"(?:[Uu]nrecognized arguments?|does not exist|not accepted)\W*--([\w.-]+)", reason
    )
    if option and option[1] not in known:
        return f"there is no option --{option[1]}{_suggest(option[1], known)}"
    return None


def _suggest(key: str, known: Collection[str]) -> str:
    level = key.count(".")
    same_level = [each for each in known if each.count(".") == level]
    near = get_close_matches(key, same_level, 1) or get_close_matches(key, list(known), 1)
    return f"; did you mean {near[0]}?" if near else "; `crdnet train --help-all` lists all"


def _locate_keys(recipe: Path) -> Iterator[tuple[str, int]]:
    """Yield the keys of a recipe with their lines, outer ones first."""
    try:
        root = yaml.compose(recipe.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, OSError, UnicodeDecodeError):
        return
    level: list[tuple[str, Any]] = [("", root)]
    while level:
        deeper: list[tuple[str, Any]] = []
        for prefix, node in level:
            if not isinstance(node, yaml.MappingNode):
                continue
            for name, value in node.value:
                key = f"{prefix}{name.value}"
                yield key, name.start_mark.line + 1
                deeper.append((f"{key}.", value))
        level = deeper
