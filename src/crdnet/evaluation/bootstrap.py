"""Means with intervals that account for repeated scenes.

Images of one scene with different rain are not independent, so an interval from resampled images
would be too narrow. The cluster bootstrap draws whole scenes with replacement and averages over
their images. The interval is the percentile interval (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
_COVERAGE = 0.95
# Number of weights drawn at once; bounds the memory for sets of any size.
_BLOCK_ELEMENTS = 1 << 21


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95% interval."""

    mean: float
    low: float | None
    """Lower end; None, like `high`, if there are fewer than two scenes to resample."""
    high: float | None


def estimate_scene_means(
    values: npt.NDArray[np.float64],
    scenes: Sequence[str],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> list[Estimate | None]:
    """Estimate the mean over images of each quantity, with an interval by resampling scenes.

    Args:
        values: Values (n, k) of n images and k quantities; NaN if an image has no value.
        scenes: Scene of each image.
        rng: Generator for the draws, which all quantities share.
        resamples: Number of draws.

    Returns:
        One estimate per quantity; None for a quantity without values.
    """
    names, scene_of_image = np.unique(np.asarray(scenes), return_inverse=True)
    known = ~np.isnan(values)
    sums, counts = np.zeros((2, len(names), values.shape[1]))
    np.add.at(sums, scene_of_image, np.where(known, values, 0.0))
    np.add.at(counts, scene_of_image, known)
    resampled = _resample_means(sums, counts, rng, resamples)
    return [_estimate(*column) for column in zip(sums.T, counts.T, resampled.T, strict=True)]


def estimate_ratio(
    numerators: npt.NDArray[np.float64],
    denominators: npt.NDArray[np.float64],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Estimate the ratio of two sums over the same n items, with an interval by resampling items.

    Args:
        numerators: Numerators (n,).
        denominators: Denominators (n,), with a sum above 0.
        rng: Generator for the draws.
        resamples: Number of draws.

    Raises:
        ValueError: All denominators are 0.
    """
    resampled = _resample_means(
        numerators[:, np.newaxis],
        denominators[:, np.newaxis],
        rng,
        resamples,
    )
    estimate = _estimate(numerators, denominators, resampled[:, 0])
    if estimate is None:
        raise ValueError("a ratio needs denominators above 0")
    return estimate


def _resample_means(
    sums: npt.NDArray[np.float64],
    counts: npt.NDArray[np.float64],
    rng: np.random.Generator,
    resamples: int,
) -> npt.NDArray[np.float64]:
    """Return the means of each draw (resamples, k); NaN if a draw has no value of a quantity."""
    scenes = len(sums)
    chances = np.full(scenes, 1 / scenes)
    block = max(1, _BLOCK_ELEMENTS // scenes)
    means = []
    for begin in range(0, resamples, block):
        # Counts of a multinomial are draws with replacement; a matrix product then sums all draws.
        draws = min(block, resamples - begin)
        times_drawn = rng.multinomial(scenes, chances, size=draws).astype(np.float64)
        # A draw may miss every image with a rare quantity, and 0 / 0 becomes NaN.
        with np.errstate(invalid="ignore"):
            means.append((times_drawn @ sums) / (times_drawn @ counts))
    return np.concatenate(means)


def _estimate(
    sums: npt.NDArray[np.float64],
    counts: npt.NDArray[np.float64],
    resampled: npt.NDArray[np.float64],
) -> Estimate | None:
    if not counts.any():
        return None
    mean = float(sums.sum() / counts.sum())
    # Resampling one scene always gives the same mean, so that the interval would have width 0.
    if np.count_nonzero(counts) < 2:
        return Estimate(mean, None, None)
    tail = (1 - _COVERAGE) / 2
    low, high = np.nanquantile(resampled, [tail, 1 - tail])
    return Estimate(mean, float(low), float(high))
