"""Benchmarks of video, tried on a few drawn frames."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.test_benchmarks import run
from tests.runtime.tiny import write_streak_model

pytest.importorskip("av")

from tests.video.clips import draw_background, write_clip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "dry.mkv", [draw_background(96, 128)] * 5)


def test_gain_and_flicker_are_measured(clip: Path, tmp_path: Path) -> None:
    model = write_streak_model(tmp_path / "streak.onnx")
    arguments = ("-n", "5", "--width", "128", "-m", str(model), "-d", "cpu")
    result = run("quality.video", "gain", str(clip), *arguments, "--save", str(tmp_path / "saved"))
    assert result.returncode == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()[1:-1]]
    assert [row[1] for row in rows] == ["none", "light", "medium", "heavy"]
    assert result.stdout.splitlines()[-1].startswith("mean gain ")
    assert len(list((tmp_path / "saved").iterdir())) == 4


def test_the_steps_are_timed(clip: Path, tmp_path: Path) -> None:
    model = write_streak_model(tmp_path / "streak.onnx")
    result = run(
        "speed.video", "steps", str(clip), "-n", "3", "-m", str(model), "-d", "cpu", "--json"
    )
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["fps"].keys() == {"decode", "network", "align and fuse", "encode", "derain_video"}
    assert told["peak_mib"] > 0
