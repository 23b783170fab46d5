"""The blocks of JPEG files. Source: ITU-T T.81 annex B, T.871 (JFIF), EXIF 2.32, Adobe's XMP specification part 3."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from crdnet.images.containers import exif
from crdnet.images.containers.around import Around, Content, Surroundings
from crdnet.images.containers.photoshop import resources_without_thumbnail

_APP0, _APP1, _APP2, _APP13, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xEF, 0xFE
_SOS, _EOI = 0xDA, 0xD9
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ALONE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a length: TEM, the restarts, and the start of an image."""
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_MORE_XMP_HEAD = len(_MORE_XMP) + 32 + 4 + 4
_ICC = b"ICC_PROFILE\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_LEFT_BEHIND = (
    (0xE0, b"JFXX\0", "the thumbnail of JFIF"),
    (0xE2, b"MPF\0", "further pictures (MPF)"),
    (0xE2, b"urn:iso:std:iso:ts:21496:-1", "the gain map"),
    (0xEB, b"JP", "a signed history (C2PA)"),
)
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_MOST = 65533
"""Bytes in one block."""


@dataclass(frozen=True)
class Frame:
    """What a JPEG says of how its pixels are coded."""

    kind: int
    """0xC0 baseline, 0xC1 extended, 0xC2 progressive, 0xC3 lossless, and so on."""
    bits: int
    height: int
    width: int
    tables: tuple[int, ...]
    """For each component the number of its quantisation table."""
    samplings: tuple[tuple[int, int], ...]
    """For each component its samples across and down."""


def frame(content: Content) -> Frame | None:
    """Return how the pixels are coded; None where the file ends before it says so."""
    for marker, block in _blocks(content):
        if marker in _FRAMES and len(block) >= 10 and len(block) >= 10 + 3 * block[9]:
            parts = [block[at : at + 3] for at in range(10, 10 + 3 * block[9], 3)]
            return Frame(
                kind=marker,
                bits=block[4],
                height=int.from_bytes(block[5:7], "big"),
                width=int.from_bytes(block[7:9], "big"),
                tables=tuple(part[2] for part in parts),
                samplings=tuple((part[1] >> 4, part[1] & 15) for part in parts),
            )
    return None


def surroundings(content: Content, *, with_icc: bool = True) -> Surroundings:
    """Take a JPEG apart."""
    kept, left = list[bytes](), list[str]()
    for marker, block in _blocks(content):
        if not (_APP0 <= marker <= _APP15 or marker == _COMMENT):
            continue
        payload = block[4:]
        dropped = [
            name
            for kind, start, name in _LEFT_BEHIND
            if marker == kind and payload.startswith(start)
        ]
        ours = marker == _APP14 and payload.startswith(
            b"Adobe"
        )  # tells how *these* pixels are coded
        if not (dropped or ours or (marker == _APP2 and payload.startswith(_ICC) and not with_icc)):
            payload, dropped = _without_thumbnail(marker, payload)
            kept.append(_block(marker, payload))
        left += dropped
    around = Around(
        exif=_joined(kept, _APP1, exif.MARK),
        xmp=_joined(kept, _APP1, _XMP),
        icc=_joined(kept, _APP2, _ICC, 2),
        photoshop=_joined(kept, _APP13, _PHOTOSHOP),
        dpi=_dpi(kept),
    )
    left += ["the gain map"] * (b"hdrgm:Version" in around.xmp)
    end = _end(content)
    if content[end:].strip(b"\0") and "further pictures (MPF)" not in left:
        left.append(f"{len(content) - end} bytes behind the picture")
    travel = {_APP0: (b"JFIF\0",), _APP1: (exif.MARK, _XMP), _APP2: (_ICC,), _APP13: (_PHOTOSHOP,)}
    only_here = not all(block[4:].startswith(travel.get(block[1], ())) for block in kept)
    return Surroundings(tuple(kept), around, tuple(dict.fromkeys(left)), only_here)


def blocks_of(around: Around) -> tuple[list[bytes], list[str]]:
    """Return the blocks that say what is around a picture of another format, and what no block can hold."""
    blocks, lost = [], []
    if around.dpi:
        across, down = (max(1, min(65535, round(value))) for value in around.dpi)
        density = across.to_bytes(2, "big") + down.to_bytes(2, "big")
        blocks.append(_block(_APP0, b"JFIF\0\x01\x01\x01" + density + b"\0\0"))
    for name, mark, marker, value in (
        ("EXIF", exif.MARK, _APP1, around.exif),
        ("XMP", _XMP, _APP1, around.xmp),
        ("IPTC", _PHOTOSHOP, _APP13, around.photoshop),
    ):
        if len(mark) + len(value) > _MOST:
            lost.append(f"{name} of {len(value)} bytes")
        elif value:
            blocks.append(_block(marker, mark + value))
    room = _MOST - len(_ICC) - 2
    parts = [around.icc[at : at + room] for at in range(0, len(around.icc), room)]
    if len(parts) > 255:
        lost.append(f"the colour profile of {len(around.icc)} bytes")
    else:
        blocks += [
            _block(_APP2, _ICC + bytes((at, len(parts))) + part) for at, part in enumerate(parts, 1)
        ]
    return blocks, lost


def with_surroundings(content: bytes, blocks: tuple[bytes, ...]) -> bytes:
    """Return an encoder's JPEG with blocks put before its own; its JFIF block gives way to theirs."""
    place = 2
    for marker, block in _blocks(content):
        if marker != _APP0:
            break
        place += len(block)
    return b"".join((content[:2], *blocks, content[place:]))


def head_and_scan(content: bytes) -> tuple[bytes, bytes]:
    """Return an encoder's baseline JPEG up to its pixels, and its pixels without the end of the image."""
    place = 2
    for _, block in _blocks(content):
        place += len(block)
    place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return content[:place], content[place:-2]


def with_height(head: bytes, height: int) -> bytes:
    """Return the beginning of an encoder's JPEG that tells another height."""
    place = 2
    for marker, block in _blocks(head):
        if marker in _FRAMES:
            return head[: place + 5] + height.to_bytes(2, "big") + head[place + 7 :]
        place += len(block)
    raise ValueError("no frame in it")


def without_gps(content: bytes) -> bytes:
    """Return a JPEG that does not say where it was taken, and is otherwise the same."""
    pieces, place, more = [content[:2]], 2, list[tuple[int, bytes]]()
    for marker, block in _blocks(content):
        begin = content.index(block, place)
        payload, new = block[4:], block
        if marker == _APP1 and payload.startswith(exif.MARK):
            edited = exif.without_gps(payload[len(exif.MARK) :])
            new = _block(marker, exif.MARK + edited) if edited else b""
        elif marker == _APP1 and payload.startswith(_XMP):
            new = _block(marker, _XMP + exif.xmp_without_gps(payload[len(_XMP) :]))
        elif marker == _APP1 and payload.startswith(_MORE_XMP):
            more.append((len(pieces) + 1, block))
        pieces += [content[place:begin], new]
        place = begin + len(block)
    # Long XMP lies in several blocks, and a statement may be cut in two by their border.
    long = exif.xmp_without_gps(b"".join(block[4 + _MORE_XMP_HEAD :] for _, block in more))
    for at, block in more:
        head, size = block[: 4 + _MORE_XMP_HEAD], len(block) - 4 - _MORE_XMP_HEAD
        pieces[at], long = head + long[:size], long[size:]
    return b"".join((*pieces, content[place:]))


def _without_thumbnail(marker: int, payload: bytes) -> tuple[bytes, list[str]]:
    """Return a block's payload without the small picture that it may hold, and that picture's name."""
    if marker == _APP0 and payload.startswith(b"JFIF\0"):
        had = payload[12:14] != b"\0\0"
        return payload[:12] + b"\0\0", ["the thumbnail of JFIF"] * had
    if marker == _APP1 and payload.startswith(exif.MARK):
        edited, had = exif.without_thumbnail(payload[len(exif.MARK) :])
        return exif.MARK + edited, ["the thumbnail in EXIF"] * had
    if marker == _APP13 and payload.startswith(_PHOTOSHOP):
        edited, had = resources_without_thumbnail(payload[len(_PHOTOSHOP) :])
        return _PHOTOSHOP + edited, ["the thumbnail of Photoshop"] * had
    return payload, []


def _joined(blocks: list[bytes], marker: int, mark: bytes, skipped: int = 0) -> bytes:
    """Return what the blocks of one kind hold together."""
    begin = 4 + len(mark) + skipped
    return b"".join(
        block[begin:] for block in blocks if block[1] == marker and block[4:].startswith(mark)
    )


def _block(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2, "big") + payload


def _blocks(content: Content) -> Iterator[tuple[int, bytes]]:
    """Yield (marker, whole block) from behind the start of the image up to its first scan."""
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker in (_SOS, _EOI):
            return
        if marker == 0xFF or marker in _ALONE:  # fill bytes may stand between blocks
            place += 1 if marker == 0xFF else 2
            continue
        size = int.from_bytes(content[place + 2 : place + 4], "big")
        yield marker, bytes(content[place : place + 2 + size])
        place += 2 + size


def _end(content: Content) -> int:
    """Return where the picture ends, which may be before the file does."""
    place = 2
    while (found := _NEXT_MARKER.search(content, place)) is not None:
        marker = content[found.start() + 1]
        if marker == _EOI:
            return found.end()
        place = found.end()
        if marker not in _ALONE:
            place += int.from_bytes(content[place : place + 2], "big")
    return len(content)


def _dpi(blocks: list[bytes]) -> tuple[float, float] | None:
    for block in blocks:
        if block[1] == _APP0 and block[4:9] == b"JFIF\0" and block[11] in (1, 2):
            scale = 1.0 if block[11] == 1 else 2.54
            across, down = int.from_bytes(block[12:14], "big"), int.from_bytes(block[14:16], "big")
            return (scale * across, scale * down) if across and down else None
    return None
