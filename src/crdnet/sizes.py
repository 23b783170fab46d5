"""Padding to the sizes that a network can take, and back.

A network takes sides that are multiples of some number. A picture is continued at its bottom and right by
reflection, the network runs, and the result is cropped to the picture's own size.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Samples = TypeVar("Samples", bound=np.generic)


def padded_size(height: int, width: int, multiple: int) -> tuple[int, int]:
    """Return the smallest sides from `height` and `width` up that are multiples of `multiple`."""
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def pad_to_multiple(image: npt.NDArray[Samples], multiple: int) -> npt.NDArray[Samples]:
    """Pad a picture (h, w, c) at its bottom and right by reflection; undone by cropping to its old size.

    A picture smaller than its padding is reflected as often as it takes, so that 1 x 1 works.
    """
    height, width = image.shape[:2]
    padded_height, padded_width = padded_size(height, width, multiple)
    return reflected_window(image, slice(0, padded_height), slice(0, padded_width))


def reflected_window(image: npt.NDArray[Samples], rows: slice, columns: slice) -> npt.NDArray[Samples]:
    """Cut a window from the endless picture that reflection makes of `image` (h, w, ...).

    It costs the memory of the window only, so that a huge picture never has to be padded as a whole.

    Args:
        image: At least one pixel high and wide.
        rows: Start and stop, from 0 up; they may lie beyond the last row.
        columns: The same for the columns.

    Returns:
        A view where the window lies within the picture, otherwise a copy.
    """
    height, width = image.shape[:2]
    if rows.stop <= height and columns.stop <= width:
        return image[rows, columns]
    across = image[:, columns] if columns.stop <= width else image[:, _reflected(columns, width)]
    return across[rows] if rows.stop <= height else across[_reflected(rows, height)]


def _reflected(positions: slice, size: int) -> npt.NDArray[np.intp]:
    """Return where reflection about the first and the last sample finds each position: 0 1 2 1 0 1 ..."""
    period = max(2 * (size - 1), 1)
    folded = np.arange(positions.start, positions.stop) % period
    return np.minimum(folded, period - folded) if size > 1 else np.zeros_like(folded)
