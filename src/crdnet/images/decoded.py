"""Decoded images, and their orientation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from crdnet.images.containers.metadata import FileMetadata

Pixels = npt.NDArray[Any]
"""(h, w, 3) RGB or (h, w) grey; uint8 or uint16, white is the largest value."""

MAX_PIXELS = 2_000_000_000

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tiff": "TIFF", "avif": "AVIF"}
"""Formats that can be written, by the value of `--format`, which is also the suffix."""
FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".heic": "HEIC",
    ".heif": "HEIC",
    ".pbm": "PPM",
    ".pgm": "PPM",
    ".ppm": "PPM",
}
"""Formats that can be read, by suffix. Those that are not in `FORMATS` cannot be written."""


@dataclass(frozen=True)
class DecodedImage:
    """Decoded image file, with what is needed to write a similar file."""

    pixels: Pixels
    """Upright pixels, without alpha."""
    format: str
    """Format of the file, such as JPEG; see `FORMAT_OF_SUFFIX`."""
    alpha: Pixels | None = None
    """Alpha channel (h, w), upright, of the same dtype as the pixels; None if there is none."""
    orientation: int = 1
    """EXIF orientation, 1 to 8: the rotation that makes the stored pixels upright; 1 is none."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Encoding of the pixels, as options for the encoder of the same format."""
    metadata: FileMetadata = field(default_factory=FileMetadata)
    """Metadata of the file."""
    changes: tuple[str, ...] = ()
    """Changes to the pixels that no format can avoid, as sentences without a full stop."""


def turn_upright(stored: Pixels, orientation: int) -> Pixels:
    """Return a view of stored pixels in upright orientation."""
    return _TURNS.get(orientation, _TURNS[1])(stored)


def turn_back(upright: Pixels, orientation: int) -> Pixels:
    """Undo `turn_upright`."""
    return turn_upright(upright, {6: 8, 8: 6}.get(orientation, orientation))


def join_alpha(pixels: Pixels, alpha: Pixels | None) -> Pixels:
    """Return pixels (h, w, 2) or (h, w, 4) with alpha as the last channel.

    Without alpha, the pixels are returned unchanged.
    """
    return pixels if alpha is None else np.dstack((pixels, alpha))


def split_alpha(samples: Pixels) -> tuple[Pixels, Pixels | None]:
    """Undo `join_alpha`."""
    if samples.ndim == 2:
        return samples, None
    if samples.shape[2] in (1, 2):
        return samples[..., 0], samples[..., 1] if samples.shape[2] == 2 else None
    return samples[..., :3], samples[..., 3] if samples.shape[2] == 4 else None


# The EXIF standard defines each value by the position of row 0 and column 0.
_TURNS: Mapping[int, Callable[[Pixels], Pixels]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored, 1),
}
