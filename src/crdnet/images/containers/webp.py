"""Chunks of WebP files. Source: RFC 9649."""

from collections.abc import Iterator

from crdnet.images.containers import exif, xmp
from crdnet.images.containers.metadata import FileMetadata, Metadata

# Flags of the chunk VP8X (RFC 9649).
_ICC, _ALPHA, _EXIF, _XMP, _ANIMATED = 0x20, 0x10, 0x08, 0x04, 0x02
_FLAGS = {b"ICCP": _ICC, b"EXIF": _EXIF, b"XMP ": _XMP}
# Millions of empty chunks would take a parser seconds.
_MOST_CHUNKS = 10_000
_OF_PIXELS = {b"VP8 ", b"VP8L", b"ALPH"}
_OF_ENCODER = {*_OF_PIXELS, b"VP8X", b"ANIM", b"ANMF"}


def read_metadata(content: bytes) -> FileMetadata:
    """Return the metadata of a WebP file."""
    kept, left = list[bytes](), list[str]()
    around = {"exif": b"", "xmp": b"", "icc": b""}
    only_here = False
    for name, chunk in _iterate_chunks(content):
        payload = _get_payload(chunk)
        if name in _OF_ENCODER:
            continue
        if name == b"C2PA":
            left.append("a signed history (C2PA)")
            continue
        if _is_cut_off(chunk):
            left.append(f"the chunk {_decode_name(name)}, which is cut off")
            continue
        if name == b"EXIF":
            mark = exif.MARK if payload.startswith(exif.MARK) else b""
            around["exif"], had = exif.remove_thumbnail(payload[len(mark) :])
            left += ["the thumbnail in EXIF"] * had
            chunk = _pack_chunk(name, mark + around["exif"])  # noqa: PLW2901 - kept below
        elif name == b"XMP ":
            around["xmp"] = payload
        elif name == b"ICCP":
            around["icc"] = payload
        else:
            only_here = True
        kept.append(chunk)
    return FileMetadata(
        tuple(kept),
        Metadata(around["exif"], around["xmp"], around["icc"]),
        tuple(dict.fromkeys(left)),
        only_here,
    )


def pack_metadata(around: Metadata) -> tuple[list[bytes], list[str]]:
    """Return metadata as chunks, and the names of data that no chunk can hold."""
    parts = ((b"ICCP", around.icc), (b"EXIF", around.exif), (b"XMP ", around.xmp))
    return [_pack_chunk(name, value) for name, value in parts if value], [
        "IPTC"
    ] if around.photoshop else []


def add_metadata(
    content: bytes, chunks: tuple[bytes, ...], *, size: tuple[int, int], alpha: bool
) -> bytes:
    """Return the WebP of an encoder with metadata chunks.

    Args:
        content: The file.
        chunks: Whole chunks.
        size: Width and height in pixels.
        alpha: True if the pixels have an alpha channel.
    """
    if not chunks:
        return content
    first = [chunk for chunk in chunks if chunk[:4] == b"ICCP"]
    last = [chunk for chunk in chunks if chunk[:4] != b"ICCP"]
    flags = _ALPHA * alpha
    for chunk in chunks:
        flags |= _FLAGS.get(chunk[:4], 0)
    # VP8X stores each side minus 1 in 24 bits.
    canvas = b"".join((side - 1).to_bytes(3, "little") for side in size)
    head = _pack_chunk(b"VP8X", bytes((flags, 0, 0, 0)) + canvas)
    pixels = [chunk for name, chunk in _iterate_chunks(content) if name in _OF_PIXELS]
    return _pack_file((head, *first, *pixels, *last))


def remove_location(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Remove the location from a WebP; return the content and the names of other removed data.

    Chunks of unknown content and all data behind the image are removed too.
    """
    size = 8 + int.from_bytes(content[4:8], "little")
    chunks, left = list[bytes](), list[str]()
    has_exif = False
    for name, chunk in _iterate_chunks(content[: size + size % 2]):
        payload, new = _get_payload(chunk), chunk
        if name == b"EXIF":
            mark = exif.MARK if payload.startswith(exif.MARK) else b""
            try:
                edited, gone = exif.remove_location(payload[len(mark) :])
            except ValueError:
                left.append("EXIF that cannot be read")
                continue
            new, has_exif = _pack_chunk(name, mark + edited), True
            left += gone
        elif name == b"XMP ":
            new = _pack_chunk(name, xmp.remove_location(payload))
        elif name not in (*_OF_ENCODER, b"ICCP"):
            left.append(
                "a signed history (C2PA)" if name == b"C2PA" else f"the chunk {_decode_name(name)}"
            )
            continue
        chunks.append(new)
    if content[size:].strip(b"\0"):
        left.append(f"{len(content) - size} bytes behind the image")
    chunks = [
        chunk[:8] + bytes((chunk[8] & ~_EXIF,)) + chunk[9:]
        if chunk.startswith(b"VP8X") and len(chunk) > 8 and not has_exif
        else chunk
        for chunk in chunks
    ]
    return _pack_file(chunks), tuple(dict.fromkeys(left))


def is_lossless(content: bytes) -> bool:
    """Return whether the image is lossless."""
    return next(
        (name == b"VP8L" for name, _ in _iterate_chunks(content) if name in (b"VP8 ", b"VP8L")),
        False,
    )


def read_size(content: bytes) -> tuple[int, int, int]:
    """Return width and height in pixels, and the number of frames: 2 for any animation, else 1.

    Raises:
        ValueError: The file holds no image.
    """
    for name, chunk in _iterate_chunks(content):
        payload = _get_payload(chunk)
        if name == b"VP8X" and len(payload) >= 10:
            width, height = (1 + int.from_bytes(payload[at : at + 3], "little") for at in (4, 7))
            return width, height, 2 if payload[0] & _ANIMATED else 1
        if name == b"VP8 " and len(payload) >= 10:
            width, height = (
                # 14 bits; the upper two scale the display.
                int.from_bytes(payload[at : at + 2], "little") & 0x3FFF
                for at in (6, 8)
            )
            return width, height, 1
        if name == b"VP8L" and len(payload) >= 5:
            bits = int.from_bytes(payload[1:5], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), 1
    raise ValueError("no image in it")


def _iterate_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, whole chunk with its padding) of each chunk.

    Raises:
        ValueError: The file has more chunks than any image needs.
    """
    place, left = 12, _MOST_CHUNKS
    while place + 8 <= len(content):
        left -= 1
        if left < 0:
            raise ValueError("it has more chunks than any image needs")
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        yield content[place : place + 4], content[place : place + 8 + size + size % 2]
        place += 8 + size + size % 2


def _is_cut_off(chunk: bytes) -> bool:
    return len(chunk) < 8 + int.from_bytes(chunk[4:8], "little")


def _decode_name(name: bytes) -> str:
    return name.decode("latin-1").strip()


def _get_payload(chunk: bytes) -> bytes:
    return chunk[8 : 8 + int.from_bytes(chunk[4:8], "little")]


def _pack_chunk(name: bytes, payload: bytes) -> bytes:
    return name + len(payload).to_bytes(4, "little") + payload + b"\0" * (len(payload) % 2)


def _pack_file(chunks: "list[bytes] | tuple[bytes, ...]") -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + len(body).to_bytes(4, "little") + body
