"""The benchmark of quality runs from beginning to end, and its intervals are Wilson's."""

import runpy
import sys
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.runtime.tiny import write_streak_model

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "quality.py"


@pytest.fixture(scope="module")
def quality() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two scenes of each set where the real ones would be; both of Rain800's show the same."""
    rng = np.random.default_rng(0)

    def save(place: str, picture: np.ndarray) -> None:
        path = tmp_path / "data" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)

    for number in range(2):
        small = Image.fromarray(rng.integers(0, 120, (5, 6, 3), dtype=np.uint8))
        clean = np.asarray(small.resize((70, 72), Image.Resampling.BICUBIC))
        save(f"streaks/val/{number}-1.png", rng.integers(0, 60, (72, 72), dtype=np.uint8))
        for grade, change in (("clean", 0), ("light", 5), ("medium", 20), ("heavy", 60)):
            save(f"val_synth/{grade}/{number}.png", clean + np.uint8(change))
    for number in range(2):
        save(f"rain800/val/{number}.png", np.hstack([clean, clean + np.uint8(20)]))
    return tmp_path / "data"


@pytest.mark.parametrize(("count", "number"), [(0, 40), (3, 40), (40, 40)])
def test_the_ends_of_the_interval_are_the_shares_at_the_edge_of_what_was_seen(
    quality: dict[str, Any], count: int, number: int
) -> None:
    for end in quality["wilson"](count, number):
        assert abs(count / number - end) == pytest.approx(
            1.96 * sqrt(end * (1 - end) / number), abs=1e-9
        )


def test_quarters_are_views_that_do_not_overlap(quality: dict[str, Any]) -> None:
    picture = np.arange(7 * 5 * 3, dtype=np.uint8).reshape(7, 5, 3)
    views = quality["quarters"](picture)
    assert [view.shape for view in views] == [(3, 2, 3)] * 4
    assert len({value for view in views for value in view.ravel().tolist()}) == 4 * 3 * 2 * 3


def test_every_part_is_measured(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_streak_model(tmp_path / "streak.onnx")
    monkeypatch.setattr(
        sys, "argv", ["quality.py", str(data), "--model", str(model), "--limit", "2"]
    )
    runpy.run_path(str(SCRIPT), run_name="__main__")
    rows = [
        line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")
    ]
    numbers = {(row[0], row[1]) for row in rows} | {(row[0], row[1], row[2]) for row in rows}
    assert ("| scikit-image", "2") in numbers
    assert ("| clean halves of rain800/val", "2") in numbers
    assert ("| clean halves of rain800/val", "whole", "1") in numbers, "one scene twice counts once"
    assert ("| all", "quarters", "20") in numbers
    assert ("| fence", "5") in numbers
    assert ("| rain800", "4") in numbers
