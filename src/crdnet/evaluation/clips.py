"""Scores of real rain on clips of a static camera.

The temporal median of such a clip shows the scene without rain. A streak is bright for one frame:
its residual above the median exceeds `STREAK_LEVELS`, and is below `ABSENT_LEVELS` in the frames
before and after. Frames that repeat the previous one are dropped. Only still pixels count, since
leaves and people leave the same trace as rain.

The remaining contrast is the sum of the residuals on streaks after deraining, divided by the sum
before: 1 is untouched, 0 is removed, below 0 is a dark trace.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from crdnet.data import Frame, drop_repeated
from crdnet.density import luma
from crdnet.errors import DataError
from crdnet.evaluation.bootstrap import Estimate, estimate_ratio

Plane = npt.NDArray[np.float32]

STREAK_LEVELS = 12.0
"""Smallest residual of a streak, in grey levels above the median."""
ABSENT_LEVELS = 6.0
"""Largest residual without a streak, in grey levels above the median."""
STILL_LEVELS = 4.0
"""Largest half interquartile range over time of a still pixel, in grey levels."""
# Side of the square around a bright pixel that does not count as dry, in pixels.
_NEAR_STREAKS = 7
_HEADING = (
    f"{'clip':24} {'frames':>6} {'contrast':>9} {'left':>6}  {'95% interval':14} {'dry':>5}"
    "  unchanged"
)


@dataclass(frozen=True)
class ClipScore:
    """Remaining contrast of the rain in a clip, and the change of dry pixels.

    Attributes:
        name: Name of the clip.
        frames: Number of derained frames.
        streak_pixels: Number of streak pixels in all frames.
        contrast: Mean residual of streaks before deraining, in grey levels.
        left: Share of the contrast that remains.
        dry_change: Mean absolute change of luma in dry pixels, in grey levels.
        unchanged_frames: Number of frames that deraining left unchanged.
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
    """Frames of a static camera and their temporal median.

    Attributes:
        name: Name of the clip.
        frames: RGB frames of one size.
        median: Luma (h, w) of the temporal median, in grey levels.
        still: Mask (h, w) of still pixels.
    """

    name: str
    frames: Sequence[Frame]
    median: Plane
    still: npt.NDArray[np.bool_]

    @classmethod
    def from_frames(cls, name: str, frames: Sequence[Frame]) -> "StaticClip":
        """Return a clip without the frames that repeat the previous one.

        Raises:
            DataError: Fewer than 5 frames remain.
        """
        frames = drop_repeated(frames)
        if len(frames) < 5:
            raise DataError(
                f"{name}: a median needs at least 5 frames that differ, got {len(frames)}",
            )
        lumas = np.array([_compute_luma(frame) for frame in frames], np.float32)
        # Quartiles instead of the range, since rain itself is a rare outlier.
        low, middle, high = np.percentile(lumas, [25, 50, 75], axis=0).astype(np.float32)
        return cls(name, frames, middle, (high - low) / 2 <= STILL_LEVELS)

    def find_streaks(self, index: int) -> npt.NDArray[np.bool_]:
        """Return the mask (h, w) of streaks in a frame other than the first and the last."""
        frames = self.frames[index - 1 : index + 2]
        before, here, after = (self.compute_residual(frame) for frame in frames)
        absent = (before < ABSENT_LEVELS) & (after < ABSENT_LEVELS)
        streaks: npt.NDArray[np.bool_] = self.still & absent & (here > STREAK_LEVELS)
        return streaks

    def compute_residual(self, frame: Frame) -> Plane:
        """Return the luma of a frame minus the median (h, w), in grey levels."""
        return _compute_luma(frame) - self.median

    def find_dry_pixels(self, index: int) -> npt.NDArray[np.bool_]:
        """Return the mask (h, w) of still pixels near the median and away from streaks."""
        bright = np.abs(self.compute_residual(self.frames[index])) > ABSENT_LEVELS
        # Pixels beside a streak may contain its blurred edge, whose removal is not an error.
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
    """Derain a clip frame by frame and measure the remaining contrast of its streaks.

    Args:
        clip: Clip to derain.
        derain: Maps an RGB frame to a derained frame of the same size.
        rng: Generator for the interval, which resamples frames.
        every: Step between derained frames.
        on_frame: Called with the index of each frame and the derained frame.

    Raises:
        DataError: The clip has no streaks.
    """
    before, after, pixels, changes, unchanged = [], [], 0, [], 0
    for index in range(1, len(clip.frames) - 1, every):
        rainy = clip.frames[index]
        derained = derain(rainy)
        streaks, dry = clip.find_streaks(index), clip.find_dry_pixels(index)
        pixels += int(streaks.sum())
        # Sums and not means per frame, so that frames with more rain weigh more.
        before.append(float(clip.compute_residual(rainy)[streaks].sum(dtype=np.float64)))
        after.append(float(clip.compute_residual(derained)[streaks].sum(dtype=np.float64)))
        if dry.any():
            changes.append(
                float(np.abs(_compute_luma(derained) - _compute_luma(rainy))[dry].mean()),
            )
        unchanged += bool(np.array_equal(rainy, derained))
        on_frame(index, derained)
    if not pixels:
        raise DataError(f"{clip.name}: holds no streak that is bright for one frame")
    return ClipScore(
        clip.name,
        len(before),
        pixels,
        sum(before) / pixels,
        estimate_ratio(np.array(after), np.array(before), rng),
        float(np.mean(changes)) if changes else float("nan"),
        unchanged,
    )


def join_side_by_side(clip: StaticClip, index: int, derained: Frame) -> Frame:
    """Join a frame, the derained frame and the temporal median from left to right."""
    median = np.clip(np.rint(clip.median), 0, 255).astype(np.uint8)
    return np.hstack([clip.frames[index], derained, np.repeat(median[..., np.newaxis], 3, axis=2)])


def _compute_luma(frame: Frame) -> Plane:
    return luma(frame.astype(np.float32))


def format_clips(scores: Sequence[ClipScore]) -> str:
    """Return a table of the scores of clips, and their mean."""
    lines = [_HEADING]
    for score in scores:
        left = score.left
        interval = "-" if left.low is None else f"[{left.low:.2f}, {left.high:.2f}]"
        lines.append(
            f"{score.name:24} {score.frames:6d} {score.contrast:9.1f} {left.mean:6.2f}  "
            f"{interval:14} {score.dry_change:5.2f}  {score.unchanged_frames}"
        )
    if len(scores) > 1:
        mean = np.mean([score.left.mean for score in scores])
        lines.append(f"{'mean':24} {'':6} {'':9} {mean:6.2f}")
    return "\n".join(lines)
