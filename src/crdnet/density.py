"""Cumulative rain-density grades.

CRDNet codes a grade as the set of thresholds it passes (Peng et al., IEEE SPL 27, 2020): light 001, medium
011, heavy 111, so that mistaking heavy for light costs twice as much as mistaking it for medium. With those
three grades the last bit is constant; we add the grade NONE (000), which gives it a meaning.

Where a pair of pictures carries no label, its grade follows from the strength S of its rain: the mean change
of luma, in grey levels of 255. Mean change ranks rain as the eye does, which coverage (the share of changed
pixels) does not once JPEG has touched the pictures.
"""

from collections.abc import Sequence
from enum import IntEnum
from math import exp, inf, log1p

import numpy as np
import numpy.typing as npt

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of R, G, B in luma (ITU-R BT.601)."""

STRENGTH_THRESHOLDS = (1.0, 10.0, 30.0)
"""Grey levels of 255 at which LIGHT, MEDIUM and HEAVY begin."""

TEMPERATURE = 0.15
"""Doubt of a strength that a network names, in log(1 + S): about 15 % of it, whatever it is."""

STRONGEST_SHARE = 0.05
"""Share of the cells of a map, the strongest, that decide whether rain can be seen."""

SCORE_MIDDLE = 10.0
"""Strength whose score is one half, in grey levels of 255: where MEDIUM begins."""


class RainDensity(IntEnum):
    """How heavy the rain in a picture is."""

    NONE = 0
    LIGHT = 1
    MEDIUM = 2
    HEAVY = 3

    @property
    def code(self) -> tuple[float, float, float]:
        """The published cumulative code, most significant bit first: HEAVY is (1, 1, 1), LIGHT (0, 0, 1)."""
        bits = len(RainDensity) - 1
        high, middle, low = (float(self >= bits - position) for position in range(bits))
        return high, middle, low

    @classmethod
    def from_scores(cls, scores: Sequence[float] | npt.NDArray[np.floating]) -> "RainDensity":
        """Return the grade whose code is nearest to three classifier scores in the squared error.

        Args:
            scores: Three numbers in the order of `code`, meant to lie in [0, 1] but free to leave it.
        """
        values = np.asarray(scores, dtype=np.float64)
        if values.shape != (3,):
            raise ValueError(f"a rain density has three scores, got an array of shape {values.shape}")
        return min(cls, key=lambda grade: float(((values - grade.code) ** 2).sum()))

    @classmethod
    def from_strength(cls, strength: float) -> "RainDensity":
        """Return the grade of rain of a given strength (mean change of luma, grey levels of 255)."""
        if not strength >= 0:
            raise ValueError(f"the strength of rain is a number of grey levels from 0 up, got {strength}")
        return cls(sum(strength >= threshold for threshold in STRENGTH_THRESHOLDS))


def luma(rgb: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return BT.601 luma of RGB colours on the last axis, in the range and dtype of the input."""
    return rgb @ np.asarray(LUMA_WEIGHTS, dtype=rgb.dtype)


def rain_strength(rainy: npt.NDArray[np.uint8], clean: npt.NDArray[np.uint8]) -> float:
    """Return the strength S of the rain in a pair: its mean absolute change of luma.

    Args:
        rainy: RGB picture (h, w, 3).
        clean: The same scene without rain, of the same shape.

    Returns:
        Grey levels of 255, from 0 up.
    """
    if rainy.shape != clean.shape:
        raise ValueError(f"a pair must have one size, got {rainy.shape} and {clean.shape}")
    change = luma(rainy.astype(np.float32)) - luma(clean.astype(np.float32))
    return float(np.abs(change).mean())


def mean_strength(cells: npt.NDArray[np.floating], height: int, width: int, cell: int) -> float:
    """Return the strength of a picture from a map of it, each cell weighted by its pixels inside the picture.

    Args:
        cells: Strength (rows, columns), in grey levels of 255, of cells that cover the picture from its top left.
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
        cell: Side of a cell, in pixels.
    """
    rows, columns = cells.shape
    if min(height, width) < 1 or -(-height // cell) > rows or -(-width // cell) > columns:
        raise ValueError(f"{rows} x {columns} cells of {cell} pixels do not cover {height} x {width}")
    down = np.clip(height - cell * np.arange(rows), 0, cell).astype(np.float64)
    across = np.clip(width - cell * np.arange(columns), 0, cell).astype(np.float64)
    return float(down @ cells.astype(np.float64) @ across / (height * width))


def strongest_mean(cells: npt.NDArray[np.floating]) -> float:
    """Return the mean of the strongest cells of a map: `STRONGEST_SHARE` of them, at least one.

    Few thin streaks hardly move the mean of an image, and are seen nevertheless.

    Args:
        cells: Intensities in grey levels of 255, of any shape.
    """
    values = np.sort(cells, axis=None)
    return float(values[-max(1, round(STRONGEST_SHARE * values.size)) :].mean(dtype=np.float64))


def cumulative_probabilities(strength: float, temperature: float = TEMPERATURE) -> tuple[float, float, float]:
    """Return how likely the rain is at least LIGHT, MEDIUM and HEAVY, in this order.

    Each is sigmoid((log(1 + S) - log(1 + threshold)) / temperature). All share one temperature and the thresholds
    rise, so the numbers never rise from left to right. Logarithms, since a network errs by a share of S and not by
    so many grey levels.

    Args:
        strength: Grey levels of 255, from 0 up.
        temperature: Above 0; see `TEMPERATURE`.
    """
    if not strength >= 0:
        raise ValueError(f"the strength of rain is a number of grey levels from 0 up, got {strength}")
    light, medium, heavy = (
        1 / (1 + exp(min(700.0, (log1p(threshold) - log1p(strength)) / temperature)))
        for threshold in STRENGTH_THRESHOLDS
    )
    return light, medium, heavy


def grade_probabilities(
    strength: float, visible: float | None = None, temperature: float = TEMPERATURE
) -> dict[RainDensity, float]:
    """Return how likely each grade is; they sum to 1. See `cumulative_probabilities`.

    Args:
        strength: Grey levels of 255, from 0 up.
        visible: Grey levels that decide between NONE and the rest in place of the strength, and are
            at least as many; None is the strength.
        temperature: Above 0.
    """
    _, medium, heavy = cumulative_probabilities(strength, temperature)
    light, _, _ = cumulative_probabilities(strength if visible is None else visible, temperature)
    reached = (1.0, light, medium, heavy, 0.0)
    return {grade: reached[grade] - reached[grade + 1] for grade in RainDensity}


def density_score(strength: float) -> float:
    """Return a strength as a number from 0 (dry) towards 1: S / (S + 10), so that MEDIUM begins at one half."""
    if not strength >= 0:
        raise ValueError(f"the strength of rain is a number of grey levels from 0 up, got {strength}")
    return 1.0 if strength == inf else strength / (strength + SCORE_MIDDLE)
