"""Removal of the location from image files."""

import struct
from collections.abc import Callable, Mapping

from crdnet.errors import ImageError
from crdnet.images.containers import exif, isobmff, jpeg, png, webp
from crdnet.images.headers import read_header

_WITHOUT: Mapping[str, Callable[[bytes], tuple[bytes, tuple[str, ...]]]] = {
    "JPEG": jpeg.remove_location,
    "PNG": png.remove_location,
    "WEBP": webp.remove_location,
    "TIFF": exif.remove_location,
    "AVIF": isobmff.remove_location,
    "HEIC": isobmff.remove_location,
}


def remove_location(content: bytes, name: str = "the image") -> tuple[bytes, tuple[str, ...]]:
    """Remove from an image file the location where it was taken.

    Location properties are removed from EXIF, XMP and IPTC. Data that cannot be read or may hold a
    location in an unknown form is removed as a whole: maker notes, signed histories, blocks of
    unknown content, map coordinates (GeoTIFF), and data after the image, such as the video of a
    motion photo. Captions, keywords, comments and pixels are kept.

    Args:
        content: Content of the file.
        name: Name of the file in messages.

    Returns:
        The content without the location, and the names of what else was removed.

    Raises:
        ImageError: The file is not an image, or its metadata cannot be read.
    """
    format = read_header(content, name).format
    if format not in _WITHOUT:
        return content, ()
    try:
        return _WITHOUT[format](content)
    except (ValueError, IndexError, struct.error) as error:
        raise ImageError(
            f"{name} may hold its location where crdnet cannot remove it ({error}); save it again "
            "in another program, or keep the location"
        ) from error


def remove_gps(content: bytes, name: str = "the image") -> bytes:
    """Return only the content of `remove_location`."""
    return remove_location(content, name)[0]
