"""Checks and conversions of pixels between callers and the network.

Callers hold uint8, uint16 or float32 in [0, 1], grey or RGB, with or without alpha. The network
takes float32 RGB in [0, 1].
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from crdnet.errors import ImageError, SizeError

Array = npt.NDArray[Any]
"""Pixels (h, w), (h, w, 3) or (h, w, 4), uint8, uint16 or float32 in [0, 1]."""
Colours = npt.NDArray[np.float32]
"""Colours in [0, 1], or a difference of two of them."""


def check_pixels(image: Array) -> None:
    """Check that an array is a valid image.

    Raises:
        ImageError: The array does not have the shape, dtype or range of an image.
        SizeError: The array is empty.
    """
    if isinstance(image, np.ma.MaskedArray):
        raise ImageError(
            "a masked array has pixels without colours; give each one, with filled() for instance"
        )
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        raise ImageError(
            "an image is RGB (h, w, 3), RGB with alpha (h, w, 4) or grey (h, w), "
            f"got an array of shape {image.shape}"
        )
    if image.size == 0:
        raise SizeError(f"an image has at least one pixel, got an array of shape {image.shape}")
    if image.dtype in (np.uint8, np.uint16):
        return
    if image.dtype != np.float32:
        raise ImageError(
            f"an image is uint8, uint16 or float32 in [0, 1], got {image.dtype}; convert it with "
            "astype(np.float32)"
        )
    low, high = float(image.min()), float(image.max())
    if not (np.isfinite(low) and np.isfinite(high)):  # min and max propagate NaN
        raise ImageError(
            "a float image holds colours in [0, 1], got NaN or infinity; replace them first"
        )
    if low < 0 or high > 1:
        raise ImageError(
            f"a float image holds colours in [0, 1], got values from {low:g} to {high:g}; "
            "divide by 255 if they are grey levels, or clip"
        )


def as_colours(image: Array) -> Colours:
    """Return pixels as float32 in [0, 1], of the same shape."""
    if image.dtype == np.float32:
        return image
    return np.divide(image, np.float32(np.iinfo(image.dtype).max), dtype=np.float32)


def as_dtype(colours: Colours, dtype: np.dtype[Any]) -> Array:
    """Return colours in [0, 1] as pixels of a dtype, rounded to the nearest level."""
    if dtype == np.float32:
        return colours
    levels: Array = np.rint(colours * np.float32(np.iinfo(dtype).max)).astype(dtype)
    return levels


def as_rgb(colours: Colours) -> Colours:
    """Return grey (h, w) as three equal channels (h, w, 3), and RGB unchanged."""
    return colours if colours.ndim == 3 else np.repeat(colours[..., None], 3, axis=2)


def drop_alpha(pixels: Array) -> Array:
    """Return a view of pixels without alpha, as grey (h, w) or RGB (h, w, 3).

    Args:
        pixels: (h, w), (h, w, 2), (h, w, 3) or (h, w, 4); two channels are grey and alpha.
    """
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    return pixels[..., 0] if pixels.shape[2] < 3 else pixels[..., :3]
