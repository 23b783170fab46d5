"""A TIFF that lacks pixels is refused, and one that has odd tags alone is read."""

import logging
import struct
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crdnet import images
from crdnet.errors import ImageError
from crdnet.images import BandReader, ImageSource, WorkerCodec
from crdnet.images.containers import tiff
from tests.images.making import by_vips, opened, saved, tiff_of

NOISE = np.random.default_rng(7)
PIXELS = np.cumsum(NOISE.integers(0, 3, (128, 128, 3)), axis=1).astype(np.uint8)
TILES: dict[str, Any] = {"tile": True, "tile_width": 32, "tile_height": 32}


def read_whole(path: Path) -> np.ndarray:
    return images.decode(path.read_bytes(), str(path)).pixels


def read_in_bands(path: Path) -> np.ndarray:
    with BandReader(path) as reader:
        starts = range(0, reader.height, 37)
        parts = [reader.read_rows(each, min(each + 37, reader.height))[0] for each in starts]
    return np.concatenate(parts)


def read_in_worker(path: Path) -> np.ndarray:
    with WorkerCodec() as codec, ImageSource(path) as source:
        return codec.decode(source).pixels


READERS = (read_whole, read_in_bands, read_in_worker)
Reader = Callable[[Path], np.ndarray]


def overwritten(content: bytes) -> bytes:
    """The file with noise in place of most of its middle strip or tile."""
    tags = tiff.read_pages(content)[0]
    kinds = tiff.TILE_PLACES, tiff.TILE_BYTES
    places, sizes = kinds if tiff.TILE_PLACES in tags else (tiff.STRIP_PLACES, tiff.STRIP_BYTES)
    middle = len(tags[places].numbers) // 2
    place, size = tags[places].numbers[middle], tags[sizes].numbers[middle]
    noise = np.random.default_rng(0).integers(0, 256, size - size // 3, dtype=np.uint8)
    return content[: place + size // 3] + noise.tobytes() + content[place + size :]


def with_tag(content: bytes, tag: int, *, kind: int | None = None, count: int, place: int) -> bytes:
    """The file with another count and place of the values of one tag."""
    edited = bytearray(content)
    (first,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, first)
    for entry in range(first + 2, first + 2 + 12 * entries, 12):
        found, found_kind = struct.unpack_from("<HH", content, entry)
        if found == tag:
            struct.pack_into("<HHII", edited, entry, tag, kind or found_kind, count, place)
            return bytes(edited)
    raise KeyError(tag)


def tagged(**layout: Any) -> bytes:
    tags = [(0x010F, "s", 0, "A maker", True), (0xC000, "I", 2, (7, 9), True)]
    options = {"extratags": tags, "metadata": None, "byteorder": "<", "resolution": (72, 72)}
    return tiff_of(PIXELS, photometric="rgb", **options, **layout)


LZW, JPEG = 5, 7


def coded(parts: Iterable[bytes], compression: int, **layout: Any) -> bytes:
    """A TIFF of strips or tiles that are coded already."""
    options = {"dtype": np.uint8, "byteorder": "<", "metadata": None, "compression": "zlib"}
    content = tiff_of(iter(parts), **options, **layout)
    return with_tag(content, tiff.COMPRESSION, count=1, place=compression)


def old_style_lzw(samples: np.ndarray) -> bytes:
    """Samples as LZW codes in the bit order of early writers, all of 9 bits."""
    content = samples.tobytes()
    clear, end = 256, 257
    codes = [end]
    for start in range(0, len(content), 200):  # 9 bits suffice for so few codes
        codes[-1:-1] = [clear, *content[start : start + 200]]
    number = sum(code << 9 * place for place, code in enumerate(codes))
    return number.to_bytes(-(-9 * len(codes) // 8), "little")


def damaged_files() -> dict[str, bytes]:
    whole = {
        f"{compression} {'tiles' if layout else 'strips'}": by_vips(
            "tiffsave_buffer", PIXELS, compression=compression, **layout
        )
        for compression in ("lzw", "deflate", "packbits", "jpeg")
        for layout in ({}, TILES)
    }
    files = {name: overwritten(content) for name, content in whole.items()}
    tiled = tagged(tile=(32, 32))
    return files | {"truncated tiles": tiled[: len(tiled) * 6 // 10]}


DAMAGED = damaged_files()
FAR = 10**8
HARMLESS = {
    f"{name} {'tiles' if 'tile' in layout else 'strips'}": with_tag(tagged(**layout), tag, **change)
    for layout in ({"tile": (32, 32)}, {"rowsperstrip": 16})
    for name, tag, change in (
        ("a text that does not end", 0x010F, {"kind": 4, "count": 1, "place": 7}),
        ("a text beyond the end", 0x010F, {"count": 80, "place": FAR}),
        ("an unknown tag beyond the end", 0xC000, {"count": 80, "place": FAR}),
        ("two resolutions", 0x011A, {"count": 3, "place": 8}),
    )
}
HARMLESS["a damaged profile"] = tiff_of(PIXELS, photometric="rgb", iccprofile=b"x" * 300)
HARMLESS["an unknown tag"] = tagged()
COLOURS: dict[str, Any] = {"shape": PIXELS.shape, "photometric": "rgb"}
HARMLESS["old-style LZW strips"] = coded(
    [old_style_lzw(PIXELS[top : top + 32]) for top in range(0, 128, 32)],
    LZW,
    rowsperstrip=32,
    **COLOURS,
)
HARMLESS["old-style LZW tiles"] = coded(
    [
        old_style_lzw(PIXELS[top : top + 32, left : left + 32])
        for top in range(0, 128, 32)
        for left in range(0, 128, 32)
    ],
    LZW,
    tile=(32, 32),
    **COLOURS,
)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", DAMAGED)
def test_missing_and_damaged_pixels_are_refused(tmp_path: Path, name: str, read: Reader) -> None:
    path = tmp_path / "it.tif"
    path.write_bytes(DAMAGED[name])
    with pytest.raises(ImageError, match=r"it\.tif is damaged and cannot be read") as caught:
        read(path)
    assert "()" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", HARMLESS)
def test_odd_tags_cost_no_pixels(tmp_path: Path, name: str, read: Reader) -> None:
    path = tmp_path / "it.tif"
    path.write_bytes(HARMLESS[name])
    np.testing.assert_array_equal(read(path), PIXELS)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_a_last_jpeg_strip_of_full_height_is_read(
    tmp_path: Path, options: dict[str, Any], read: Reader
) -> None:
    grey = np.pad(PIXELS[..., 0], ((0, 32), (0, 0)), mode="edge")
    strips = [saved(grey[:80], "JPEG", **options), saved(grey[80:], "JPEG", **options)]
    path = tmp_path / "it.tif"
    layout = {"shape": (128, 128), "rowsperstrip": 80, "photometric": "minisblack"}
    path.write_bytes(coded(strips, JPEG, **layout))
    wanted = np.concatenate([np.asarray(opened(strip)) for strip in strips])[:128]
    np.testing.assert_allclose(read(path), wanted, atol=2)  # other inverse cosine transform


@pytest.mark.parametrize("read", [read_whole, read_in_bands])
@pytest.mark.parametrize("name", DAMAGED)
def test_a_silent_log_hides_no_damage(tmp_path: Path, name: str, read: Reader) -> None:
    path = tmp_path / "it.tif"
    path.write_bytes(DAMAGED[name])
    logging.disable(logging.CRITICAL)
    try:
        with pytest.raises(ImageError, match="damaged"):
            read(path)
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("layout", [{}, {"tile": (32, 32)}], ids=["strips", "tiles"])
def test_old_style_jpeg_is_refused(tmp_path: Path, layout: dict[str, Any], read: Reader) -> None:
    path = tmp_path / "it.tif"
    path.write_bytes(with_tag(tagged(**layout), tiff.COMPRESSION, count=1, place=6))
    with pytest.raises(ImageError, match=r"it\.tif has the compression old-style JPEG.*; convert"):
        read(path)


def test_a_message_holds_nothing_of_another_file() -> None:
    short_png = by_vips("pngsave_buffer", PIXELS.astype(np.uint16) * 200, bitdepth=16)[:8000]
    for content in (*DAMAGED.values(), *HARMLESS.values()):
        with suppress(ImageError):
            images.decode(content)
        with pytest.raises(ImageError, match="read error") as caught:
            images.decode(short_png)
        assert "tiff" not in str(caught.value).lower()


def test_a_damaged_file_does_not_spoil_another_that_is_read_beside_it() -> None:
    def read(content: bytes) -> bool:
        try:
            images.decode(content)
        except ImageError:
            return False
        return True

    files = [*DAMAGED.values(), *HARMLESS.values()] * 4
    with ThreadPoolExecutor(4) as threads:
        are_read = list(threads.map(read, files))
    assert are_read == ([False] * len(DAMAGED) + [True] * len(HARMLESS)) * 4
