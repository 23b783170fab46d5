"""Reading the pictures of a data set: 8-bit RGB, upright, whole, or an error that names the file.

Training data is not a user's photograph: nothing of it has to survive but its colours, and a file that is not
plainly what it claims to be would teach the network something wrong. So this reader, which stands on Pillow
alone, converts what converts without a choice to make and refuses the rest:

- grey, palette and black-and-white pictures become RGB; 16-bit pictures keep their high byte;
- alpha that is opaque everywhere is dropped, any other is refused, as the colour behind it is unknown;
- CMYK, Lab, floating-point and 32-bit pictures, animations and files with several pages are refused;
- EXIF orientation is applied, colour profiles are not: both halves of a pair carry the same one.
"""

from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from crdnet.data.problems import DataProblem, PictureError, ProblemKind

PICTURE_SUFFIXES = frozenset(
    {
        ".avif",
        ".bmp",
        ".gif",
        ".jfif",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    }
)
"""Endings, in lower case, of the files that count as pictures in a data set."""

_PLAIN_MODES = {"1", "L", "P", "RGB"}
_ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}


def is_picture_name(name: str) -> bool:
    """Tell whether a file of this name counts as a picture; hidden ones, as macOS's `._1.jpg`, do not."""
    return not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES


def read_rgb(path: str | PathLike[str]) -> npt.NDArray[np.uint8]:
    """Return a picture as RGB.

    Args:
        path: A file in any format that Pillow reads; the module says what is converted and what is refused.

    Returns:
        RGB picture (h, w, 3), upright, contiguous and writable.

    Raises:
        DataError: The file is missing, truncated, too large to decode safely, no picture, or of a refused
            kind.
    """
    path = Path(path)
    try:
        with Image.open(path) as picture:
            _refuse_oversized(path, picture)
            _refuse_several_frames(path, picture)
            picture.load()
            return _rgb_pixels(path, ImageOps.exif_transpose(picture))
    except PictureError:
        raise
    except FileNotFoundError as error:
        raise _unreadable(path, "there is no such file") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _unreadable(path, _oversized_reason()) from error
    except UnidentifiedImageError as error:
        raise _unreadable(path, "cannot be read: not a picture in a format that Pillow knows") from error
    except Exception as error:  # Pillow's decoders raise whatever a broken file makes them stumble over.
        raise _unreadable(path, f"cannot be read: {error or type(error).__name__}") from error


def _unreadable(path: Path, reason: str) -> PictureError:
    return PictureError(DataProblem(path, ProblemKind.UNREADABLE, reason))


def _oversized_reason() -> str:
    return (
        f"has more than Pillow's limit of {Image.MAX_IMAGE_PIXELS} pixels and may be a decompression bomb; "
        "cut the picture into smaller ones"
    )


def _refuse_oversized(path: Path, picture: Image.Image) -> None:
    # Between one and two times its limit Pillow only warns. The size is checked here rather than by turning
    # that warning into an error, because warning filters are shared by all threads.
    if Image.MAX_IMAGE_PIXELS is not None and picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
        raise _unreadable(path, _oversized_reason())


def _refuse_several_frames(path: Path, picture: Image.Image) -> None:
    frames = getattr(picture, "n_frames", 1)
    # Phones write MPO, a JPEG followed by previews of itself: its first frame is the picture.
    if frames > 1 and picture.format != "MPO":
        raise _unreadable(path, f"holds {frames} frames; a picture of a data set has one")


def _rgb_pixels(path: Path, picture: Image.Image) -> npt.NDArray[np.uint8]:
    if picture.mode in _ALPHA_MODES or (picture.mode in _PLAIN_MODES and picture.has_transparency_data):
        picture = picture.convert("RGBA")
        if picture.getextrema()[3] != (255, 255):
            raise _unreadable(
                path, "has transparent pixels, whose colour is unknown; flatten it on a background first"
            )
        return np.array(picture, dtype=np.uint8)[..., :3].copy()
    if picture.mode.startswith("I;16"):
        high_byte = (np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(high_byte[..., np.newaxis], 3, axis=2)
    if picture.mode not in _PLAIN_MODES:
        raise _unreadable(path, f"has pixels of mode {picture.mode}; save it as 8-bit RGB first")
    return np.array(picture.convert("RGB"), dtype=np.uint8)
