"""The benchmark of folders on a few small images. Times are not tested."""

import json
from typing import Any

import pytest

from tests.benchmarks.test_benchmarks import model, run  # noqa: F401 - the fixture


def measured(*arguments: str) -> Any:
    done = run("speed.folders", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_rate_is_compared_with_that_of_the_network_alone(model: str) -> None:  # noqa: F811
    found = measured("rate", "-m", model, "--number", "4", "--batches", "2", "--size", "40", "30")
    assert found["images"] == 4
    seconds = found["seconds"]
    assert found["ratio"] == pytest.approx(seconds["network alone"] / seconds["crdnet derain"])


def test_memory_is_read_during_the_run(model: str) -> None:  # noqa: F811
    found = measured("memory", "-m", model, "--number", "9", "--largest", "20")
    assert found["second_hundred_mb"] > 10
    assert found["ratio"] == pytest.approx(1, abs=0.5)


def test_finished_images_are_skipped_and_the_time_is_measured(model: str) -> None:  # noqa: F811
    found = measured("skip", "-m", model, "--number", "40")
    assert found["untouched"] is True
    assert found["seconds"] > 0
