"""Removal of embedded images that show the rain (thumbnails), and of the location."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, ImageCms, PngImagePlugin
from PIL.ExifTags import IFD, Base

from crdnet import images
from crdnet.images.containers import isobmff, jpeg
from tests.images.making import (
    SMOOTH,
    again,
    exif_of,
    opened,
    pil_saved,
    saved,
    segment,
    tiff_of,
    with_chunk,
)

THUMBNAIL = saved(SMOOTH[::2, ::2], "JPEG", quality=20)
PLACE = {1: "N", 2: (48.0, 8.0, 30.0), 3: "E", 4: (11.0, 34.0, 12.0)}


def exif_with_thumbnail(*, big_endian: bool) -> bytes:
    """Return EXIF like a camera's: a directory, a second one for the thumbnail, the thumbnail."""
    order = ">" if big_endian else "<"
    first = struct.pack(order + "HHHI4s", 1, 0x010F, 2, 4, b"ABC\0")
    second = struct.pack(order + "HHHII", 2, 0x0201, 4, 1, 56) + struct.pack(
        order + "HHII", 0x0202, 4, 1, len(THUMBNAIL)
    )
    head = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(order + "I", 8)
    return (
        head
        + first
        + struct.pack(order + "I", 26)
        + second
        + struct.pack(order + "I", 0)
        + THUMBNAIL
    )


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_the_thumbnail_that_shows_the_rain_is_dropped_and_named(
    kind: str, big_endian: bool
) -> None:
    exif = exif_with_thumbnail(big_endian=big_endian)
    before = saved(kind=kind, exif=b"Exif\0\0" + exif)
    assert THUMBNAIL in before
    after = again(before)
    assert THUMBNAIL[100:200] not in after
    assert opened(after).getexif()[Base.Make] == "ABC"
    assert opened(after).getexif().get_ifd(IFD.IFD1) == {}
    assert images.list_lost(images.decode(before)) == ("the thumbnail in EXIF",)
    # All that is before it stays where it was.
    kept = opened(after).info["exif"].removeprefix(b"Exif\0\0")
    assert kept[:22] == exif[:22]
    assert len(kept) <= 26


def resource(number: int, data: bytes) -> bytes:
    return (
        b"8BIM"
        + number.to_bytes(2, "big")
        + b"\0\0"
        + len(data).to_bytes(4, "big")
        + data
        + b"\0" * (len(data) % 2)
    )


def test_the_thumbnail_of_photoshop_is_dropped_beside_a_caption_that_is_kept() -> None:
    plain = saved(kind="JPEG")
    caption = resource(0x0404, b"\x1c\x02\x78\x00\x08a street")
    block = segment(0xED, b"Photoshop 3.0\0" + resource(0x040C, THUMBNAIL) + caption)
    before = plain[:2] + block + plain[2:]
    after = again(before)
    assert caption in after
    assert THUMBNAIL[100:200] not in after
    assert images.list_lost(images.decode(before)) == ("the thumbnail of Photoshop",)


def test_a_thumbnail_of_photoshop_that_lies_in_two_blocks_is_dropped() -> None:
    plain = saved(kind="JPEG")
    caption = resource(0x0404, b"\x1c\x02\x78\x00\x08a street")
    value = resource(0x040C, THUMBNAIL) + caption
    parts = (value[:300], value[300:])
    blocks = [segment(0xED, b"Photoshop 3.0\0" + part) for part in parts]
    before = plain[:2] + blocks[0] + segment(0xFE, b"remember") + blocks[1] + plain[2:]
    after = again(before)
    assert segment(0xED, b"Photoshop 3.0\0" + caption) in after
    assert THUMBNAIL[100:200] not in after
    assert THUMBNAIL[-60:] not in after
    assert opened(after).info["comment"] == b"remember"


def test_further_images_and_gain_maps_are_dropped_and_named() -> None:
    plain = saved(kind="JPEG", xmp=b'<x hdrgm:Version="1.0"/>')
    before = (
        plain[:2] + segment(0xE2, b"MPF\0" + b"\0" * 20) + plain[2:] + saved(255 - SMOOTH, "JPEG")
    )
    assert images.list_lost(images.decode(before)) == ("further images (MPF)", "the gain map")
    assert len(again(before)) < len(before) - 400
    np.testing.assert_array_equal(images.decode(before).pixels, images.decode(plain).pixels)


def test_what_hangs_on_behind_a_jpeg_is_named() -> None:
    before = saved(kind="JPEG", progressive=True) + b"a short film"
    assert images.list_lost(images.decode(before)) == ("12 bytes behind the image",)


def test_smaller_copies_in_a_tiff_are_dropped_and_named() -> None:
    buffer = BytesIO()

    with tifffile.TiffWriter(buffer) as file:
        file.write(SMOOTH, photometric="rgb", metadata=None)
        file.write(SMOOTH[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    decoded = images.decode(buffer.getvalue())
    assert images.list_lost(decoded) == ("smaller copies of the image",)
    np.testing.assert_array_equal(
        np.asarray(opened(images.encode(decoded, decoded.pixels))), SMOOTH
    )


def xmp_with_place(space: bytes) -> bytes:
    return (
        b'<x:xmpmeta><r:Description xmlns:%b="http://ns.adobe.com/exif/1.0/" '
        b'%b:GPSLatitude="48,8.5N" dc:title="rain">'
        b"<%b:GPSLongitude>11,34.2E</%b:GPSLongitude><%b:GPSAltitude/><%b:ISO>100</%b:ISO>"
        b"</r:Description></x:xmpmeta>"
    ) % ((space,) * 7)


def exif_in(content: bytes) -> tuple[Any, Any, Any]:
    """The place, the artist and the exposure time."""
    with Image.open(BytesIO(content)) as image:
        exif = image.getexif()
        return exif.get_ifd(IFD.GPSInfo), exif.get(Base.Artist), exif.get_ifd(IFD.Exif).get(0x829A)


@pytest.mark.parametrize("space", [b"exif", b"e2"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_no_word_of_the_place_is_left_and_all_else_is(kind: str, space: bytes) -> None:
    exif = exif_of(6)
    exif[IFD.GPSInfo] = PLACE
    xmp = xmp_with_place(space)
    options: dict[str, Any] = {"exif": exif.tobytes(), "xmp": xmp}
    if kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
    # Pillow writes no place into a TIFF, so there it comes from a JPEG.
    before = (
        again(saved(kind="JPEG", **options), kind)
        if kind == "TIFF"
        else saved(kind=kind, **options)
    )
    assert exif_in(before)[0]
    after = images.remove_gps(before)
    assert exif_in(after) == ({}, "Somebody", pytest.approx(0.01))
    left = opened(after).info["xmp"]
    assert b"GPS" not in left
    assert b"48,8" not in left
    assert b"11,34" not in left
    assert b'dc:title="rain"' in left
    assert b"ISO>100<" in left
    np.testing.assert_array_equal(np.asarray(opened(after)), np.asarray(opened(before)))


def test_a_place_that_the_border_of_two_blocks_cuts_in_two_is_found() -> None:
    xmp = xmp_with_place(b"exif")
    mark = b"http://ns.adobe.com/xmp/extension/\0" + b"a" * 32 + struct.pack(">I", len(xmp))
    middle = xmp.index(b"48,8") + 2
    blocks = [
        segment(0xE1, mark + struct.pack(">I", at) + part)
        for at, part in ((0, xmp[:middle]), (middle, xmp[middle:]))
    ]
    plain = saved(kind="JPEG")
    after = images.remove_gps(plain[:2] + b"".join(blocks) + plain[2:])
    assert len(after) == len(plain) + sum(map(len, blocks))
    assert b"GPS" not in after
    assert b"ISO>100<" in after


def test_exif_that_nobody_can_read_goes_with_the_place_that_it_may_tell() -> None:
    before = saved(kind="JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fGPS")
    assert b"Exif" not in images.remove_gps(before)
    assert opened(images.remove_gps(before)).size == (36, 24)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_become_srgb_and_their_profile_goes(kind: str) -> None:
    inks = Image.fromarray(SMOOTH).convert("CMYK")
    before = pil_saved(inks, kind, icc_profile=b"\0" * 16 + b"CMYK" + b"\0" * 16 + b"acsp")
    decoded = images.decode(before)
    assert decoded.changes == ("CMYK inks became sRGB colours by a profile of common print",)
    after = opened(images.encode(decoded, decoded.pixels))
    assert (after.mode, after.info.get("icc_profile")) == ("RGB", None)
    white = images.decode(pil_saved(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), kind)).pixels
    black = images.decode(pil_saved(Image.new("CMYK", (8, 8), (255, 255, 255, 255)), kind)).pixels
    assert white.min() > 245
    assert black.max() < 60


def test_inks_with_a_profile_become_what_little_cms_makes_of_it() -> None:
    profile = pyvips.Operation.call("profile_load", "cmyk")
    ink = ImageCms.ImageCmsProfile(BytesIO(profile))
    inks = Image.fromarray(SMOOTH).convert("CMYK")
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    wanted = ImageCms.profileToProfile(
        inks, ink, ImageCms.createProfile("sRGB"), intent, "RGB", flags=flags
    )
    decoded = images.decode(pil_saved(inks, "TIFF", icc_profile=profile))
    assert decoded.changes == ("CMYK inks became sRGB colours by their profile",)
    np.testing.assert_allclose(decoded.pixels.astype(int), np.asarray(wanted), atol=4)


def bits_of_png(bits: int, colour: int, samples: list[int], key: bytes = b"") -> bytes:

    row = 0
    for sample in samples:
        row = row << bits | sample
    packed = b"\0" + (row << (-len(samples) * bits) % 8).to_bytes(
        (len(samples) * bits + 7) // 8, "big"
    )
    content = saved(SMOOTH[:1, :1])[:8]
    header = struct.pack(">IIBBBBB", len(samples), 1, bits, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"tRNS", key), (b"IDAT", zlib.compress(packed)), (b"IEND", b"")]
    for name, payload in chunks:
        if payload or name == b"IEND":
            content += (
                struct.pack(">I", len(payload))
                + name
                + payload
                + struct.pack(">I", zlib.crc32(name + payload))
            )
    return content


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_become_grey_of_eight_with_the_transparent_one_hidden(bits: int) -> None:
    samples = list(range(2**bits))
    decoded = images.decode(bits_of_png(bits, 0, samples, b"\0\1"))
    np.testing.assert_array_equal(
        decoded.pixels[0], [255 * each // (2**bits - 1) for each in samples]
    )
    assert decoded.alpha is not None
    np.testing.assert_array_equal(decoded.alpha[0], [0 if each == 1 else 255 for each in samples])
    assert len(decoded.changes) == 2
    assert opened(again(bits_of_png(bits, 0, samples))).mode == "L"


def test_a_palette_becomes_colours_and_its_chunks_go() -> None:
    pale = Image.fromarray(SMOOTH).quantize(16)
    before = with_chunk(pil_saved(pale, "PNG", transparency=3), b"sBIT", b"\5\5\5")
    decoded = images.decode(before)
    shown = np.asarray(pale.convert("RGB"))
    np.testing.assert_array_equal(decoded.pixels, shown)
    after = opened(images.encode(decoded, decoded.pixels))
    assert after.mode == "RGBA"
    np.testing.assert_array_equal(
        np.asarray(after)[..., 3], np.where(np.asarray(pale) == 3, 0, 255)
    )
    assert b"sBIT" not in images.encode(decoded, decoded.pixels)
    assert decoded.changes == ("the palette became colours",)


def test_a_ppm_of_sixteen_bits_keeps_them() -> None:
    wide = np.arange(5 * 7 * 3, dtype=np.uint16).reshape(5, 7, 3) * 600
    before = b"P6\n# a remark\n7 5\n65535\n" + wide.astype(">u2").tobytes()
    np.testing.assert_array_equal(images.decode(before).pixels, wide)
    np.testing.assert_array_equal(images.decode(again(before, "PNG")).pixels, wide)


def test_associated_alpha_stays_associated_and_as_it_was() -> None:
    alpha = np.full((*SMOOTH.shape[:2], 1), 200, np.uint8)
    samples = np.dstack([SMOOTH.astype(np.uint16) * 200 // 255, alpha]).astype(np.uint8)
    after = again(tiff_of(samples, photometric="rgb", extrasamples=["assocalpha"]))

    with tifffile.TiffFile(BytesIO(after)) as file:
        assert file.pages.first.extrasamples == (tifffile.EXTRASAMPLE.ASSOCALPHA,)
        np.testing.assert_array_equal(file.pages.first.asarray()[..., 3], 200)
        np.testing.assert_allclose(file.pages.first.asarray()[..., :3], samples[..., :3], atol=1)


def with_samplings(luma: int, width: int, height: int) -> bytes:
    """Return a JPEG with luma sampling factors 0xAB and the blocks of 4:2:2 at 96 x 64."""
    content = bytearray(saved(np.zeros((64, 96, 3), np.uint8) + 70, "JPEG", subsampling=1))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    content[at + 6] = luma
    return bytes(content)


def test_a_subsampling_that_nobody_writes_becomes_444_and_is_said() -> None:
    content = with_samplings(0x12, 64, 96)
    decoded = images.decode(content)
    assert images.list_notes(decoded) == (
        "could not carry over the chroma subsampling 4:4:0, for want of a writer",
    )
    after = images.decode(images.encode(decoded, decoded.pixels))
    assert (after.options["subsampling"], images.list_notes(after)) == (0, ())
    assert images.list_notes(images.decode(with_samplings(0x21, 96, 64))) == ()


def xmp_with_announcements(prefixes: tuple[str, str, str]) -> bytes:
    """XMP as phones write it that announces a gain map and a video behind the image."""
    gain, camera, container = prefixes
    return f"""<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='rdf#'><rdf:Description
 xmlns:{gain}='http://ns.adobe.com/hdr-gain-map/1.0/' {gain}:Version='1.0' {gain}:GainMapMax="2"
 xmlns:{container}='http://ns.google.com/photos/1.0/container/'
 xmlns:{camera}='http://ns.google.com/photos/1.0/camera/' {camera}:MotionPhoto='1'
 {camera}:MicroVideoOffset='9' {camera}:SpecialTypeID='kept 1' dc:title='kept 2'>
<{container}:Directory><rdf:Seq><rdf:li rdf:parseType='Resource'><{container}:Item I:Mime='m'/>
</rdf:li></rdf:Seq></{container}:Directory><{gain}:Gamma><rdf:Seq/></{gain}:Gamma>
</rdf:Description></rdf:RDF></x:xmpmeta>""".encode()


@pytest.mark.parametrize("prefixes", [("hdrgm", "GCamera", "Container"), ("a", "b", "c")])
@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_xmp_announces_nothing_that_was_dropped(
    target: str, prefixes: tuple[str, str, str]
) -> None:
    packet = xmp_with_announcements(prefixes)
    before = saved(kind="JPEG", xmp=packet) + saved(255 - SMOOTH, "JPEG") + FILM
    decoded = images.decode(before)
    after = opened(images.encode(decoded, decoded.pixels, target)).info["xmp"]
    assert len(after) == len(packet)
    assert after.count(b"kept") == 2
    for word in (b":Version", b"GainMap", b":MotionPhoto=", b"MicroVideo", b":Directory", b"Gamma"):
        assert word not in after
    assert "the video behind the image" in images.list_lost(decoded, target)


FILM = b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(40)


def test_long_xmp_announces_nothing_that_was_dropped() -> None:
    packet = xmp_with_announcements(("hdrgm", "GCamera", "Container"))
    middle = packet.index(b"Directory") + 4
    mark = b"http://ns.adobe.com/xmp/extension/\0" + b"a" * 32 + struct.pack(">I", len(packet))
    parts = ((0, packet[:middle]), (middle, packet[middle:]))
    blocks = [segment(0xE1, mark + struct.pack(">I", at) + part) for at, part in parts]
    plain = saved(kind="JPEG")
    after = again(plain[:2] + b"".join(blocks) + plain[2:])
    assert b"Directory" not in after
    assert b"Gamma" not in after
    assert after.count(b"kept") == 2


def test_xmp_that_announces_nothing_or_cannot_be_read_stays_as_it_is() -> None:
    for packet in (b"<x dc:title='kept'/>", b"<x hdrgm:Version='1.0'>", b"\xff\xfe<\0"):
        before = saved(kind="JPEG", xmp=packet)
        assert opened(again(before)).info["xmp"] == packet


def test_stray_bytes_between_the_blocks_of_a_jpeg_are_passed_over_and_named() -> None:
    plain = saved(kind="JPEG", exif=exif_of(6).tobytes(), comment=b"remember")
    end = 2 + 2 + int.from_bytes(plain[4:6], "big")
    before = plain[:end] + b"hello" + plain[end:]
    decoded = images.decode(before)
    np.testing.assert_array_equal(decoded.pixels, images.decode(plain).pixels)
    assert images.encode(decoded, decoded.pixels) == again(plain)
    assert images.list_notes(decoded) == ("could not carry over 5 stray bytes between blocks",)
    assert images.remove_gps(before) == plain


def test_arithmetic_coding_is_named_where_it_goes() -> None:
    plain = saved(kind="JPEG")
    found = jpeg.read_metadata(plain.replace(b"\xff\xc0", b"\xff\xc9", 1))
    assert found.recoded == ("the arithmetic coding",)
    assert jpeg.read_metadata(plain).recoded == ()


def test_an_avif_is_cropped_by_its_clean_aperture() -> None:
    whole = images.decode(saved(kind="AVIF")).pixels
    plain = saved(kind="AVIF")
    aperture = struct.pack(">8I", 20, 1, 10, 1, 0, 1, 0, 1)
    content = isobmff._insert_items(plain, [], [(b"clap", aperture, True)])
    decoded = images.decode(content)
    assert decoded.pixels.shape == (10, 20, 3)
    np.testing.assert_allclose(decoded.pixels, whole[7:17, 8:28], atol=3)
