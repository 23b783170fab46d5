"""Metadata of GIF files: XMP and the colour profile, in application extensions.

Sources: GIF89a; XMP specification part 3; ICC.1 annex on embedding in GIF.
"""

from crdnet.images.containers.metadata import FileMetadata, Metadata

_EXTENSION = b"\x21\xff\x0b"
_XMP, _ICC = _EXTENSION + b"XMP DataXMP", _EXTENSION + b"ICCRGBG1012"
# Beginning of the bytes behind XMP, by which readers that know no XMP find its end.
_XMP_END = bytes((1, *range(255, 252, -1)))


def read_metadata(content: bytes) -> FileMetadata:
    """Return the metadata of a GIF file, for an output of another format."""
    begin = content.find(_XMP)
    end = content.find(_XMP_END, begin)
    xmp = content[begin + len(_XMP) : end] if 0 <= begin < end else b""
    return FileMetadata(around=Metadata(xmp=xmp, icc=_join_blocks(content, content.find(_ICC))))


def _join_blocks(content: bytes, begin: int) -> bytes:
    """Return the joined blocks of an extension; each begins with its length, and 0 ends them."""
    if begin < 0:
        return b""
    parts, place = [], begin + len(_ICC)
    while place < len(content) and (size := content[place]):
        parts.append(content[place + 1 : place + 1 + size])
        place += 1 + size
    return b"".join(parts)
