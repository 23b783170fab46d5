"""Random numbers and roundings that several kinds of rain and lookalikes share.

Numbers that decide pixels are drawn as integers and divided by powers of two, which is exact. A
seed then gives the same image on every machine.
"""

import numpy as np
import numpy.typing as npt

_STEPS = 1 << 16


def draw_log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    """Draw a number whose logarithm is uniform between those of `low` and `high`, both above 0."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw_between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a uniform number from `low` to `high` in 4096 steps."""
    return low + (high - low) * (int(rng.integers(0, 4097)) / 4096)


def draw_shares(rng: np.random.Generator, number: int) -> npt.NDArray[np.float64]:
    """Draw uniform numbers (number,) in [0, 1) in steps of 2 ** -16."""
    return rng.integers(0, _STEPS, number) / float(_STEPS)


def round_to_16_bits(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Round to multiples of 2 ** -16, since sines differ in their last bits between machines."""
    return np.asarray(np.rint(np.asarray(values, np.float64) * _STEPS) / _STEPS)
