import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from crdnet.data import read_rgb
from crdnet.errors import DataError

from .scenery import scene

SIDES = st.integers(1, 9)


FIXTURES_AND_SLOWNESS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(
    suppress_health_check=FIXTURES_AND_SLOWNESS,
    max_examples=30,
    deadline=None,
)
@given(image=st.tuples(SIDES, SIDES).flatmap(lambda sides: arrays(np.uint8, (*sides, 3))))
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm", ".PNG"])
def test_what_is_stored_without_loss_is_read_as_it_was(
    tmp_path: Path, suffix: str, image: np.ndarray
) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(image).save(path)
    read = read_rgb(path)
    assert read.dtype == np.uint8
    assert read.flags.writeable
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, image)


def test_a_path_may_be_text(tmp_path: Path) -> None:
    Image.fromarray(scene(1)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_rgb(str(tmp_path / "a.png")), scene(1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_exif_is_undone(tmp_path: Path, orientation: int) -> None:
    upright = scene(2, height=8, width=12)
    # What a camera held that way stores: the oracle is the definition of the tag, not Pillow.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), upright)


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_and_palette_images_become_rgb(tmp_path: Path, mode: str) -> None:
    grey = Image.new("L", (4, 3), 255)
    grey.putpixel((1, 1), 0)
    grey.convert(mode).save(tmp_path / "a.png")
    read = read_rgb(tmp_path / "a.png")
    assert read.shape == (3, 4, 3)
    assert (read[1, 1] == 0).all()
    assert (read[0, 0] == 255).all()


def test_sixteen_bits_keep_their_high_byte(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert read_rgb(tmp_path / "a.png")[0, :, 0].tolist() == [0, 0, 1, 255]


def test_sixteen_bits_of_colour_keep_their_high_byte(tmp_path: Path) -> None:
    # Pillow cannot write such a file, so its three chunks are written here.
    pixels = struct.pack(">6H", 0x01FF, 0x80FF, 0xFFFF, 0x00FF, 0x1234, 0x0100)
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body))
            + kind
            + body
            + struct.pack(
                ">I",
                zlib.crc32(kind + body),
            )
        )

    data = zlib.compress(b"\0" + pixels)
    file = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", data)
        + chunk(
            b"IEND",
            b"",
        )
    )
    (tmp_path / "a.png").write_bytes(file)
    assert read_rgb(tmp_path / "a.png").tolist() == [[[0x01, 0x80, 0xFF], [0x00, 0x12, 0x01]]]


def test_opaque_alpha_is_dropped(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([scene(3), np.full((48, 64), 255, np.uint8)])).save(
        tmp_path / "a.png"
    )
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), scene(3))


def test_transparent_pixels_are_refused(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (9, 9, 9, 255))
    image.putpixel((2, 2), (9, 9, 9, 254))
    image.save(tmp_path / "a.png")
    _refused(tmp_path / "a.png", "transparent")


def test_a_palette_with_a_transparent_colour_is_refused(tmp_path: Path) -> None:
    palette = Image.fromarray(scene(3)).quantize(8)
    palette.save(tmp_path / "a.png", transparency=palette.getpixel((0, 0)))
    _refused(tmp_path / "a.png", "transparent")


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("CMYK", "jpg"), ("F", "tiff"), ("I", "tiff"), ("LAB", "tiff")],
)
def test_colours_without_a_plain_meaning_in_rgb_are_refused(
    tmp_path: Path,
    mode: str,
    suffix: str,
) -> None:
    Image.new(mode, (4, 4)).save(tmp_path / f"a.{suffix}")
    _refused(tmp_path / f"a.{suffix}", f"mode {mode}")


def test_an_animation_is_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    _refused(tmp_path / "a.webp", "2 frames")


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    _refused(tmp_path / "none.png", "no such file")


def test_a_folder_in_place_of_an_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    _refused(tmp_path / "a.png", "cannot be read")


@pytest.mark.parametrize(
    "content",
    [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"],
)
def test_what_is_no_image_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    _refused(tmp_path / "a.png", "cannot be read")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tiff"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_truncated_image_is_an_error(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"whole.{suffix}")
    whole = (tmp_path / f"whole.{suffix}").read_bytes()
    (tmp_path / f"cut.{suffix}").write_bytes(whole[: int(len(whole) * share)])
    _refused(tmp_path / f"cut.{suffix}", "cannot be read")


@settings(
    suppress_health_check=FIXTURES_AND_SLOWNESS,
    max_examples=60,
    deadline=None,
)
@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_is_read_or_is_our_error(tmp_path: Path, position: int, value: int) -> None:
    path = tmp_path / "whole.png"
    if not path.exists():
        Image.fromarray(scene(4, 24, 24)).save(path)
    content = bytearray(path.read_bytes())
    content[position % len(content)] = value
    (tmp_path / "damaged.png").write_bytes(content)
    # Anything but our own error would fail the test.
    with suppress(DataError):
        assert read_rgb(tmp_path / "damaged.png").shape[2] == 3


@pytest.mark.parametrize("limit", [47 * 64, 20 * 64])
def test_a_decompression_bomb_is_an_error_whether_pillow_warns_or_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    Image.fromarray(scene(5)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    _refused(tmp_path / "a.png", "decompression bomb")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_an_error_where_warnings_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(scene(5)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 47 * 64)
    _refused(tmp_path / "a.png", "decompression bomb")


def _refused(path: Path, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        read_rgb(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)
