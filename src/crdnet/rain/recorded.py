"""Rain recorded by a static camera, for training.

The residual of a frame above the temporal median of its clip is real rain, with the widths,
brightness, blur and compression of a real camera. Residuals are cut from static parts of the frames
and added to other scenes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from crdnet.density import luma
from crdnet.errors import DataError
from crdnet.rain.compose import RgbImage
from crdnet.rain.random_numbers import draw_log_uniform

# Stored level of a residual of 0.
_ZERO = 128
# Frames of one median: the light of a scene changes over longer times.
_MEDIAN_FRAMES = 120
# Side of a stored residual in pixels, unless the clip is smaller.
_WINDOW = 160
# Standard deviation over time of a pixel that may show a moving thing.
_MOVING_LEVELS = 3.0
# Correlation of neighbouring frames from which a change is motion; drops differ every frame.
_MOVING_CORRELATION = 0.5
# Largest share of moving pixels in a window.
_MOVING_SHARE = 0.25
# Residual that half a percent of a window's pixels must exceed to show rain.
_VISIBLE_LEVELS = 8.0
# More would show the noise of the codec.
_LARGEST_GAIN = 3.0
# Fewest frames of a median; a shorter rest of a clip is left out.
_LEAST_FRAMES = 20
_FRAME_STEP = 4
# Windows that are kept of a clip, those with the strongest rain: 61 MB.
_MOST_WINDOWS = 800


class RecordedWindow(NamedTuple):
    """Recorded rain in a part of a frame.

    Attributes:
        residual: Frame minus median, plus 128, (h, w, 3).
        behind: Mean level of the median, the background of the rain.
        strength: Level that half a percent of the residual exceeds.
    """

    residual: RgbImage
    behind: float
    strength: float


@dataclass(frozen=True, eq=False, slots=True)
class RecordedRain:
    """Residuals of real rain.

    Attributes:
        clips: Windows of each clip.
    """

    clips: tuple[tuple[RecordedWindow, ...], ...]

    @classmethod
    def cut(cls, clips: Iterable[Sequence[RgbImage]]) -> "RecordedRain":
        """Cut the residuals of rain from the frames of static clips.

        Raises:
            DataError: A clip shows no rain in front of a static background.
        """
        return cls(tuple(tuple(_cut_clip(frames, clip)) for clip, frames in enumerate(clips, 1)))

    def add(self, clean: RgbImage, rng: np.random.Generator) -> RgbImage:
        """Add a random residual to a crop (h, w, 3), resized, rotated, mirrored and tinted.

        Rain is hardly visible in front of bright scenes, so the caller should darken some.
        """
        windows = self.clips[int(rng.integers(len(self.clips)))]
        window = windows[int(rng.integers(len(windows)))]
        height, width = clean.shape[:2]
        rain = _transform(window.residual, max(height, width), rng)[:height, :width]
        if rng.random() < 0.6:
            # Grey, or the colour of the light of this scene, because both occur in real images.
            tint = clean.reshape(-1, 3).mean(0) + 1.0 if rng.random() < 0.5 else np.ones(3)
            rain = rain.mean(2, keepdims=True) * np.asarray(tint / tint.mean(), np.float32)
        gain = min(_LARGEST_GAIN, draw_log_uniform(12.0, 80.0, rng) / window.strength)
        # A drop covers the background partly, so its contrast is lower on a brighter background.
        headroom = (255.0 - clean.astype(np.float32)) / max(1.0, 255.0 - window.behind)
        rain = np.float32(gain) * rain * np.minimum(headroom, np.float32(1.5))
        rainy: RgbImage = np.clip(np.rint(clean + rain), 0, 255).astype(np.uint8)
        return rainy


def _cut_clip(frames: Sequence[RgbImage], clip: int) -> list[RecordedWindow]:
    windows: list[RecordedWindow] = []
    for first in range(0, len(frames), _MEDIAN_FRAMES):
        scene = np.array(frames[first : first + _MEDIAN_FRAMES])
        if len(scene) >= _LEAST_FRAMES:
            windows.extend(_cut_scene(scene))
    if not windows:
        raise DataError(f"clip {clip} shows no rain before a still background; name another clip")
    return sorted(windows, key=lambda window: -window.strength)[:_MOST_WINDOWS]


def _cut_scene(frames: npt.NDArray[np.uint8]) -> Iterator[RecordedWindow]:
    median = np.median(frames, axis=0).astype(np.float32)
    lumas = np.array([luma(frame.astype(np.float32)) for frame in frames], np.float32)
    moving = Image.fromarray(_find_moving(lumas - luma(median)))
    # Single pixels are codec noise, which may also last longer than a frame.
    grown = moving.convert("L").filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.MaxFilter(7))
    # Soft, so that a streak beside a moving object does not end at a sharp edge.
    still = 1 - np.asarray(grown.filter(ImageFilter.GaussianBlur(2)), np.float32) / 255
    height, width = still.shape
    side = min(_WINDOW, height, width)
    for top in range(0, height - side + 1, side // 4):
        for left in range(0, width - side + 1, side // 4):
            place = np.s_[top : top + side, left : left + side]
            if 1 - still[place].mean() > _MOVING_SHARE:
                continue
            for frame in frames[::_FRAME_STEP]:
                residual = (frame[place] - median[place]) * still[place][:, :, np.newaxis]
                strength = float(np.percentile(residual, 99.5))
                if strength > _VISIBLE_LEVELS:
                    stored = np.clip(np.rint(residual + _ZERO), 0, 255).astype(np.uint8)
                    yield RecordedWindow(stored, float(median[place].mean()), strength)


def _find_moving(residuals: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return the mask (h, w) of residuals (t, h, w) that last longer than a frame."""
    power = (residuals**2).mean(0)
    lasting = (residuals[1:] * residuals[:-1]).mean(0)
    moving: npt.NDArray[np.bool_] = (power > _MOVING_LEVELS**2) & (
        lasting > _MOVING_CORRELATION * power
    )
    return moving


def _transform(residual: RgbImage, side: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return a transformed residual (side, side, 3), in signed grey levels."""
    zoom = draw_log_uniform(0.7, 1.6, rng)
    seen = min(max(8, round(side / zoom)), *residual.shape[:2])
    top, left = (int(rng.integers(length - seen + 1)) for length in residual.shape[:2])
    image = Image.fromarray(residual[top : top + seen, left : left + seen])
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    # Enlarged first, so that a rotation by up to 45 degrees leaves no corner empty.
    angle = rng.normal(0, 12) if rng.random() < 0.7 else rng.uniform(-45, 45)
    drawn = ceil(side * 1.42) if angle else side
    image = image.resize((drawn, drawn), Image.Resampling.BICUBIC)
    image = image.rotate(angle, Image.Resampling.BICUBIC, fillcolor=(_ZERO,) * 3)
    first = (drawn - side) // 2
    cut = np.asarray(image, np.float32)[first : first + side, first : first + side]
    return cut - _ZERO
