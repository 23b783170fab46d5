"""Cumulative rain-density grades.

CRDNet codes a grade as the set of thresholds it passes (Peng et al., IEEE SPL 27, 2020): light 001,
medium 011, heavy 111. Mistaking heavy for light then costs twice as much as mistaking it for
medium. With three grades the last bit is constant; we add the grade NONE (000), which gives it a
meaning.

The grade of an unlabelled pair follows from the intensity S of its rain: the mean absolute change
of luma, in grey levels of 255. S ranks rain as people do. Coverage (the share of changed pixels)
does not, since JPEG changes most pixels a little.
"""

from collections.abc import Sequence
from enum import IntEnum
from math import exp, inf, log1p

import numpy as np
import numpy.typing as npt

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of R, G and B in luma (ITU-R BT.601)."""

INTENSITY_THRESHOLDS = (1.0, 10.0, 30.0)
"""Intensities at which LIGHT, MEDIUM and HEAVY begin, in grey levels of 255."""

TEMPERATURE = 0.15
"""Uncertainty of an intensity that a network predicts, in log(1 + S): about 15 % of S."""

STRONGEST_SHARE = 0.05
"""Share of the cells of a map that count as the strongest, which show whether rain is visible."""

LIGHT_TINT = 0.1
"""Largest deviation of a channel of the light of rain from white, relative to white."""

# Smallest distance of a background from white, below which no opacity follows from a change.
_LEAST_ROOM = 0.1
# Deviation added to every misfit, in colours of [0, 1]: the colour of a fainter change is noise.
_CHANCE = 0.03 / 255

SCORE_MIDDLE = 10.0
"""Intensity with a score of one half, in grey levels of 255: the start of MEDIUM."""


class RainDensity(IntEnum):
    """Grade of rain in an image."""

    NONE = 0
    LIGHT = 1
    MEDIUM = 2
    HEAVY = 3

    @property
    def code(self) -> tuple[float, float, float]:
        """Published cumulative code, highest bit first: HEAVY (1, 1, 1), LIGHT (0, 0, 1)."""
        bits = len(RainDensity) - 1
        high, middle, low = (float(self >= bits - position) for position in range(bits))
        return high, middle, low

    @classmethod
    def from_scores(cls, scores: Sequence[float] | npt.NDArray[np.floating]) -> "RainDensity":
        """Return the grade whose code has the smallest squared error to three classifier scores.

        Args:
            scores: Three numbers in the order of `code`, nominally in [0, 1].

        Raises:
            ValueError: There are not three scores.
        """
        values = np.asarray(scores, dtype=np.float64)
        if values.shape != (3,):
            raise ValueError(
                f"a rain density has three scores, got an array of shape {values.shape}",
            )
        # On a tie min() keeps the first, lighter grade.
        return min(cls, key=lambda grade: float(((values - grade.code) ** 2).sum()))

    @classmethod
    def from_intensity(cls, intensity: float) -> "RainDensity":
        """Return the grade of an intensity.

        Args:
            intensity: Mean change of luma, in grey levels of 255, at least 0.

        Raises:
            ValueError: The intensity is negative or not a number.
        """
        if not intensity >= 0:
            raise ValueError(
                f"the intensity of rain is a number of grey levels from 0 up, got {intensity}",
            )
        return cls(sum(intensity >= threshold for threshold in INTENSITY_THRESHOLDS))


RAINY_GRADES = (RainDensity.LIGHT, RainDensity.MEDIUM, RainDensity.HEAVY)
"""Grades with visible rain, in ascending order."""


def luma(rgb: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return BT.601 luma of colours (..., 3), in the range and dtype of the input."""
    return rgb @ np.asarray(LUMA_WEIGHTS, dtype=rgb.dtype)


def measure_misfit(change: npt.NDArray[np.floating], background: npt.NDArray[np.floating]) -> float:
    """Return the deviation of a change from the change that rain of any opacity causes.

    A layer of opacity a and of light L changes the colour c of the background by a (L - c). Drops
    refract the light of nearly the whole scene (Garg and Nayar, "Vision and Rain", IJCV 2007), so
    L is white, or a little tinted as the sky: each channel by at most `LIGHT_TINT`. The opacity of
    a pixel follows from its change of luma, and L is fitted to all pixels. The misfit is the mean
    absolute deviation of the channels from a (L - c), and 0.03 grey levels more, divided by the
    mean absolute change of luma. Near 0 is clear rain; no change has an infinite misfit.

    Args:
        change: Rainy minus derained colours (..., 3), in units of white.
        background: Derained colours of the same shape, nominally in [0, 1].
    """
    brightness = luma(change)
    total = float(np.abs(brightness).mean(dtype=np.float64))
    if total == 0:
        return inf
    colours = np.clip(background, 0, 1)
    opacity = (brightness / np.maximum(1 - luma(colours), _LEAST_ROOM))[..., None]
    deviation = change - opacity * (_fit_light(change, colours, opacity) - colours)
    return (float(np.abs(deviation).mean(dtype=np.float64)) + _CHANCE) / total


def _fit_light(
    change: npt.NDArray[np.floating],
    colours: npt.NDArray[np.floating],
    opacity: npt.NDArray[np.floating],
) -> npt.NDArray[np.floating]:
    """Return the light (1, 3) of luma 1 with the least squared deviation, within `LIGHT_TINT`."""
    terms = (opacity * (change + opacity * colours)).reshape(-1, 3)
    light = terms.sum(0, dtype=np.float64, keepdims=True) / np.square(opacity).sum(dtype=np.float64)
    tint = np.clip(light - luma(light)[:, None], -LIGHT_TINT, LIGHT_TINT)
    fitted: npt.NDArray[np.floating] = (1 + tint).astype(change.dtype)
    return fitted


def compute_intensity(rainy: npt.NDArray[np.uint8], clean: npt.NDArray[np.uint8]) -> float:
    """Return the intensity S of the rain in a pair: the mean absolute change of luma.

    Args:
        rainy: RGB image (h, w, 3).
        clean: Ground truth of the same shape.

    Returns:
        Grey levels of 255, at least 0.

    Raises:
        ValueError: The shapes differ.
    """
    if rainy.shape != clean.shape:
        raise ValueError(f"a pair must have one size, got {rainy.shape} and {clean.shape}")
    # Floats, since differences of uint8 would wrap around below zero.
    change = luma(rainy.astype(np.float32)) - luma(clean.astype(np.float32))
    return float(np.abs(change).mean())


def average_intensity(cells: npt.NDArray[np.floating], height: int, width: int, cell: int) -> float:
    """Return the intensity of an image from a map, each cell weighted by its pixels in the image.

    Args:
        cells: Intensities (rows, columns), in grey levels of 255. The cells cover the image from
            its top left corner.
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        cell: Side of a cell, in pixels.

    Raises:
        ValueError: The cells do not cover the image.
    """
    rows, columns = cells.shape
    if min(height, width) < 1 or -(-height // cell) > rows or -(-width // cell) > columns:
        raise ValueError(
            f"{rows} x {columns} cells of {cell} pixels do not cover {height} x {width}",
        )
    # Cells at the bottom and right may reach beyond the image; only the pixels within count.
    down = np.clip(height - cell * np.arange(rows), 0, cell).astype(np.float64)
    across = np.clip(width - cell * np.arange(columns), 0, cell).astype(np.float64)
    return float(down @ cells.astype(np.float64) @ across / (height * width))


def average_strongest(cells: npt.NDArray[np.floating]) -> float:
    """Return the mean of the strongest cells of a map: `STRONGEST_SHARE` of them, at least one.

    A few thin streaks are visible but hardly change the mean of the whole image.

    Args:
        cells: Intensities in grey levels of 255, of any shape.
    """
    # At least one cell counts, so that the map of a small image has a strongest part too.
    values = np.sort(cells, axis=None)
    return float(values[-max(1, round(STRONGEST_SHARE * values.size)) :].mean(dtype=np.float64))


def compute_cumulative_probabilities(
    intensity: float, temperature: float = TEMPERATURE
) -> tuple[float, float, float]:
    """Return the probabilities that the rain is at least LIGHT, MEDIUM and HEAVY, in this order.

    Each is sigmoid((log(1 + S) - log(1 + threshold)) / temperature). They share one temperature and
    the thresholds rise, so the probabilities never rise. Logarithms are used because the error of a
    network is proportional to S.

    Args:
        intensity: Intensity S in grey levels of 255, at least 0.
        temperature: Above 0; see `TEMPERATURE`.

    Raises:
        ValueError: The intensity is negative or not a number.
    """
    if not intensity >= 0:
        raise ValueError(
            f"the intensity of rain is a number of grey levels from 0 up, got {intensity}",
        )
    # exp() overflows beyond 709.
    light, medium, heavy = (
        1 / (1 + exp(min(700.0, (log1p(threshold) - log1p(intensity)) / temperature)))
        for threshold in INTENSITY_THRESHOLDS
    )
    return light, medium, heavy


def compute_grade_probabilities(
    intensity: float, visible: float | None = None, temperature: float = TEMPERATURE
) -> dict[RainDensity, float]:
    """Return the probability of each grade; they sum to 1. See `compute_cumulative_probabilities`.

    Args:
        intensity: Intensity S in grey levels of 255, at least 0.
        visible: Intensity that replaces S in the decision between NONE and the other grades; None
            uses S.
        temperature: Above 0.
    """
    _, medium, heavy = compute_cumulative_probabilities(intensity, temperature)
    light, _, _ = compute_cumulative_probabilities(
        intensity if visible is None else visible,
        temperature,
    )
    # MEDIUM implies LIGHT, even if the visible intensity is low.
    reached = (1.0, max(light, medium), medium, heavy, 0.0)
    return {grade: reached[grade] - reached[grade + 1] for grade in RainDensity}


def compute_density_score(intensity: float) -> float:
    """Map an intensity to [0, 1] by S / (S + 10), so that MEDIUM begins at one half.

    Args:
        intensity: Intensity S in grey levels of 255, at least 0; may be infinite.

    Raises:
        ValueError: The intensity is negative or not a number.
    """
    if not intensity >= 0:
        raise ValueError(
            f"the intensity of rain is a number of grey levels from 0 up, got {intensity}",
        )
    # inf / inf would be NaN.
    return 1.0 if intensity == inf else intensity / (intensity + SCORE_MIDDLE)
