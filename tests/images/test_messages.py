"""A message about a bad file speaks of the file, in one line, without words of our program."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crdnet import images
from crdnet.errors import ImageError
from crdnet.images import BandReader
from crdnet.images.containers import png
from crdnet.images.faults import describe_fault, make_read_error
from tests.images.making import PIXELS, SMOOTH, by_vips, files_of_all_kinds, pil_saved, saved

INTERNAL = re.compile(
    r"index out of range|unpack|requires a buffer|bytes-like|NoneType|object|Traceback"
    r"|invalid literal|reshape|subsection|must be an?|expected .* got|\(\)|\w+Error|'\w+' codec"
    r"|argument|0x[0-9a-f]{6}"
)
"""Words of Python, NumPy and Pillow that tell the user nothing."""


def messages_of(content: bytes, path: Path) -> list[str]:
    path.write_bytes(content)
    found = []
    for read in (lambda: images.decode(content, str(path)), lambda: read_bands(path)):
        try:
            read()
        except ImageError as error:
            found.append(str(error))
    return found


def read_bands(path: Path) -> None:
    with BandReader(path) as reader:
        reader.read_rows(0, reader.height)


@pytest.mark.filterwarnings("ignore")  # Pillow warns before it gives up
@pytest.mark.parametrize("name", files_of_all_kinds())
def test_a_file_that_is_cut_off_gives_one_line_without_internals(tmp_path: Path, name: str) -> None:
    content, path = files_of_all_kinds()[name], tmp_path / "it"
    if name.endswith("heic"):
        pytest.skip("decoded in a process for each cut, which takes long")
    lengths = [*range(1, min(len(content), 90), 7), *range(90, len(content), len(content) // 6)]
    messages = [message for length in lengths for message in messages_of(content[:length], path)]
    assert messages
    for message in messages:
        assert "\n" not in message
        assert str(path) in message
        assert len(message.replace(str(path), "")) < 320
        assert not INTERNAL.search(message.replace(str(path), "")), message


def test_words_of_our_program_become_words_about_the_file() -> None:
    for error in (
        IndexError("list index out of range"),
        struct.error("unpack_from requires a buffer of at least 4 bytes"),
        KeyError(3),
        TypeError("'NoneType' object is not subscriptable"),
        ValueError("invalid literal for int() with base 10: b'x'"),
        OSError(),
    ):
        assert describe_fault(error) == "it ends too early, or its header holds impossible values"


def test_what_libvips_says_often_is_said_once() -> None:
    text = (
        "unable to write to memory\n"
        + "tiff2vips: bad tile\n" * 8
        + "tiffload_buffer: load error\n"
    )
    assert describe_fault(ValueError(text)) == "tiff2vips: bad tile"


UNSUPPORTED = (
    "Unsupported BMP compression (4)",
    "cannot handle 2-layer images",
    "Unsupported codec",
)


@pytest.mark.parametrize("text", UNSUPPORTED)
def test_what_is_only_unsupported_is_not_called_damaged(text: str) -> None:
    message = str(make_read_error("it", OSError(text)))
    assert "damaged" not in message
    assert "does not support" in message
    assert "convert it" in message


def test_a_bmp_of_a_coding_that_nobody_reads_is_not_called_damaged() -> None:
    content = bytearray(pil_saved(Image.fromarray(SMOOTH), "BMP"))
    content[30] = 4  # JPEG inside
    with pytest.raises(ImageError, match="does not support"):
        images.decode(bytes(content))


def test_a_header_of_other_things_than_numbers_is_told() -> None:
    with pytest.raises(ImageError, match="its header holds something other than numbers"):
        images.decode(b"P6\nx y\n255\n" + bytes(100))


@pytest.mark.parametrize("bits", [8, 16])
def test_damage_that_a_decoder_only_warns_of_makes_no_pixels_in_bands(
    tmp_path: Path, bits: int
) -> None:
    smooth = np.cumsum(PIXELS.astype(np.uint32) % 3, axis=1).astype(np.uint8)
    path = tmp_path / "it"
    if bits == 8:
        content = bytearray(saved(np.tile(smooth, (6, 6, 1)), "JPEG", quality=95))
    else:
        tall = np.tile(smooth, (6, 6, 1)).astype(np.uint16) * 257
        content = bytearray(by_vips("pngsave_buffer", tall, bitdepth=16))
    middle = len(content) // 2
    del content[middle : middle + 60]
    path.write_bytes(content)
    with pytest.raises(ImageError, match="damaged"):
        read_bands(path)


def test_bytes_before_a_marker_are_no_damage_in_bands(tmp_path: Path) -> None:
    plain = saved(kind="JPEG")
    path = tmp_path / "it"
    path.write_bytes(plain[:-2] + b"\0\0\0" + plain[-2:])
    with BandReader(path) as reader:
        rows = reader.read_rows(0, reader.height)[0]
    np.testing.assert_array_equal(rows, images.decode(plain).pixels)


def test_the_magic_of_a_png_alone_is_a_damaged_png() -> None:
    with pytest.raises(ImageError, match=r"is a damaged PNG .it ends too early"):
        images.decode(png.MAGIC)
