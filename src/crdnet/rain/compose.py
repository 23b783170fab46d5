"""Putting a streak layer on a picture, and measuring how much rain that is.

Everything is counted in integers, so that a pair is the same on every machine. Without haze, rain only adds
light: no sample of the rainy picture is darker than the clean one.
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

Picture = npt.NDArray[np.uint8]
"""RGB (h, w, 3)."""

_LUMA_THOUSANDTHS = tuple(round(1000 * weight) for weight in LUMA_WEIGHTS)


def compose(clean: Picture, streaks: Layer, spec: RainSpec) -> Picture:
    """Return the picture with streaks and haze on it.

    Args:
        clean: RGB picture.
        streaks: Layer of the same size, its gain applied (`crdnet.rain.amplify`).
        spec: Its blend, haze and gain are used.
    """
    return composed(clean, room_for_light(clean, spec.blend), streaks, spec.haze, spec.gain)


def room_for_light(clean: Picture, blend: float) -> npt.NDArray[np.uint16]:
    """Return how much of a streak's light each sample takes, in 255ths: all of it when adding, less when screening."""
    # Said in full: NumPy 1 would compute 8-bit samples times a small 16-bit number in 8 bits.
    kept: npt.NDArray[np.uint16] = np.multiply(clean, round(256 * blend), dtype=np.uint16)
    kept += np.uint16(128)
    kept >>= np.uint16(8)
    np.subtract(np.uint16(255), kept, out=kept)
    return kept


def composed(
    clean: Picture, room: npt.NDArray[np.uint16], streaks: Layer, haze: Haze | None, gain: float
) -> Picture:
    """Do what `compose` does, for who tries several gains on one picture."""
    light = room * streaks[..., np.newaxis]
    # x / 255 rounded, without leaving 16 bits.
    light += np.uint16(128)
    light += light >> np.uint16(8)
    light >>= np.uint16(8)
    light += clean
    np.minimum(light, np.uint16(255), out=light)
    if haze is not None:
        arriving = _transmission(haze.beta * gain, len(clean))
        light *= arriving
        light += (np.uint16(256) - arriving) * np.uint16(round(255 * haze.airlight)) + np.uint16(128)
        light >>= np.uint16(8)
    return light.astype(np.uint8)


def _transmission(beta: float, height: int) -> npt.NDArray[np.uint16]:
    """Return t = exp(-beta d) in 256ths for each row, from depth 1 at the top to 0 at the bottom."""
    depths = [1 - (row + 0.5) / height for row in range(height)]
    shares = [round(256 * math.exp(-beta * depth)) for depth in depths]
    return np.array(shares, np.uint16)[:, np.newaxis, np.newaxis]


def strength_of(rainy: Picture, clean: Picture) -> float:
    """Return the strength S of the rain in a pair, as `crdnet.density.rain_strength`, from exact integers."""
    change = rainy.astype(np.int32) - clean
    red, green, blue = _LUMA_THOUSANDTHS
    of_luma = red * change[..., 0] + green * change[..., 1] + blue * change[..., 2]
    total = int(np.abs(of_luma).sum(dtype=np.int64))
    return total / (1000 * int(of_luma.size))


def compress(picture: Picture, quality: int) -> bytes:
    """Return a picture as a JPEG file.

    Both pictures of a pair go through this with one quality, hence with the same quantisation tables; else a
    network would learn to remove blocks instead of rain.
    """
    if not 1 <= quality <= 100:
        raise RecipeError(f"the quality of a JPEG lies in 1 to 100, got {quality}")
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return file.getvalue()


def decompress(content: bytes) -> Picture:
    """Return the RGB pixels of a JPEG file that `compress` made."""
    with Image.open(BytesIO(content)) as picture:
        return np.array(picture.convert("RGB"), dtype=np.uint8)


def check_picture(clean: Picture) -> None:
    """Refuse what is no RGB picture of 8 bits."""
    if clean.ndim != 3 or clean.shape[2] != 3 or clean.dtype != np.uint8 or not clean.size:
        raise ImageError(f"rain falls on RGB pictures (h, w, 3) of uint8, got {clean.shape} of {clean.dtype}")
