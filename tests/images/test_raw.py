"""A raw file of a camera is refused, whatever finished preview it holds."""

import struct
from pathlib import Path

import numpy as np
import pytest

from crdnet import images
from crdnet.errors import NotAnImageError
from crdnet.images.containers import tiff
from tests.images.making import SMOOTH, saved, tiff_of

RAW_SAMPLES = tiff_of(SMOOTH[..., 0], photometric=32803)


def with_sub_directory(photometric: int, leads_to: int | None = None) -> bytes:
    """A TIFF of a preview whose tag SubIFDs leads to samples of another photometric kind."""
    plain = tiff_of(SMOOTH, photometric="rgb", byteorder="<", metadata=None)
    inner = struct.pack("<HHHIHHI", 1, tiff.PHOTOMETRIC, 3, 1, photometric, 0, 0)
    place = len(plain) + len(plain) % 2
    leads_to = place if leads_to is None else leads_to
    tag = tiff.Tag(tiff.LONG, struct.pack("<I", leads_to))
    return tiff.insert_tags(plain.ljust(place, b"\0") + inner, {0x014A: tag})


RAW = {
    "DNG": tiff_of(SMOOTH, photometric="rgb", extratags=[(0xC612, "B", 4, (1, 4, 0, 0), True)]),
    "a filter array behind a preview": with_sub_directory(32803),
    "linear raw behind a preview": with_sub_directory(34892),
    "a filter array": RAW_SAMPLES,
    "CR2": b"II*\0\x10\0\0\0CR\2\0" + bytes(40),
    "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(40),
    "ORF": b"IIRO\x08\0\0\0" + bytes(40),
    "RW2": b"IIU\0\x18\0\0\0" + bytes(40),
    "RAF": b"FUJIFILMCCD-RAW 0201" + bytes(40),
    "X3F": b"FOVb" + bytes(40),
    "MRW": b"\0MRM" + bytes(40),
    "CRW": b"II\x1a\0\0\0HEAPCCDR" + bytes(40),
    "IIQ": b"IIII" + bytes(40),
}


@pytest.mark.parametrize("content", RAW.values(), ids=RAW.keys())
def test_a_raw_file_is_refused_with_what_to_do(content: bytes) -> None:
    with pytest.raises(NotAnImageError, match=r"it\.x is a raw file of a camera.*develop it"):
        images.read_header(content, "it.x")


def test_a_tiff_of_the_suffix_of_raw_files_is_refused(tmp_path: Path) -> None:
    plain = tiff_of(SMOOTH, photometric="rgb")
    with pytest.raises(NotAnImageError, match="TIFF of raw samples"):
        images.decode(RAW_SAMPLES, "it.tif")
    for suffix in (".nef", ".ARW", ".pef", ".srw", ".3fr"):
        path = tmp_path / f"it{suffix}"
        path.write_bytes(plain)
        with pytest.raises(NotAnImageError, match=f"raw file of a camera .{suffix[1:].upper()}."):
            images.read_header(path)


def test_an_image_that_is_none_of_raw_samples_is_read_under_every_suffix() -> None:
    for content in (saved(kind="JPEG"), saved()):
        assert images.decode(content, "it.nef").pixels.shape == SMOOTH.shape
    plain = tiff_of(SMOOTH, photometric="rgb")
    np.testing.assert_array_equal(images.decode(plain, "it.tif").pixels, SMOOTH)


def test_further_images_in_a_tiff_are_none_of_raw_samples() -> None:
    decoded = images.decode(with_sub_directory(2))
    assert images.list_lost(decoded) == ("further images (SubIFDs)",)


def test_directories_that_lead_nowhere_or_in_a_ring_stop_nothing() -> None:
    for place in (8, 10**9, 0, 300):
        content = with_sub_directory(2, place)
        assert images.decode(content).pixels.shape == SMOOTH.shape
