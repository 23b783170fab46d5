"""Reader for the images of data sets: upright 8-bit RGB, or an error that names the file.

Only the colours of training data matter, and an ambiguous file would teach the network something
wrong. This reader, which needs only Pillow, converts a file if there is one way to do it and
refuses any other file:

- grey, palette and black-and-white images become RGB; 16-bit images keep their high byte;
- alpha that is opaque everywhere is dropped, any other is refused, as the colour behind it is
  unknown;
- CMYK, Lab, floating-point and 32-bit images, animations and files with several pages are refused;
- EXIF orientation is applied, colour profiles are not: both halves of a pair carry the same one.
"""

from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from crdnet.data.problems import DataProblem, LoadError, ProblemKind
from crdnet.data.tar_members import open_image_file

IMAGE_SUFFIXES = frozenset(
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
"""Suffixes, in lower case, of the files that count as images in a data set."""

_PLAIN_MODES = {"1", "L", "P", "RGB"}
_ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}


def is_image_name(name: str) -> bool:
    """Return whether a file name counts as an image; hidden files, such as `._1.jpg`, do not."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def read_rgb(path: str | PathLike[str]) -> npt.NDArray[np.uint8]:
    """Read an image as RGB.

    Args:
        path: File in any format that Pillow reads; see the module for conversions.

    Returns:
        RGB image (h, w, 3), upright, contiguous and writable.

    Raises:
        DataError: The file is missing, truncated, no image, too large to decode safely, or of a
            refused kind.
    """
    path = Path(path)
    try:
        with Image.open(open_image_file(path)) as image:
            _refuse_oversized(path, image)
            _refuse_several_frames(path, image)
            image.load()
            return _convert_to_rgb(path, ImageOps.exif_transpose(image))
    except LoadError:
        raise
    except FileNotFoundError as error:
        raise _make_unreadable_error(path, "there is no such file") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _make_unreadable_error(path, _explain_oversized()) from error
    except UnidentifiedImageError as error:
        raise _make_unreadable_error(
            path, "cannot be read: not an image in a format that Pillow knows"
        ) from error
    except Exception as error:  # Pillow's decoders raise any class of error on broken files.
        raise _make_unreadable_error(
            path,
            f"cannot be read: {error or type(error).__name__}",
        ) from error


def _make_unreadable_error(path: Path, reason: str) -> LoadError:
    return LoadError(DataProblem(path, ProblemKind.UNREADABLE, reason))


def _explain_oversized() -> str:
    return (
        f"has more than Pillow's limit of {Image.MAX_IMAGE_PIXELS} pixels and may be a "
        "decompression bomb; cut the image into smaller ones"
    )


def _refuse_oversized(path: Path, image: Image.Image) -> None:
    # Between one and two times its limit Pillow only warns. Turning the warning into an error would
    # change the warning filters of all threads, so the size is checked here.
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise _make_unreadable_error(path, _explain_oversized())


def _refuse_several_frames(path: Path, image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)
    # Phones write MPO: the first frame is the image, the others are previews.
    if frames > 1 and image.format != "MPO":
        raise _make_unreadable_error(path, f"holds {frames} frames; an image of a data set has one")


def _convert_to_rgb(path: Path, image: Image.Image) -> npt.NDArray[np.uint8]:
    if image.mode in _ALPHA_MODES or (image.mode in _PLAIN_MODES and image.has_transparency_data):
        # Palettes store transparency as one index or as a table; RGBA resolves both.
        image = image.convert("RGBA")
        if image.getextrema()[3] != (255, 255):
            raise _make_unreadable_error(
                path,
                "has transparent pixels, whose colour is unknown; flatten it on a background first",
            )
        return np.array(image, dtype=np.uint8)[..., :3].copy()
    if image.mode.startswith("I;16"):
        # Pillow converts I;16 to RGB by clipping, which would turn most pixels white.
        high_byte = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(high_byte[..., np.newaxis], 3, axis=2)
    if image.mode not in _PLAIN_MODES:
        raise _make_unreadable_error(
            path,
            f"has pixels of mode {image.mode}; save it as 8-bit RGB first",
        )
    return np.array(image.convert("RGB"), dtype=np.uint8)
