"""Benchmarks of video, tried on a few drawn frames."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from tests.benchmarks.test_benchmarks import run
from tests.runtime.tiny import write_streak_model

pytest.importorskip("av")

from crdnet.video import FusionModel
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


@pytest.mark.skipif(find_spec("torch") is None, reason="needs crdnet[train]")
def test_the_network_of_three_frames_is_trained_from_clips_and_stills(tmp_path: Path) -> None:
    """Drawing, training and export, each once."""
    for name in ("stills", "frames"):
        (tmp_path / name).mkdir()
    Image.fromarray(draw_background(400, 480)).save(tmp_path / "stills" / "still.png")
    clip = write_clip(tmp_path / "clip.mkv", [draw_background(340, 404)] * 16)
    module, frames = "experiments.video_fusion", str(tmp_path / "frames")
    drawn = ("--still", str(tmp_path / "stills"), "--clip", str(clip), "--sequences", "2")
    weights, model = str(tmp_path / "video.safetensors"), str(tmp_path / "video.onnx")
    for arguments in (
        ("draw", frames, *drawn, "--minutes", "600"),
        ("train", frames, "-o", weights, "--steps", "2", "--side", "64", "--batch", "2"),
        ("export", weights, "-o", model),
    ):
        result = run(module, *arguments)
        assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "frames").iterdir())) >= 10
    assert FusionModel(model)
