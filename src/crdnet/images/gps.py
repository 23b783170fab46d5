"""Removal of the location from image files."""

import struct
from collections.abc import Callable, Mapping

from crdnet.errors import ImageError
from crdnet.images.containers import exif, isobmff, jpeg, png, webp
from crdnet.images.headers import read_header

_WITHOUT: Mapping[str, Callable[[bytes], tuple[bytes, tuple[str, ...]]]] = {
    "JPEG": jpeg.without_location,
    "PNG": png.without_location,
    "WEBP": webp.without_location,
    "TIFF": exif.without_location,
    "AVIF": isobmff.without_location,
    "HEIC": isobmff.without_location,
}


def without_location(content: bytes, name: str = "the image") -> tuple[bytes, tuple[str, ...]]:
    """Return an image file without the location where it was taken, and what had to go with it.

    EXIF, XMP and IPTC lose the properties that are made for a location. What cannot be read, or may
    hold a location in a way of its own, goes whole: maker notes, signed histories, blocks of unknown
    content, map coordinates (GeoTIFF), and what lies behind the image, such as the video of a motion
    photo. Captions, keywords and comments stay as they are, and so do pixels.

    Args:
        content: The whole file.
        name: What messages call it.

    Returns:
        The file, and the names of what went beside the location.

    Raises:
        ImageError: It is no image, or what it tells cannot be read.
    """
    format = read_header(content, name).format  # noqa: A001
    if format not in _WITHOUT:
        return content, ()
    try:
        return _WITHOUT[format](content)
    except (ValueError, IndexError, struct.error) as error:
        raise ImageError(
            f"{name} may tell its location where crdnet cannot remove it ({error}); save it anew "
            "in another program, or keep the location"
        ) from error


def without_gps(content: bytes, name: str = "the image") -> bytes:
    """Return the file of `without_location` alone."""
    return without_location(content, name)[0]
