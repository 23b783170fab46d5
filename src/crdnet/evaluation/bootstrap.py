"""Means with an interval that knows how many scenes were seen.

Pictures of one scene, rained on several times, are not independent: an interval from resampled pictures
would be too narrow. So whole scenes are drawn, with replacement, and what a draw brings is averaged over
its pictures (the cluster bootstrap). The interval is the percentile one (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
_COVERAGE = 0.95
_BLOCK_ELEMENTS = 1 << 21
"""Weights drawn at once, so that a set of any size is resampled in bounded memory."""


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95% interval."""

    mean: float
    low: float | None
    """None, as `high`, where fewer than two scenes leave nothing to resample."""
    high: float | None


def scene_means(
    values: npt.NDArray[np.float64],
    scenes: Sequence[str],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> list[Estimate | None]:
    """Return the mean over pictures of each quantity, with an interval by resampling scenes.

    Args:
        values: One row per picture, one column per quantity (n, k); NaN where a picture has no value.
        scenes: The scene of each picture.
        rng: Draws the scenes; all quantities share the draws.
        resamples: How often to draw.

    Returns:
        One estimate per column; None for a column without values.
    """
    names, scene_of_picture = np.unique(np.asarray(scenes), return_inverse=True)
    known = ~np.isnan(values)
    sums, counts = np.zeros((2, len(names), values.shape[1]))
    np.add.at(sums, scene_of_picture, np.where(known, values, 0.0))
    np.add.at(counts, scene_of_picture, known)
    resampled = _resampled_means(sums, counts, rng, resamples)
    return [_estimate(*column) for column in zip(sums.T, counts.T, resampled.T, strict=True)]


def ratio_of_sums(
    numerators: npt.NDArray[np.float64],
    denominators: npt.NDArray[np.float64],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return a ratio of two sums over the same items (n,), with an interval by resampling items.

    Args:
        numerators: One for each item.
        denominators: One for each item, with a sum above 0.
        rng: Draws the items.
        resamples: How often to draw.
    """
    resampled = _resampled_means(numerators[:, np.newaxis], denominators[:, np.newaxis], rng, resamples)
    estimate = _estimate(numerators, denominators, resampled[:, 0])
    if estimate is None:
        raise ValueError("a ratio needs denominators above 0")
    return estimate


def _resampled_means(
    sums: npt.NDArray[np.float64], counts: npt.NDArray[np.float64], rng: np.random.Generator, resamples: int
) -> npt.NDArray[np.float64]:
    """Return the means of each draw (resamples, k); NaN where a draw brought no value of a quantity."""
    scenes = len(sums)
    chances = np.full(scenes, 1 / scenes)
    block = max(1, _BLOCK_ELEMENTS // scenes)
    means = []
    for begin in range(0, resamples, block):
        times_drawn = rng.multinomial(scenes, chances, size=min(block, resamples - begin)).astype(np.float64)
        with np.errstate(invalid="ignore"):
            means.append((times_drawn @ sums) / (times_drawn @ counts))
    return np.concatenate(means)


def _estimate(
    sums: npt.NDArray[np.float64], counts: npt.NDArray[np.float64], resampled: npt.NDArray[np.float64]
) -> Estimate | None:
    if not counts.any():
        return None
    mean = float(sums.sum() / counts.sum())
    if np.count_nonzero(counts) < 2:
        return Estimate(mean, None, None)
    tail = (1 - _COVERAGE) / 2
    low, high = np.nanquantile(resampled, [tail, 1 - tail])
    return Estimate(mean, float(low), float(high))
