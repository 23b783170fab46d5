"""libvips, for what Pillow cannot do: 16 bits, TIFF with all it can hold, inks, AVIF of 10 bits, huge pictures.

It is loaded at the first call. Loaders are called by their own names, so that none other can be talked into a file;
those that libvips itself does not trust are blocked all the same. Its cache, which would answer for a file that has
changed since, is off.
"""

import os
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np

from crdnet.errors import ImageError
from crdnet.images.picture import Pixels

_MOST_LINES = 3
"""Lines of libvips's messages that are passed on."""

_loaded_in: int | None = None


@lru_cache(maxsize=1)
def _loaded() -> Any:
    global _loaded_in  # noqa: PLW0603 - whether the process forked since shows in nothing else
    try:
        import pyvips  # noqa: PLC0415 - takes longer to import than most pictures to decode
    except (ImportError, OSError) as error:
        raise ImageError(
            f"this picture needs libvips, which cannot be loaded ({error}); pip install 'pyvips[binary]'"
        ) from error
    pyvips.cache_set_max(0)
    pyvips.block_untrusted_set(True)
    _loaded_in = os.getpid()
    return pyvips


def vips() -> Any:
    """Return the module pyvips.

    Raises:
        ImageError: It cannot be loaded, or its threads stayed behind in a process from which this one was forked.
    """
    module = _loaded()
    if _loaded_in != os.getpid():
        raise ImageError(
            "this process was forked from one that used libvips, whose threads stayed behind; start processes with "
            "multiprocessing's 'spawn' instead of 'fork'"
        )
    return module


def load(loader: str, content: Any, **options: Any) -> Any:
    """Return the image that a loader of libvips makes of a file's content, its bytes or a `Source` of them.

    Raises:
        ValueError: The content is damaged.
    """
    module = vips()
    # Warnings of the file before stay in libvips's buffer and would end up in this one's error.
    module.vips_lib.vips_error_clear()
    # libvips only warns of tiles that are missing or damaged, and leaves them black. What libtiff
    # warns of besides, such as unknown tags, does not count.
    fail_on = "warning" if loader.startswith("tiff") else "error"
    try:
        return getattr(module.Image, loader)(content, fail_on=fail_on, **options)
    except module.Error as error:
        raise ValueError(one_line(error)) from error


def samples_of(image: Any) -> Pixels:
    """Return an image's samples, (h, w, bands).

    Raises:
        ValueError: The content is damaged.
    """
    try:
        samples: Pixels = image.numpy().reshape(image.height, image.width, image.bands)
    except vips().Error as error:
        raise ValueError(one_line(error)) from error
    return samples


def image_of(samples: Pixels) -> Any:
    """Return libvips's image of samples (h, w), or (h, w, bands) of grey or RGB with or without alpha."""
    grey = samples.ndim == 2 or samples.shape[2] < 3
    wide = samples.dtype == np.uint16
    kind = ("grey16" if wide else "b-w") if grey else ("rgb16" if wide else "srgb")
    return vips().Image.new_from_array(np.ascontiguousarray(samples)).copy(interpretation=kind)


def save(saver: str, samples: Pixels, **options: Any) -> bytes:
    """Return the file that a saver of libvips makes of samples, with nothing around them.

    Raises:
        ValueError: The format cannot hold them.
    """
    module = vips()
    try:
        content: bytes = getattr(image_of(samples), saver)(keep="none", **options)
    except module.Error as error:
        raise ValueError(one_line(error)) from error
    return content


def rgb_of_inks(inks: Pixels, profile: bytes) -> tuple[Pixels, bool]:
    """Return sRGB colours of CMYK inks, and whether their own profile told them.

    Args:
        inks: (h, w, 4), 0 is no ink.
        profile: An ICC profile; where it is empty or damaged, libvips's of common print is taken.
    """
    module = vips()
    image = module.Image.new_from_array(np.ascontiguousarray(inks)).copy(interpretation="cmyk")
    options = {"intent": "relative", "black_point_compensation": True, "depth": 8 * inks.itemsize}
    told = _tells_inks(profile)
    if told:
        image.set_type(module.GValue.blob_type, "icc-profile-data", profile)
        options["embedded"] = True
    else:
        options["input_profile"] = "cmyk"
    return samples_of(image.icc_transform("srgb", **options)), told


def _tells_inks(profile: bytes) -> bool:
    """Return whether a profile is whole enough to turn inks into colours; libvips would take its own unasked."""
    from PIL import ImageCms  # noqa: PLC0415 - only for pictures of inks

    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
        intent, direction = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Direction.INPUT
        return (
            opened.profile.xcolor_space == "CMYK"
            and ImageCms.isIntentSupported(opened, intent, direction) == 1
        )
    except (OSError, ImageCms.PyCMSError):
        return False


def one_line(error: Exception) -> str:
    """Return the message of an error of libvips in one line; what it says of every tile is said once."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(list(dict.fromkeys(lines))[:_MOST_LINES])
