"""Parsers given small damaged headers, and cases that no whole file reaches."""

import struct
import tracemalloc

import numpy as np
import pytest

from crdnet.errors import ImageError
from crdnet.images.containers import exif, isobmff, jpeg, photoshop, png, tiff, webp
from crdnet.images.containers.metadata import Metadata
from crdnet.images.headers import read_header
from tests.images.making import PROFILE, box, saved


def boxes(places: bytes, items: bytes = b"") -> bytes:
    """A file whose boxes tell places in this way."""
    size = box(b"iprp", box(b"ipco", box(b"ispe", struct.pack(">III", 0, 8, 8))))
    item = box(b"infe", struct.pack(">IHH", 2 << 24, 1, 0), b"Exif", b"\0")
    meta = box(
        b"meta",
        bytes(4),
        box(b"pitm", struct.pack(">IH", 0, 1)),
        box(b"iloc", places),
        box(b"iinf", struct.pack(">IH", 0, 1), item),
        items,
        size,
    )
    return box(b"ftyp", b"avif", bytes(4), b"mif1avif") + meta


def test_few_bytes_of_places_do_not_become_many_spans() -> None:
    # Places and lengths of no bytes: each item may tell 65535 of them.
    items = struct.pack(">HHH", 1, 0, 65535) * 3000
    with pytest.raises(ValueError, match="too many items"):
        isobmff.read_coding(boxes(struct.pack(">IBBH", 0, 0, 0, 3000) + items))


def test_spans_of_the_same_bytes_do_not_become_a_large_item() -> None:
    spans = struct.pack(">II", 0, 4000) * 4000
    places = struct.pack(">IBBH", 0, 0x44, 0, 1) + struct.pack(">HHH", 1, 0, 4000) + spans
    content = boxes(places)
    tracemalloc.start()
    with pytest.raises(ValueError, match="larger than the file"):
        isobmff.read_metadata(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 << 20


def test_places_beyond_the_boxes_are_refused() -> None:
    places = struct.pack(">IBBH", 0, 0x88, 0, 1) + struct.pack(">HHH", 1, 0, 9999)
    with pytest.raises(ValueError, match="beyond the file"):
        isobmff.read_coding(boxes(places))


def test_references_and_places_of_four_bytes_are_read() -> None:
    places = struct.pack(">IBBI", 2 << 24, 0x44, 0x04, 1)
    places += struct.pack(">IHHHIII", 1, 0, 0, 1, 0, 4, 9)
    references = struct.pack(">I", 1 << 24) + box(b"thmb", struct.pack(">IHI", 1, 1, 7))
    content = boxes(places, box(b"iref", references))
    meta = isobmff._find_meta(content)
    assert meta.references == [(b"thmb", 1, (7,))]
    assert meta.items[1].spans == [(4, 9)]


def test_tags_that_share_their_bytes_do_not_become_large() -> None:
    value = bytes(200_000)
    entries = b"".join(struct.pack("<HHII", number, 7, len(value), 8) for number in range(1, 2000))
    head = b"II*\0" + struct.pack("<I", 8 + len(value))
    content = head + value + struct.pack("<H", 1999) + entries + bytes(4)
    tracemalloc.start()
    tiff.read_pages(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20


def test_a_structure_without_a_directory_is_refused() -> None:
    with pytest.raises(ValueError, match="no directory"):
        tiff.read_pages(b"II*\0\0\0\0\0")
    for content in (b"", b"II*\0", b"XX*\0\0\0\0\0", b"II\x63\0\0\0\0\0"):
        with pytest.raises(ValueError, match="no TIFF structure"):
            tiff.read_layout(content)


def test_resolutions_beyond_what_formats_hold_become_the_largest() -> None:
    around = Metadata(dpi=(1e12, 300.0))
    assert tiff.read_dpi(tiff.convert_to_tags(around)) == (42949672.95, 300.0)
    assert struct.pack(">II", 2**32 - 1, 11811) in png.pack_metadata(around)[0][0]
    assert b"\xff\xff\x01\x2c" in jpeg.pack_metadata(around)[0][0]


@pytest.mark.parametrize("unit", [1, 2, 3])
def test_resolutions_are_read_by_their_unit(unit: int) -> None:
    tags = dict(tiff.make_dpi_tags((100.0, 50.0)))
    tags[0x0128] = tiff.Tag(tiff.SHORT, struct.pack("<H", unit))
    assert tiff.read_dpi(tags) == {1: None, 2: (100.0, 50.0), 3: (254.0, 127.0)}[unit]
    tags[0x011A] = tiff.Tag(tiff.SHORT, b"\1\0")
    assert tiff.read_dpi(tags) is None


def test_what_is_too_large_for_a_block_is_named() -> None:
    around = Metadata(exif=b"II*\0" + bytes(70_000), xmp=b"x" * 66_000, icc=bytes(17 << 20))
    blocks, lost = jpeg.pack_metadata(around)
    assert blocks == []
    assert [name.split()[0] for name in lost] == ["EXIF", "XMP", "the"]
    for container in (png, webp):
        assert container.pack_metadata(Metadata(photoshop=b"8BIM"))[1] == ["IPTC"]
    assert isobmff.list_lost(Metadata(photoshop=b"8BIM")) == ["IPTC"]


def test_a_profile_of_several_blocks_is_one() -> None:
    icc = PROFILE * 200
    blocks, lost = jpeg.pack_metadata(Metadata(icc=icc))
    assert (len(blocks), lost) == (-(-len(icc) // 65519), [])
    plain = saved(kind="JPEG")
    assert jpeg.read_metadata(jpeg.add_metadata(plain, tuple(blocks))).around.icc == icc


def test_orientation_is_added_to_exif_that_tells_none() -> None:
    described = tiff.pack_structure({0x010F: tiff.Tag(2, b"A\0")})
    turned = exif.set_orientation(described, 6)
    assert tiff.read_pages(turned)[0][0x010F].value == b"A\0"
    assert tiff.get_number(tiff.read_pages(turned)[0], tiff.ORIENTATION, 1) == 6
    assert exif.set_orientation(described, 1) == described
    assert tiff.read_pages(exif.set_orientation(b"nonsense", 3))
    assert exif.set_orientation(turned, 8) == turned.replace(b"\6\0\0\0", b"\x08\0\0\0", 1)


def test_a_webp_without_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match="no image"):
        webp.read_size(b"RIFF\x04\0\0\0WEBP")
    assert webp.is_lossless(b"RIFF\x04\0\0\0WEBP") is False


def test_a_png_of_an_impossible_header_is_refused() -> None:
    content = bytearray(saved())
    content[25] = 5
    with pytest.raises(ValueError, match="an invalid colour type"):
        png.has_all_rows(bytes(content))
    with pytest.raises(ValueError, match="ends in its header"):
        png.has_all_rows(bytes(content[:20]))
    assert png.is_interlaced(b"") is False


def test_text_that_swells_without_measure_is_not_read() -> None:
    assert png._inflate(b"no zlib") == b""
    assert png._read_xmp(b"XML:com.adobe.xmp\0\0\0no end") == b""


def test_resources_with_names_are_read() -> None:
    named = b"8BIM\x04\x04\x03abc" + struct.pack(">I", 4) + b"data"
    found = photoshop.remove_resource_thumbnail(named + named.replace(b"\x04\x04", b"\x04\x0c"))
    assert found == (named, True)


def test_brands_and_sequences_are_told_from_the_first_box() -> None:
    content = box(b"ftyp", b"msf1", bytes(4), b"heicavif")
    assert isobmff.read_brands(content) == {b"msf1", b"heic", b"avif"}
    assert isobmff.is_sequence(content)
    with pytest.raises(ValueError, match="no image"):
        isobmff.read_coding(content)
    with pytest.raises(ValueError, match="no image"):
        isobmff.read_coding(box(b"meta", bytes(4)))


def test_a_jpeg_of_millions_of_empty_blocks_is_refused_early() -> None:
    content = b"\xff\xd8" + b"\xff\xe1\0\2" * 1_000_000
    with pytest.raises(ValueError, match="more than 10,000 blocks"):
        jpeg.read_frame(content)


@pytest.mark.parametrize("shape", [(1, 40_000), (40_000, 1)])
def test_a_thin_image_is_bounded_by_what_its_padding_costs(shape: tuple[int, int]) -> None:
    content = saved(np.zeros((*shape, 3), np.uint8))
    with pytest.raises(ImageError, match="so narrow that it costs as much as 1,280,000 pixels"):
        read_header(content, max_pixels=1_000_000)
    assert read_header(content, max_pixels=1_280_000).pixels == 40_000
    assert read_header(saved(np.zeros((8, 8, 3), np.uint8)), max_pixels=64).pixels == 64
