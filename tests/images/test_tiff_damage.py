"""Tiles that are missing or damaged are refused: whole, in bands and in a process of its own."""

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile

from crdnet import images
from crdnet.errors import ImageError
from crdnet.images import Decoders
from crdnet.images.bands import BandReader
from tests.images.making import tiff_of
from tests.images.test_bad_input import png_of

NOISE = np.random.default_rng(3).integers(0, 256, (96, 96, 3), dtype=np.uint8)
TILED = tiff_of(NOISE, photometric="rgb", tile=(32, 32), compression="zlib")


def damaged_tile() -> bytes:
    """Return a tiled TIFF with zeros in the middle of its fifth tile."""
    content = bytearray(TILED)
    with tifffile.TiffFile(BytesIO(TILED)) as file:
        page = file.pages[0]
        begin, size = page.dataoffsets[4], page.databytecounts[4]
    content[begin + size // 2 : begin + size // 2 + 60] = bytes(60)
    return bytes(content)


DAMAGED = {"truncated": TILED[: len(TILED) - 9000], "damaged": damaged_tile()}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_tile_is_refused_however_it_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "tiles.tif"
    path.write_bytes(DAMAGED[name])
    with pytest.raises(ImageError, match=r"tiles\.tif is damaged"):
        images.decode(DAMAGED[name], "tiles.tif")
    with Decoders() as decoders, pytest.raises(ImageError, match=r"tiles\.tif is damaged"):
        decoders.decode(DAMAGED[name], "tiles.tif")
    with pytest.raises(ImageError, match=r"tiles\.tif is damaged"):
        read_in_bands(path)


def read_in_bands(path: Path) -> None:
    with BandReader(path) as reader:
        for start in range(0, reader.height, 16):
            reader.rows(start, start + 16)


def test_old_style_jpeg_in_a_tiff_is_refused_by_name() -> None:
    content = bytearray(TILED)
    directory = struct.unpack_from("<I", content, 4)[0]
    for entry in range(struct.unpack_from("<H", content, directory)[0]):
        place = directory + 2 + 12 * entry
        if struct.unpack_from("<H", content, place)[0] == 0x103:  # compression
            struct.pack_into("<H", content, place + 8, 6)
    with pytest.raises(ImageError, match="old-style JPEG"):
        images.decode(bytes(content))


def test_tags_that_nobody_knows_and_a_damaged_profile_do_no_harm() -> None:
    odd = tiff_of(
        NOISE,
        photometric="rgb",
        tile=(32, 32),
        extratags=[
            (65000, "I", 1, 7, True),
            (65001, "s", 0, "text", True),
            (34675, 7, 10, b"0123456789", True),
        ],
    )
    np.testing.assert_array_equal(images.decode(odd).pixels, NOISE)


def test_an_error_holds_nothing_of_the_file_before() -> None:
    # Loading alone: libvips leaves its warnings of the tiles in a buffer of the process.
    with pytest.raises(ImageError, match="tile"):
        images.decode(DAMAGED["truncated"], "tiles.tif")
    with pytest.raises(ImageError) as caught:
        images.decode(png_of(bytes(3 * 241), bits=16), "rows.png")
    assert "tile" not in str(caught.value)
    assert len(str(caught.value)) < 300
