"""Conversion between PIL images and pixels."""

from typing import Any

import numpy as np
from PIL import Image

from crdnet.images.picture import Pixels, turned_back, turned_up, with_alpha
from crdnet.images.reading import orientation_of, samples_of


def is_pil(image: Any) -> bool:
    """Return whether an object is a PIL image."""
    return isinstance(image, Image.Image)


def pixels_of_pil(image: Image.Image) -> Pixels:
    """Return the upright pixels of a PIL image, without alpha.

    Raises:
        ImageError: The mode holds something that cannot be kept.
    """
    return turned_up(samples_of(image)[0], orientation_of(image))


def pil_like(image: Image.Image, pixels: Pixels) -> Image.Image:
    """Return upright pixels as a PIL image with the orientation, info and alpha channel of `image`.

    The mode is that of `image`, except RGB or RGBA for a palette, RGB for CMYK, and L for 1 bit.
    """
    orientation = orientation_of(image)
    alpha = samples_of(image)[1]
    derained = Image.fromarray(
        np.ascontiguousarray(with_alpha(turned_back(pixels, orientation), alpha))
    )
    derained.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return derained
