import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers
from PIL import Image, ImageOps, PngImagePlugin
from PIL.ExifTags import IFD, Base
from PIL.JpegImagePlugin import get_sampling

from crdnet import images
from tests.images.making import (
    PIXELS,
    PROFILE,
    SMOOTH,
    XMP,
    again,
    exif_of,
    jpeg_segments,
    opened,
    pil_saved,
    png_chunks,
    saved,
    segment,
    with_chunk,
)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    "pixels", [PIXELS, PIXELS[..., 0], PIXELS[:1, :1]], ids=["rgb", "grey", "one pixel"]
)
def test_a_lossless_file_comes_back_with_its_pixels(kind: str, pixels: np.ndarray) -> None:
    content = again(saved(pixels, kind))
    image = opened(content)
    assert image.format == kind
    before = np.asarray(opened(saved(pixels, kind)))
    np.testing.assert_array_equal(np.asarray(image), before)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_keeps_its_tables_subsampling_and_order(subsampling: int, progressive: bool) -> None:
    before = saved(kind="JPEG", quality=71, subsampling=subsampling, progressive=progressive)
    one, two = opened(before), opened(again(before))
    assert two.quantization == one.quantization  # type: ignore[attr-defined]
    assert get_sampling(two) == get_sampling(one) == subsampling
    assert bool(two.info.get("progressive")) == progressive
    same_encoder = opened(pil_saved(one, "JPEG", quality="keep"))
    np.testing.assert_array_equal(np.asarray(two), np.asarray(same_encoder))


def test_a_grey_jpeg_stays_grey() -> None:
    image = opened(again(saved(SMOOTH[..., 0], "JPEG", quality=80)))
    assert image.mode == "L"


def test_everything_around_a_jpegs_pixels_is_copied_byte_for_byte() -> None:
    plain = saved(
        kind="JPEG",
        quality=80,
        exif=exif_of(6).tobytes(),
        xmp=XMP,
        icc_profile=PROFILE,
        dpi=(300, 300),
    )
    extra = [
        segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\x08caption!"),
        segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"x" * 60000),
        segment(0xFE, b"one comment"),
        segment(0xFE, b"another"),
    ]
    before = (
        plain[:2]
        + jpeg_segments(plain)[0]
        + b"".join(extra)
        + plain[2 + len(jpeg_segments(plain)[0]) :]
    )
    after = again(before)
    kept = [
        each for each in jpeg_segments(before) if each[1] in range(0xE1, 0xEE) or each[1] == 0xFE
    ]
    assert [
        each for each in jpeg_segments(after) if each[1] in range(0xE1, 0xEE) or each[1] == 0xFE
    ] == kept
    assert len(kept) >= 7
    assert opened(after).info["dpi"] == (300, 300)
    assert images.list_lost(images.decode(before)) == ()


def test_what_a_jpeg_cannot_keep_is_named() -> None:
    plain = saved(kind="JPEG")
    before = (
        plain[:2]
        + segment(0xE2, b"MPF\0" + b"\0" * 20)
        + segment(0xEB, b"JP\0\x01" + b"\0" * 20)
        + plain[2:]
    )
    decoded = images.decode(before)
    lost = images.list_lost(decoded)
    assert len(lost) == 2
    assert "C2PA" in lost[1]
    assert b"MPF\0" not in images.encode(decoded, decoded.pixels)


def test_a_progressive_jpeg_with_fill_bytes_before_a_block_keeps_what_follows() -> None:
    plain = saved(kind="JPEG", progressive=True)
    before = plain[:2] + b"\xff\xff" + segment(0xFE, b"late") + plain[2:]
    assert opened(again(before)).info["comment"] == b"late"


def test_a_png_keeps_text_colour_and_private_chunks() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a street")
    text.add_itxt("Author", "Jemand", "de", "Autor")
    before = saved(pnginfo=text, exif=exif_of(3).tobytes(), dpi=(72, 144))
    for name, payload in [
        (b"gAMA", struct.pack(">I", 45455)),
        (b"prVt", b"ours"),
        (b"sRGB", b"\0"),
    ]:
        before = with_chunk(before, name, payload)
    after = again(before)
    pixel_chunks = {b"IHDR", b"IDAT", b"IEND"}
    assert [each for each in png_chunks(after) if each[0] not in pixel_chunks] == [
        each for each in png_chunks(before) if each[0] not in pixel_chunks
    ]
    texts = opened(after).text  # type: ignore[attr-defined]
    assert texts == {"Title": "a street", "Author": "Jemand"}


def test_a_png_chunk_that_must_not_be_copied_is_named() -> None:
    decoded = images.decode(with_chunk(saved(), b"prVT", b"depends on the pixels"))
    assert images.list_lost(decoded) == ("the chunk prVT",)
    assert b"prVT" not in images.encode(decoded, decoded.pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_network_sees_an_image_upright_and_it_comes_out_the_same_way_up(
    kind: str, orientation: int
) -> None:
    before = saved(kind=kind, exif=exif_of(orientation).tobytes())
    shown = np.asarray(ImageOps.exif_transpose(opened(before)))
    decoded = images.decode(before)
    np.testing.assert_array_equal(decoded.pixels, shown)
    after = ImageOps.exif_transpose(opened(images.encode(decoded, decoded.pixels)))
    assert after.size == shown.shape[1::-1]
    assert np.abs(np.asarray(after).astype(int) - shown).max() <= (0 if kind != "JPEG" else 40)
    if kind != "TIFF":
        assert (
            opened(images.encode(decoded, decoded.pixels)).info["exif"]
            == opened(before).info["exif"]
        )


@given(orientation=integers(1, 8))
def test_turning_back_undoes_turning_up(orientation: int) -> None:
    np.testing.assert_array_equal(
        images.turn_back(images.turn_upright(PIXELS, orientation), orientation), PIXELS
    )


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_profile_and_xmp_are_carried_between_formats(source: str, target: str) -> None:
    options: dict[str, Any] = {"exif": exif_of(6).tobytes(), "icc_profile": PROFILE, "xmp": XMP}
    if source == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    elif source == "TIFF":
        exif = exif_of(6)
        exif[0x02BC] = XMP
        options["exif"] = exif
    before = saved(kind=source, **options)
    after = opened(again(before, target))
    assert after.format == target
    assert after.info["icc_profile"] == PROFILE
    assert after.info["xmp"] == XMP
    exif = after.getexif()
    assert exif[Base.Make] == "A maker"
    assert exif.get_ifd(IFD.Exif)[0x829A] == pytest.approx(0.01)
    upright = ImageOps.exif_transpose(opened(before))
    assert ImageOps.exif_transpose(after).size == upright.size


def test_what_only_jpeg_holds_is_named_when_the_format_changes() -> None:
    decoded = images.decode(saved(kind="JPEG", comment=b"remember"))
    assert images.list_lost(decoded) == ()
    assert images.list_lost(decoded, "PNG") == (
        "what only JPEG files hold (captions, comments, text)",
    )
    assert (
        images.list_lost(images.decode(saved(kind="JPEG", exif=exif_of().tobytes())), "PNG") == ()
    )


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_keeps_its_compression_and_descriptions(compression: str) -> None:
    exif = Image.Exif()  # without the camera's part, which Pillow cannot put into a compressed file
    exif[Base.ImageDescription] = "a street"
    before = saved(kind="TIFF", compression=compression, exif=exif, dpi=(300, 300))
    after = opened(again(before))
    assert after.info["compression"] == compression
    assert after.info["dpi"] == (300, 300)
    assert after.getexif()[Base.ImageDescription] == "a street"
    assert images.list_lost(images.decode(before)) == ()


def test_a_lossy_webp_stays_lossy_and_a_lossless_one_lossless() -> None:
    for lossless in (True, False):
        content = again(saved(kind="WEBP", lossless=lossless, exif=exif_of().tobytes()))
        assert (b"VP8L" in content[:2000]) == lossless
