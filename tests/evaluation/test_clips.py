"""Contrast left in clips of a static camera, measured on rain that is known."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from crdnet.data import read_frames
from crdnet.errors import DataError
from crdnet.evaluation import StaticClip, join_side_by_side, score_clip

Frame = npt.NDArray[np.uint8]
HEIGHT, WIDTH, FRAMES = 60, 80, 25


@pytest.fixture(scope="module")
def background() -> Frame:
    noise = np.random.default_rng(0).integers(40, 120, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def frames(background: Frame) -> list[Frame]:
    """Frames with ten streaks of 50 grey levels, each at another place in each frame."""
    rng = np.random.default_rng(1)
    rainy = []
    for _ in range(FRAMES):
        frame = background.copy()
        for _ in range(10):
            row, column = rng.integers(0, HEIGHT - 12), rng.integers(0, WIDTH)
            frame[row : row + 12, column] = background[row : row + 12, column] + 50
        rainy.append(frame)
    return rainy


@pytest.mark.parametrize("left", [0.0, 0.3, 1.0])
def test_what_a_method_leaves_is_what_is_measured(
    background: Frame, frames: list[Frame], left: float
) -> None:
    def derain(frame: Frame) -> Frame:
        kept = background + left * (frame.astype(float) - background)
        return np.rint(kept).astype(np.uint8)

    score = score_clip(StaticClip.from_frames("clip", frames), derain, np.random.default_rng(0))
    assert score.left.mean == pytest.approx(left, abs=0.02)
    assert score.contrast == pytest.approx(50, abs=1)
    assert score.dry_change < 0.1
    assert score.unchanged_frames == (FRAMES - 2 if left == 1 else 0)
    assert score.left.low is not None
    assert score.left.high is not None
    assert score.left.low <= score.left.mean <= score.left.high


def test_a_change_where_nothing_rains_is_measured(frames: list[Frame]) -> None:
    score = score_clip(
        StaticClip.from_frames("clip", frames), lambda frame: frame + 3, np.random.default_rng(0)
    )
    assert score.dry_change == pytest.approx(3, abs=0.01)


def test_what_moves_is_no_rain(background: Frame, frames: list[Frame]) -> None:
    """A patch that flickers between two levels all the time is not still."""
    flickering = [frame.copy() for frame in frames]
    for number, frame in enumerate(flickering):
        frame[:20, :20] = background[:20, :20] + 40 * (number % 2)
    clip = StaticClip.from_frames("clip", flickering)
    assert not clip.still[:20, :20].any()
    assert clip.still[30:, 30:].all()
    assert not any(clip.find_streaks(index)[:20, :20].any() for index in range(1, FRAMES - 1))


def test_light_that_stays_is_no_rain(background: Frame, frames: list[Frame]) -> None:
    """A lamp that is on for two frames is bright in the frame before or after."""
    lit = [frame.copy() for frame in frames]
    for number in (10, 11):
        lit[number][40:50, 60:70] = background[40:50, 60:70] + 80
    clip = StaticClip.from_frames("clip", lit)
    assert not clip.find_streaks(10)[40:50, 60:70].any()


def test_frames_that_repeat_the_one_before_are_dropped(frames: list[Frame]) -> None:
    repeated = [frame for frame in frames for _ in range(2)]
    clip = StaticClip.from_frames("clip", repeated)
    assert len(clip.frames) == FRAMES
    once = score_clip(
        StaticClip.from_frames("clip", frames),
        lambda frame: frame,
        np.random.default_rng(0),
    )
    twice = score_clip(clip, lambda frame: frame, np.random.default_rng(0))
    assert twice.streak_pixels == once.streak_pixels


def test_a_clip_without_rain_or_frames_is_refused(background: Frame, frames: list[Frame]) -> None:
    with pytest.raises(DataError, match="at least 5 frames"):
        StaticClip.from_frames("clip", frames[:3])
    noisy = [background + np.uint8(number % 3) for number in range(9)]
    with pytest.raises(DataError, match="no streak"):
        score_clip(
            StaticClip.from_frames("clip", noisy),
            lambda frame: frame,
            np.random.default_rng(0),
        )


def test_videos_and_folders_of_images_are_read(frames: list[Frame], tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number:03d}.png")
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    for path in (folder, tmp_path / "clip.mkv"):
        read = read_frames(path, start=2, count=4)
        assert len(read) == 4
        assert all(np.array_equal(one, two) for one, two in zip(read, frames[2:6], strict=True))


def test_what_is_no_clip_is_named(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match="cannot be read as a video"):
        read_frames(tmp_path / "text.mp4")
    with pytest.raises(DataError, match="there is no such clip"):
        read_frames(tmp_path / "missing.mp4")


def test_frame_derained_frame_and_median_stand_side_by_side(frames: list[Frame]) -> None:
    clip = StaticClip.from_frames("clip", frames)
    assert join_side_by_side(clip, 1, frames[1]).shape == (HEIGHT, 3 * WIDTH, 3)
