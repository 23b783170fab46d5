"""Conversion between PIL images and pixels, in memory."""

from typing import Any

import numpy as np
from PIL import Image

from crdnet.errors import SizeError
from crdnet.images.decoded import Pixels, join_alpha, turn_back, turn_upright
from crdnet.images.reading import read_orientation, read_samples


def is_pil(image: Any) -> bool:
    """Return whether an object is a PIL image."""
    return isinstance(image, Image.Image)


def get_pil_pixels(image: Image.Image) -> Pixels:
    """Return the upright pixels of a PIL image, without alpha.

    Raises:
        ImageError: The mode has content that cannot be kept.
        SizeError: The image has no pixels.
    """
    if not (image.width and image.height):
        raise SizeError(
            f"an image has at least one pixel, got a PIL image of {image.width} x {image.height}"
        )
    return turn_upright(read_samples(image)[0], read_orientation(image))


def make_pil_like(image: Image.Image, pixels: Pixels) -> Image.Image:
    """Return a PIL image of upright pixels with the orientation, alpha and metadata of `image`.

    The mode is that of `image`, except RGB or RGBA for a palette, RGB for CMYK, and L for 1 bit.
    """
    orientation = read_orientation(image)
    alpha = read_samples(image)[1]
    derained = Image.fromarray(
        np.ascontiguousarray(join_alpha(turn_back(pixels, orientation), alpha))
    )
    derained.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return derained
