"""`crdnet video`."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.runner import Crdnet
from tests.runtime.tiny import write_streak_model
from tests.waiting import HANG_SECONDS

pytest.importorskip("av")

from tests.video.clips import (
    Recipe,
    add_streaks,
    draw_background,
    make_frames,
    read_planes,
    write_clip,
)


@pytest.fixture
def crdnet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crdnet:
    return Crdnet(monkeypatch, capsys)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_streak_model(tmp_path / "streak.onnx")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "in.mkv", make_frames(12), Recipe(audio="flac"))


def test_a_clip_is_derained_and_told(
    crdnet: Crdnet, source: Path, model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    ended = crdnet("video", source, "-o", output, "-m", model, "-d", "cpu", "--preset", "ultrafast")
    assert ended.code == 0, ended.err
    assert f"{source} -> {output}" in ended.out
    assert "12 frames" in ended.out
    again = crdnet("video", source, "-o", output, "-m", model)
    assert again.code == 1
    assert "exists; use --overwrite to replace it" in again.error_lines[0]


def test_frames_are_told_as_json(crdnet: Crdnet, source: Path, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    arguments = ("-m", model, "--json", "-c", "h264", "--crf", "0", "-e", "preset=ultrafast")
    ended = crdnet(
        "video", source, "-o", output, "--start", "0:00:00.08", "--end", "0.4", *arguments
    )
    assert ended.code == 0, ended.err
    told = [json.loads(line) for line in ended.out.splitlines()]
    assert [each["frames"] for each in told[:-1]] == list(range(1, 9))
    assert {"total", "time", "fps", "seconds_left", "density"} <= told[0].keys()
    assert told[-1]["event"] == "done"
    assert told[-1]["frames"] == 8
    assert len(read_planes(output)) == 8


def test_the_user_says_whether_the_camera_stands_still(
    crdnet: Crdnet, model: Path, tmp_path: Path
) -> None:
    """The camera pans: "auto" finds out, and neighbours that are not moved are of no use."""
    scenes = [draw_background(offset=(0, 3 * number)) for number in range(8)]
    pan = write_clip(
        tmp_path / "pan.mkv", [add_streaks(scene, n) for n, scene in enumerate(scenes)]
    )
    planes = {}
    for static in ("auto", "on", "off"):
        output = tmp_path / f"{static}.mkv"
        arguments = ("-m", model, "-d", "cpu", "--crf", "0", "--preset", "ultrafast")
        ended = crdnet("video", pan, "-o", output, "--static", static, *arguments)
        assert ended.code == 0, ended.err
        planes[static] = np.stack([each for _, each in read_planes(output)])
    assert np.array_equal(planes["auto"], planes["off"])
    assert not np.array_equal(planes["on"], planes["off"])


def test_a_preview_is_two_files(crdnet: Crdnet, source: Path, model: Path, tmp_path: Path) -> None:
    ended = crdnet(
        "video", source, "-o", tmp_path / "out.mkv", "-m", model, "--preview", "0.2", "-q"
    )
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    one, two = (read_planes(tmp_path / f"{name}.mkv") for name in ("out", "out_side_by_side"))
    assert len(one) == len(two) == 5
    assert two[0][1].shape[1] == 2 * one[0][1].shape[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--end", "soon"), "is not a time"),
        (("-e", "crf"), "is not key=value"),
        (("--every", "2"), "needs a live input"),
        (("--static", "maybe"), "is not one of"),
        (("--preview", "1", "--end", "2"), "omit --end"),
        (("--start", "3", "--end", "2"), "--end must be after --start"),
        (("-m", "nothing"), "nothing"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    arguments: tuple[str, ...], words: str, crdnet: Crdnet, source: Path, tmp_path: Path
) -> None:
    ended = crdnet("video", source, "-o", tmp_path / "out.mkv", *arguments)
    assert ended.code == 2
    assert len(ended.error_lines) == 1
    assert words in ended.error_lines[0]
    assert sorted(tmp_path.iterdir()) == [source]


def test_a_missing_extra_is_named_in_one_line(source: Path, tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["av"] = None
sys.argv = ["crdnet", "video", {str(source)!r}, "-o", {str(tmp_path / "out.mkv")!r}]
from crdnet.cli import main
main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    assert ended.returncode == 1
    assert "pip install 'crdnet[video]'" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_the_rain_of_a_clip_is_told_second_by_second(
    crdnet: Crdnet, source: Path, model: Path, tmp_path: Path
) -> None:
    plot, table = tmp_path / "rain.png", tmp_path / "rain.csv"
    ended = crdnet("sense", source, "-m", model, "-d", "cpu", "--plot", plot, "--csv", table)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("0:00:00  light, intensity 3")
    assert table.read_text().startswith("start,frames,density,intensity,score\n0,12,light,3")
    assert plot.read_bytes().startswith(b"\x89PNG")
    told = crdnet("sense", source, "-m", model, "-d", "cpu", "--json")
    assert json.loads(told.out)["seconds"][0]["frames"] == 12
    again = crdnet("sense", source, "-m", model, "--plot", plot)
    assert again.code == 2
    assert "exists; name another file" in again.err


def test_a_plot_is_for_one_clip(crdnet: Crdnet, model: Path, tmp_path: Path) -> None:
    ended = crdnet("sense", tmp_path / "a.jpg", "-m", model, "--plot", tmp_path / "rain.png")
    assert ended.code == 2
    assert "need one clip" in ended.err
