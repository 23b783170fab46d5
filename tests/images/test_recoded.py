"""Storage of pixels: kept, or the change is reported."""

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile

from crdnet import images
from crdnet.errors import ImageError
from crdnet.images import BandReader, BandWriter
from crdnet.images.containers import png, tiff
from tests.images.making import SMOOTH, again, by_vips, opened, saved, tiff_of, wide

FOURTH = np.arange(24 * 36, dtype=np.uint32).astype(np.uint8).reshape(24, 36)
FOUR = np.dstack([SMOOTH, FOURTH])


def make_ycbcr(across: int = 2, down: int = 2) -> bytes:
    """An uncompressed TIFF of YCbCr, a colour for each block of so many pixels."""
    grey = np.tile(np.arange(0, 240, 20, dtype=np.uint8).repeat(2)[:, None], 36)
    luma = grey.reshape(24 // down, down, 36 // across, across).swapaxes(1, 2)
    blocks = np.zeros((24 // down, 36 // across, across * down + 2), np.uint8)
    blocks[..., :-2] = luma.reshape(*luma.shape[:2], -1)
    blocks[..., -2], blocks[..., -1] = 100, 150
    options: dict[str, Any] = {"photometric": "minisblack", "metadata": None, "byteorder": "<"}
    content = tiff_of(blocks.reshape(1, -1), **options)
    tags = tiff.read_pages(content)[0]
    place, size = tags[tiff.STRIP_PLACES].numbers[0], tags[tiff.STRIP_BYTES].numbers[0]
    assert size == blocks.size
    short = {tiff.WIDTH: (36,), tiff.HEIGHT: (24,), tiff.BITS: (8, 8, 8), tiff.SAMPLES: (3,)}
    short |= {tiff.COMPRESSION: (1,), tiff.PHOTOMETRIC: (6,), tiff.SUBSAMPLING: (across, down)}
    short |= {tiff.ROWS_PER_STRIP: (24,)}
    made = {
        number: tiff.Tag(tiff.SHORT, struct.pack(f"<{len(value)}H", *value))
        for number, value in short.items()
    }
    for number, value in ((tiff.STRIP_PLACES, place), (tiff.STRIP_BYTES, size)):
        made[number] = tiff.Tag(tiff.LONG, struct.pack("<I", value))
    begin = len(content) + len(content) % 2
    content = content.ljust(begin, b"\0") + tiff.pack_directory(made, begin, big=False)
    return content[:4] + struct.pack("<I", begin) + content[8:]


def tags_of(content: bytes) -> tiff.Tags:
    return tiff.read_pages(content)[0]


def by_bands(path: Path) -> tuple[bytes, tuple[str, ...]]:
    buffer = BytesIO()
    with BandReader(path) as reader:
        writer = BandWriter(buffer, reader)
        writer.write(*reader.read_rows(0, reader.height))
        writer.finish()
        return buffer.getvalue(), images.list_notes(reader.like)


@pytest.mark.parametrize(("across", "down"), [(1, 1), (2, 1), (2, 2)])
def test_ycbcr_of_a_tiff_becomes_rgb_without_an_alpha_channel(
    tmp_path: Path, across: int, down: int
) -> None:
    before = make_ycbcr(across, down)
    decoded = images.decode(before)
    assert decoded.alpha is None
    assert decoded.pixels.shape == (24, 36, 3)
    # By BT.601: red follows Cr, blue follows Cb.
    grey = np.arange(0, 240, 20)
    np.testing.assert_allclose(
        decoded.pixels[::2, 0, 0], np.clip(grey + 1.402 * 22, 0, 255), atol=2
    )
    np.testing.assert_allclose(
        decoded.pixels[::2, 0, 2], np.clip(grey - 1.772 * 28, 0, 255), atol=2
    )
    assert images.list_notes(decoded) == (
        "could not carry over samples of YCbCr, which become RGB",
    )
    assert tags_of(again(before))[tiff.SAMPLES].numbers == (3,)
    path = tmp_path / "it.tif"
    path.write_bytes(before)
    with pytest.raises(ImageError, match="read it whole"):
        BandReader(path)


def test_ycbcr_of_sixteen_bits_is_refused() -> None:
    bits = tiff.Tag(tiff.SHORT, struct.pack("<3H", 16, 16, 16))
    content = tiff.insert_tags(make_ycbcr(1, 1), {tiff.BITS: bits})
    with pytest.raises(ImageError, match="YCbCr of 3 samples of 16 bits"):
        images.decode(content)


def test_subsampled_colours_that_are_cut_off_are_refused() -> None:
    content = bytearray(make_ycbcr())
    tags = tags_of(bytes(content))
    first = tiff.read_layout(bytes(content)).first
    entry = next(
        found[4]
        for found in tiff.read_entries(bytes(content), tiff.read_layout(bytes(content)), first)[0]
        if found[0] == tiff.STRIP_PLACES
    )
    assert tags[tiff.STRIP_PLACES].numbers
    struct.pack_into("<I", content, entry + 8, len(content) - 600)
    with pytest.raises(ImageError, match="damaged"):
        images.decode(bytes(content))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "bands"])
def test_a_fourth_channel_of_no_stated_meaning_stays_one(
    tmp_path: Path, compression: str | None, whole: bool
) -> None:
    before = tiff_of(FOUR, photometric="rgb", extrasamples=["unspecified"], compression=compression)
    path = tmp_path / "it.tif"
    path.write_bytes(before)
    after, notes = (again(before), ()) if whole else by_bands(path)
    with tifffile.TiffFile(BytesIO(after)) as file:
        assert file.pages.first.extrasamples == (tifffile.EXTRASAMPLE.UNSPECIFIED,)
        np.testing.assert_array_equal(file.pages.first.asarray(), FOUR)
    assert notes == ()


@pytest.mark.parametrize("target", ["PNG", "WEBP", "AVIF", "JPEG"])
def test_a_fourth_channel_of_no_stated_meaning_becomes_no_alpha(target: str) -> None:
    before = tiff_of(FOUR, photometric="rgb", extrasamples=["unspecified"])
    decoded = images.decode(before)
    after = images.encode(decoded, decoded.pixels, target)
    assert opened(after).mode == "RGB"
    assert images.list_lost(decoded, target)[0].startswith("a fourth channel")


def test_alpha_stays_alpha() -> None:
    before = tiff_of(FOUR, photometric="rgb", extrasamples=["unassalpha"])
    decoded = images.decode(before)
    assert opened(images.encode(decoded, decoded.pixels, "PNG")).mode == "RGBA"
    assert images.list_notes(decoded) == ()
    assert images.list_lost(decoded, "JPEG") == ("the alpha channel",)


RECODED = {
    "jpeg": (by_vips("tiffsave_buffer", SMOOTH, compression="jpeg"), "the compression JPEG, which"),
    "jpeg tiles": (
        by_vips(
            "tiffsave_buffer", SMOOTH, compression="jpeg", tile=True, tile_width=16, tile_height=16
        ),
        "the compression JPEG, which becomes Deflate",
    ),
    "planes": (
        tiff_of(np.moveaxis(SMOOTH, 2, 0), photometric="rgb", planarconfig="separate"),
        "separate planes",
    ),
    "white is zero": (tiff_of(SMOOTH[..., 0], photometric="miniswhite"), "grey in which white"),
}


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "bands"])
@pytest.mark.parametrize("name", RECODED)
def test_a_tiff_that_is_stored_in_another_way_is_told(
    tmp_path: Path, name: str, whole: bool
) -> None:
    before, told = RECODED[name]
    path = tmp_path / "it.tif"
    path.write_bytes(before)
    decoded = images.decode(before)
    after, notes = (again(before), images.list_notes(decoded)) if whole else by_bands(path)
    np.testing.assert_array_equal(images.decode(after).pixels, decoded.pixels)
    assert [note for note in notes if told in note]
    assert not [note for note in images.list_notes(decoded, "PNG") if told in note]


def test_grey_in_which_white_is_zero_shows_the_same() -> None:
    before = tiff_of(255 - SMOOTH[..., 0], photometric="miniswhite")
    np.testing.assert_array_equal(images.decode(before).pixels, SMOOTH[..., 0])


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "packbits"])
def test_compressions_without_loss_stay(compression: str) -> None:
    before = by_vips("tiffsave_buffer", SMOOTH, compression=compression)
    assert images.list_notes(images.decode(before)) == ()
    number = tags_of(before)[tiff.COMPRESSION].numbers
    assert tags_of(again(before))[tiff.COMPRESSION].numbers == number


def test_tiles_of_separate_planes_are_refused_as_not_supported() -> None:
    planes = np.zeros((3, 64, 64), np.uint8)
    before = tiff_of(planes, photometric="rgb", planarconfig="separate", tile=(32, 32))
    with pytest.raises(ImageError, match=r"tiles of separate planes.*not support.*; convert"):
        images.decode(before)


@pytest.mark.parametrize("bits", [8, 16])
def test_an_interlaced_png_stays_interlaced(bits: int) -> None:
    samples = SMOOTH if bits == 8 else wide(SMOOTH)
    kind = "srgb" if bits == 8 else "rgb16"
    image = pyvips.Image.new_from_array(samples).copy(interpretation=kind)
    before = image.pngsave_buffer(interlace=True, bitdepth=bits)
    after = again(before)
    assert png.is_interlaced(before)
    assert png.is_interlaced(after)
    assert after[24] == bits
    np.testing.assert_array_equal(images.decode(after).pixels, samples)
    assert not png.is_interlaced(again(saved()))


def test_bands_tell_that_they_write_rows_in_a_row(tmp_path: Path) -> None:
    path = tmp_path / "it"
    path.write_bytes(pyvips.Image.new_from_array(SMOOTH).pngsave_buffer(interlace=True))
    after, notes = by_bands(path)
    assert notes == ("could not carry over the interlacing (Adam7)",)
    assert not png.is_interlaced(after)
    path.write_bytes(saved(kind="JPEG", progressive=True))
    assert by_bands(path)[1] == ("could not carry over the progressive order",)
    path.write_bytes(saved(kind="JPEG"))
    assert by_bands(path)[1] == ()
