"""Edits of EXIF that move no other byte, so that offsets in maker notes stay valid."""

import struct
from collections.abc import Callable, Mapping
from contextlib import suppress

from crdnet.images.containers import tiff, xmp
from crdnet.images.containers.photoshop import remove_iptc_location, remove_resource_location

MARK = b"Exif\0\0"
# JPEGInterchangeFormat and its length, StripOffsets and StripByteCounts: a thumbnail is a JPEG or
# raw strips.
_THUMBNAIL, _THUMBNAIL_BYTES = 0x0201, 0x0202
_STRIPS, _STRIP_BYTES = 0x0111, 0x0117
_MAKER_NOTE = 0x927C
# Tags that hold the location or may hold it in an unknown form, with their names in messages.
_OPAQUE: Mapping[int, str] = {
    _MAKER_NOTE: "the maker note",
    **dict.fromkeys(
        (0x830E, 0x8480, 0x8482, 0x85D8, 0x87AF, 0x87B0, 0x87B1, 0xA480, 0xC69C),
        "the map coordinates (GeoTIFF)",
    ),
    **dict.fromkeys((0x935C,), "Photoshop's layers"),
    **dict.fromkeys((0xCD2D, 0xCD41), "a signed history (C2PA)"),
}
# Tags that may hold the location among other data.
_EDITED: Mapping[int, Callable[[bytes], bytes]] = {
    tiff.XMP: xmp.remove_location,
    tiff.IPTC: remove_iptc_location,
    tiff.PHOTOSHOP: remove_resource_location,
}
# SubIFDs (TIFF technical note 1): full-size raw images and previews.
_SUB_DIRECTORIES = 0x014A
_MOST_DIRECTORIES = 64


def remove_thumbnail(exif: bytes) -> tuple[bytes, bool]:
    """Return EXIF without its thumbnail, which shows the rain, and whether there was one.

    The directory and the pixels of the thumbnail become zeros, and zeros at the end are cut off.
    EXIF that cannot be read is returned unchanged.
    """
    try:
        form = tiff.read_layout(exif)
        end = tiff.read_entries(exif, form, form.first)[1]
        place = struct.unpack_from(form.word, exif, end)[0]
        if not place:
            return exif, False
        edited = bytearray(exif)
        struct.pack_into(form.word, edited, end, 0)
        with suppress(ValueError, struct.error):  # a damaged directory is only unlinked
            _blank_thumbnail(edited, exif, form, place)
    except (ValueError, struct.error):
        return exif, False
    return bytes(edited), True


def has_maker_note(exif: bytes) -> bool:
    """Return whether EXIF has a maker note; most maker notes hold offsets into the EXIF."""
    inner = tiff.read_exif_tags(exif).get(tiff.EXIF)
    return inner is not None and _MAKER_NOTE in (inner.directory or {})


def set_orientation(exif: bytes, orientation: int, *, always: bool = False) -> bytes:
    """Set the orientation in EXIF, in place if the tag exists; return the EXIF.

    Args:
        exif: A TIFF structure; may be empty.
        orientation: 1 to 8.
        always: Whether to add a tag for 1, which is the default, too.
    """
    if not exif and orientation == 1 and not always:
        return exif
    value = struct.pack("<H", orientation)
    try:
        form = tiff.read_layout(exif)
        for number, kind, _, where, _ in tiff.read_entries(exif, form, form.first)[0]:
            if number == tiff.ORIENTATION and kind == tiff.SHORT:
                return exif[:where] + struct.pack(form.order + "H", orientation) + exif[where + 2 :]
    except (ValueError, struct.error):
        return tiff.pack_structure({tiff.ORIENTATION: tiff.Tag(tiff.SHORT, value)})
    if orientation == 1 and not always:
        return exif
    return tiff.pack_structure(
        tiff.read_pages(exif)[0] | {tiff.ORIENTATION: tiff.Tag(tiff.SHORT, value)}
    )


def remove_location(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Remove the location from EXIF or a TIFF file; return it and the names of other removed data.

    The length stays the same. Maker notes are removed, because their content is unknown.

    Raises:
        ValueError: The structure cannot be read.
    """
    cleaner = _Cleaner(content)
    cleaner.clean()
    return bytes(cleaner.edited), tuple(dict.fromkeys(cleaner.left))


def _blank_thumbnail(edited: bytearray, exif: bytes, form: tiff.Layout, place: int) -> None:
    found, end = tiff.read_entries(exif, form, place)
    spans = [(place, end + struct.calcsize(form.word))]
    values = {number: (kind, count, where) for number, kind, count, where, _ in found}
    for start, size in ((_THUMBNAIL, _THUMBNAIL_BYTES), (_STRIPS, _STRIP_BYTES)):
        if start in values and size in values:
            first, many = (_read_first_number(exif, form, *values[tag]) for tag in (start, size))
            spans.append((first, first + many))
    for begin, stop in spans:
        if 8 <= begin <= stop <= len(edited):
            edited[begin:stop] = bytes(stop - begin)
    last = max(stop for _, stop in spans)
    if last >= len(edited) - 1:  # there may be one byte of padding
        del edited[min(begin for begin, stop in spans if _reaches(spans, begin, last)) :]


def _reaches(spans: list[tuple[int, int]], begin: int, last: int) -> bool:
    """Return whether spans cover all bytes between `begin` and `last`."""
    at = begin
    for start, stop in sorted(spans):
        if start <= at + 1 <= stop + 1 and start >= begin:
            at = max(at, stop)
    return at >= last


def _read_first_number(exif: bytes, form: tiff.Layout, kind: int, _count: int, where: int) -> int:
    number: int = struct.unpack_from(form.order + {3: "H", 4: "I"}.get(kind, "I"), exif, where)[0]
    return number


class _Cleaner:
    """Editor that removes the location from EXIF or a TIFF file.

    Attributes:
        edited: The edited content, of the same length.
        left: Names of data that was removed as a whole.
    """

    def __init__(self, content: bytes) -> None:
        self.edited, self.left = bytearray(content), list[str]()
        self._form = tiff.read_layout(content)
        self._bytes_left = len(content)

    def clean(self) -> None:
        """Remove the location from all directories.

        Raises:
            ValueError: The first directory is damaged, or there are more directories than any file
                needs.
        """
        seen, places = set[int](), [self._form.first]
        while places:
            place = places.pop()
            if place in seen:
                continue
            seen.add(place)
            if len(seen) > _MOST_DIRECTORIES:
                raise ValueError("it has too many directories")
            try:
                places += self._clean_directory(place)
            except _SharedError:
                raise
            except (ValueError, struct.error):
                if place == self._form.first:
                    raise ValueError("its first directory is damaged") from None

    def _clean_directory(self, place: int) -> list[int]:
        """Clean one directory; return the directories that it points to."""
        edited, form = self.edited, self._form
        found, end = tiff.read_entries(edited, form, place)
        pointed = [struct.unpack_from(form.word, edited, end)[0]]
        for number, kind, count, where, _ in found:
            if number in (tiff.EXIF, _SUB_DIRECTORIES):
                pointed += _read_numbers(edited, form, kind, count, where)
            elif number == tiff.GPS:
                for inner in _read_numbers(edited, form, kind, count, where):
                    with suppress(struct.error):  # the offset may be outside the file
                        self._blank_directory(inner)
            elif number in _OPAQUE:
                self.left.append(_OPAQUE[number])
                self._blank(self._span(kind, count, where))
            elif number in _EDITED:
                span = self._span(kind, count, where)
                edited[span] = _EDITED[number](bytes(edited[span]))
        kept = [
            bytes(edited[entry : entry + form.entry_bytes])
            for number, *_, entry in found
            if number != tiff.GPS and number not in _OPAQUE
        ]
        if len(kept) < len(found):
            begin, stop = place + form.count_bytes, end + struct.calcsize(form.word)
            table = b"".join((*kept, edited[end:stop]))
            edited[begin:stop] = table.ljust(stop - begin, b"\0")
            struct.pack_into(form.order + ("Q" if form.big else "H"), edited, place, len(kept))
        return [each for each in pointed if each]

    def _blank_directory(self, place: int) -> None:
        try:
            found, end = tiff.read_entries(self.edited, self._form, place)
        except ValueError:
            return
        for _, kind, count, where, _ in found:
            self._blank(self._span(kind, count, where))
        self._blank(slice(place, end))

    def _blank(self, span: slice) -> None:
        self.edited[span] = bytes(len(self.edited[span]))

    def _span(self, kind: int, count: int, where: int) -> slice:
        """Return the slice of the bytes of a value.

        Raises:
            _SharedError: The edited values together are larger than the file.
        """
        size = count * tiff.BYTES_OF_KIND.get(kind, 1)
        span = slice(where, min(where + size, len(self.edited)))
        self._bytes_left -= max(span.stop - where, 0)
        if self._bytes_left < 0:
            raise _SharedError("its values are larger than the file")
        return span


class _SharedError(ValueError):
    """Error for values that share bytes, so that editing them could take minutes."""


def _read_numbers(
    content: bytearray, form: tiff.Layout, kind: int, count: int, where: int
) -> tuple[int, ...]:
    code = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(kind)
    if code is None or count > _MOST_DIRECTORIES:
        return ()
    try:
        return struct.unpack_from(f"{form.order}{count}{code}", content, where)
    except struct.error:
        return ()
