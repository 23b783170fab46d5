"""Every supported format x channels x depth, read back by independent readers."""

import json
import subprocess
from io import BytesIO
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, ImageOps
from PIL.ExifTags import IFD, Base

from crdnet import images
from tests.images.making import (
    IPTC,
    PROFILE,
    SMOOTH,
    XMP,
    by_vips,
    make_image_file,
    opened,
    png_chunks,
    samples_of,
    saved,
)

KEPT = [
    *(("JPEG", channels, 8) for channels in ("grey", "rgb")),
    *(("PNG", channels, bits) for channels in ("grey", "rgb", "greya", "rgba") for bits in (8, 16)),
    *(
        ("TIFF", channels, bits)
        for channels in ("grey", "rgb", "greya", "rgba")
        for bits in (8, 16)
    ),
    *(("WEBP", channels, 8) for channels in ("rgb", "rgba")),
    *(("AVIF", channels, 8) for channels in ("grey", "rgb", "rgba")),
    *(("AVIF", channels, bits) for channels in ("rgb", "rgba") for bits in (10, 12)),
]
EXACT = {"PNG", "TIFF", "WEBP"}


def read(content: bytes, kind: str) -> tuple[np.ndarray, int]:
    """Return the samples of a file as they are stored, and the bits that it says they have."""
    if kind == "TIFF":
        with tifffile.TiffFile(BytesIO(content)) as file:
            page = file.pages.first
            return page.asarray(), page.bitspersample
    if kind == "PNG" and content[24] == 16:
        image = pyvips.Image.new_from_buffer(content, "")
        return image.numpy(), 16
    if kind == "AVIF":
        bits = (
            8
            + 2 * (content[content.index(b"av1C") + 6] >> 6 & 1)
            + 2 * (content[content.index(b"av1C") + 6] >> 5 & 1)
        )
        if bits > 8:
            return pyvips.Image.new_from_buffer(content, "").numpy(), bits
        return np.asarray(opened(content)), 8
    return np.asarray(opened(content)), 8


def described(content: bytes, kind: str) -> dict[str, Any]:
    """Return what Pillow or tifffile finds around the pixels."""
    if kind == "TIFF":
        with tifffile.TiffFile(BytesIO(content)) as file:
            of_pixels = {
                "RowsPerStrip",
                "StripOffsets",
                "StripByteCounts",
                "SampleFormat",
                "PlanarConfiguration",
            }
            return {
                tag.name: tag.value for tag in file.pages.first.tags if tag.name not in of_pixels
            }
    image = Image.open(BytesIO(content))
    around = {
        key: image.info.get(key)
        for key in ("icc_profile", "exif", "xmp", "dpi", "comment", "Title")
    }
    around["exif"] = (around["exif"] or b"").removeprefix(
        b"Exif\0\0"
    )  # some makers of AVIF write this mark
    return around | {"size": image.size}


@pytest.mark.parametrize(("kind", "channels", "bits"), KEPT)
def test_a_file_comes_out_as_it_came_in_but_for_its_colours(
    kind: str, channels: str, bits: int
) -> None:
    before = make_image_file(kind, channels, bits)
    decoded = images.decode(before)
    # What the network sees is upright, without alpha, and of the file's depth.
    orientation = 1 if kind == "AVIF" and bits > 8 else 6
    stored, told = read(before, kind)
    colours = stored[..., :-1].squeeze() if channels.endswith("a") else stored
    np.testing.assert_array_equal(
        decoded.pixels, np.rot90(colours, -1) if orientation == 6 else colours
    )
    assert decoded.pixels.dtype == (np.uint8 if bits == 8 else np.uint16)
    derained = decoded.pixels - decoded.pixels // 4
    content = images.encode(decoded, derained)
    stored_after, told_after = read(content, kind)
    assert (stored_after.shape, stored_after.dtype, told_after) == (
        stored.shape,
        stored.dtype,
        told,
    )
    after = stored_after[..., :-1].squeeze() if channels.endswith("a") else stored_after
    if channels.endswith("a"):
        np.testing.assert_array_equal(stored_after[..., -1], stored[..., -1])
    wanted = np.rot90(derained, 1) if orientation == 6 else derained
    # JPEG and AVIF lose invisible detail; the limit is far below the effect of a swapped channel
    # or a rotation.
    limit = 0 if kind in EXACT else 32 * (1 if bits == 8 else 257)
    assert np.abs(after.astype(int) - wanted).max() <= limit
    assert described(content, kind) == described(before, kind)
    assert images.list_notes(decoded) == ()


@pytest.mark.parametrize(
    ("kind", "channels", "bits"), [each for each in KEPT if each[0] != "AVIF" or each[2] == 8]
)
def test_the_matrix_holds_what_it_says(kind: str, channels: str, bits: int) -> None:
    content = make_image_file(kind, channels, bits)
    around = described(content, kind)
    if kind == "TIFF":
        assert (around["Make"], around["InterColorProfile"], around["Orientation"]) == (
            "A maker",
            PROFILE,
            6,
        )
        assert around["XResolution"] == (300, 1)
        assert (around["XMP"], around["IPTCNAA"]) == (XMP, IPTC)
        return
    image = Image.open(BytesIO(content))
    assert image.getexif()[Base.Make] == "A maker"
    assert image.getexif().get_ifd(IFD.Exif)[0x829A] == pytest.approx(0.01)
    assert (around["icc_profile"], around["xmp"]) == (PROFILE, XMP)


@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(
    ("kind", "channels", "bits"), [("PNG", "rgba", 16), ("TIFF", "grey", 8), ("JPEG", "rgb", 8)]
)
def test_another_format_holds_what_it_can_and_the_rest_is_named(
    kind: str, channels: str, bits: int, target: str
) -> None:
    before = make_image_file(kind, channels, bits)
    decoded = images.decode(before)
    content = images.encode(decoded, decoded.pixels, target)
    upright = ImageOps.exif_transpose(opened(content))
    assert upright.size == (24, 36)
    assert upright.info.get("icc_profile") == PROFILE
    assert upright.info.get("xmp") == XMP
    assert opened(content).getexif()[Base.Make] == "A maker"
    if kind == target:
        return
    notes = " ".join(images.list_notes(decoded, target))
    assert ("alpha" in notes) == (channels.endswith("a") and target == "JPEG")
    assert ("bits per sample" in notes) == (bits == 16 and target not in ("PNG", "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_orientation_is_seen_upright_and_stored_as_it_was(
    kind: str, orientation: int
) -> None:
    before = make_image_file(kind, "rgb", 8, orientation)
    shown = np.asarray(ImageOps.exif_transpose(opened(before)))
    decoded = images.decode(before)
    np.testing.assert_array_equal(decoded.pixels, shown)
    after = opened(images.encode(decoded, decoded.pixels))
    assert after.getexif().get(Base.Orientation, 1) == opened(before).getexif().get(
        Base.Orientation, 1
    )
    again = np.asarray(ImageOps.exif_transpose(after))
    assert again.shape == shown.shape
    assert np.abs(again.astype(int) - shown).max() <= (0 if kind in EXACT else 32)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_avif_of_ten_bits_is_turned_by_its_boxes(orientation: int) -> None:
    tall = images.decode(make_image_file("PNG", "rgb", 16, orientation))
    content = images.encode(tall, tall.pixels, "AVIF")
    np.testing.assert_allclose(
        pyvips.Image.new_from_buffer(content, "").numpy(), tall.pixels, atol=12 * 257
    )
    decoded = images.decode(content)
    np.testing.assert_allclose(decoded.pixels, tall.pixels, atol=12 * 257)
    assert decoded.orientation == orientation


def test_an_avif_without_loss_stays_without_loss() -> None:
    before = by_vips("heifsave_buffer", SMOOTH, compression="av1", lossless=True)
    np.testing.assert_array_equal(
        np.asarray(opened(again := images.encode(images.decode(before), 255 - SMOOTH))),
        255 - SMOOTH,
    )
    assert again != before


def test_a_quality_makes_a_smaller_jpeg_and_leaves_what_has_no_loss() -> None:
    decoded = images.decode(saved(kind="JPEG", quality=95, subsampling=1))
    small = images.encode(decoded, decoded.pixels, quality=30)
    assert len(small) < len(images.encode(decoded, decoded.pixels))
    again = opened(saved(kind="JPEG", quality=30))
    assert opened(small).quantization == again.quantization  # type: ignore[attr-defined]
    decoded = images.decode(saved(kind="WEBP", lossless=True))
    np.testing.assert_array_equal(
        np.asarray(opened(images.encode(decoded, decoded.pixels, quality=30))), decoded.pixels
    )


def test_heic_is_read_upright_and_needs_another_format() -> None:
    here = Path(__file__).parent
    decoded = images.decode((here / "street.heic").read_bytes())
    assert (decoded.format, decoded.pixels.shape, decoded.orientation) == ("HEIC", (48, 32, 3), 6)
    # Red grows to the right and green downwards before it is turned clockwise.
    assert decoded.pixels[-5:, :, 0].mean() > decoded.pixels[:5, :, 0].mean() + 100
    assert decoded.pixels[:, :5, 1].mean() > decoded.pixels[:, -5:, 1].mean() + 100
    jpeg = opened(images.encode(decoded, decoded.pixels, "JPEG"))
    assert jpeg.getexif()[Base.Orientation] == 6
    np.testing.assert_allclose(np.asarray(ImageOps.exif_transpose(jpeg)), decoded.pixels, atol=24)
    assert images.decode((here / "street_10_bits.heic").read_bytes()).pixels.dtype == np.uint16


TAGS = [
    *(
        "-Make=A maker",
        "-Model=One",
        "-Orientation#=6",
        "-ExposureTime=1/100",
        "-DateTimeOriginal=2024:05:06",
    ),
    *("-InteropIndex=R98", "-XResolution=300", "-YResolution=300", "-UserComment=hello"),
    *("-GPSLatitude=48.1", "-GPSLatitudeRef=N", "-GPSLongitude=11.5", "-GPSLongitudeRef=E"),
    *("-XMP:Title=rain", "-XMP:Creator=me", "-XMP-exif:GPSLatitude=48.1"),
]
ONLY_THERE = {
    "jpg": ["-IPTC:Keywords=rain", "-Comment=remember"],
    "tif": ["-IPTC:Keywords=rain"],
    "png": ["-PNG:Title=a"],
}
OF_PIXELS = (
    "System:",
    "SourceFile",
    "IFD0:Strip",
    "IFD0:RowsPer",
    "IFD0:SampleFormat",
    "QuickTime:MediaData",
)
BY_EXIFTOOL = {
    "a.jpg": saved(kind="JPEG"),
    "a.png": saved(kind="PNG"),
    "wide.png": by_vips("pngsave_buffer", samples_of("rgb", 16), bitdepth=16),
    "a.webp": saved(kind="WEBP"),
    "lzw.tif": saved(kind="TIFF", compression="tiff_lzw"),
    "wide.tif": by_vips(
        "tiffsave_buffer", samples_of("rgba", 16), compression="deflate", keep="none"
    ),
    "a.avif": saved(kind="AVIF"),
    "wide.avif": by_vips("heifsave_buffer", samples_of("rgb", 16), compression="av1", bitdepth=10),
}


def exiftool(*arguments: Any) -> str:
    return subprocess.run(
        ["exiftool", *map(str, arguments)], capture_output=True, text=True, check=True
    ).stdout


def dumped(path: Path) -> dict[str, Any]:
    found = json.loads(exiftool("-j", "-G1", "-a", "-u", path))[0]
    return {key: value for key, value in found.items() if not key.startswith(OF_PIXELS)}


@pytest.mark.skipif(which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("name", BY_EXIFTOOL)
def test_exiftool_finds_what_it_wrote(tmp_path: Path, name: str) -> None:
    before, after, placeless = (
        tmp_path / name,
        tmp_path / f"after_{name}",
        tmp_path / f"placeless_{name}",
    )
    before.write_bytes(BY_EXIFTOOL[name])
    exiftool("-q", "-overwrite_original", *TAGS, *ONLY_THERE.get(before.suffix, []), before)
    decoded = images.decode(before.read_bytes())
    after.write_bytes(images.encode(decoded, decoded.pixels))
    told = dumped(before)
    assert len([key for key in told if "GPS" in key]) >= 4
    assert dumped(after) == told
    placeless.write_bytes(images.remove_gps(before.read_bytes()))
    assert dumped(placeless) == {key: value for key, value in told.items() if "GPS" not in key}
    np.testing.assert_array_equal(images.decode(placeless.read_bytes()).pixels, decoded.pixels)


def test_a_tiff_keeps_its_tiles_predictor_and_wide_places() -> None:
    samples = samples_of("rgb", 16)
    before = by_vips(
        "tiffsave_buffer", samples, tile=True, tile_width=32, tile_height=16, bigtiff=True,
        compression="deflate", predictor="horizontal",
    )  # fmt: skip
    decoded = images.decode(before)
    with tifffile.TiffFile(BytesIO(images.encode(decoded, decoded.pixels))) as file:
        page = file.pages.first
        assert (file.is_bigtiff, page.is_tiled, page.tile, page.predictor) == (
            True,
            True,
            (16, 32),
            2,
        )
        np.testing.assert_array_equal(page.asarray(), samples)


def test_only_chunks_of_pixels_change_in_a_png_of_16_bits() -> None:
    before = make_image_file("PNG", "rgba", 16)
    after = images.encode(decoded := images.decode(before), decoded.pixels)
    kept = [chunk for chunk in png_chunks(before) if chunk[0] not in (b"IDAT",)]
    assert [chunk for chunk in png_chunks(after) if chunk[0] not in (b"IDAT",)] == kept
