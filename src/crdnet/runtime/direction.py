"""Shears that make steep rain fall nearly straight down.

The network was trained mostly on rain within 30 degrees of the vertical, and misses steeper
streaks. If every row of an image is shifted against the row above it by a whole number of columns,
steep streaks become nearly vertical and no pixel changes its value. The network runs on the sheared
image, and its output is sheared back. The direction of the rain follows from the little that the
network removes of it at first.
"""

from collections.abc import Sequence
from math import atan2, degrees

import numpy as np

from crdnet.runtime.pixels import Colours

SHEARS = ((26.0, 1), (54.0, 2))
"""Smallest angle of the rain from the vertical, in degrees, and its shear in columns per row."""
STEEPEST = 72.0
"""Degrees from the vertical up to which rain is sheared."""
LEAST_REMOVED = 0.6
"""Smallest amount removed from the sheared image, over that from the image itself, for steep rain.
Rain that the network removes better without a shear has less."""
LEAST_BRIGHT = 0.85
"""Smallest share of brightness in what is removed from the sheared image, for steep rain. A sheared
texture can resemble rain, but it is darker than its surroundings as often as brighter."""


def measure_direction(changes: Sequence[Colours]) -> float:
    """Return the direction of the streaks in images of a change of luma.

    It is the direction in which the images change least: the principal axis of the structure tensor
    (Bigun and Granlund, "Optimal orientation detection of linear symmetry", ICCV 1987).

    Args:
        changes: Changes (h, w) of luma, rainy minus derained.

    Returns:
        Degrees from straight down, -90 to 90; positive if the streaks lead to the right.
    """
    straight = diagonal = 0.0
    for change in changes:
        down = change[2:, 1:-1] - change[:-2, 1:-1]
        across = change[1:-1, 2:] - change[1:-1, :-2]
        straight += float((across**2 - down**2).sum(dtype=np.float64))
        diagonal += float((across * down).sum(dtype=np.float64))
    # The gradient of a streak is perpendicular to it.
    return -degrees(atan2(2 * diagonal, straight)) / 2


def choose_shear(angle: float) -> int:
    """Return the shear for rain of a direction, in columns per row; 0 for rain that needs none.

    Args:
        angle: Degrees from straight down; see `measure_direction`.
    """
    if abs(angle) >= STEEPEST:
        return 0
    size = max((shear for least, shear in SHEARS if abs(angle) >= least), default=0)
    return size if angle > 0 else -size


def is_better_sheared(sheared: Sequence[Colours], unsheared: Sequence[Colours]) -> bool:
    """Return whether the light that the network removes shows that an image has steep rain.

    Args:
        sheared: Luma (h, w) removed from each part of the sheared image.
        unsheared: Luma removed from parts of the image itself, in the same unit; they may have
            another size.
    """
    light = np.concatenate([part.ravel() for part in sheared])
    removed = float(np.abs(light).mean())
    expected = float(np.abs(np.concatenate([part.ravel() for part in unsheared])).mean())
    # A drop gathers light from a wide part of the sky, so it brightens nearly all it covers (Garg
    # and Nayar, "Vision and Rain", IJCV 2007).
    is_bright = float(light.mean()) >= LEAST_BRIGHT * removed
    return is_bright and removed > LEAST_REMOVED * expected


def shear_rows(pixels: Colours, shear: int) -> Colours:
    """Return pixels (h, w, ...) with row y rotated by `shear` * y columns to the left.

    What leaves a row on one side enters it on the other, so `shear_rows(..., -shear)` undoes it.
    """
    height, width = pixels.shape[:2]
    rows = np.arange(height)[:, None]
    sheared: Colours = pixels[rows, (np.arange(width) + shear * rows) % width]
    return sheared
