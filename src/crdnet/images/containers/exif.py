"""Edits of EXIF and XMP that leave every other byte where it was, so that maker notes go on pointing right."""

import re
import struct
from contextlib import suppress

from crdnet.images.containers import tiff

MARK = b"Exif\0\0"
_THUMBNAIL, _THUMBNAIL_BYTES = 0x0201, 0x0202
_STRIPS, _STRIP_BYTES = 0x0111, 0x0117
_EXIF_SPACE = re.compile(rb"""xmlns:([\w.-]+)\s*=\s*["']http://ns\.adobe\.com/exif/1\.0/["']""")


def without_thumbnail(exif: bytes) -> tuple[bytes, bool]:
    """Return EXIF without its thumbnail, which shows the rain, and whether it had one.

    The thumbnail's directory and pixels become zeros, which are cut off where they are the end. EXIF that cannot be
    read is returned as it is.
    """
    try:
        form = tiff.layout(exif)
        end = tiff.entries(exif, form, form.first)[1]
        place = struct.unpack_from(form.word, exif, end)[0]
        if not place:
            return exif, False
        edited = bytearray(exif)
        struct.pack_into(form.word, edited, end, 0)
        with suppress(ValueError, struct.error):  # a damaged directory is merely unhooked
            _blank_thumbnail(edited, exif, form, place)
    except (ValueError, struct.error):
        return exif, False
    return bytes(edited), True


def with_orientation(exif: bytes, orientation: int) -> bytes:
    """Return EXIF that tells an orientation; it is edited in its place where there is one."""
    if not exif and orientation == 1:
        return exif
    value = struct.pack("<H", orientation)
    try:
        form = tiff.layout(exif)
        for number, kind, _, where, _ in tiff.entries(exif, form, form.first)[0]:
            if number == tiff.ORIENTATION and kind == tiff.SHORT:
                return exif[:where] + struct.pack(form.order + "H", orientation) + exif[where + 2 :]
    except (ValueError, struct.error):
        return tiff.structure({tiff.ORIENTATION: tiff.Tag(tiff.SHORT, value)})
    if orientation == 1:
        return exif
    return tiff.structure(tiff.pages(exif)[0] | {tiff.ORIENTATION: tiff.Tag(tiff.SHORT, value)})


def without_gps(exif: bytes) -> bytes:
    """Return EXIF without the place where the picture was taken; empty where it cannot be read."""
    try:
        form = tiff.layout(exif)
        edited = bytearray(exif)
        _unhook_gps(edited, form, form.first)
    except (ValueError, struct.error):
        return b""
    return bytes(edited)


def tiff_without_gps(content: bytes) -> bytes:
    """Return a TIFF that does not say where it was taken, and is otherwise the same."""
    form = tiff.layout(content)
    edited = bytearray(without_gps(content) or content)
    for number, kind, count, where, _ in tiff.entries(content, form, form.first)[0]:
        if number == tiff.XMP:
            span = slice(where, where + count * tiff.BYTES_OF_KIND.get(kind, 1))
            edited[span] = xmp_without_gps(bytes(edited[span]))
    return bytes(edited)


def xmp_without_gps(xmp: bytes) -> bytes:
    """Return XMP of the same length with the place where the picture was taken overwritten with spaces."""
    spaces = {b"exif", *_EXIF_SPACE.findall(xmp)}
    for space in spaces:
        name = re.escape(space) + rb":GPS\w+"
        pattern = (
            rb"<(%b)(?=[\s/>])[^>]*?/>" % name
            + rb"|<(%b)(?=[\s>])[^>]*>.*?</\2\s*>" % name
            + rb"""|\s%b\s*=\s*(?:"[^"]*"|'[^']*')""" % name
        )
        xmp = re.sub(pattern, lambda found: b" " * len(found.group()), xmp, flags=re.DOTALL)
    return xmp


def _blank_thumbnail(edited: bytearray, exif: bytes, form: tiff.Layout, place: int) -> None:
    found, end = tiff.entries(exif, form, place)
    spans = [(place, end + struct.calcsize(form.word))]
    values = {number: (kind, count, where) for number, kind, count, where, _ in found}
    for start, size in ((_THUMBNAIL, _THUMBNAIL_BYTES), (_STRIPS, _STRIP_BYTES)):
        if start in values and size in values:
            first, many = (_first_number(exif, form, *values[tag]) for tag in (start, size))
            spans.append((first, first + many))
    for begin, stop in spans:
        if 8 <= begin <= stop <= len(edited):
            edited[begin:stop] = bytes(stop - begin)
    last = max(stop for _, stop in spans)
    if last >= len(edited) - 1:  # one byte may pad it
        del edited[min(begin for begin, stop in spans if _reaches(spans, begin, last)) :]


def _reaches(spans: list[tuple[int, int]], begin: int, last: int) -> bool:
    """Return whether nothing but spans lies between `begin` and `last`."""
    at = begin
    for start, stop in sorted(spans):
        if start <= at + 1 <= stop + 1 and start >= begin:
            at = max(at, stop)
    return at >= last


def _first_number(exif: bytes, form: tiff.Layout, kind: int, _count: int, where: int) -> int:
    number: int = struct.unpack_from(form.order + {3: "H", 4: "I"}.get(kind, "I"), exif, where)[0]
    return number


def _unhook_gps(edited: bytearray, form: tiff.Layout, directory: int) -> None:
    """Take the entry of the place out of a directory, and zero what it points to."""
    found, end = tiff.entries(edited, form, directory)
    for number, kind, count, where, entry in found:
        if number != tiff.GPS:
            continue
        inner = _first_number(bytes(edited), form, kind, count, where)
        with suppress(ValueError, struct.error):  # it may point nowhere
            _blank_directory(edited, form, inner)
        length = end + struct.calcsize(form.word) - (entry + form.entry_bytes)
        behind = edited[entry + form.entry_bytes :][:length]
        edited[entry : entry + length] = behind
        edited[entry + length : entry + length + form.entry_bytes] = bytes(form.entry_bytes)
        struct.pack_into(form.order + ("Q" if form.big else "H"), edited, directory, len(found) - 1)
        return


def _blank_directory(edited: bytearray, form: tiff.Layout, place: int) -> None:
    found, end = tiff.entries(edited, form, place)
    for _, kind, count, where, _ in found:
        size = count * tiff.BYTES_OF_KIND.get(kind, 1)
        if where + size <= len(edited):
            edited[where : where + size] = bytes(size)
    edited[place:end] = bytes(end - place)
