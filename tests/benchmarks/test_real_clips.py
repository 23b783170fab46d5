"""Benchmarks of real rain, tried on a few drawn frames."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks.test_benchmarks import BENCHMARKS, run


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A folder of ten frames of one scene, each with streaks of 60 grey levels at other places."""
    rng = np.random.default_rng(0)
    small = rng.integers(40, 110, (8, 10, 3), dtype=np.uint8)
    scene = np.asarray(Image.fromarray(small).resize((160, 128), Image.Resampling.BICUBIC))
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in range(10):
        frame = scene.copy()
        for _ in range(12):
            row, column = rng.integers(0, 100), rng.integers(0, 158)
            frame[row : row + 24, column : column + 2] += 60
        Image.fromarray(frame).save(folder / f"{number:02d}.png")
    return folder


def test_real_clips_and_camera_rain_on_dry_ones_are_measured(clip: Path) -> None:
    result = run("quality.real_rain", "clips", str(clip), "--dry", str(clip))
    assert result.returncode == 0, result.stderr
    assert "\nclip " in result.stdout
    rates = [line.split()[0] for line in result.stdout.splitlines() if "mm/h" in line]
    assert rates == ["5", "25", "60"]


def test_real_and_drawn_streaks_stand_in_one_table(clip: Path) -> None:
    result = run("quality.rain", "streaks", str(clip), "--exposure", "1/500")
    assert result.returncode == 0, result.stderr
    real, drawn = result.stdout.splitlines()[1:]
    assert " real " in real
    assert " drawn " in drawn


def test_every_photograph_has_a_grade_by_eye() -> None:
    with (BENCHMARKS / "quality" / "real_rain_grades.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["image"] for row in rows}) == len(rows) == 52
    assert {row["grade"] for row in rows} <= {"light", "medium", "heavy"}


def test_grades_by_eye_are_compared(tmp_path: Path) -> None:
    listed = tmp_path / "grades.csv"
    listed.write_text("image,grade,falls\na.png,heavy,rain\nb.png,light,snow\n")
    for name in ("a", "b"):
        Image.new("RGB", (64, 64), "grey").save(tmp_path / f"{name}.png")
    result = run("quality.real_rain", "grades", str(tmp_path), "--grades", str(listed))
    assert result.returncode == 0, result.stderr
    assert "rain: 1 photographs, grade equal 0, two apart or more 1" in result.stdout
    assert "called NONE 1: b.png" in result.stdout
