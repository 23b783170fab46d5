"""PIL images in and out, in memory."""

from typing import Any

import numpy as np
from PIL import Image

from crdnet.errors import SizeError
from crdnet.images.decoded import Pixels, turned_back, turned_up, with_alpha
from crdnet.images.reading import orientation_of, samples_of


def is_pil(image: Any) -> bool:
    """Return whether something is a PIL image."""
    return isinstance(image, Image.Image)


def pixels_of_pil(image: Image.Image) -> Pixels:
    """Return the upright pixels of a PIL image, without alpha.

    Raises:
        ImageError: Its mode holds something that cannot be kept.
        SizeError: There is no pixel.
    """
    if not (image.width and image.height):
        raise SizeError(
            f"an image has at least one pixel, got a PIL image of {image.width} x {image.height}"
        )
    return turned_up(samples_of(image)[0], orientation_of(image))


def pil_like(image: Image.Image, pixels: Pixels) -> Image.Image:
    """Return a PIL image of upright pixels that lies and is described as `image` is, with its alpha channel.

    Its mode is that of `image`, but RGB or RGBA for a palette, RGB for CMYK, and L for 1 bit.
    """
    orientation = orientation_of(image)
    alpha = samples_of(image)[1]
    derained = Image.fromarray(
        np.ascontiguousarray(with_alpha(turned_back(pixels, orientation), alpha))
    )
    derained.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return derained
