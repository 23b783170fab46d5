"""HEIC: samples are copied before libheif frees them, at every size that phones write.

`odd.heic`, `odd_10_bits.heic` (61 x 47, which is coded as 62 x 48 and cropped by a `clap` box) and
`large.heic` (4032 x 3024, three ramps) were written by pillow-heif 1.8.1 from an image of
`examples/clean` and from formulas; `pi_heif` only reads.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from crdnet import images
from crdnet.images import worker

pi_heif = pytest.importorskip("pi_heif", reason="the extra heic is not installed")

HERE = Path(__file__).parent
NAMES = ("street", "street_10_bits", "odd", "odd_10_bits")


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode in this process, where the memory can be churned."""
    monkeypatch.setattr(worker, "_inside", True)


def content_of(name: str) -> bytes:
    return (HERE / f"{name}.heic").read_bytes()


def oracle(content: bytes) -> np.ndarray:
    """Return the samples by way of bytes, which own their memory, with the padding of rows cut off."""
    image = pi_heif.open_heif(BytesIO(content), convert_hdr_to_8bit=False)
    wide = image.mode.endswith(";16")
    stored = np.frombuffer(bytes(image.data), "<u2" if wide else np.uint8)
    row = image.stride // (2 if wide else 1)
    return stored.reshape(image.size[1], row)[:, : 3 * image.size[0]].reshape(image.size[1], -1, 3)


@pytest.mark.parametrize("name", NAMES)
def test_samples_do_not_change_while_memory_is_used_again(name: str, in_process: None) -> None:
    content = content_of(name)
    expected = oracle(content)
    decoded = []
    for number in range(30):
        pixels = images.decode(content).pixels
        decoded.append(pixels)
        # What is freed too early is taken by the next buffer of its size.
        _ = [np.full(size, number, np.uint8) for size in (expected.nbytes, 1 << 12, 1 << 16, 1 << 20)]
    for pixels in decoded:
        np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize(("name", "dtype"), [("odd", np.uint8), ("odd_10_bits", np.uint16)])
def test_an_image_that_is_cropped_by_its_boxes_has_the_cropped_size(name: str, dtype: type) -> None:
    pixels = images.decode(content_of(name)).pixels
    assert pixels.shape == (47, 61, 3)
    assert pixels.dtype == dtype


def test_an_image_of_12_megapixels_is_read_whole() -> None:
    pixels = images.decode(content_of("large")).pixels
    assert pixels.shape == (3024, 4032, 3)
    rows, columns = np.mgrid[:3024:97, :4032:97]
    # Quality 5 leaves ramps that are right to some levels.
    np.testing.assert_allclose(pixels[::97, ::97, 0], columns * 255 / 4032, atol=24)
    np.testing.assert_allclose(pixels[::97, ::97, 1], rows * 255 / 3024, atol=24)
