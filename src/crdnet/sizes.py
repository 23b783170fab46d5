"""Padding to the sizes that a network can take, and back."""

import numpy as np
import numpy.typing as npt


def padded_size(height: int, width: int, multiple: int) -> tuple[int, int]:
    """Return the smallest sides from `height` and `width` up that are multiples of `multiple`."""
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def pad_to_multiple(image: npt.NDArray[np.float32], multiple: int) -> npt.NDArray[np.float32]:
    """Pad a picture (h, w, c) at its bottom and right by reflection; undone by cropping to its old size.

    A picture smaller than its padding is reflected as often as it takes, so that 1 x 1 works.
    """
    height, width = image.shape[:2]
    padded_height, padded_width = padded_size(height, width, multiple)
    return np.pad(image, ((0, padded_height - height), (0, padded_width - width), (0, 0)), mode="reflect")
