"""Real rain scored on clips of a static camera, whose temporal median shows the scene without it.

A streak is bright for one frame: its residual above the median is more than `STREAK_LEVELS`, and less
than `ABSENT_LEVELS` in the frame before and after. Frames that repeat the one before are dropped.
Only pixels that stand still count, since leaves and people leave the same trace as rain. The contrast
left is the sum of the residuals on streaks after deraining over the sum before: 1 is untouched, 0 is
gone, below 0 is a dark trace.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from crdnet.data import list_images, read_rgb
from crdnet.density import luma
from crdnet.errors import DataError, MissingExtraError
from crdnet.evaluation.bootstrap import Estimate, ratio_of_sums

Frame = npt.NDArray[np.uint8]
"""RGB (h, w, 3)."""
Plane = npt.NDArray[np.float32]

STREAK_LEVELS = 12.0
"""Grey levels above the median from which a pixel belongs to a streak."""
ABSENT_LEVELS = 6.0
"""Grey levels above the median below which there is no streak."""
STILL_LEVELS = 4.0
"""Half the spread between the quartiles over time up to which a pixel stands still."""
FRAMES = 60
"""Frames that a median is taken over, unless told otherwise: two seconds of most clips."""
_REPEATED = 0.25
"""Share of the clip's median change from frame to frame below which a frame repeats the last."""
_NEAR_STREAKS = 7
"""Side of the square around a streak's pixels that is not counted as free of rain."""


@dataclass(frozen=True)
class ClipScore:
    """Contrast left of a clip's rain, and the change where it does not rain.

    Attributes:
        name: Of the clip.
        frames: Frames that were derained.
        streak_pixels: Pixels of streaks in all of them.
        contrast: Contrast of the streaks before deraining, in grey levels.
        left: Share of it that is left.
        dry_change: Mean absolute change of luma where nothing rains, in grey levels.
        unchanged_frames: Frames that came back as they were.
    """

    name: str
    frames: int
    streak_pixels: int
    contrast: float
    left: Estimate
    dry_change: float
    unchanged_frames: int


@dataclass(frozen=True, eq=False)
class StaticClip:
    """Frames of a static camera with what they show when it does not rain.

    Attributes:
        name: Of the clip.
        frames: RGB frames of one size.
        median: Luma (h, w) of the temporal median, in grey levels.
        still: Pixels (h, w) that stand still.
    """

    name: str
    frames: Sequence[Frame]
    median: Plane
    still: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, name: str, frames: Sequence[Frame]) -> "StaticClip":
        """Return a clip of at least five frames, without those that repeat the one before."""
        lumas = np.array([_luma(frame) for frame in frames], np.float32)
        kept = _changing(lumas)
        if len(kept) < 5:
            raise DataError(f"{name}: a median needs at least 5 frames that differ, got {len(kept)}")
        lumas, frames = lumas[kept], [frames[index] for index in kept]
        low, middle, high = np.percentile(lumas, [25, 50, 75], axis=0).astype(np.float32)
        return cls(name, frames, middle, (high - low) / 2 <= STILL_LEVELS)

    def streaks(self, index: int) -> npt.NDArray[np.bool_]:
        """Return the pixels (h, w) of streaks in a frame, which is neither the first nor the last."""
        before, here, after = (self.residual(self.frames[index + step]) for step in (-1, 0, 1))
        absent = (before < ABSENT_LEVELS) & (after < ABSENT_LEVELS)
        streaks: npt.NDArray[np.bool_] = self.still & absent & (here > STREAK_LEVELS)
        return streaks

    def residual(self, frame: Frame) -> Plane:
        """Return luma minus the median (h, w), in grey levels."""
        return _luma(frame) - self.median

    def dry(self, index: int) -> npt.NDArray[np.bool_]:
        """Return the still pixels (h, w) of a frame that are at the median, away from streaks."""
        bright = np.abs(self.residual(self.frames[index])) > ABSENT_LEVELS
        grown = Image.fromarray(bright).convert("L").filter(ImageFilter.MaxFilter(_NEAR_STREAKS))
        dry: npt.NDArray[np.bool_] = self.still & (np.asarray(grown) == 0)
        return dry


def score_clip(
    clip: StaticClip,
    derain: Callable[[Frame], Frame],
    rng: np.random.Generator,
    *,
    every: int = 1,
    on_frame: Callable[[int, Frame], None] = lambda _index, _derained: None,
) -> ClipScore:
    """Derain a clip frame by frame and measure what is left of its streaks.

    Args:
        clip: The clip.
        derain: Takes an RGB frame and returns one of its size.
        rng: For the interval, by resampling frames.
        every: Derain each so many-th frame.
        on_frame: Called with the number of each frame and what it was derained to.
    """
    before, after, pixels, changes, unchanged = [], [], 0, [], 0
    for index in range(1, len(clip.frames) - 1, every):
        rainy = clip.frames[index]
        derained = derain(rainy)
        streaks, dry = clip.streaks(index), clip.dry(index)
        pixels += int(streaks.sum())
        before.append(float(clip.residual(rainy)[streaks].sum(dtype=np.float64)))
        after.append(float(clip.residual(derained)[streaks].sum(dtype=np.float64)))
        if dry.any():
            changes.append(float(np.abs(_luma(derained) - _luma(rainy))[dry].mean()))
        unchanged += bool(np.array_equal(rainy, derained))
        on_frame(index, derained)
    if not pixels:
        raise DataError(f"{clip.name}: holds no streak that is bright for one frame")
    return ClipScore(
        clip.name,
        len(before),
        pixels,
        sum(before) / pixels,
        ratio_of_sums(np.array(after), np.array(before), rng),
        float(np.mean(changes)) if changes else float("nan"),
        unchanged,
    )


def side_by_side(clip: StaticClip, index: int, derained: Frame) -> Frame:
    """Return a frame, the derained frame and the temporal median beside each other."""
    median = np.clip(np.rint(clip.median), 0, 255).astype(np.uint8)
    return np.hstack([clip.frames[index], derained, np.repeat(median[..., np.newaxis], 3, axis=2)])


def read_frames(path: Path, start: int = 0, count: int = FRAMES) -> list[Frame]:
    """Return frames of a video file (extra `video`), or the images of a folder in order of name.

    Args:
        path: Video file or folder.
        start: First frame.
        count: Most frames.

    Raises:
        DataError: It cannot be read.
        MissingExtraError: It is a video and PyAV is not installed.
    """
    if path.is_dir():
        names = sorted(list_images(path).images)
        return [read_rgb(path / name) for name in names[start : start + count]]
    if not path.is_file():
        raise DataError(f"{path}: there is no such clip")
    try:
        import av  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("reading a clip", "video") from error
    frames: list[Frame] = []
    try:
        with av.open(str(path)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number >= start + count:
                    break
                if number >= start:
                    frames.append(frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False))
    except (av.error.FFmpegError, IndexError) as error:
        raise DataError(f"{path}: cannot be read as a video: {error}") from error
    return frames


def _changing(lumas: npt.NDArray[np.float32]) -> list[int]:
    """Return the frames (t, h, w) that differ from the one before them.

    Encoders repeat frames to fill a higher frame rate; a streak would then last two frames.
    """
    changes = np.array([np.abs(after - before).mean() for before, after in pairwise(lumas)])
    if not len(changes):
        return list(range(len(lumas)))
    return [0, *(np.flatnonzero(changes > _REPEATED * np.median(changes)) + 1).tolist()]


def _luma(frame: Frame) -> Plane:
    return luma(frame.astype(np.float32))
