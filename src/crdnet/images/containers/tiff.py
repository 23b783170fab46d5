"""Tags of TIFF files and of EXIF, which is a TIFF structure.

A TIFF file is a chain of directories, one for each page. A directory is a table of numbered, typed
values, some of which are directories themselves (EXIF, GPS). Values are held and written in
little-endian order; those of a big-endian file are swapped one by one. The bytes of maker notes are
not swapped, because their layout is unknown.

Sources: TIFF 6.0 (Adobe, 1992), BigTIFF
(libtiff.gitlab.io/libtiff/specification/bigtiff.html), EXIF 2.32.
"""

import struct
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

import numpy as np

from crdnet.images.containers.metadata import Content, FileMetadata, Metadata
from crdnet.images.containers.photoshop import remove_resource_thumbnail

# Tags that point to directories.
EXIF, GPS, INTEROP = 0x8769, 0x8825, 0xA005
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 0x0100, 0x0101, 0x0102, 0x0103, 0x0106
ORIENTATION, SAMPLES, PREDICTOR, TILE_WIDTH, TILE_HEIGHT = 0x0112, 0x0115, 0x013D, 0x0142, 0x0143
EXTRA_SAMPLES, SAMPLE_FORMAT, SUBSAMPLING = 0x0152, 0x0153, 0x0212
STRIP_PLACES, ROWS_PER_STRIP, STRIP_BYTES, TILE_PLACES, TILE_BYTES = (
    0x0111,
    0x0116,
    0x0117,
    0x0144,
    0x0145,
)
XMP, IPTC, PHOTOSHOP, ICC = 0x02BC, 0x83BB, 0x8649, 0x8773
_PLANAR, _PREVIEW, _OLD_JPEG = 0x011C, 0x0201, 6
_SEPARATE, _YCBCR, _WHITE_IS_ZERO, _JPEG_CODED, _INKS = 2, 6, 0, 7, 5
# Compressions that are written again as they were: none, LZW, Deflate, PackBits.
_PLAIN_CODINGS = (1, 5, 8, 32946, 32773)
_COMPRESSIONS = {
    2: "CCITT",
    3: "CCITT group 3",
    4: "CCITT group 4",
    7: "JPEG",
    34712: "JPEG 2000",
    50001: "WebP",
}
# Samples per pixel below which there is grey.
_NO_COLOURS = 3
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_DIRECTORIES = {EXIF, GPS, INTEROP}
_PAGE_KIND = 0x00FE

BYTES_OF_KIND = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
BYTES_OF_KIND |= {16: 8, 17: 8, 18: 8}
"""Bytes of one value, by the types of TIFF 6.0 and, from 16, of BigTIFF."""
_WORD_OF_KIND = {5: 4, 10: 4}  # a fraction is two numbers, which are turned round one by one
_UNDEFINED, SHORT, LONG, LONG8 = 7, 3, 4, 16
_MOST_LONG = 2**32 - 1
_MAX_DIRECTORIES = 4096
_MAX_TAGS = 4096
# In all directories of a file; directories that share bytes could have millions.
_MAX_ENTRIES = 50_000

# Tags that describe how the pixels are stored; the encoder writes its own.
_OF_PIXELS = {
    *(
        *range(0x00FE, 0x0104),
        0x0106,
        0x010A,
        0x0111,
        *range(0x0115, 0x011A),
        0x011C,
        0x0120,
        0x0121,
    ),
    *(0x0124, 0x0125, 0x013D, *range(0x0140, 0x0146), *range(0x014C, 0x0156), 0x015B),
    *(*range(0x0200, 0x020A), *range(0x0211, 0x0215)),
}
_LEFT_BEHIND = {
    0x014A: "further images (SubIFDs)",
    0x935C: "Photoshop's layers",
    0xCD2D: "a signed history (C2PA)",
    0xCD41: "a signed history (C2PA)",
}
# Tags of metadata that other formats hold beside EXIF.
_AROUND = {"xmp": XMP, "icc": ICC, "photoshop": PHOTOSHOP}


@dataclass(frozen=True)
class Tag:
    """One value of a directory."""

    kind: int
    value: bytes
    """Bytes of the value, little-endian."""
    directory: "Mapping[int, Tag] | None" = None
    """Content of a tag that is a directory; `value` is then empty."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The values of a tag of whole numbers."""
        code = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(self.kind)
        if code is None:
            return ()
        return struct.unpack(f"<{len(self.value) // struct.calcsize(code)}{code}", self.value)


Tags = Mapping[int, Tag]


@dataclass(frozen=True)
class Layout:
    """Layout of a TIFF file."""

    order: str
    """Byte order in the notation of `struct`: < or >."""
    big: bool
    """True if offsets take eight bytes."""
    first: int
    """Offset of the first directory."""

    @property
    def count_bytes(self) -> int:
        """Number of bytes of the entry count of a directory."""
        return 8 if self.big else 2

    @property
    def entry_bytes(self) -> int:
        """Number of bytes of an entry of a directory."""
        return 20 if self.big else 12

    @property
    def word(self) -> str:
        """Code of an offset in the notation of `struct`."""
        return self.order + ("Q" if self.big else "I")


def read_layout(content: Content) -> Layout:
    """Return the layout in the header of a TIFF structure.

    Raises:
        ValueError: The content is not a TIFF structure.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(content[:2]))
    if order is None or len(content) < 8:
        raise ValueError("no TIFF structure")
    magic = struct.unpack_from(order + "H", content, 2)[0]
    # 42 is TIFF, 43 is BigTIFF.
    if magic == 43 and len(content) >= 16:
        return Layout(order, True, struct.unpack_from(order + "Q", content, 8)[0])
    if magic != 42:
        raise ValueError("no TIFF structure")
    return Layout(order, False, struct.unpack_from(order + "I", content, 4)[0])


def read_entries(
    content: Content, form: Layout, place: int
) -> tuple[list[tuple[int, int, int, int, int]], int]:
    """Return the entries of the directory at `place`, and the offset of its link to the next one.

    An entry is (number, kind, count, offset of the value, offset of the entry).

    Raises:
        ValueError: The directory reaches beyond the content.
    """
    if place <= 0 or place + form.count_bytes > len(content):
        raise ValueError("a directory lies outside the file")
    count = struct.unpack_from(form.order + ("Q" if form.big else "H"), content, place)[0]
    begin = place + form.count_bytes
    end = begin + count * form.entry_bytes
    if count > _MAX_TAGS or end > len(content):
        raise ValueError("a directory reaches beyond the file")
    found, entry = [], begin
    room = 8 if form.big else 4
    table = struct.iter_unpack(form.order + ("HHQQ" if form.big else "HHII"), content[begin:end])
    for number, kind, amount, where in table:
        is_inline = amount * BYTES_OF_KIND.get(kind, 1) <= room
        place = entry + form.entry_bytes - room if is_inline else where
        found.append((number, kind, amount, place, entry))
        entry += form.entry_bytes
    return found, end


def read_pages(content: Content) -> list[dict[int, Tag]]:
    """Return the directories of a TIFF structure, one for each page; damaged values are left out.

    Raises:
        ValueError: The content is not a TIFF structure, or its first directory is damaged.
    """
    form = read_layout(content)
    place, seen, found = form.first, set[int](), list[dict[int, Tag]]()
    reader = _Reader(content, form)
    while place and place not in seen and len(seen) < _MAX_DIRECTORIES:
        seen.add(place)
        try:
            found.append(reader.read(place, seen))
            place = read_next_place(content, form, place)
        except (ValueError, struct.error):
            if not found:
                raise ValueError("its first directory is damaged") from None
            break
    if not found:
        raise ValueError("it has no directory")
    return found


def read_flat_directory(
    content: Content, form: Layout, place: int, numbers: Container[int] | None = None
) -> dict[int, Tag]:
    """Return the tags of the directory at `place`; tags of inner directories stay offsets.

    Args:
        content: Content of the file.
        form: Layout of the file.
        place: Offset of the directory.
        numbers: The tags to return; None is all.

    Raises:
        ValueError: The directory reaches beyond the content.
    """
    return _Reader(content, form, numbers).read(place, None)


def read_next_place(content: Content, form: Layout, place: int) -> int:
    """Return the offset of the directory that follows the one at `place`, 0 if there is none.

    Raises:
        ValueError: The directory reaches beyond the content.
    """
    end = read_entries(content, form, place)[1]
    following: int = struct.unpack_from(form.word, content, end)[0]
    return following


def read_metadata(content: Content, *, with_icc: bool = True) -> FileMetadata:
    """Return the metadata of a TIFF file.

    The only block is a TIFF structure with the tags that do not describe pixels.
    """
    found = read_pages(content)
    tags = found[0]
    dropped = _OF_PIXELS | set(_LEFT_BEHIND) | (set() if with_icc else {ICC})
    left = [name for number, name in _LEFT_BEHIND.items() if number in tags]
    if _PREVIEW in tags and get_number(tags, COMPRESSION, 1) != _OLD_JPEG:
        left.append("the preview")
    if len(found) > 1:
        left.append("smaller copies of the image")
    kept = {number: tag for number, tag in tags.items() if number not in dropped}
    if PHOTOSHOP in kept:
        resources, had = remove_resource_thumbnail(kept[PHOTOSHOP].value)
        kept[PHOTOSHOP] = replace(kept[PHOTOSHOP], value=resources)
        left += ["the thumbnail of Photoshop"] * had
    xmp, icc, photoshop = (
        kept[number].value if number in kept else b"" for number in _AROUND.values()
    )
    described = {number: tag for number, tag in kept.items() if number not in _AROUND.values()}
    around = Metadata(
        exif=pack_structure(described) if described else b"",
        xmp=xmp,
        icc=icc,
        photoshop=photoshop,
        dpi=read_dpi(kept),
    )
    unnamed = _has_unnamed_channel(tags)
    if unnamed:  # an encoder would declare the channel as alpha
        kept[EXTRA_SAMPLES] = Tag(SHORT, b"\0\0")
    return FileMetadata(
        (pack_structure(kept),),
        around,
        tuple(dict.fromkeys(left)),
        IPTC in kept,
        recoded=_list_recoded(tags),
        has_unnamed_channel=unnamed,
    )


def has_separate_planes(tags: Tags) -> bool:
    """Return whether each colour is stored in a separate plane."""
    return get_number(tags, _PLANAR, 1) == _SEPARATE and get_number(tags, SAMPLES, 1) > 1


def holds_ycbcr(tags: Tags) -> bool:
    """Return whether samples are YCbCr; libtiff converts those of JPEG compression to RGB."""
    return (
        get_number(tags, PHOTOMETRIC, 1) == _YCBCR
        and get_number(tags, COMPRESSION, 1) != _JPEG_CODED
    )


def is_subsampled(tags: Tags) -> bool:
    """Return whether samples of YCbCr have less chroma than luma, which is the default."""
    return (get_numbers(tags, SUBSAMPLING, 2) or (2, 2)) != (1, 1)


def _has_unnamed_channel(tags: Tags) -> bool:
    samples, kind = get_number(tags, SAMPLES, 1), get_number(tags, PHOTOMETRIC, 1)
    colours = 4 if kind == _INKS else 3 if samples >= _NO_COLOURS else 1
    return samples == colours + 1 and get_number(tags, EXTRA_SAMPLES, 0) == 0


def _list_recoded(tags: Tags) -> tuple[str, ...]:
    """Return the names of codings of the pixels that the output will not have."""
    compression = get_number(tags, COMPRESSION, 1)
    kind = get_number(tags, PHOTOMETRIC, 1)
    found = []
    if compression not in _PLAIN_CODINGS:
        name = _COMPRESSIONS.get(compression, f"of number {compression}")
        found.append(f"the compression {name}, which becomes Deflate without further loss")
    if holds_ycbcr(tags):
        found.append("samples of YCbCr, which become RGB")
    if kind == _WHITE_IS_ZERO:
        found.append("grey in which white is 0, which becomes grey in which black is 0")
    if has_separate_planes(tags):
        found.append("separate planes, which become interleaved")
    return tuple(found)


def convert_to_tags(around: Metadata) -> dict[int, Tag]:
    """Return metadata of another format as tags."""
    tags = make_dpi_tags(around.dpi) if around.dpi else {}
    tags |= read_exif_tags(around.exif)
    values = {name: getattr(around, name) for name in _AROUND}
    return tags | {_AROUND[name]: Tag(_UNDEFINED, value) for name, value in values.items() if value}


def count_extra_pages(found: list[dict[int, Tag]]) -> int:
    """Count the pages after the first that are not smaller copies or masks of it."""
    # Bit 0 of NewSubfileType marks a smaller copy, bit 2 a mask.
    return sum(1 for page in found[1:] if not (get_number(page, _PAGE_KIND, 0) & 0b101))


def read_exif_tags(exif: bytes) -> dict[int, Tag]:
    """Return the first directory of EXIF as tags of a file; empty if it is damaged.

    Tags about pixels are left out, and tags with values that make readers refuse a file.
    """
    try:
        tags = read_pages(exif)[0]
    except ValueError:
        return {}
    for number, allowed in ((ORIENTATION, range(1, 9)), (_RESOLUTION_UNIT, range(1, 4))):
        if number in tags and get_number(tags, number, 0) not in allowed:
            del tags[number]
    return {number: tag for number, tag in tags.items() if number not in _OF_PIXELS}


def is_structure(content: bytes) -> bool:
    """Return whether a TIFF structure can be read."""
    try:
        read_pages(content)
    except ValueError:
        return False
    return True


def read_dpi(tags: Tags) -> tuple[float, float] | None:
    """Return the pixels per inch that tags state; None if they state none."""
    # Unit 2, the default, is the inch, 3 the centimetre; 1 states an aspect only.
    scale = {2: 1.0, 3: 2.54}.get(get_number(tags, _RESOLUTION_UNIT, 2))
    if scale is None or _X_RESOLUTION not in tags or _Y_RESOLUTION not in tags:
        return None
    values = []
    for number in (_X_RESOLUTION, _Y_RESOLUTION):
        if tags[number].kind != 5 or len(tags[number].value) != 8:
            return None
        above, below = struct.unpack("<II", tags[number].value)
        values.append(scale * above / below if below else 0.0)
    return (values[0], values[1]) if min(values) > 0 else None


def make_dpi_tags(dpi: tuple[float, float]) -> dict[int, Tag]:
    """Return the tags that state pixels per inch."""
    across, down = (struct.pack("<II", min(round(value * 100), _MOST_LONG), 100) for value in dpi)
    unit = Tag(SHORT, struct.pack("<H", 2))
    return {_X_RESOLUTION: Tag(5, across), _Y_RESOLUTION: Tag(5, down), _RESOLUTION_UNIT: unit}


def pack_structure(tags: Tags) -> bytes:
    """Return a TIFF structure of one directory."""
    return b"II*\0\x08\0\0\0" + pack_directory(tags, 8, big=False)


def insert_tags(content: bytes, tags: Tags) -> bytes:
    """Add tags to a little-endian TIFF file of one page, or replace them; return the content."""
    form = read_layout(content)
    own = read_flat_directory(content, form, form.first)
    place = len(content) + len(content) % 2
    written = pack_directory(drop_defaults(own) | dict(tags), place, big=form.big)
    content = content + b"\0" * (place - len(content)) + written
    at = 8 if form.big else 4
    return content[:at] + struct.pack(form.word, place) + content[at + struct.calcsize(form.word) :]


def drop_defaults(tags: Tags) -> dict[int, Tag]:
    """Return the tags of an encoder without its default orientation and resolution."""
    defaults = (ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT)
    return {number: tag for number, tag in tags.items() if number not in defaults}


class _Reader:
    """Reader of the directories of one file.

    Once the values read are together as large as the file, further values are left out: they share
    bytes, by which a small file could declare huge values.
    """

    def __init__(
        self, content: Content, form: Layout, numbers: Container[int] | None = None
    ) -> None:
        self._content, self._form, self._numbers = content, form, numbers
        self._bytes_left, self._entries_left = len(content), _MAX_ENTRIES

    def read(self, place: int, seen: set[int] | None) -> dict[int, Tag]:
        """Return the values of a directory.

        Args:
            place: Offset of the directory.
            seen: Offsets of directories that were read; None leaves inner directories as offsets.
        """
        found = dict[int, Tag]()
        listed = read_entries(self._content, self._form, place)[0]
        self._entries_left -= len(listed)
        if self._entries_left < 0:
            raise ValueError("it has more tags than any image needs")
        for number, kind, count, where, _ in listed:
            size = count * BYTES_OF_KIND.get(kind, 0)
            if self._numbers is not None and number not in self._numbers:
                continue
            if size == 0 or where + size > len(self._content) or size > self._bytes_left:
                continue
            self._bytes_left -= size
            # IPTC is a string of bytes that many programs declare to be numbers.
            order = "<" if number == IPTC else self._form.order
            tag = Tag(kind, _swap_bytes(bytes(self._content[where : where + size]), kind, order))
            if number not in _DIRECTORIES or seen is None:
                found[number] = tag
            elif (inner := self._read_inner(tag, seen)) is not None:
                found[number] = inner
        return found

    def _read_inner(self, pointer: Tag, seen: set[int]) -> Tag | None:
        places = pointer.numbers if len(pointer.value) <= 8 else ()
        if len(places) != 1 or places[0] in seen:
            return None
        seen.add(places[0])
        try:
            return Tag(LONG, b"", self.read(places[0], seen))
        except (ValueError, struct.error):
            return None


def _swap_bytes(value: bytes, kind: int, order: str) -> bytes:
    """Return a value in little-endian order."""
    word = _WORD_OF_KIND.get(kind, BYTES_OF_KIND[kind])
    if order == "<" or word == 1:
        return value
    return np.frombuffer(value, f"u{word}").byteswap().tobytes()


def pack_directory(tags: Tags, place: int, *, big: bool) -> bytes:
    """Return the bytes of a directory at offset `place`, followed by the data that it points to."""
    form = Layout("<", big, place)
    numbers = sorted(tags)
    head = form.count_bytes + len(numbers) * form.entry_bytes + struct.calcsize(form.word)
    table, behind = [struct.pack("<Q" if big else "<H", len(numbers))], b""
    room = 8 if big else 4
    for number in numbers:
        tag = tags[number]
        kind, value = tag.kind, tag.value
        if tag.directory is not None:
            behind += b"\0" * ((place + head + len(behind)) % 2)
            at = place + head + len(behind)
            behind += pack_directory(tag.directory, at, big=big)
            kind, value = (LONG8, struct.pack("<Q", at)) if big else (LONG, struct.pack("<I", at))
        count = len(value) // BYTES_OF_KIND[kind]
        if len(value) > room:
            behind += b"\0" * ((place + head + len(behind)) % 2)
            at = place + head + len(behind)
            behind += value
            value = struct.pack(form.word, at)
        table.append(
            struct.pack("<HH", number, kind)
            + struct.pack(form.word, count)
            + value.ljust(room, b"\0")
        )
    return b"".join((*table, struct.pack(form.word, 0), behind))


def get_number(tags: Tags, number: int, otherwise: int) -> int:
    """Return the first value of an integer tag, or `otherwise` if there is no such tag."""
    return next(iter(get_numbers(tags, number, 1)), otherwise)


def get_numbers(tags: Tags, number: int, most: int) -> tuple[int, ...]:
    """Return at most `most` values of an integer tag; empty if there is no such tag."""
    if number not in tags:
        return ()
    tag = tags[number]
    return replace(tag, value=tag.value[: most * BYTES_OF_KIND[tag.kind]]).numbers
