"""Random numbers that several kinds of rain and of dry images share."""

import numpy as np


def log_between(low: float, high: float, rng: np.random.Generator) -> float:
    """Return a number from low to high whose logarithm is evenly spread."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
