"""Colour profile of BMP files. Source: Microsoft's description of BITMAPV5HEADER."""

import struct

from crdnet.images.containers.metadata import FileMetadata, Metadata

# Offset of the header behind that of the file; offsets in it count from there.
_HEADER = 14
# Sizes of the headers of versions 4 and 5.
_WITH_COLOURS, _WITH_PROFILE = 108, 124
_CALIBRATED, _EMBEDDED, _LINKED = b"\0\0\0\0", b"DEBM", b"KNIL"


def read_metadata(content: bytes) -> FileMetadata:
    """Return the metadata of a BMP file, for an output of another format."""
    size = int.from_bytes(content[_HEADER : _HEADER + 4], "little")
    kind = content[_HEADER + 56 : _HEADER + 60] if size >= _WITH_COLOURS else b""
    if kind == _CALIBRATED and any(content[_HEADER + 60 : _HEADER + 108]):
        return FileMetadata(left_behind=("the primaries and gamma of the BMP",))
    if size < _WITH_PROFILE or len(content) < _HEADER + _WITH_PROFILE:
        return FileMetadata()
    if kind == _LINKED:
        return FileMetadata(left_behind=("a colour profile in another file",))
    place, length = struct.unpack_from("<II", content, _HEADER + 112)
    icc = content[_HEADER + place : _HEADER + place + length] if kind == _EMBEDDED else b""
    return FileMetadata(around=Metadata(icc=icc))
