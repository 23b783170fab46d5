"""A hostile file costs a parser no more than a good one of its size."""

import struct
import tracemalloc
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from crdnet.errors import ImageError
from crdnet.images import decode, encode
from crdnet.images.containers import exif, isobmff, jpeg, png, tiff, webp, xmp
from crdnet.images.headers import read_header
from tests.images.making import PROFILE, box, heic, opened, saved, with_chunk

MANY = 300_000


def peak_bytes(call: Callable[[], object]) -> int:
    """Return the memory that a call needs; it may fail as parsers do."""
    tracemalloc.start()
    try:
        call()
    except ValueError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


def empty_chunk(name: bytes) -> bytes:
    return png.pack_chunk(name, b"")


def avif_of(*parts: bytes) -> bytes:
    return box(b"ftyp", b"avif", bytes(4), b"mif1avif") + box(b"meta", bytes(4), *parts)


def associations(items: int) -> bytes:
    each = b"".join(struct.pack(">HB", item, 255) + bytes(255) for item in range(items))
    return box(b"ipma", struct.pack(">II", 0, items), each)


HOSTILE = {
    "PNG of empty chunks": png.MAGIC + saved()[8:33] + empty_chunk(b"teXt") * MANY,
    "AVIF of empty boxes": avif_of(box(b"free") * MANY),
    "AVIF of empty properties": avif_of(box(b"iprp", box(b"ipco", box(b"free") * MANY))),
    "AVIF of empty items": avif_of(box(b"iinf", bytes(6), box(b"free") * MANY)),
    "AVIF of many associations": avif_of(box(b"iprp", associations(1000))),
    "AVIF of many references": avif_of(
        box(b"iref", bytes(4), box(b"cdsc", bytes(4), bytes(2 * MANY)))
    ),
    "TIFF of directories that share their tags": b"II*\0\x08\0\0\0"
    + b"\x0f" * (2 + 0x0F0F * 12)
    + struct.pack("<40I", *range(12, 172, 4)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_header_of_more_parts_than_any_image_needs_is_refused(name: str) -> None:
    with pytest.raises(ImageError, match="damaged"):
        read_header(HOSTILE[name])


def test_a_webp_of_more_chunks_than_any_image_needs_is_refused() -> None:
    content = webp._pack_file([saved(kind="WEBP")[12:], b"abcd\0\0\0\0" * MANY])
    for parse in (webp.read_metadata, webp.remove_location):
        with pytest.raises(ValueError, match="more chunks than any image"):
            parse(content)


def test_a_jpeg_of_more_blocks_behind_its_first_scan_is_refused() -> None:
    content = saved(kind="JPEG")[:-2] + b"\xff\xfe\0\2" * MANY
    with pytest.raises(ValueError, match="more than 10,000 blocks"):
        jpeg.read_metadata(content)


def test_a_png_in_many_small_chunks_of_pixels_is_read() -> None:
    plain = saved(np.random.default_rng(1).integers(0, 256, (90, 90, 3), dtype=np.uint8))
    (begin, end) = next((b, e) for name, b, e in png._iterate_spans(plain) if name == b"IDAT")
    data = plain[begin + 8 : end - 4]
    parts = (png.pack_chunk(b"IDAT", data[at : at + 4]) for at in range(0, len(data), 4))
    content = plain[:begin] + b"".join(parts) + plain[end:]
    assert np.array_equal(decode(content).pixels, decode(plain).pixels)


def test_pixels_of_a_png_in_one_large_chunk_are_counted() -> None:
    rows = np.random.default_rng(1).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    content = saved(rows, compress_level=0)
    assert sum(name == b"IDAT" for name, *_ in png._iterate_spans(content)) < 40
    assert png.has_all_rows(content)
    header, data = content[16:29], zlib.compress(b"\0" * (1 + 1800) * 599)
    one = png.MAGIC + png.pack_chunk(b"IHDR", header) + png.pack_chunk(b"IDAT", data)
    assert not png.has_all_rows(one)


def test_pages_of_a_tiff_that_share_a_value_do_not_become_large() -> None:
    value, pages = bytes(1 << 20), 200
    place = 8 + len(value)
    content = b"II*\0" + struct.pack("<I", place) + value
    for _ in range(pages):
        place += 18
        content += struct.pack("<HHHIII", 1, 700, 7, len(value), 8, place)
    assert peak_bytes(lambda: tiff.read_pages(content)) < 5 << 20


def test_one_number_of_a_million_is_looked_at_alone() -> None:
    tag = tiff.Tag(tiff.SHORT, b"\7\0" * 1_000_000)
    assert tiff.get_number({1: tag}, 1, 0) == 7
    assert tiff.get_numbers({1: tag}, 1, 3) == (7, 7, 7)
    assert peak_bytes(lambda: tiff.get_number({1: tag}, 1, 0)) < 1 << 16


@pytest.mark.parametrize("tag", [tiff.XMP, 0x927C], ids=["edited", "blanked"])
def test_exif_whose_values_share_bytes_is_not_edited(tag: int) -> None:
    value = b"<a/>".ljust(3000)
    entries = struct.pack("<HHII", tag, 7, len(value), 8) * 50
    place = 8 + len(value)
    content = b"II*\0" + struct.pack("<I", place) + value + struct.pack("<H", 50) + entries
    with pytest.raises(ValueError, match="larger than the file"):
        exif.remove_location(content + bytes(4))


def test_xmp_of_too_many_namespaces_is_not_read() -> None:
    names = " ".join(f"xmlns:n{at}='u{at}'" for at in range(2000))
    packet = f"<a {names} exif:GPSLatitude='1'><b xmlns:c='d'/></a>".encode()
    assert xmp.remove_location(packet).isspace()
    assert xmp.remove_announcements(packet) == packet


def test_a_profile_or_xmp_that_is_repeated_is_read_once_and_named() -> None:
    packed = b"name\0\0" + zlib.compress(PROFILE)
    text = b"XML:com.adobe.xmp\0\0\0\0\0<a/>"
    content = saved()
    for name, payload in ((b"iCCP", packed), (b"iTXt", text)) * 2:
        content = with_chunk(content, name, payload)
    found = png.read_metadata(content)
    assert (len(found.blocks), found.left_behind) == (2, ("a repeated profile or XMP",))
    assert (found.around.icc, found.around.xmp) == (PROFILE, b"<a/>")
    edited, left = png.remove_location(content)
    assert left == ("a repeated profile or XMP",)
    assert opened(edited).size == opened(content).size


def test_a_chunk_that_is_cut_off_does_not_damage_the_output() -> None:
    plain, cut = saved(), b"\0\0\1\0tEXtTitle"
    end = plain.index(b"IEND") - 4
    found = png.read_metadata(plain[:end] + cut)
    assert (found.blocks, found.left_behind) == ((), ("the chunk tEXt, which is cut off",))
    assert png.remove_location(plain[:end] + cut) == (plain[:end], found.left_behind)
    image = decode(saved(kind="WEBP") + b"XMP \x40\0\0\0<a/>")
    assert image.metadata.left_behind == ("the chunk XMP, which is cut off",)
    assert np.array_equal(np.asarray(opened(encode(image, image.pixels))), image.pixels)


def test_items_that_share_bytes_with_pixels_or_boxes_are_not_edited() -> None:
    content = heic("street")
    meta = isobmff._find_meta(content)
    (pixels, _), *_ = meta.items[meta.primary].spans
    (place, _), *_ = next(item.spans for item in meta.items.values() if item.kind == b"Exif")
    told = struct.pack(">I", place)
    assert content.count(told) == 1
    for elsewhere in (pixels, meta.begin):
        with pytest.raises(ValueError, match="share bytes"):
            isobmff.remove_location(content.replace(told, struct.pack(">I", elsewhere)))


def test_a_jfif_block_that_is_too_short_becomes_one_that_is_not() -> None:
    content = saved(kind="JPEG")
    short = content[:2] + b"\xff\xe0\0\x0bJFIF\0\1\1\0\0" + content[20:]
    (block,) = jpeg.read_metadata(short).blocks
    assert block == b"\xff\xe0\0\x10JFIF\0\1\1" + bytes(7)
