"""Taking the place where a picture was taken out of its file, and nothing else."""

from collections.abc import Callable, Mapping

from crdnet.images.containers import exif, isobmff, jpeg, png, webp
from crdnet.images.headers import read_header

_WITHOUT: Mapping[str, Callable[[bytes], bytes]] = {
    "JPEG": jpeg.without_gps,
    "PNG": png.without_gps,
    "WEBP": webp.without_gps,
    "TIFF": exif.tiff_without_gps,
    "AVIF": isobmff.without_gps,
    "HEIC": isobmff.without_gps,
}


def without_gps(content: bytes, name: str = "the picture") -> bytes:
    """Return a picture file that does not say in EXIF or XMP where it was taken, and is otherwise the same.

    EXIF that cannot be read is taken out whole, since nobody knows what it says. Maker notes, captions and the
    map tags of GeoTIFF stay.

    Args:
        content: The whole file.
        name: What messages call it.

    Raises:
        ImageError: It is no picture.
    """
    format = read_header(content, name).format  # noqa: A001
    return _WITHOUT[format](content) if format in _WITHOUT else content
