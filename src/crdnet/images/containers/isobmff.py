"""Boxes of AVIF and HEIC files, in which images and their metadata are numbered items.

Sources: ISO/IEC 14496-12 (boxes, items), ISO/IEC 23008-12 (HEIF: properties, Exif items), AV1 Image
File Format.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from crdnet.images.containers import colour, exif, tiff, xmp
from crdnet.images.containers.metadata import Content, FileMetadata, Metadata

_XMP_KIND = b"application/rdf+xml"
_IDENTITY_MATRIX = 0
# Matrix of BT.601 and full range, by which libheif codes colours where it does not say so.
_USUAL_MATRIX = 6, 0x80
# Content of each type of auxiliary image, for messages; alpha is kept and has no name here.
_AUXILIARY: Mapping[bytes, str] = {
    b"alpha": "",
    b"urn:mpeg:hevc:2015:auxid:1": "",
    b"auxid:2": "the depth map",
    b"depth": "the depth map",
    b"hdrgainmap": "the gain map",
    b"matte": "a matte",
}
_IMAGES = (b"av01", b"hvc1", b"grid", b"iovl", b"iden", b"jpeg", b"unci", b"avc1")
_MOST_SPANS = 20_000
_MOST_PROPERTIES = 100_000
# In one box; a HEIC of 100 megapixels has 400 items. Millions of empty boxes take seconds.
_MOST_BOXES = 20_000
# Boxes of known content; the others are cleared to remove the location.
_KNOWN_BOXES = (b"ftyp", b"meta", b"mdat", b"free", b"skip", b"wide", b"pdin")
# EXIF orientation as (quarter turns counterclockwise, mirrored: 0 top and bottom, 1 left and
# right), turned first, by HEIF's annex on EXIF.
_TURNS: Mapping[int, tuple[int, int | None]] = {
    1: (0, None),
    2: (0, 1),
    3: (2, None),
    4: (0, 0),
    5: (1, 0),
    6: (3, None),
    7: (3, 0),
    8: (1, None),
}


@dataclass(frozen=True)
class Coding:
    """Coding of the main image."""

    width: int
    """Width in coded samples of the largest image in the file, before a crop."""
    height: int
    bits: int = 8
    grey: bool = False
    subsampling: str = "4:4:4"
    orientation: int = 1
    """EXIF value, from the properties of the file, which take precedence over its EXIF."""
    identity: bool = False
    """True if the colours are stored as red, green and blue, as lossless files store them."""
    cropped: bool = False
    """True if a clean aperture crops the image."""


@dataclass
class _Item:
    kind: bytes
    content_kind: bytes = b""
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Spans of the content of the item in the file: (first byte, number of bytes)."""


@dataclass
class _Meta:
    """Parsed content of the meta box."""

    begin: int
    end: int
    primary: int = 0
    data: tuple[int, int] | None = None
    """Start and end offset of the items inside the box itself; None if there are none."""
    items: dict[int, _Item] = field(default_factory=dict)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Properties as (kind, payload)."""
    associations: dict[int, list[int]] = field(default_factory=dict)
    """Indices into `properties`, counted from 1, by item."""
    references: list[tuple[bytes, int, tuple[int, ...]]] = field(default_factory=list)
    """References as (kind, source item, target items)."""

    def list_properties(self, item: int) -> list[tuple[bytes, bytes]]:
        """Return the properties of an item as (kind, payload)."""
        places = self.associations.get(item, ())
        return [self.properties[at - 1] for at in places if 0 < at <= len(self.properties)]


def is_sequence(content: Content) -> bool:
    """Return whether the file is primarily a sequence of images."""
    return content[8:12] in (b"avis", b"hevc", b"hevx", b"msf1")


def read_brands(content: Content) -> set[bytes]:
    """Return the brands that the file declares."""
    size = min(int.from_bytes(content[:4], "big"), 512)
    return {bytes(content[8:12]), *(bytes(content[at : at + 4]) for at in range(16, size, 4))}


def read_coding(content: Content) -> Coding:
    """Return the coding of the main image.

    Raises:
        ValueError: There is no image, or the boxes are damaged.
    """
    meta = _find_meta(content)
    sizes = [
        struct.unpack_from(">II", body, 4)
        for kind, body in meta.properties
        if kind == b"ispe" and len(body) >= 12
    ]
    if not sizes:
        raise ValueError("no image in it")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    own = meta.list_properties(meta.primary)
    av1 = next((body for kind, body in own if kind == b"av1C" and len(body) >= 4), None)
    if av1 is None:  # the image is a grid of tiles, each with its own configuration
        av1 = next(
            (body for kind, body in meta.properties if kind == b"av1C" and len(body) >= 4),
            b"\x81\0\x0c\0",
        )
    # Byte 2 of av1C: 0x40 high bit depth, 0x20 twelve bits, 0x10 monochrome, 0x0C subsampling.
    flags = av1[2]
    nclx = _find_codes(own)
    return Coding(
        width=width,
        height=height,
        bits=12 if flags & 0x20 else 10 if flags & 0x40 else 8,
        grey=bool(flags & 0x10),
        subsampling={0x00: "4:4:4", 0x08: "4:2:2", 0x0C: "4:2:0"}.get(flags & 0x0C, "4:4:4"),
        orientation=_read_orientation(dict(own)),
        identity=nclx is not None and nclx[2] == _IDENTITY_MATRIX,
        cropped=any(kind == b"clap" for kind, _ in own),
    )


def read_metadata(content: bytes) -> FileMetadata:
    """Return the metadata of an AVIF or HEIC file."""
    meta = _find_meta(content)
    left = _list_further_images(meta)
    around = {"exif": b"", "xmp": b"", "icc": b""}
    for item in meta.items.values():
        if item.kind == b"Exif" and not around["exif"]:
            plain = _read_item(content, item)
            around["exif"], had = exif.remove_thumbnail(plain[_find_exif(plain) :])
            left += ["the thumbnail in EXIF"] * had
        elif item.content_kind == _XMP_KIND and not around["xmp"]:
            around["xmp"] = xmp.remove_announcements(_read_item(content, item))
    own = meta.list_properties(meta.primary)
    for kind, body in own:
        if kind == b"colr" and body[:4] in (b"prof", b"rICC"):
            around["icc"] = body[4:]
    codes = _find_codes(own)
    colours = codes and colour.build_space_of_codes(codes[0], codes[1])
    left += [
        "the HDR metadata of light levels" for kind, _ in own if kind in (b"clli", b"mdcv", b"amve")
    ]
    left += [f"the box {_decode_kind(kind)}" for kind, *_ in _list_unknown_boxes(content)]
    found = Metadata(around["exif"], around["xmp"], around["icc"], colours=colours)
    return FileMetadata((), found, tuple(dict.fromkeys(left)))


def _find_codes(properties: list[tuple[bytes, bytes]]) -> tuple[int, int, int] | None:
    """Return the codes of primaries, transfer and matrix; None if there are none."""
    for kind, body in properties:
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 10:
            return cast(tuple[int, int, int], struct.unpack_from(">HHH", body, 4))
    return None


def _list_further_images(meta: _Meta) -> list[str]:
    """Return the names of the images besides the main image."""
    names = ["the gain map"] * any(item.kind == b"tmap" for item in meta.items.values())
    parts = {meta.primary}
    for kind, item, others in meta.references:
        if kind == b"dimg":
            parts.update(others)
        elif kind == b"thmb":
            parts.add(item)
            names.append("the thumbnail")
        elif kind == b"auxl":
            parts.add(item)
            names.append(_name_auxiliary(meta, item))
    rest = [number for number, item in meta.items.items() if item.kind in _IMAGES]
    names += ["further images"] * any(number not in parts for number in rest)
    return [name for name in names if name]


def _name_auxiliary(meta: _Meta, item: int) -> str:
    told = next((body[4:] for kind, body in meta.list_properties(item) if kind == b"auxC"), b"")
    for mark, name in _AUXILIARY.items():
        if mark in told:
            return name
    return "an auxiliary image"


def _list_unknown_boxes(content: Content) -> list[tuple[bytes, int, int, int]]:
    """Return (kind, start, start of the payload, end) of the boxes of unknown content."""
    return [box for box in _iterate_boxes(content, 0, len(content)) if box[0] not in _KNOWN_BOXES]


def _decode_kind(kind: bytes) -> str:
    return kind.decode("latin-1")


def list_lost(around: Metadata) -> list[str]:
    """Return the names of metadata of another format that no item can hold."""
    return ["IPTC"] if around.photoshop else []


def add_metadata(content: bytes, around: Metadata, orientation: int) -> bytes:
    """Return the AVIF of an encoder, which holds only pixels, with metadata and orientation."""
    codes = around.colours and around.colours.codes
    content = _replace_codes(content, *codes) if codes else content
    meta = _find_meta(content)
    tells_codes = _find_codes(meta.list_properties(meta.primary)) is not None
    new = [(b"Exif", b"", b"\0\0\0\0" + around.exif)] if around.exif else []
    new += [(b"mime", _XMP_KIND, around.xmp)] if around.xmp else []
    properties = [(b"colr", b"prof" + around.icc, False)] if around.icc else []
    if codes and not tells_codes:
        properties.append((b"colr", b"nclx" + struct.pack(">HHHB", *codes, *_USUAL_MATRIX), False))
    turns, mirror = _TURNS[orientation]
    properties += [(b"irot", bytes((turns,)), True)] if turns else []
    properties += [(b"imir", bytes((mirror,)), True)] if mirror is not None else []
    return _insert_items(content, new, properties) if new or properties else content


def _insert_items(
    content: bytes,
    new: list[tuple[bytes, bytes, bytes]],
    properties: list[tuple[bytes, bytes, bool]],
) -> bytes:
    """Return the AVIF of an encoder with additional items and properties.

    The contents of the items are appended to the file. The boxes that describe items grow, and all
    offsets in the file are adjusted.

    Args:
        content: The file.
        new: Items that describe the image, as (kind, kind of content, content).
        properties: Properties of the image, as (kind, payload, whether a reader must know it).
    """
    meta = _find_meta(content)
    first = max(meta.items) + 1
    numbered = [(first + at, *item) for at, item in enumerate(new)]
    data = b"".join(plain for *_, plain in numbered)
    images = [number for number, item in meta.items.items() if item.kind in (b"av01", b"grid")]

    def rebuild(grown: int) -> bytes:
        parts, has_references = [content[meta.begin + 8 : meta.begin + 12]], False
        for kind, begin, body, end in _iterate_boxes(content, meta.begin + 12, meta.end):
            plain = content[body:end]
            if kind == b"iloc":
                plain = _add_places(meta, numbered, grown, len(content) + 8)
            elif kind == b"iinf":
                plain = _add_items(plain, numbered)
            elif kind == b"iref":
                has_references = True
                plain += b"".join(_pack_reference(number, meta.primary) for number, *_ in numbered)
            elif kind == b"iprp":
                plain = _add_properties(content, body, end, properties, meta.primary, images)
            parts.append(
                content[begin:end] if plain == content[body:end] else _pack_box(kind, plain)
            )
        if numbered and not has_references:
            parts.append(
                _pack_box(
                    b"iref",
                    b"\0\0\0\0" + b"".join(_pack_reference(n, meta.primary) for n, *_ in numbered),
                )
            )
        return _pack_box(b"meta", b"".join(parts))

    grown = len(rebuild(0)) - (meta.end - meta.begin)
    tail = _pack_box(b"mdat", data) if data else b""
    return b"".join((content[: meta.begin], rebuild(grown), content[meta.end :], tail))


def remove_location(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a file of the same length without the location, and the names of other removed data.

    Items and boxes of unknown content become zeros.

    Raises:
        ValueError: The data that may hold the location cannot be found.
    """
    edited, left = bytearray(content), list[str]()
    meta = _find_meta(content)
    _check_apart(content, meta)
    for item in meta.items.values():
        if item.kind in _IMAGES or item.kind == b"tmap":
            continue
        plain = _read_item(content, item)
        if not item.spans:
            raise ValueError(f"an item {_decode_kind(item.kind)} lies where it cannot be read")
        kept = bytes(len(plain))
        if item.kind == b"Exif":
            kept = _remove_exif_location(plain, left)
        elif item.content_kind == _XMP_KIND:
            kept = xmp.remove_location(plain)
        else:
            left.append(f"the item {_decode_kind(item.kind)}")
        begin = 0
        for place, size in item.spans:
            edited[place : place + size] = kept[begin : begin + size]
            begin += size
    last = 0
    for kind, begin, body, end in _iterate_boxes(content, 0, len(content)):
        last = end
        if kind not in _KNOWN_BOXES:
            edited[begin + 4 : begin + 8] = b"free"
            edited[body:end] = bytes(end - body)
            left.append(f"the box {_decode_kind(kind)}")
    edited[last:] = bytes(len(edited) - last)
    return bytes(edited), tuple(dict.fromkeys(left))


def _check_apart(content: Content, meta: _Meta) -> None:
    """Raise a ValueError if items share bytes, or lie in boxes that are edited or in none."""
    data = meta.data or (meta.end, meta.end)
    spans = [(meta.begin, data[0]), (data[1], meta.end)]
    spans += [(place, place + size) for item in meta.items.values() for place, size in item.spans]
    spans += [(begin, end) for _, begin, _, end in _list_unknown_boxes(content)]
    last, stop = 0, max(end for *_, end in _iterate_boxes(content, 0, len(content)))
    for begin, end in sorted(span for span in spans if span[0] < span[1]):
        if begin < last or end > stop:
            raise ValueError("its items share bytes, or lie outside its boxes")
        last = end


def _remove_exif_location(plain: bytes, left: list[str]) -> bytes:
    """Return the content of an Exif item without the location; empty EXIF if it is unreadable."""
    begin = _find_exif(plain)
    try:
        edited, gone = exif.remove_location(plain[begin:])
    except ValueError:
        left.append("EXIF that cannot be read")
        return (b"\0\0\0\0" + tiff.pack_structure({})).ljust(len(plain), b"\0")[: len(plain)]
    left += gone
    return plain[:begin] + edited


def _find_meta(content: Content) -> _Meta:
    for kind, begin, body, end in _iterate_boxes(content, 0, len(content)):
        if kind == b"meta":
            try:
                meta = _read_meta(content, begin, body + 4, end)
            except (struct.error, IndexError) as error:
                raise ValueError("its boxes are damaged") from error
            others = (item for item in meta.items.values() if item.kind not in _IMAGES)
            if sum(size for item in others for _, size in item.spans) > len(content):
                raise ValueError("its items are larger than the file")
            return meta
    raise ValueError("no image in it")


def _read_meta(content: Content, begin: int, body: int, end: int) -> _Meta:
    meta = _Meta(begin, end)
    inside = {kind: (start, stop) for kind, _, start, stop in _iterate_boxes(content, body, end)}
    if b"pitm" in inside:
        start, stop = inside[b"pitm"]
        meta.primary = int.from_bytes(content[start + 4 : stop], "big")
    if b"iinf" in inside:
        start, stop = inside[b"iinf"]
        for kind, _, at, last in _iterate_boxes(
            content, start + (6 if content[start] == 0 else 8), stop
        ):
            if kind == b"infe" and content[at] in (2, 3):
                wide = 4 if content[at] == 3 else 2
                number = int.from_bytes(content[at + 4 : at + 4 + wide], "big")
                rest = at + 4 + wide + 2
                names = bytes(content[rest + 4 : last]).split(b"\0")
                meta.items[number] = _Item(
                    bytes(content[rest : rest + 4]), names[1] if len(names) > 1 else b""
                )
    if b"iref" in inside:
        meta.references = _read_references(content, *inside[b"iref"])
    if b"iloc" in inside:
        meta.data = inside.get(b"idat")
        _read_places(content, meta, inside[b"iloc"][0], (meta.data or (0, 0))[0])
    if b"iprp" in inside:
        for kind, _, at, last in _iterate_boxes(content, *inside[b"iprp"]):
            if kind == b"ipco":
                meta.properties = [
                    (name, bytes(content[a:b]))
                    for name, _, a, b in _iterate_boxes(content, at, last)
                ]
            elif kind == b"ipma":
                _read_associations(content, meta, at)
    return meta


def _read_references(
    content: Content, begin: int, end: int
) -> list[tuple[bytes, int, tuple[int, ...]]]:
    wide = 4 if content[begin] else 2
    found = []
    if end - begin > 4 * _MOST_SPANS:
        raise ValueError("it has too many references")
    for kind, _, at, last in _iterate_boxes(content, begin + 4, end):
        numbers = [
            int.from_bytes(content[place : place + wide], "big")
            for place in (at, *range(at + wide + 2, last, wide))
        ]
        found.append((kind, numbers[0], tuple(numbers[1:])))
    return found


def _read_places(content: Content, meta: _Meta, at: int, data: int) -> None:
    version = content[at]
    sizes = content[at + 4], content[at + 5]
    # Version 0 has no index; version 2 numbers items in four bytes.
    offset_bytes, length_bytes, base_bytes = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4
    index_bytes = sizes[1] & 15 if version else 0
    wide = 4 if version == 2 else 2
    place = at + 6

    def number(size: int) -> int:
        nonlocal place
        place += size
        if place > len(content):
            raise ValueError("its boxes reach beyond the file")
        return int.from_bytes(content[place - size : place], "big")

    left = _MOST_SPANS
    for _ in range(number(wide)):
        item = number(wide)
        method = number(2) & 15 if version else 0
        number(2)
        base = number(base_bytes)
        spans = number(2)
        left -= spans + 1  # without bytes for offsets and lengths, few bytes declare many spans
        if left < 0:
            raise ValueError("it has too many items")
        for _ in range(spans):
            number(index_bytes)
            span = (
                base + number(offset_bytes) + (data if method == 1 else 0),
                number(length_bytes),
            )
            # Method 0 counts from the start of the file, 1 from that of idat.
            if item in meta.items and method in (0, 1):
                meta.items[item].spans.append(span)


def _read_associations(content: Content, meta: _Meta, at: int) -> None:
    wide, long = (4 if content[at] else 2), content[at + 3] & 1
    (count,) = struct.unpack_from(">I", content, at + 4)
    place, left = at + 8, _MOST_PROPERTIES
    for _ in range(count):
        item, many = int.from_bytes(content[place : place + wide], "big"), content[place + wide]
        left -= many + 1
        if left < 0:
            raise ValueError("it has too many properties")
        place += wide + 1
        size = 2 if long else 1
        # The highest bit marks a property that a reader must know.
        mask = 0x7FFF if long else 0x7F
        meta.associations.setdefault(item, []).extend(
            int.from_bytes(content[place + i * size : place + (i + 1) * size], "big") & mask
            for i in range(many)
        )
        place += many * size


def _add_places(
    meta: _Meta, new: list[tuple[int, bytes, bytes, bytes]], grown: int, data: int
) -> bytes:
    """Return a new payload of iloc, with file offsets of four bytes and without base offsets."""
    count = len(meta.items) + len(new)
    parts = [b"\0\0\0\0\x44\0" + struct.pack(">H", count)]
    for number, item in meta.items.items():
        parts.append(struct.pack(">HHH", number, 0, len(item.spans)))
        parts += [struct.pack(">II", place + grown, size) for place, size in item.spans]
    for number, *_, plain in new:
        parts.append(struct.pack(">HHHII", number, 0, 1, data + grown, len(plain)))
        data += len(plain)
    return b"".join(parts)


def _add_items(plain: bytes, new: list[tuple[int, bytes, bytes, bytes]]) -> bytes:
    wide = 2 if plain[0] == 0 else 4
    count = int.from_bytes(plain[4 : 4 + wide], "big") + len(new)
    entries = [
        _pack_box(
            b"infe",
            b"\x02\0\0\x01"
            + struct.pack(">HH", number, 0)
            + kind
            + b"\0"
            + (mime + b"\0" if mime else b""),
        )
        for number, kind, mime, _ in new
    ]
    return b"".join((plain[:4], count.to_bytes(wide, "big"), plain[4 + wide :], *entries))


def _add_properties(
    content: bytes,
    body: int,
    end: int,
    new: list[tuple[bytes, bytes, bool]],
    primary: int,
    images: list[int],
) -> bytes:
    parts, count = [], 0
    for kind, _, at, last in _iterate_boxes(content, body, end):
        plain = content[at:last]
        if kind == b"ipco":
            count = sum(1 for _ in _iterate_boxes(content, at, last))
            plain += b"".join(_pack_box(name, payload) for name, payload, _ in new)
        elif kind == b"ipma":
            # The alpha channel rotates with its image; only the image has the profile.
            added = {
                item: [
                    0x80 * must | (count + 1 + i)
                    for i, (name, _, must) in enumerate(new)
                    if must or item == primary
                ]
                for item in images
            }
            plain = _add_associations(plain, added)
        parts.append(_pack_box(kind, plain))
    return b"".join(parts)


def _add_associations(plain: bytes, added: dict[int, list[int]]) -> bytes:
    """Return the payload of ipma with associations added; only the form of our encoders is read."""
    if plain[0] != 0 or plain[3] & 1:
        raise ValueError("an encoder that counts its properties in two bytes")
    out, place = [plain[:8]], 8
    for _ in range(struct.unpack(">I", plain[4:8])[0]):
        item, many = struct.unpack(">HB", plain[place : place + 3])
        more = added.get(item, [])
        out += [
            struct.pack(">HB", item, many + len(more)),
            plain[place + 3 : place + 3 + many],
            bytes(more),
        ]
        place += 3 + many
    return b"".join(out)


def _replace_codes(content: bytes, primaries: int, transfer: int) -> bytes:
    """Replace the colour codes in the AVIF of an encoder, if any; return the new content."""
    edited, place = bytearray(content), 0
    while (place := content.find(b"colrnclx", place)) >= 0 and place < _find_meta(content).end:
        struct.pack_into(">HH", edited, place + 8, primaries, transfer)
        place += 8
    return bytes(edited)


def _pack_reference(number: int, primary: int) -> bytes:
    return _pack_box(b"cdsc", struct.pack(">HHH", number, 1, primary))


def _find_exif(plain: bytes) -> int:
    """Return the offset of the TIFF structure in the content of an Exif item."""
    # An Exif item begins with the offset of its TIFF header (ISO/IEC 23008-12, annex A).
    begin = 4 + int.from_bytes(plain[:4], "big")
    return begin + 6 if plain[begin:].startswith(exif.MARK) else begin


def _read_orientation(properties: dict[bytes, bytes]) -> int:
    turns = (properties.get(b"irot") or b"\0")[0] & 3
    mirror = properties[b"imir"][0] & 1 if properties.get(b"imir") else None
    # A half turn and mirroring equal mirroring along the other axis.
    told: Mapping[tuple[int, int | None], int] = {(2, 0): 2, (2, 1): 4, (1, 1): 7, (3, 1): 5}
    return told.get((turns, mirror)) or next(
        tag for tag, turn in _TURNS.items() if turn == (turns, mirror)
    )


def _read_item(content: bytes, item: _Item) -> bytes:
    return b"".join(content[place : place + size] for place, size in item.spans)


def _pack_box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", 8 + len(payload)) + kind + payload


def _iterate_boxes(content: Content, begin: int, end: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield (kind, start, start of the payload, end) of each box.

    Raises:
        ValueError: There are more boxes than any image needs.
    """
    left = _MOST_BOXES
    while begin + 8 <= end:
        left -= 1
        if left < 0:
            raise ValueError("it has more boxes than any image needs")
        size, kind = (
            int.from_bytes(content[begin : begin + 4], "big"),
            bytes(content[begin + 4 : begin + 8]),
        )
        body = begin + 8
        # Size 1 means that a size of 8 bytes follows, size 0 that the box ends with the file.
        if size == 1:
            size, body = int.from_bytes(content[begin + 8 : begin + 16], "big"), begin + 16
        stop = end if size == 0 else begin + size
        if stop < body or stop > end or kind == b"\0\0\0\0":
            return
        yield kind, begin, body, stop
        begin = stop
