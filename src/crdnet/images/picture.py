"""What a decoded picture is, and how it stands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from crdnet.images.containers.metadata import FileMetadata

Pixels = npt.NDArray[Any]
"""(h, w, 3) RGB or (h, w) grey; uint8 or uint16, whose largest value is white."""

MAX_PIXELS = 2_000_000_000

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tiff": "TIFF", "avif": "AVIF"}
"""What `--format` may ask for, which is also the suffix, and the name of the format."""
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
"""What is read. Those formats that are not in `FORMATS` are read and not written."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture file and what is needed to write one like it."""

    pixels: Pixels
    """Upright, without alpha."""
    format: str
    """Such as JPEG; see `FORMAT_OF_SUFFIX`."""
    alpha: Pixels | None = None
    """(h, w), upright, of the pixels' dtype; None where there is none."""
    orientation: int = 1
    """The EXIF tag: how the stored pixels must be turned to stand upright, 1 (not at all) to 8."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """How the pixels were coded, as the encoder of the same format takes it."""
    surroundings: FileMetadata = field(default_factory=FileMetadata)
    changes: tuple[str, ...] = ()
    """What of the pixels cannot be as it was in any file, as sentences without a full stop."""


def turned_up(stored: Pixels, orientation: int) -> Pixels:
    """Return stored pixels as they are meant to be seen; a view."""
    return _TURNS.get(orientation, _TURNS[1])(stored)


def turned_back(upright: Pixels, orientation: int) -> Pixels:
    """Undo `turned_up`."""
    return turned_up(upright, {6: 8, 8: 6}.get(orientation, orientation))


def with_alpha(pixels: Pixels, alpha: Pixels | None) -> Pixels:
    """Return pixels (h, w, 2) or (h, w, 4) with the alpha channel last.

    The pixels where there is none.
    """
    return pixels if alpha is None else np.dstack((pixels, alpha))


def alpha_apart(samples: Pixels) -> tuple[Pixels, Pixels | None]:
    """Undo `with_alpha`."""
    if samples.ndim == 2:
        return samples, None
    if samples.shape[2] in (1, 2):
        return samples[..., 0], samples[..., 1] if samples.shape[2] == 2 else None
    return samples[..., :3], samples[..., 3] if samples.shape[2] == 4 else None


# By the EXIF standard, "row 0 is at the top, column 0 at the left" and so on.
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
