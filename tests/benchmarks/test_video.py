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
from tests.video.clips import add_streaks, draw_background, write_clip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "dry.mkv", [draw_background(96, 128)] * 5)


def test_gain_and_flicker_are_measured(clip: Path, tmp_path: Path) -> None:
    model = write_streak_model(tmp_path / "streak.onnx")
    arguments = ("-n", "5", "--width", "128", "-m", str(model), "-d", "cpu")
    sheet = tmp_path / "sheet.jpg"
    files = ("--save", str(tmp_path / "saved"), "--sheet", str(sheet))
    result = run("quality.video", "gain", str(clip), *arguments, *files)
    assert result.returncode == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()[1:-1]]
    assert [row[1] for row in rows] == ["none", "light", "medium", "heavy"]
    assert result.stdout.splitlines()[-1].startswith("mean gain ")
    assert len(list((tmp_path / "saved").iterdir())) == 4
    with Image.open(sheet) as image:
        assert image.size == (4 * 128, 96)


def test_the_steps_are_timed(clip: Path, tmp_path: Path) -> None:
    model = write_streak_model(tmp_path / "streak.onnx")
    result = run(
        "speed.video", "steps", str(clip), "-n", "3", "-m", str(model), "-d", "cpu", "--json"
    )
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["fps"].keys() == {"decode", "network", "align and fuse", "encode", "derain_video"}
    assert told["cpu_ms"].keys() == told["fps"].keys()
    assert min(told["peak_mib"], told["ratio"], told["ratio_all"]) > 0


def test_sizes_and_memory_are_measured(clip: Path) -> None:
    result = run("speed.video", "sizes", str(clip), "-n", "2", "--height", "48", "-d", "cpu")
    assert result.returncode == 0, result.stderr
    (row,) = result.stdout.splitlines()[2:]
    assert row.startswith("| 64 x 48 | onnxruntime ")
    result = run("speed.video", "memory", str(clip), "--frames", "40", "--height", "48")
    assert result.returncode == 0, result.stderr
    *rows, peak = result.stdout.splitlines()
    assert len(rows) == 20
    assert peak.startswith("peak ")


def test_what_is_left_of_real_rain_is_measured(tmp_path: Path) -> None:
    scene = draw_background(96, 128)
    frames = [add_streaks(scene, number) for number in range(7)]
    clip = write_clip(tmp_path / "rain.mkv", frames)
    moving = [draw_background(96, 128, offset=(0, 9 * number)) for number in range(6)]
    pan = write_clip(tmp_path / "pan.mkv", moving)
    result = run("quality.video", "real", str(clip), str(pan), "-d", "cpu", "--always")
    assert result.returncode == 0, result.stderr
    measured, other = result.stdout.splitlines()[1:]
    single, fused = (float(measured.split(" [")[n].split()[-1]) for n in (0, 1))
    assert 0 <= fused <= single + 0.1
    assert "no streak" in other


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
        ("train", frames, "-o", weights, "--steps", "2", "--side", "64", "--pairs", "1"),
        ("export", weights, "-o", model),
    ):
        result = run(module, *arguments)
        assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "frames").iterdir())) >= 10
    assert FusionModel(model)
