"""Padding of images to sizes that a network accepts.

A network accepts sides that are multiples of a number. An image is padded at its bottom and right
by reflection, the network runs, and the result is cropped to the size of the image.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Samples = TypeVar("Samples", bound=np.generic)


def round_up_size(height: int, width: int, multiple: int) -> tuple[int, int]:
    """Return `height` and `width` rounded up to multiples of `multiple`, all in pixels."""
    # -(-a // b) is the ceiling of a / b, exact in integers.
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def pad_to_multiple(image: npt.NDArray[Samples], multiple: int) -> npt.NDArray[Samples]:
    """Pad an image (h, w, c) at its bottom and right by reflection.

    Cropping to the old size undoes it. An image smaller than its padding is reflected repeatedly,
    so even 1 x 1 works.
    """
    height, width = image.shape[:2]
    padded_height, padded_width = round_up_size(height, width, multiple)
    return cut_reflected_window(image, slice(0, padded_height), slice(0, padded_width))


def cut_reflected_window(
    image: npt.NDArray[Samples],
    rows: slice,
    columns: slice,
) -> npt.NDArray[Samples]:
    """Cut a window from `image` (h, w, ...), continued without end by reflection.

    Only the window takes memory, so a huge image never has to be padded as a whole.

    Args:
        image: At least one pixel high and wide.
        rows: Start and stop, at least 0; they may lie beyond the last row.
        columns: Start and stop of the columns, likewise.

    Returns:
        A view if the window lies within the image, otherwise a copy.
    """
    height, width = image.shape[:2]
    if rows.stop <= height and columns.stop <= width:
        return image[rows, columns]
    # Columns first: if only they are reflected, the rows stay a cheap slice, and the reverse.
    inside = columns.stop <= width
    across = image[:, columns] if inside else image[:, _reflect_positions(columns, width)]
    return across[rows] if rows.stop <= height else across[_reflect_positions(rows, height)]


def reflect_border(planes: npt.NDArray[Samples], height: int, width: int) -> None:
    """Fill planes (c, h, w) below `height` and right of `width` by reflection, in place."""
    high, wide = planes.shape[1:]
    planes[:, :height, width:] = planes[:, :height, _reflect_positions(slice(width, wide), width)]
    planes[:, height:] = planes[:, _reflect_positions(slice(height, high), height)]


def _reflect_positions(positions: slice, size: int) -> npt.NDArray[np.intp]:
    """Return the source index of each position under reflection about both ends: 0 1 2 1 0 1 ..."""
    # The first and last sample occur once per period; a single sample would give a period of 0.
    period = max(2 * (size - 1), 1)
    folded = np.arange(positions.start, positions.stop) % period
    return np.minimum(folded, period - folded) if size > 1 else np.zeros_like(folded)
