"""Recognition of raw camera files, which hold no finished image but often a small preview.

Sources: the file formats' public descriptions as collected by ExifTool and LibRaw; DNG 1.7.1.
"""

import struct
from pathlib import PurePath

from crdnet.images.containers import tiff
from crdnet.images.containers.metadata import Content

_MAGIC = {
    b"IIRO": "Olympus ORF",
    b"IIRS": "Olympus ORF",
    b"MMOR": "Olympus ORF",
    b"IIU\0": "Panasonic RW2",
    b"FUJIFILMCCD-RAW": "Fujifilm RAF",
    b"FOVb": "Sigma X3F",
    b"\0MRM": "Minolta MRW",
    b"II\x1a\0\0\0HEAPCCDR": "Canon CRW",
    b"IIII": "Phase One IIQ",
    b"MMMM": "Phase One IIQ",
}
# At byte 8 of a TIFF: Canon's CR2.
_CANON = b"CR"
_CR3_BRAND = b"crx "
_DNG_VERSION, _SUB_DIRECTORIES = 0xC612, 0x014A
# Photometric interpretations: a colour filter array, linear raw.
_RAW_SAMPLES = (32803, 34892)
_TOLD_BY = (_DNG_VERSION, _SUB_DIRECTORIES, tiff.PHOTOMETRIC)
RAW_SUFFIXES = frozenset(
    (
        *(".3fr", ".ari", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr"),
        *(".iiq", ".k25", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf"),
        *(".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    )
)
"""Suffixes of raw files of cameras, in lower case."""
_MOST_DIRECTORIES = 16


def recognise_raw(content: Content, name: str) -> str | None:
    """Return the raw format of a file, or None if it is not a raw file.

    The content decides. For a TIFF the suffix decides too, because its raw samples may be hidden.

    Args:
        content: Content of the file.
        name: Name or path of the file.
    """
    start = bytes(content[:16])
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return kind
    if start[4:12] == b"ftyp" + _CR3_BRAND:
        return "Canon CR3"
    if start[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    if start[8:10] == _CANON and start[:2] == b"II":
        return "Canon CR2"
    found = _recognise_tags(content)
    suffix = PurePath(name).suffix.lower()
    if found != "DNG" and suffix in RAW_SUFFIXES:
        return suffix[1:].upper()
    return found


def _recognise_tags(content: Content) -> str | None:
    """Return the raw format that the TIFF directories indicate, or None."""
    try:
        form = tiff.read_layout(content)
    except ValueError:
        return None
    places, seen, is_raw = [form.first], set[int](), False
    while places and len(seen) < _MOST_DIRECTORIES:
        place = places.pop(0)
        if place in seen or not place:
            continue
        seen.add(place)
        try:
            tags = tiff.read_flat_directory(content, form, place, _TOLD_BY)
            places.append(tiff.read_next_place(content, form, place))
        except (ValueError, struct.error):
            continue
        if _DNG_VERSION in tags:
            return "DNG"
        is_raw |= tiff.get_number(tags, tiff.PHOTOMETRIC, 1) in _RAW_SAMPLES
        places += tiff.get_numbers(tags, _SUB_DIRECTORIES, _MOST_DIRECTORIES)
    return "TIFF of raw samples" if is_raw else None
