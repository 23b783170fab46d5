"""Chunks of PNG files. Source: PNG Specification, third edition (W3C, 2025)."""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import cast

from crdnet.images.containers import colour, exif, xmp
from crdnet.images.containers.metadata import Content, FileMetadata, Metadata

MAGIC = b"\x89PNG\r\n\x1a\n"
_XMP = b"XML:com.adobe.xmp"
_METRES_PER_INCH = 0.0254
_MOST_LONG = 2**32 - 1
# Gamma and chromaticities are whole numbers of this part.
_UNIT = 100_000
# Chunks to copy although PNG's rules forbid it after an edit; they stay valid for the output.
_COLOUR = {
    b"cHRM",
    b"cICP",
    b"gAMA",
    b"iCCP",
    b"sBIT",
    b"sRGB",
    b"bKGD",
    b"tIME",
    b"mDCV",
    b"cLLI",
    b"mDCv",
    b"cLLi",
}
# Chunks about the stored samples; they are wrong once a palette has become colours.
_OF_SAMPLES = {b"sBIT", b"bKGD"}
_OF_ENCODER = {b"hIST", b"iDOT", b"acTL", b"fcTL", b"fdAT", b"tRNS"}
_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
# Metadata in hexadecimal, which programs wrote before PNG had chunks for it.
_RAW_PROFILE = b"Raw profile type "
_LOCATION_KEYWORD = re.compile(
    rb"gps|latitude|longitude|altitude|location|coverage|city|country", re.IGNORECASE
)
# Chunks whose content other formats hold in their own way.
_TRAVELS = {b"eXIf", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP"}
# Ancillary chunks of known content, which are edited, not dropped, to remove the location.
_KNOWN = {*_COLOUR, *_TEXTS, b"tRNS", b"hIST", b"pHYs", b"sPLT", b"eXIf", b"acTL", b"fcTL", b"fdAT"}
_CUT_OFF = "the chunk {}, which is cut off"
_MOST_INFLATED = 64 << 20
# Beside one for each KiB of the file, which allows pixels in any usual chunks; millions of empty
# chunks would take a parser seconds.
_MOST_CHUNKS = 10_000
# Chunks that a file has once; inflating each of many could take minutes.
_ONCE = (b"iCCP", _XMP)


def read_metadata(content: Content, *, same_samples: bool = True) -> FileMetadata:
    """Return the metadata of a PNG; `same_samples` is False if the stored samples will differ."""
    kept, left, only_here = list[bytes](), list[str](), False
    around = {"exif": b"", "xmp": b"", "icc": b""}
    dpi, told, once = None, dict[bytes, bytes](), set[bytes]()
    for name, begin, end in _iterate_spans(content):
        # Lower case marks ancillary chunks (first letter) and those safe to copy (fourth letter).
        ancillary, safe_to_copy = name[:1].islower(), name[3:].islower()
        if name == b"fdAT":  # without acTL before the pixels, the image is not animated
            left.append("the frames of an animation")
        if not ancillary or name in _OF_ENCODER or (name in _OF_SAMPLES and not same_samples):
            continue
        if end > len(content):
            left.append(_CUT_OFF.format(name.decode("latin-1")))
            continue
        chunk = bytes(content[begin:end])
        payload = chunk[8:-4]
        if _is_repeated(name, payload, once):
            left.append("a repeated profile or XMP")
            continue
        told.setdefault(name, payload)
        if name == b"eXIf":
            around["exif"], had = exif.remove_thumbnail(payload)
            left += ["the thumbnail in EXIF"] * had
            chunk = pack_chunk(name, around["exif"]) if had else chunk
        elif name == b"iCCP":
            around["icc"] = _inflate(payload[payload.find(b"\0") + 2 :])
            if not around["icc"]:
                left.append("a colour profile that cannot be read")
                continue
        elif name == b"iTXt" and payload.startswith(_XMP + b"\0"):
            around["xmp"] = _read_xmp(payload)
        # Unit 1 is the metre; unit 0 states an aspect only.
        elif name == b"pHYs" and len(payload) == 9 and payload[8] == 1:
            across, down = (value * _METRES_PER_INCH for value in struct.unpack(">II", payload[:8]))
            dpi = (across, down) if across and down else None
        elif safe_to_copy or name in _COLOUR:
            only_here = only_here or name not in _TRAVELS
        else:
            left.append(
                "a signed history (C2PA)"
                if name == b"caBX"
                else f"the chunk {name.decode('latin-1')}"
            )
            continue
        kept.append(chunk)
    return FileMetadata(
        tuple(kept),
        Metadata(**around, dpi=dpi, colours=_read_colours(told)),
        tuple(dict.fromkeys(left)),
        only_here,
    )


def _is_repeated(name: bytes, payload: bytes, seen: set[bytes]) -> bool:
    """Return whether a chunk that a file has once was seen before; note it in `seen`."""
    is_xmp = name == b"iTXt" and payload.startswith(_XMP + b"\0")
    kind = _XMP if is_xmp else name
    is_repeated = kind in seen
    if kind in _ONCE:
        seen.add(kind)
    return is_repeated


def _read_colours(told: Mapping[bytes, bytes]) -> colour.ColourSpace | None:
    """Return the colour space stated by chunks; cICP takes precedence, then iCCP, sRGB, gAMA."""
    codes = told.get(b"cICP", b"")
    if len(codes) == 4:
        return colour.build_space_of_codes(codes[0], codes[1])
    if b"iCCP" in told or b"sRGB" in told:
        return None
    gamma, primaries = told.get(b"gAMA", b""), told.get(b"cHRM", b"")
    found = struct.unpack(">8I", primaries) if len(primaries) == 32 else None
    return colour.build_space_of_gamma(
        int.from_bytes(gamma, "big") / _UNIT if len(gamma) == 4 else None,
        found and cast(colour.Chromaticities, tuple(value / _UNIT for value in found)),
    )


def pack_metadata(around: Metadata) -> tuple[list[bytes], list[str]]:
    """Return metadata as chunks, and the names of data that no chunk can hold."""
    chunks = []
    if around.colours is not None and around.colours.codes is not None:
        chunks.append(pack_chunk(b"cICP", bytes((*around.colours.codes, 0, 1))))
    if around.icc:
        chunks.append(pack_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(around.icc)))
    if around.dpi:
        across, down = (min(round(value / _METRES_PER_INCH), _MOST_LONG) for value in around.dpi)
        chunks.append(pack_chunk(b"pHYs", struct.pack(">IIB", across, down, 1)))
    if around.exif:
        chunks.append(pack_chunk(b"eXIf", around.exif))
    if around.xmp:
        chunks.append(pack_chunk(b"iTXt", _XMP + b"\0\0\0\0\0" + around.xmp))
    return chunks, ["IPTC"] if around.photoshop else []


def add_metadata(content: bytes, chunks: tuple[bytes, ...]) -> bytes:
    """Insert chunks after the header of the PNG of an encoder; drop its own metadata chunks."""
    own = [
        (name, chunk)
        for name, chunk in _iterate_chunks(content)
        if name[:1].isupper() or name == b"tRNS"
    ]
    return b"".join((MAGIC, own[0][1], *chunks, *(chunk for _, chunk in own[1:])))


def remove_location(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Remove the location from a PNG; return the content and the names of other removed data.

    Chunks of unknown content and all data behind the image are removed too.
    """
    pieces, left, size = [MAGIC], list[str](), len(MAGIC)
    once = set[bytes]()
    for name, chunk in _iterate_chunks(content):
        size += len(chunk)
        if name[:1].islower() and len(chunk) < 12 + int.from_bytes(chunk[:4], "big"):
            left.append(_CUT_OFF.format(name.decode("latin-1")))
            continue
        if _is_repeated(name, chunk[8:-4], once):
            left.append("a repeated profile or XMP")
            continue
        pieces += _remove_chunk_location(name, chunk, left)
        if name == b"IEND":
            if content[size:].strip(b"\0"):
                left.append(f"{len(content) - size} bytes behind the image")
            break
    return b"".join(pieces), tuple(dict.fromkeys(left))


def _remove_chunk_location(name: bytes, chunk: bytes, left: list[str]) -> list[bytes]:
    if name == b"eXIf":
        try:
            edited, gone = exif.remove_location(chunk[8:-4])
        except ValueError:
            left.append("EXIF that cannot be read")
            return []
        left += gone
        return [pack_chunk(name, edited)]
    if name in _TEXTS:
        return _remove_text_location(name, chunk, left)
    if name[:1].islower() and name not in _KNOWN:
        signed = "a signed history (C2PA)"
        left.append(signed if name == b"caBX" else f"the chunk {name.decode('latin-1')}")
        return []
    return [chunk]


def _remove_text_location(name: bytes, chunk: bytes, left: list[str]) -> list[bytes]:
    payload = chunk[8:-4]
    keyword = payload.split(b"\0")[0]
    if name == b"iTXt" and keyword == _XMP:
        edited = xmp.remove_location(_read_xmp(payload))
        return [pack_chunk(name, _XMP + b"\0\0\0\0\0" + edited)]
    if keyword.startswith((_RAW_PROFILE, _XMP)) and not keyword.endswith((b"icc", b"icm")):
        left.append("metadata as text")
        return []
    return [] if _LOCATION_KEYWORD.search(keyword) else [chunk]


def is_interlaced(content: Content) -> bool:
    """Return whether a PNG is stored in the seven passes of Adam7."""
    # The last byte of IHDR.
    return content[28:29] == b"\1"


def is_animated(content: Content) -> bool:
    """Return whether a PNG is animated."""
    for name, _, _ in _iterate_spans(content):
        if name in (b"acTL", b"IDAT"):
            return name == b"acTL"
    return False


# Per pixel, by colour type.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First row and column of each pass of an interlaced image, and the distance to the next ones.
_PASSES = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)
# Signature of 8 bytes, and IHDR of 25 with its length and checksum.
_HEADER_END = 33
_INFLATED_AT_ONCE = 1 << 20
# Each call of zlib copies its unused input.
_DEFLATED_AT_ONCE = 1 << 16


def has_all_rows(content: Content) -> bool:
    """Return whether a PNG holds as many bytes of samples as its header requires.

    Decoders return black for missing rows. Decompression stops when there are enough bytes, so that
    a decompression bomb is not inflated.

    Raises:
        ValueError: The header is missing or invalid, or the samples are damaged.
    """
    if len(content) < _HEADER_END:
        raise ValueError("it ends in its header")
    width, height, bits, kind, _, _, interlaced = struct.unpack(">IIBBBBB", content[16:29])
    if kind not in _SAMPLES:
        raise ValueError("its header states an invalid colour type")
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    missing = 0
    for top, left, down, across in passes:
        rows, columns = (
            -(-max(side - first, 0) // step)
            for side, first, step in ((height, top, down), (width, left, across))
        )
        missing += rows * (1 + -(-columns * bits * _SAMPLES[kind] // 8)) if columns else 0
    inflator = zlib.decompressobj()
    try:
        for name, begin, end in _iterate_spans(content):
            for at in range(begin + 8, end - 4 if name == b"IDAT" else 0, _DEFLATED_AT_ONCE):
                data = bytes(content[at : min(at + _DEFLATED_AT_ONCE, end - 4)])
                while missing > 0 and (plain := inflator.decompress(data, _INFLATED_AT_ONCE)):
                    missing -= len(plain)
                    data = inflator.unconsumed_tail
    except zlib.error:
        raise ValueError("its compressed samples are damaged") from None
    return missing <= 0


def _iterate_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, whole chunk) of each chunk."""
    return ((name, content[begin:end]) for name, begin, end in _iterate_spans(content))


def _iterate_spans(content: Content) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start, end) of each chunk; the end may lie beyond the content.

    Raises:
        ValueError: The file has more chunks than any image needs.
    """
    place, left = len(MAGIC), _MOST_CHUNKS + len(content) // 1024
    while place + 12 <= len(content):
        left -= 1
        if left < 0:
            raise ValueError("it has more chunks than any image needs")
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        name = bytes(content[place + 4 : place + 8])
        yield name, place, end
        if name == b"IEND":
            return  # data behind the image does not consist of chunks
        place = end


def pack_chunk(name: bytes, payload: bytes) -> bytes:
    """Return a chunk with its length and checksum."""
    return (
        struct.pack(">I", len(payload))
        + name
        + payload
        + struct.pack(">I", zlib.crc32(name + payload))
    )


def _inflate(packed: bytes) -> bytes:
    """Return decompressed data; empty if it is damaged or too large."""
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(packed, _MOST_INFLATED)
    except zlib.error:
        return b""
    return plain if unpacker.eof else b""


def _read_xmp(payload: bytes) -> bytes:
    """Return the XMP of an iTXt chunk.

    Its fields: keyword, compression flag and method, language, translated keyword, text.
    """
    rest = payload[len(_XMP) + 1 :]
    parts = rest[2:].split(b"\0", 2)
    if len(parts) < 3:
        return b""
    return _inflate(parts[2]) if rest[0] else parts[2]
