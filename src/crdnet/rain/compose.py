"""Composition of a streak layer and an image, and the measurement of the intensity.

All computations are in integers, so that a pair is the same on every machine. Without haze, rain
only adds light: no sample of the rainy image is darker than in the clean one.
"""

import math
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from crdnet.density import LUMA_WEIGHTS
from crdnet.errors import ImageError, RecipeError
from crdnet.rain.layers import Layer
from crdnet.rain.spec import Haze, RainSpec

RgbImage = npt.NDArray[np.uint8]
"""RGB image (h, w, 3)."""

_LUMA_THOUSANDTHS = tuple(round(1000 * weight) for weight in LUMA_WEIGHTS)


def compose(clean: RgbImage, streaks: Layer, spec: RainSpec) -> RgbImage:
    """Add streaks and haze to an image.

    Args:
        clean: RGB image.
        streaks: Layer of the same size, already amplified (`crdnet.rain.amplify`).
        spec: Source of blend, haze and gain.
    """
    return compose_with_room(clean, compute_room(clean, spec.blend), streaks, spec.haze, spec.gain)


def compute_room(clean: RgbImage, blend: float) -> npt.NDArray[np.uint16]:
    """Return the share of streak light that each sample takes, in 255ths.

    Adding (blend 0) takes all light; screening (blend 1) takes less in bright samples.
    """
    # With dtype: NumPy 1 would multiply 8-bit samples by a small 16-bit number in 8 bits.
    kept: npt.NDArray[np.uint16] = np.multiply(clean, round(256 * blend), dtype=np.uint16)
    kept += np.uint16(128)
    kept >>= np.uint16(8)
    np.subtract(np.uint16(255), kept, out=kept)
    return kept


def compose_with_room(
    clean: RgbImage, room: npt.NDArray[np.uint16], streaks: Layer, haze: Haze | None, gain: float
) -> RgbImage:
    """Compose like `compose`, with a given room, to try several gains on one image."""
    # Within 16 bits: 255 * 255 fits.
    light = room * streaks[..., np.newaxis]
    # This rounds x / 255 within 16 bits.
    light += np.uint16(128)
    light += light >> np.uint16(8)
    light >>= np.uint16(8)
    # Wraps nowhere, since both terms are at most 255.
    light += clean
    np.minimum(light, np.uint16(255), out=light)
    if haze is not None:
        arriving = _compute_transmission(haze.beta * gain, len(clean))
        light *= arriving
        airlight = np.uint16(round(255 * haze.airlight))
        light += (np.uint16(256) - arriving) * airlight + np.uint16(128)
        light >>= np.uint16(8)
    return light.astype(np.uint8)


def _compute_transmission(beta: float, height: int) -> npt.NDArray[np.uint16]:
    """Return t = exp(-beta d) in 256ths for each row, with depth d from 1 (top) to 0 (bottom)."""
    depths = [1 - (row + 0.5) / height for row in range(height)]
    shares = [round(256 * math.exp(-beta * depth)) for depth in depths]
    return np.array(shares, np.uint16)[:, np.newaxis, np.newaxis]


def measure_intensity(rainy: RgbImage, clean: RgbImage) -> float:
    """Measure the intensity S of a pair in exact integers, otherwise like `compute_intensity`."""
    change = rainy.astype(np.int32) - clean
    red, green, blue = _LUMA_THOUSANDTHS
    # Thousandths of the weights are integers, so that the sum is exact.
    of_luma = red * change[..., 0] + green * change[..., 1] + blue * change[..., 2]
    total = int(np.abs(of_luma).sum(dtype=np.int64))
    return total / (1000 * int(of_luma.size))


def compress(image: RgbImage, quality: int) -> bytes:
    """Encode an image as a JPEG file.

    Both images of a pair need one quality, and thus equal quantisation tables. Otherwise a network
    would learn to remove blocks instead of rain.

    Raises:
        RecipeError: The quality is not in 1 to 100.
    """
    if not 1 <= quality <= 100:
        raise RecipeError(f"the quality of a JPEG lies in 1 to 100, got {quality}")
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()


def decompress(content: bytes) -> RgbImage:
    """Decode a JPEG file of `compress` to RGB."""
    with Image.open(BytesIO(content)) as image:
        return np.array(image.convert("RGB"), dtype=np.uint8)


def check_image(clean: RgbImage) -> None:
    """Refuse anything but RGB images of 8 bits.

    Raises:
        ImageError: The shape or dtype is different.
    """
    if clean.ndim != 3 or clean.shape[2] != 3 or clean.dtype != np.uint8 or not clean.size:
        raise ImageError(
            f"rain falls on RGB images (h, w, 3) of uint8, got {clean.shape} of {clean.dtype}",
        )
