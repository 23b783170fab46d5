"""What lies around the pixels in JPEG and PNG files, copied as it stands.

Both formats are a row of blocks. Copying the source's blocks byte for byte into the file that holds the new
pixels keeps EXIF with its maker notes, XMP, colour profiles, captions and comments, whatever their length,
and needs no understanding of them. Blocks that describe the old pixels or the old file's offsets are left
behind, and named.
"""

from collections.abc import Iterator
from itertools import takewhile

_SOS = 0xDA
_JPEG_ALONE = {0x01, *range(0xD0, 0xD8)}
"""Markers without a length: TEM and the restarts."""
# The encoder writes its own; the JFIF and Adobe blocks tell how *these* pixels are coded.
_JPEG_OF_ENCODER = ((0xE0, b""), (0xEE, b"Adobe"))
_JPEG_LEFT_BEHIND = (
    (0xE2, b"MPF\0", "further pictures (MPF)"),
    (0xEB, b"JP", "a signed history (C2PA)"),
)

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_COLOUR = {b"cHRM", b"cICP", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"bKGD", b"tIME", b"mDCV", b"cLLI"}
"""Chunks that PNG's own rule forbids to copy after an edit, yet hold for the derained picture as well."""
_PNG_OF_ENCODER = {b"hIST", b"iDOT", b"acTL", b"fcTL", b"fdAT"}


def jpeg_surroundings(content: bytes) -> tuple[list[bytes], list[str]]:
    """Return the application blocks and comments of a JPEG to copy, and the names of those left behind."""
    kept, left = [], []
    for marker, block in _jpeg_blocks(content):
        payload = block[4:]
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            continue
        if any(marker == kind and payload.startswith(start) for kind, start in _JPEG_OF_ENCODER):
            continue
        names = [
            name for kind, start, name in _JPEG_LEFT_BEHIND if marker == kind and payload.startswith(start)
        ]
        left += names
        if not names:
            kept.append(block)
    return kept, left


def with_jpeg_surroundings(content: bytes, blocks: list[bytes]) -> bytes:
    """Return a JPEG file with blocks put behind its own application blocks."""
    own = takewhile(lambda marked: 0xE0 <= marked[0] <= 0xEF, _jpeg_blocks(content))
    place = 2 + sum(len(block) for _, block in own)
    return b"".join((content[:place], *blocks, content[place:]))


def png_surroundings(content: bytes) -> tuple[list[bytes], list[str]]:
    """Return the ancillary chunks of a PNG file to copy, and the names of those left behind."""
    kept, left = [], []
    for name, chunk in _png_chunks(content):
        ancillary, safe_to_copy = name[:1].islower(), name[3:].islower()
        if not ancillary or name in _PNG_OF_ENCODER:
            continue
        if safe_to_copy or name in _PNG_COLOUR:
            kept.append(chunk)
        else:
            left.append(f"the chunk {name.decode('latin-1')}")
    return kept, left


def with_png_surroundings(content: bytes, chunks: list[bytes]) -> bytes:
    """Return a PNG file with chunks put behind its header."""
    place = len(_PNG_MAGIC) + 25
    return b"".join((content[:place], *chunks, content[place:]))


def webp_is_lossless(content: bytes) -> bool:
    """Return whether a WebP file's picture is stored without loss."""
    position = 12
    while position + 8 <= len(content):
        name, size = (
            content[position : position + 4],
            int.from_bytes(content[position + 4 : position + 8], "little"),
        )
        if name in (b"VP8 ", b"VP8L"):
            return name == b"VP8L"
        position += 8 + size + size % 2
    return False


def _jpeg_blocks(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (marker, whole block) from behind the start of the image up to its first scan."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == _SOS:
            return
        if marker == 0xFF or marker in _JPEG_ALONE:  # fill bytes may stand between blocks
            position += 1 if marker == 0xFF else 2
            continue
        size = int.from_bytes(content[position + 2 : position + 4], "big")
        yield marker, content[position : position + 2 + size]
        position += 2 + size


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, whole chunk)."""
    position = len(_PNG_MAGIC)
    while position + 12 <= len(content):
        size = int.from_bytes(content[position : position + 4], "big")
        yield content[position + 4 : position + 8], content[position : position + 12 + size]
        position += 12 + size
