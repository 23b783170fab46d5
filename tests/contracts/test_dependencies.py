"""pyproject.toml, constraints.txt and the Makefile agree on what is installed."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]


def list_requirements(project: dict[str, Any]) -> list[Requirement]:
    """Return the requirements in pyproject.toml: to run, to build, and of all extras."""
    extras = project["project"]["optional-dependencies"]
    asked = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(line for lines in extras.values() for line in lines),
    ]
    return [found for found in map(Requirement, asked) if found.name != "crdnet"]


def read_pins() -> dict[str, Requirement]:
    """Return the lines of constraints.txt by canonical name."""
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return {canonicalize_name(each.name): each for each in found}


PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("asked", sorted(list_requirements(PROJECT), key=str), ids=str)
def test_every_dependency_is_pinned_to_a_version_that_it_allows(asked: Requirement) -> None:
    name = canonicalize_name(asked.name)
    assert name in read_pins(), (
        f"{asked.name} is in pyproject.toml and has no line in constraints.txt"
    )
    (pin,) = read_pins()[name].specifier
    assert asked.specifier.contains(pin.version), f"{read_pins()[name]} is not {asked}"


def test_every_pin_is_one_exact_version() -> None:
    for pin in read_pins().values():
        assert re.fullmatch(r"==[0-9][\w.]*", str(pin.specifier)), f"{pin}"


def test_no_package_is_pinned_twice() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert len(read_pins()) == sum(
        bool(line.strip()) and not line.startswith("#") for line in lines
    )


def test_torch_is_spelt_as_the_makefile_reads_it() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.lower().startswith("torch==")] == ["torch==2.13.0"]
    assert "$(shell grep '^torch==' constraints.txt)" in (REPOSITORY / "Makefile").read_text(
        encoding="utf-8"
    )


def test_the_constraints_of_builds_and_of_installs_can_both_hold() -> None:
    # The Makefile gives pip both files at once, and pip wants all of it true.
    for line in (REPOSITORY / "build-constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            asked = Requirement(line)
            (pin,) = read_pins()[canonicalize_name(asked.name)].specifier
            assert asked.specifier.contains(pin.version)
