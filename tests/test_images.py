import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers
from PIL import Image, ImageCms, ImageOps, PngImagePlugin
from PIL.ExifTags import IFD, Base
from PIL.JpegImagePlugin import get_sampling

from crdnet import images
from crdnet.errors import ImageError

PIXELS = np.random.default_rng(5).integers(0, 256, (24, 36, 3), dtype=np.uint8)
SMOOTH = np.asarray(Image.fromarray(PIXELS[:4, :6]).resize((36, 24), Image.Resampling.BICUBIC))
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\xc3\xa9</x:xmpmeta>'
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
OPTIONS: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}}


def saved(pixels: np.ndarray = SMOOTH, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **(OPTIONS.get(kind, {}) | options))
    return buffer.getvalue()


def opened(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    image.load()
    return image


def exif_of(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    exif[Base.Make] = "A maker"
    exif[Base.Artist] = "Somebody"
    exif[IFD.Exif] = {0x829A: 0.01}  # exposure time
    loaded = Image.Exif()
    loaded.load(exif.tobytes())
    return loaded


def again(content: bytes, kind: str | None = None) -> bytes:
    """Decode a file and encode its own pixels."""
    picture = images.decode(content)
    return images.encode(picture, picture.pixels, kind)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("pixels", [PIXELS, PIXELS[..., 0], PIXELS[:1, :1]], ids=["rgb", "grey", "one pixel"])
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


def jpeg_segments(content: bytes) -> list[bytes]:
    segments, position = [], 2
    while content[position + 1] != 0xDA:
        size = 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        segments.append(content[position : position + size])
        position += size
    return segments


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


def test_everything_around_a_jpegs_pixels_is_copied_byte_for_byte() -> None:
    plain = saved(
        kind="JPEG", quality=80, exif=exif_of(6).tobytes(), xmp=XMP, icc_profile=PROFILE, dpi=(300, 300)
    )
    extra = [
        segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\x08caption!"),
        segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"x" * 60000),
        segment(0xFE, b"one comment"),
        segment(0xFE, b"another"),
    ]
    before = plain[:2] + jpeg_segments(plain)[0] + b"".join(extra) + plain[2 + len(jpeg_segments(plain)[0]) :]
    after = again(before)
    kept = [each for each in jpeg_segments(before) if each[1] in range(0xE1, 0xEE) or each[1] == 0xFE]
    assert [each for each in jpeg_segments(after) if each[1] in range(0xE1, 0xEE) or each[1] == 0xFE] == kept
    assert len(kept) >= 7
    assert opened(after).info["dpi"] == (300, 300)
    assert images.lost_between(images.decode(before)) == ()


def test_what_a_jpeg_cannot_keep_is_named() -> None:
    plain = saved(kind="JPEG")
    before = (
        plain[:2] + segment(0xE2, b"MPF\0" + b"\0" * 20) + segment(0xEB, b"JP\0\x01" + b"\0" * 20) + plain[2:]
    )
    picture = images.decode(before)
    lost = images.lost_between(picture)
    assert len(lost) == 2
    assert "C2PA" in lost[1]
    assert b"MPF\0" not in images.encode(picture, picture.pixels)


def test_a_progressive_jpeg_with_fill_bytes_before_a_block_keeps_what_follows() -> None:
    plain = saved(kind="JPEG", progressive=True)
    before = plain[:2] + b"\xff\xff" + segment(0xFE, b"late") + plain[2:]
    assert opened(again(before)).info["comment"] == b"late"


def png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position < len(content):
        size = int.from_bytes(content[position : position + 4], "big")
        yield content[position + 4 : position + 8], content[position + 8 : position + 8 + size]
        position += 12 + size


def with_chunk(content: bytes, name: bytes, payload: bytes) -> bytes:
    chunk = struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))
    return content[:33] + chunk + content[33:]


def test_a_png_keeps_text_colour_and_private_chunks() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a street")
    text.add_itxt("Author", "Jemand", "de", "Autor")
    before = saved(pnginfo=text, exif=exif_of(3).tobytes(), dpi=(72, 144))
    for name, payload in [(b"gAMA", struct.pack(">I", 45455)), (b"prVt", b"ours"), (b"sRGB", b"\0")]:
        before = with_chunk(before, name, payload)
    after = again(before)
    pixel_chunks = {b"IHDR", b"IDAT", b"IEND"}
    assert [each for each in png_chunks(after) if each[0] not in pixel_chunks] == [
        each for each in png_chunks(before) if each[0] not in pixel_chunks
    ]
    assert opened(after).text == {"Title": "a street", "Author": "Jemand"}  # type: ignore[attr-defined]


def test_a_png_chunk_that_must_not_be_copied_is_named() -> None:
    picture = images.decode(with_chunk(saved(), b"prVT", b"depends on the pixels"))
    assert images.lost_between(picture) == ("the chunk prVT",)
    assert b"prVT" not in images.encode(picture, picture.pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_network_sees_a_picture_upright_and_it_comes_out_the_same_way_up(
    kind: str, orientation: int
) -> None:
    before = saved(kind=kind, exif=exif_of(orientation).tobytes())
    shown = np.asarray(ImageOps.exif_transpose(opened(before)))
    picture = images.decode(before)
    np.testing.assert_array_equal(picture.pixels, shown)
    after = ImageOps.exif_transpose(opened(images.encode(picture, picture.pixels)))
    assert after.size == shown.shape[1::-1]
    assert np.abs(np.asarray(after).astype(int) - shown).max() <= (0 if kind != "JPEG" else 40)
    if kind != "TIFF":
        assert opened(images.encode(picture, picture.pixels)).info["exif"] == opened(before).info["exif"]


@given(orientation=integers(1, 8))
def test_turning_back_undoes_turning_up(orientation: int) -> None:
    np.testing.assert_array_equal(
        images.turned_back(images.turned_up(PIXELS, orientation), orientation), PIXELS
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


def test_a_bmp_cannot_hold_exif_and_says_so() -> None:
    picture = images.decode(saved(kind="JPEG", exif=exif_of(6).tobytes()))
    assert images.lost_between(picture, "BMP") == ("EXIF",)
    assert opened(images.encode(picture, picture.pixels, "BMP")).size == (24, 36)


def test_what_only_jpeg_holds_is_named_when_the_format_changes() -> None:
    picture = images.decode(saved(kind="JPEG", comment=b"remember"))
    assert images.lost_between(picture) == ()
    assert images.lost_between(picture, "PNG") == ("what only JPEG files hold (captions, comments, text)",)
    assert images.lost_between(images.decode(saved(kind="JPEG", exif=exif_of().tobytes())), "PNG") == ()


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_keeps_its_compression_and_descriptions(compression: str) -> None:
    exif = Image.Exif()  # without the camera's part, which Pillow cannot put into a compressed file
    exif[Base.ImageDescription] = "a street"
    before = saved(kind="TIFF", compression=compression, exif=exif, dpi=(300, 300))
    after = opened(again(before))
    assert after.info["compression"] == compression
    assert after.info["dpi"] == (300, 300)
    assert after.getexif()[Base.ImageDescription] == "a street"
    assert images.lost_between(images.decode(before)) == ()


def test_a_lossy_webp_stays_lossy_and_a_lossless_one_lossless() -> None:
    for lossless in (True, False):
        content = again(saved(kind="WEBP", lossless=lossless, exif=exif_of().tobytes()))
        assert (b"VP8L" in content[:2000]) == lossless


def multi_page(kind: str) -> bytes:
    buffer = BytesIO()
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def pil_saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_of_bits(bits: int, colour: int) -> bytes:
    """A PNG of one black pixel."""
    samples = {0: 1, 2: 3}[colour]
    row = b"\0" + b"\0" * max(1, bits * samples // 8)
    header = struct.pack(">IIBBBBB", 1, 1, bits, colour, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, payload in [(b"IHDR", header), (b"IDAT", zlib.compress(row)), (b"IEND", b"")]:
        content += (
            struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))
        )
    return content


RGB = Image.fromarray(PIXELS)
REFUSED = {
    "rgba png": (pil_saved(RGB.convert("RGBA"), "PNG"), "an alpha channel"),
    "grey with alpha": (pil_saved(RGB.convert("LA"), "PNG"), "an alpha channel"),
    "transparent colour": (pil_saved(RGB, "PNG", transparency=(1, 2, 3)), "a transparent colour"),
    "palette": (pil_saved(RGB.convert("P"), "PNG"), "a palette"),
    "1 bit": (pil_saved(RGB.convert("1"), "PNG"), "1 bit"),
    "4 bit grey": (png_of_bits(4, 0), "fewer than 8 bits"),
    "16 bit grey png": (png_of_bits(16, 0), "more than 8 bits"),
    "16 bit rgb png": (png_of_bits(16, 2), "more than 8 bits"),
    "16 bit tiff": (pil_saved(Image.fromarray(np.zeros((4, 4), np.uint16)), "TIFF"), "more than 8 bits"),
    "float tiff": (pil_saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), "floating|more than 8"),
    "cmyk jpeg": (pil_saved(RGB.convert("CMYK"), "JPEG"), "CMYK"),
    "rgba webp": (pil_saved(Image.new("RGBA", (4, 4), (1, 2, 3, 4)), "WEBP"), "an alpha channel"),
    "animated webp": (multi_page("WEBP"), "2 pages or frames"),
    "animated png": (multi_page("PNG"), "2 pages or frames"),
    "two-page tiff": (multi_page("TIFF"), "2 pages or frames"),
    "gif": (pil_saved(RGB.convert("P"), "GIF"), "a GIF"),
    "heic": (b"\0\0\0\x18ftypheic" + b"\0" * 40, "HEIC"),
    "avif": (b"\0\0\0\x18ftypavif" + b"\0" * 40, "AVIF"),
    "text": (b"hello, I am a text\n" * 20, "not a picture"),
    "empty": (b"", r"empty \(0 bytes\)"),
    "half a jpeg": (saved(PIXELS, "JPEG")[:700], "damaged"),
    "half a png": (saved(PIXELS, "PNG")[:700], "damaged"),
    "half a webp": (saved(PIXELS, "WEBP")[:700], "damaged"),
    "half a tiff": (saved(PIXELS, "TIFF", compression="tiff_lzw")[:700], "damaged"),
    "a header only": (b"\xff\xd8\xff", "damaged"),
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_kept_is_refused_by_name(content: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        images.decode(content, "it.jpg")
    assert str(caught.value).startswith("it.jpg ")
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns before it gives up
@given(binary(max_size=200))
def test_rubbish_behind_a_right_beginning_is_an_image_error(rubbish: bytes) -> None:
    for start in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x20\0\0\0WEBP", b"II*\0", b"BM"):
        with pytest.raises(ImageError):
            images.decode(start + rubbish)


def test_a_file_may_be_larger_than_pillow_likes_but_not_than_we_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Image, "MAX_IMAGE_PIXELS", 100
    )  # Pillow would warn above this and refuse twice as many
    for kind in ("JPEG", "PNG", "TIFF", "BMP"):
        assert images.decode(saved(kind=kind)).pixels.shape == SMOOTH.shape
    monkeypatch.setattr(images, "MAX_PIXELS", 36 * 24 - 1)
    with pytest.raises(ImageError, match="36 x 24 pixels"):
        images.decode(saved())


def test_a_picture_too_large_for_a_format_is_an_error_that_says_so() -> None:
    wide = np.zeros((1, 20000, 3), np.uint8)
    with pytest.raises(ImageError, match="20000 x 1 pixels cannot be stored as WEBP"):
        again(saved(wide), "WEBP")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow tells of it as well
def test_a_broken_exif_block_costs_only_the_orientation() -> None:
    before = saved(kind="JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fnonsense")
    assert images.decode(before).orientation == 1
    assert opened(again(before)).info["exif"] == opened(before).info["exif"]
