"""Blocks of JPEG files.

Sources: ITU-T T.81 annex B, T.871 (JFIF), EXIF 2.32, Adobe's XMP specification part 3.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crdnet.images.containers import exif, xmp
from crdnet.images.containers.metadata import Content, FileMetadata, Metadata
from crdnet.images.containers.photoshop import (
    remove_resource_location,
    remove_resource_thumbnail,
)

_APP0, _APP1, _APP2, _APP13, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xEF, 0xFE
_SOS, _EOI = 0xDA, 0xD9
# SOF0 to SOF15; C4, C8 and CC in their range are DHT, JPG and DAC.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
# Markers without a length: TEM, the restarts, and the start of an image.
_ALONE = {0x01, *range(0xD0, 0xD9)}
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
# Behind the mark stand a digest of 32 characters, the length of the whole and the part's offset.
_MORE_XMP_HEAD = len(_MORE_XMP) + 32 + 4 + 4
_ICC = b"ICC_PROFILE\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_LEFT_BEHIND = (
    (0xE0, b"JFXX\0", "the thumbnail of JFIF"),
    (0xE2, b"MPF\0", "further images (MPF)"),
    (0xE2, b"urn:iso:std:iso:ts:21496:-1", "the gain map"),
    (0xEB, b"JP", "a signed history (C2PA)"),
)
_ADOBE = b"Adobe"
# Blocks of known content, which are edited, not dropped, to remove the location.
_KNOWN = {
    _APP0: (b"JFIF\0", b"JFXX\0"),
    _APP1: (exif.MARK, _XMP, _MORE_XMP),
    _APP2: (_ICC,),
    0xEC: (b"Ducky",),
    _APP13: (_PHOTOSHOP,),
    _APP14: (_ADOBE,),
}
# Kinds of frames that are read and not written.
_CODINGS = {0xC3: "lossless coding", 0xC9: "arithmetic coding", 0xCA: "arithmetic coding"}
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_MARKER = re.compile(rb"\xff[^\x00\xff]")
# Bytes in one block.
_MOST = 65533
# Before the first scan. Large profiles and XMP take some hundreds; millions of empty blocks would
# take a parser seconds.
_MOST_BLOCKS = 10_000


@dataclass(frozen=True)
class Frame:
    """Coding of the pixels of a JPEG, as its frame header states it."""

    kind: int
    """0xC0 baseline, 0xC1 extended, 0xC2 progressive, 0xC3 lossless, and so on."""
    bits: int
    height: int
    width: int
    tables: tuple[int, ...]
    """Number of the quantisation table of each component."""
    samplings: tuple[tuple[int, int], ...]
    """Horizontal and vertical sampling factor of each component."""


def read_frame(content: Content) -> Frame | None:
    """Return the coding of the pixels, or None if the file ends before it."""
    for marker, block in _iterate_blocks(content):
        # The frame header: length, bits, height, width, number of components, 3 bytes for each.
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


def read_metadata(content: Content, *, with_icc: bool = True) -> FileMetadata:
    """Return the metadata of a JPEG file."""
    kept, left, recoded, stray, place = list[bytes](), list[str](), list[str](), 0, 2
    for marker, begin, end in _iterate_spans(content):
        stray += len(bytes(content[place:begin]).strip(b"\xff"))
        place = end
        if marker in _CODINGS:
            recoded.append(f"the {_CODINGS[marker]}")
        if not (_APP0 <= marker <= _APP15 or marker == _COMMENT):
            continue
        payload = bytes(content[begin + 4 : end])
        dropped = _name_dropped(marker, payload)
        ours = marker == _APP14 and payload.startswith(_ADOBE)  # coding of the old pixels
        if not (dropped or ours or (marker == _APP2 and payload.startswith(_ICC) and not with_icc)):
            payload, dropped = _remove_thumbnail(marker, payload)
            kept.append(_pack_block(marker, payload))
        left += dropped
    kept, dropped = _remove_photoshop_thumbnail(kept)
    left += dropped
    announced = _join_blocks(kept, _APP1, _XMP)
    left += ["the gain map"] * xmp.tells_gain_map(announced)
    # XMP must not announce images behind the image that the output lacks.
    kept = _edit_blocks(kept, _APP1, _XMP, len(_XMP), xmp.remove_announcements)
    kept = _edit_blocks(kept, _APP1, _MORE_XMP, _MORE_XMP_HEAD, xmp.remove_announcements)
    around = Metadata(
        exif=_join_blocks(kept, _APP1, exif.MARK),
        xmp=_join_blocks(kept, _APP1, _XMP),
        icc=_join_blocks(kept, _APP2, _ICC, 2),
        photoshop=_join_blocks(kept, _APP13, _PHOTOSHOP),
        dpi=_read_dpi(kept),
    )
    left += [f"{stray} stray bytes between blocks"] * bool(stray)
    left += _name_trailer(content, left)
    travel = {_APP0: (b"JFIF\0",), _APP1: (exif.MARK, _XMP), _APP2: (_ICC,), _APP13: (_PHOTOSHOP,)}
    only_here = not all(block[4:].startswith(travel.get(block[1], ())) for block in kept)
    return FileMetadata(
        tuple(kept), around, tuple(dict.fromkeys(left)), only_here, recoded=tuple(recoded)
    )


def _name_dropped(marker: int, payload: bytes) -> list[str]:
    """Return a list with the name of a block that no output holds; empty for other blocks."""
    return [
        name for kind, start, name in _LEFT_BEHIND if marker == kind and payload.startswith(start)
    ]


def _name_trailer(content: Content, left: list[str]) -> list[str]:
    """Return a list with the name of the data behind the image; empty if `left` names it."""
    rest = bytes(content[_find_end(content) :])
    if not rest.strip(b"\0"):
        return []
    if b"ftyp" in rest:
        return ["the video behind the image"]
    told = "further images (MPF)" in left
    return [] if told else [f"{len(rest)} bytes behind the image"]


def pack_metadata(around: Metadata) -> tuple[list[bytes], list[str]]:
    """Return metadata of another format as blocks, and the names of data that no block can hold."""
    blocks, lost = [], []
    if around.dpi:
        across, down = (max(1, min(65535, round(value))) for value in around.dpi)
        # JFIF stores dots per inch (unit 1) in 16 bits.
        density = across.to_bytes(2, "big") + down.to_bytes(2, "big")
        blocks.append(_pack_block(_APP0, b"JFIF\0\x01\x01\x01" + density + b"\0\0"))
    for name, mark, marker, value in (
        ("EXIF", exif.MARK, _APP1, around.exif),
        ("XMP", _XMP, _APP1, around.xmp),
        ("IPTC", _PHOTOSHOP, _APP13, around.photoshop),
    ):
        if len(mark) + len(value) > _MOST:
            lost.append(f"{name} of {len(value)} bytes")
        elif value:
            blocks.append(_pack_block(marker, mark + value))
    room = _MOST - len(_ICC) - 2
    parts = [around.icc[at : at + room] for at in range(0, len(around.icc), room)]
    # An ICC profile is numbered in parts from 1 to 255 (ICC.1, annex B).
    if len(parts) > 255:
        lost.append(f"the colour profile of {len(around.icc)} bytes")
    else:
        blocks += [
            _pack_block(_APP2, _ICC + bytes((at, len(parts))) + part)
            for at, part in enumerate(parts, 1)
        ]
    return blocks, lost


def add_metadata(content: bytes, blocks: tuple[bytes, ...]) -> bytes:
    """Return the JPEG of an encoder with blocks inserted in place of its JFIF block."""
    place = 2
    for marker, block in _iterate_blocks(content):
        if marker != _APP0:
            break
        place += len(block)
    return b"".join((content[:2], *blocks, content[place:]))


def split_scan(content: bytes) -> tuple[bytes, bytes]:
    """Split the baseline JPEG of an encoder into its head and its scan without EOI."""
    place = 2
    for _, block in _iterate_blocks(content):
        place += len(block)
    # The scan header follows the other blocks.
    place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return content[:place], content[place:-2]


def set_height(head: bytes, height: int) -> bytes:
    """Return the head of the JPEG of an encoder with another height."""
    place = 2
    for marker, block in _iterate_blocks(head):
        if marker in _FRAMES:
            return head[: place + 5] + height.to_bytes(2, "big") + head[place + 7 :]
        place += len(block)
    raise ValueError("no frame in it")


def remove_location(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Remove the location from a JPEG; return the content and the names of other removed data.

    Blocks of unknown content and all data behind the image are removed too.
    """
    pieces, left, place = [content[:2]], list[str](), 2
    for marker, begin, end in _iterate_spans(content):
        block, payload = content[begin:end], content[begin + 4 : end]
        place = end
        if not _APP0 <= marker <= _APP15:
            pieces.append(block)
        elif (dropped := _name_dropped(marker, payload)) and marker != _APP0:
            left += dropped
        elif not payload.startswith(_KNOWN.get(marker, ())):
            left.append(f"a block of unknown content (APP{marker - _APP0})")
        elif marker == _APP1 and payload.startswith(exif.MARK):
            pieces += _remove_exif_location(payload[len(exif.MARK) :], left)
        else:
            pieces.append(block)
    left += ["the gain map"] * xmp.tells_gain_map(_join_blocks(pieces, _APP1, _XMP))
    for marker, mark, head, edit in (
        (_APP1, _XMP, len(_XMP), _remove_xmp_location),
        (_APP1, _MORE_XMP, _MORE_XMP_HEAD, _remove_xmp_location),
        (_APP13, _PHOTOSHOP, len(_PHOTOSHOP), remove_resource_location),
    ):
        pieces = _edit_blocks(pieces, marker, mark, head, edit)
    end = max(_find_end(content), place)
    left += _name_trailer(content, left)
    return b"".join((*pieces, content[place:end])), tuple(dict.fromkeys(left))


def _remove_exif_location(plain: bytes, left: list[str]) -> list[bytes]:
    try:
        edited, gone = exif.remove_location(plain)
    except ValueError:
        left.append("EXIF that cannot be read")
        return []
    left += gone
    return [_pack_block(_APP1, exif.MARK + edited)]


def _remove_xmp_location(packet: bytes) -> bytes:
    return xmp.remove_announcements(xmp.remove_location(packet))


def _edit_blocks(
    blocks: list[bytes], marker: int, mark: bytes, head: int, edit: Callable[[bytes], bytes]
) -> list[bytes]:
    """Edit the value that the blocks of one kind hold together; return all blocks.

    Args:
        blocks: Whole blocks, and other pieces of the file.
        marker: Marker of the blocks to edit.
        mark: Bytes with which the blocks to edit begin.
        head: Number of bytes before the part of the value in each block.
        edit: Function that returns the edited value, of the same length.
    """
    start = bytes((0xFF, marker))
    places = [
        at
        for at, block in enumerate(blocks)
        if block.startswith(start) and block[4:].startswith(mark)
    ]
    value = edit(b"".join(blocks[at][4 + head :] for at in places))
    edited, place = list(blocks), 0
    for at in places:
        size = max(len(blocks[at]) - 4 - head, 0)
        edited[at] = blocks[at][: 4 + head] + value[place : place + size]
        place += size
    return edited


def _remove_thumbnail(marker: int, payload: bytes) -> tuple[bytes, list[str]]:
    """Return the payload of a block without its thumbnail, and a list with the thumbnail's name."""
    if marker == _APP0 and payload.startswith(b"JFIF\0"):
        # Width and height of the thumbnail; its RGB samples follow.
        had = payload[12:14] != b"\0\0"
        return payload[:12].ljust(14, b"\0"), ["the thumbnail of JFIF"] * had
    if marker == _APP1 and payload.startswith(exif.MARK):
        edited, had = exif.remove_thumbnail(payload[len(exif.MARK) :])
        return exif.MARK + edited, ["the thumbnail in EXIF"] * had
    return payload, []


def _remove_photoshop_thumbnail(blocks: list[bytes]) -> tuple[list[bytes], list[str]]:
    """Return blocks without the thumbnail of Photoshop, which may span several, and its name."""
    start = bytes((0xFF, _APP13))
    ours = [block for block in blocks if block[:2] == start and block[4:].startswith(_PHOTOSHOP)]
    edited, had = remove_resource_thumbnail(_join_blocks(ours, _APP13, _PHOTOSHOP))
    if not had:
        return blocks, []
    room = _MOST - len(_PHOTOSHOP)
    parts = [edited[at : at + room] for at in range(0, len(edited), room)]
    place = blocks.index(ours[0])
    kept = [block for block in blocks if block[:2] != start or not block[4:].startswith(_PHOTOSHOP)]
    kept[place:place] = [_pack_block(_APP13, _PHOTOSHOP + part) for part in parts]
    return kept, ["the thumbnail of Photoshop"]


def _join_blocks(blocks: list[bytes], marker: int, mark: bytes, skipped: int = 0) -> bytes:
    """Return the joined content of the blocks of one kind."""
    begin = 4 + len(mark) + skipped
    return b"".join(
        block[begin:]
        for block in blocks
        if block[1:2] == bytes((marker,)) and block[4:].startswith(mark)
    )


def _pack_block(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2, "big") + payload


def _iterate_blocks(content: Content) -> Iterator[tuple[int, bytes]]:
    """Yield (marker, whole block) from the start of the image up to its first scan."""
    return ((marker, bytes(content[begin:end])) for marker, begin, end in _iterate_spans(content))


def _iterate_spans(content: Content) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of the blocks up to the first scan.

    Stray bytes between blocks are skipped, as decoders do.

    Raises:
        ValueError: The file has more blocks than any image needs.
    """
    place, count = 2, 0
    while (found := _MARKER.search(content, place)) is not None and found.end() + 2 <= len(content):
        begin, marker = found.end() - 2, content[found.end() - 1]
        if marker in (_SOS, _EOI):
            return
        count += 1
        if count > _MOST_BLOCKS:
            raise ValueError(f"it has more than {_MOST_BLOCKS:,} blocks before its pixels")
        if marker in _ALONE:
            place = found.end()
            continue
        # A length includes its own two bytes; less would repeat the block without end.
        place = begin + 2 + max(int.from_bytes(content[begin + 2 : begin + 4], "big"), 2)
        yield marker, begin, min(place, len(content))


def _find_end(content: Content) -> int:
    """Return the offset of the end of the image, which may be before the end of the file.

    Raises:
        ValueError: The file has more blocks than any image needs.
    """
    place, left = 2, _MOST_BLOCKS
    while (found := _NEXT_MARKER.search(content, place)) is not None:
        marker = content[found.start() + 1]
        left -= 1
        if left < 0:
            raise ValueError(f"it has more than {_MOST_BLOCKS:,} blocks")
        if marker == _EOI:
            return found.end()
        place = found.end()
        if marker not in _ALONE:
            place += int.from_bytes(content[place : place + 2], "big")
    return len(content)


def _read_dpi(blocks: list[bytes]) -> tuple[float, float] | None:
    for block in blocks:
        if block[1] == _APP0 and block[4:9] == b"JFIF\0" and block[11:12] in (b"\1", b"\2"):
            # Unit 1 is per inch, 2 per centimetre; 0 states an aspect only.
            scale = 1.0 if block[11] == 1 else 2.54
            across, down = int.from_bytes(block[12:14], "big"), int.from_bytes(block[14:16], "big")
            return (scale * across, scale * down) if across and down else None
    return None
