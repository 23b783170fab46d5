"""HEIC images of the sizes that cameras write keep their own pixels."""

import gc

import numpy as np
import pytest

from crdnet import images
from crdnet.images import ImageSource, WorkerCodec
from crdnet.server.settings import Settings
from tests.images.making import gradient, heic, heic_cropped, heic_of_tiles

CODING_LOSS = 12
"""Grey levels of 255 that HEVC changes at most in the gradients."""


def test_pixels_outlive_the_memory_of_the_decoder() -> None:
    first = images.decode(heic("gradient_61x37")).pixels.copy()
    np.testing.assert_allclose(first, gradient(61, 37), atol=CODING_LOSS)
    kept = []
    for value in range(30):
        kept.append(images.decode(heic("gradient_61x37")).pixels)
        gc.collect()
        poison = [np.full(first.nbytes + extra, value, np.uint8) for extra in range(-512, 512, 16)]
        for pixels in kept:
            np.testing.assert_array_equal(pixels, first)
        del poison


def test_large_pixels_stay_when_the_decoder_is_gone() -> None:
    # The allocator gives large blocks back to the system, so that a view of them crashes.
    with WorkerCodec() as codec:
        for _ in range(5):
            pixels = codec.decode(ImageSource(heic("gradient_512x512"))).pixels
            np.testing.assert_allclose(pixels, gradient(512, 512), atol=CODING_LOSS)


def test_odd_sizes_are_read() -> None:
    pixels = images.decode(heic("gradient_61x37")).pixels
    np.testing.assert_allclose(pixels, gradient(61, 37), atol=CODING_LOSS)


def test_10_bits_become_16() -> None:
    pixels = images.decode(heic("gradient_61x37_10_bits")).pixels
    assert pixels.dtype == np.uint16
    np.testing.assert_allclose(pixels, gradient(61, 37, 65535), atol=257 * CODING_LOSS)


@pytest.mark.parametrize("crop", [(10, 8, 33, 21), (0, 0, 1, 1), (60, 36, 1, 1)])
def test_a_clean_aperture_crops(crop: tuple[int, int, int, int]) -> None:
    left, top, width, height = crop
    pixels = images.decode(heic_cropped(left, top, width, height)).pixels
    whole = images.decode(heic("gradient_61x37")).pixels
    assert pixels.shape == (height, width, 3)
    np.testing.assert_array_equal(pixels, whole[top : top + height, left : left + width])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (b"urn:mpeg:hevc:2015:auxid:2", "the depth map"),
        (b"urn:com:apple:photo:2020:aux:hdrgainmap", "the gain map"),
        (b"urn:com:apple:photo:2018:aux:portraiteffectsmatte", "a matte"),
        (b"urn:something:else", "an auxiliary image"),
    ],
)
def test_an_image_beside_the_image_is_no_alpha_and_is_named(kind: bytes, name: str) -> None:
    decoded = images.decode(heic_of_tiles(1000, 700, 3, beside=kind))
    alone = images.decode(heic_of_tiles(1000, 700, 3))
    assert decoded.alpha is None
    np.testing.assert_array_equal(decoded.pixels, alone.pixels)
    assert images.list_lost(decoded, "JPEG") == (name,)
    assert images.list_lost(alone, "JPEG") == ()


@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF", "AVIF", "WEBP"])
def test_every_format_is_made_of_a_heic_of_a_phone(target: str) -> None:
    decoded = images.decode(heic_of_tiles(1001, 701, 3))
    after = images.decode(images.encode(decoded, decoded.pixels, target))
    assert after.pixels.shape == decoded.pixels.shape == (1001, 701, 3)
    difference = np.abs(after.pixels.astype(int) - decoded.pixels)
    assert difference.mean() < 1.5
    assert np.percentile(difference, 99.9) <= 24  # more at the corner where four tiles meet


@pytest.mark.parametrize(("quarter_turns", "orientation"), [(0, 1), (3, 6)])
def test_a_grid_of_12_megapixels_is_read_upright(quarter_turns: int, orientation: int) -> None:
    decoded = images.decode(heic_of_tiles(4032, 3023, quarter_turns))
    assert decoded.orientation == orientation
    stored = images.turn_back(decoded.pixels, orientation)
    assert stored.shape == (3023, 4032, 3)
    inner = slice(8, 504)  # chroma is interpolated across the borders of tiles
    for top in range(0, 3023 - 512, 512):
        for left in range(0, 4032 - 512, 512):
            tile = stored[top : top + 512, left : left + 512][inner, inner]
            np.testing.assert_allclose(tile, gradient(512, 512)[inner, inner], atol=CODING_LOSS)


def test_a_grid_of_12_megapixels_of_10_bits_is_read() -> None:
    content = heic_of_tiles(4032, 3023, 3, name="gradient_512x512_10_bits")
    decoded = images.decode(content)
    stored = images.turn_back(decoded.pixels, decoded.orientation)
    assert stored.shape == (3023, 4032, 3)
    assert stored.dtype == np.uint16
    inner = slice(8, 504)
    wanted = gradient(512, 512, 65535)[inner, inner]
    for top, left in ((0, 0), (1024, 2048), (2048, 3072)):
        tile = stored[top : top + 512, left : left + 512][inner, inner]
        np.testing.assert_allclose(tile, wanted, atol=257 * CODING_LOSS)


def test_12_megapixels_fit_into_a_process_of_the_server() -> None:
    content = heic_of_tiles(4032, 3024, 3)
    with WorkerCodec(megabytes=Settings().codec_megabytes) as codec:
        decoded = codec.decode(ImageSource(content, max_pixels=50_000_000))
    assert decoded.pixels.shape == (4032, 3024, 3)
