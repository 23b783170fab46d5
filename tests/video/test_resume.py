"""A run that was killed goes on, and ends where an unbroken one ends."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crdnet.errors import OutputError
from crdnet.video import VideoOptions, VideoProgress, derain_video
from tests.video.clips import Recipe, make_frames, read_packets, read_planes, write_clip
from tests.waiting import HANG_SECONDS

COUNT = 14


class Killed(BaseException):
    """Ends a run as a kill does, without any handler of ours."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    times = np.cumsum(np.random.default_rng(0).integers(20, 90, COUNT)).tolist()
    return write_clip(tmp_path / "in.mkv", make_frames(COUNT), Recipe(times=times, audio="flac"))


def stop_after(frames: int) -> "type[None]":
    def stop(progress: VideoProgress) -> None:
        if progress.frames == frames:
            raise Killed

    return stop  # type: ignore[return-value]


def assert_same(one: Path, two: Path) -> None:
    pairs = zip(read_planes(one), read_planes(two), strict=True)
    for (shown, samples), (other_shown, other) in pairs:
        assert shown == other_shown
        assert np.array_equal(samples, other)
    assert read_packets(one, "audio") == read_packets(two, "audio")


@pytest.mark.parametrize("frames", [1, 4, 6, 13])
def test_a_run_goes_on_from_its_last_segment(
    frames: int, source: Path, options: VideoOptions, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole.mkv", tmp_path / "broken.mkv"
    derain_video(source, whole, options)
    with pytest.raises(Killed):
        derain_video(source, broken, options, stop_after(frames))
    assert not broken.exists()
    seen: list[int] = []
    record = derain_video(source, broken, options, lambda progress: seen.append(progress.frames))
    # A segment is finished when the first frame after it is.
    assert record.resumed == (frames - 1) // options.segment_frames * options.segment_frames
    assert seen == list(range(record.resumed + 1, COUNT + 1))
    assert_same(whole, broken)
    assert sorted(each.name for each in tmp_path.iterdir() if "broken" in each.name) == [
        "broken.mkv"
    ]


def test_a_killed_process_leaves_nothing_half_written(
    source: Path, options: VideoOptions, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole.mkv", tmp_path / "broken.mkv"
    derain_video(source, whole, options)
    program = (
        "import os, signal, sys\n"
        "from crdnet.video import EncoderOptions, VideoOptions, derain_video\n"
        f"options = VideoOptions(model={options.model!r}, device='cpu', threads=1,"
        " segment_frames=4, encoder=EncoderOptions(crf=0.0, preset='ultrafast'))\n"
        "def kill(progress):\n"
        "    if progress.frames == 7: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"derain_video({str(source)!r}, {str(broken)!r}, options, kill)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env=os.environ, check=False, timeout=HANG_SECONDS
    )
    assert ended.returncode == -signal.SIGKILL
    assert not broken.exists()
    assert derain_video(source, broken, options).resumed == 4
    assert_same(whole, broken)


KILLS = int(os.environ.get("CRDNET_KILLS", "3"))
"""`make soak` asks for more."""


def test_a_run_killed_at_random_moments_ends_like_an_unbroken_one(
    source: Path, options: VideoOptions, tmp_path: Path
) -> None:
    """Each run does some work before it is killed, or it would never end."""
    whole, broken = tmp_path / "whole.mkv", tmp_path / "broken.mkv"
    derain_video(source, whole, options)
    program = (
        "import sys\n"
        "from crdnet.video import EncoderOptions, VideoOptions, derain_video\n"
        f"options = VideoOptions(model={options.model!r}, device='cpu', threads=1,"
        " segment_frames=4, encoder=EncoderOptions(crf=0.0, preset='ultrafast'))\n"
        "print('ready', flush=True)\n"
        f"derain_video({str(source)!r}, {str(broken)!r}, options,"
        " lambda progress: print(progress.frames, flush=True))\n"
    )
    rng = np.random.default_rng()
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", program], env=os.environ, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            # Lines are moments of the run; the pause ends anywhere between two of them.
            for _ in range(int(rng.integers(1, COUNT))):
                process.stdout.readline()
            time.sleep(rng.uniform(0, 0.03))
            process.kill()
        if broken.exists():
            assert_same(whole, broken)
            broken.unlink()
    derain_video(source, broken, options)
    assert_same(whole, broken)
    assert not list(tmp_path.glob("broken*.crdnet"))


def test_another_source_or_other_settings_are_refused(
    source: Path, options: VideoOptions, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    with pytest.raises(Killed):
        derain_video(source, output, options, stop_after(6))
    other = write_clip(tmp_path / "other.mkv", make_frames(8))
    with pytest.raises(OutputError, match="another source"):
        derain_video(other, output, options)
    with pytest.raises(OutputError, match="another settings"):
        derain_video(source, output, replace(options, strength=0.5))
    assert derain_video(source, output, replace(options, overwrite=True)).resumed == 4
    with pytest.raises(Killed):
        derain_video(source, tmp_path / "two.mkv", options, stop_after(6))
    changed = replace(options, strength=0.5, overwrite=True)
    assert derain_video(source, tmp_path / "two.mkv", changed).resumed == 0
