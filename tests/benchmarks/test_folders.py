"""The benchmark of folders runs, and measures what it says. How fast anything is, is no test."""

import json
from typing import Any

import pytest

from tests.benchmarks.test_benchmarks import model, run  # noqa: F401 - the fixture


def measured(*arguments: str) -> Any:
    done = run("folders.py", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_rate_is_told_against_that_of_the_network_alone(model: str) -> None:  # noqa: F811
    told = measured("rate", "-m", model, "--number", "4", "--batches", "2", "--size", "40", "30")
    assert told["pictures"] == 4
    seconds = told["seconds"]
    assert told["ratio"] == pytest.approx(seconds["network alone"] / seconds["crdnet derain"])


def test_memory_is_read_while_pictures_are_done(model: str) -> None:  # noqa: F811
    told = measured("memory", "-m", model, "--number", "9", "--largest", "20")
    assert told["second_hundred_mb"] > 10
    assert told["ratio"] == pytest.approx(1, abs=0.5)


def test_what_is_done_is_timed_and_not_done_again(model: str) -> None:  # noqa: F811
    told = measured("skip", "-m", model, "--number", "40")
    assert told["untouched"] is True
    assert told["seconds"] > 0
