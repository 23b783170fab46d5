"""The benchmark of model cards on small data, and its intervals are Wilson's."""

from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from benchmarks.quality.cards import compute_wilson_interval, cut_quarters, main
from click.testing import CliRunner
from PIL import Image

from tests.runtime.tiny import write_streak_model


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two scenes of each set where the real ones would be; both of Rain800's show the same."""
    rng = np.random.default_rng(0)

    def save(place: str, image: np.ndarray) -> None:
        path = tmp_path / "data" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)

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
    count: int, number: int
) -> None:
    for end in compute_wilson_interval(count, number):
        assert abs(count / number - end) == pytest.approx(
            1.96 * sqrt(end * (1 - end) / number), abs=1e-9
        )


def test_quarters_are_views_that_do_not_overlap() -> None:
    image = np.arange(7 * 5 * 3, dtype=np.uint8).reshape(7, 5, 3)
    views = cut_quarters(image)
    assert [view.shape for view in views] == [(3, 2, 3)] * 4
    assert len({value for view in views for value in view.ravel().tolist()}) == 4 * 3 * 2 * 3


def test_every_part_is_measured(data: Path, tmp_path: Path) -> None:
    model = str(write_streak_model(tmp_path / "streak.onnx"))
    result = CliRunner().invoke(main, ["tables", str(data), "--model", model, "--limit", "2"])
    assert result.exit_code == 0, result.output
    rows = [line.split(" | ") for line in result.stdout.splitlines() if line.startswith("| ")]
    numbers = {(row[0], row[1]) for row in rows} | {(row[0], row[1], row[2]) for row in rows}
    assert ("| scikit-image", "2") in numbers
    assert ("| clean halves of rain800/val", "2") in numbers
    assert ("| clean halves of rain800/val", "whole", "1") in numbers, "one scene twice counts once"
    assert ("| all", "quarters", "20") in numbers
    assert ("| fence", "5") in numbers
    assert ("| rain800", "4") in numbers


def test_the_sheet_shows_the_middle_and_the_worst_of_each_set(data: Path, tmp_path: Path) -> None:
    model, sheet = str(write_streak_model(tmp_path / "streak.onnx")), tmp_path / "sheet.jpg"
    result = CliRunner().invoke(main, ["sheet", str(data), str(sheet), "--model", model])
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 8
    with Image.open(sheet) as drawn:
        assert drawn.format == "JPEG"
