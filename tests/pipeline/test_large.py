"""Images too large for memory: the file that the whole would make, in bands."""

import os
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import crdnet.pipeline.route
from crdnet import Derainer, DerainOptions, images
from crdnet.errors import ImageError
from crdnet.pipeline import derain_source, sense_source
from tests.runtime.tiny import write_streak_model

HEIGHT, WIDTH = 700, 520


@pytest.fixture
def derainer(tmp_path: Path) -> Derainer:
    return Derainer(write_streak_model(tmp_path / "streak.onnx"), threads=1, tile=160)


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read images of over a tenth of a megapixel in bands, and refuse to decode them whole."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the image was decoded as a whole")

    monkeypatch.setattr(crdnet.pipeline.route, "LARGE_PIXELS", 100_000)
    monkeypatch.setattr(images.LocalCodec, "decode", refuse)


def rainy(channels: int, dtype: type = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(0)
    top = np.iinfo(dtype).max
    pixels = np.full((HEIGHT, WIDTH, channels), 0.3 * top)
    pixels[:, rng.integers(0, WIDTH, 90), :3] = 0.7 * top
    pixels[..., 3:] = rng.integers(0, top, pixels[..., 3:].shape)
    return pixels.astype(dtype)


@pytest.mark.parametrize(("suffix", "channels"), [("png", 3), ("png", 4), ("tiff", 3), ("jpg", 3)])
def test_a_large_file_is_derained_in_bands_to_the_same_image(
    derainer: Derainer, tmp_path: Path, request: pytest.FixtureRequest, suffix: str, channels: int
) -> None:
    source = tmp_path / f"large.{suffix}"
    Image.fromarray(rainy(channels)).save(source)
    whole = derainer.derain_file(source, tmp_path / f"whole.{suffix}")
    request.getfixturevalue("small_is_large")
    banded = derainer.derain_file(source, tmp_path / f"banded.{suffix}")
    assert (banded.width, banded.height, banded.sensed) == (WIDTH, HEIGHT, whole.sensed)
    with Image.open(str(whole.output)) as one, Image.open(str(banded.output)) as other:
        assert (one.format, one.mode) == (other.format, other.mode)
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
        assert np.asarray(other)[..., :3].mean() < 0.9 * rainy(channels)[..., :3].mean()


@pytest.mark.usefixtures("small_is_large")
def test_a_large_dry_file_comes_out_byte_for_byte(derainer: Derainer, tmp_path: Path) -> None:
    source = tmp_path / "dry.png"
    Image.new("RGB", (WIDTH, HEIGHT), (40, 50, 60)).save(source)
    record = derainer.derain_file(source, tmp_path / "out.png")
    assert record.dry
    assert record.left_alone
    assert (tmp_path / "out.png").read_bytes() == source.read_bytes()


@pytest.mark.usefixtures("small_is_large")
def test_a_large_file_that_ends_early_leaves_nothing_behind(
    derainer: Derainer, tmp_path: Path
) -> None:
    source, folder = tmp_path / "short.png", tmp_path / "out"
    Image.fromarray(rainy(3)).save(source)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(ImageError, match=r"short\.png"):
        derainer.derain_file(source, folder / "out.png")
    assert not folder.exists() or not list(folder.iterdir())


@pytest.mark.usefixtures("small_is_large")
def test_a_large_file_is_sensed_in_bands_as_it_is_derained(
    derainer: Derainer, tmp_path: Path
) -> None:
    source = tmp_path / "large.png"
    Image.fromarray(rainy(4)).save(source)
    with images.ImageSource(source) as opened:
        outcome = sense_source(derainer.network, opened)
    sensed = outcome.sensed
    assert (outcome.height, outcome.width) == (HEIGHT, WIDTH)
    assert sensed == derainer.derain_file(source, tmp_path / "out.png").sensed
    assert sensed == derainer.sense(rainy(3))


@pytest.mark.usefixtures("small_is_large")
def test_a_large_file_that_changes_while_it_is_read_is_told(
    derainer: Derainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, samples = tmp_path / "large.png", images.BandReader.read_samples
    Image.fromarray(rainy(3)).save(source)

    def touching(self: images.BandReader, start: int, stop: int) -> Any:
        os.utime(source, (1, 1))
        return samples(self, start, stop)

    monkeypatch.setattr(images.BandReader, "read_samples", touching)
    with pytest.raises(ImageError, match="changed while it was read"):
        derainer.derain_file(source, tmp_path / "out.png")
    assert [path.name for path in tmp_path.glob("*.png")] == ["large.png"]


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"on_derained": lambda *_: None}, "`rain`"),
        ({"options": DerainOptions(format="png")}, "`format`"),
        ({"options": DerainOptions(strip_gps=True)}, "`strip_gps`"),
        ({}, "an image that is stored turned"),
    ],
)
def test_what_must_be_read_whole_and_does_not_fit_is_refused_with_the_reason(
    derainer: Derainer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    reason: str,
) -> None:
    source = tmp_path / "large.jpg"
    exif = Image.Exif()
    exif[0x112] = 1 if options else 6
    Image.fromarray(rainy(3)).save(source, exif=exif)
    monkeypatch.setattr(os, "sysconf", lambda _name: 1000)  # a thousand pages of a thousand bytes
    with (
        pytest.raises(
            ImageError, match=f"520 x 700 pixels must be read whole for {reason}"
        ) as caught,
        images.ImageSource(source) as opened,
    ):
        derain_source(derainer.network, opened, lambda: nullcontext(BytesIO()), **options)
    assert "\n" not in str(caught.value)
