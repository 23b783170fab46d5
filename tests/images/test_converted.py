"""Metadata that conversion to another format keeps, and warnings about what is lost."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from crdnet import images
from crdnet.errors import ImageError, NotAnImageError
from crdnet.images.containers import png, tiff
from crdnet.images.faults import make_read_error
from crdnet.images.headers import read_header
from tests.images.making import PROFILE, SMOOTH, XMP, opened, saved, segment, tiff_of, with_chunk

OTHERS = ("PNG", "TIFF", "WEBP", "AVIF")


def bmp_of(kind: bytes, profile: bytes = b"", primaries: bytes = bytes(48)) -> bytes:
    """A BMP of version 5 that tells its colours by `kind`."""
    rows = np.ascontiguousarray(SMOOTH[::-1, :, ::-1]).tobytes()
    height, width = SMOOTH.shape[:2]
    header = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 24, 0, len(rows), 0, 0, 0, 0)
    header += bytes(16) + kind + primaries
    header += struct.pack("<IIII", 4, 124 + len(rows), len(profile), 0)
    place = 14 + len(header)
    size = place + len(rows) + len(profile)
    return b"BM" + struct.pack("<IHHI", size, 0, 0, place) + header + rows + profile


def gif_of(*extensions: bytes, colours: bool = True) -> bytes:
    pixels = SMOOTH if colours else np.arange(256, dtype=np.uint8).reshape(16, 16)
    content = saved(pixels, "GIF")
    place = content.index(b"\x2c\0\0\0\0", 13)
    return content[:place] + b"".join(extensions) + content[place:]


def extension(name: bytes, value: bytes, *, blocks: bool = True) -> bytes:
    if not blocks:  # XMP stands as it is, before bytes that lead any reader to its end
        return b"\x21\xff\x0b" + name + value + bytes((1, *range(255, -1, -1), 0))
    parts = (value[at : at + 255] for at in range(0, len(value), 255))
    return b"\x21\xff\x0b" + name + b"".join(bytes((len(p),)) + p for p in parts) + b"\0"


def converted(content: bytes, target: str) -> tuple[bytes, tuple[str, ...]]:
    image = images.decode(content)
    return images.encode(image, image.pixels, target), images.list_lost(image, target)


@pytest.mark.parametrize("target", OTHERS)
@pytest.mark.parametrize(
    "content",
    [bmp_of(b"DEBM", PROFILE), gif_of(extension(b"ICCRGBG1012", PROFILE))],
    ids=["BMP", "GIF"],
)
def test_the_profile_of_a_file_that_is_only_read_is_kept(content: bytes, target: str) -> None:
    written, lost = converted(content, target)
    assert images.decode(written).metadata.around.icc == PROFILE
    assert lost == ()


def test_a_bmp_names_colours_that_it_tells_in_another_way() -> None:
    assert images.decode(bmp_of(b"BGRs")).metadata.left_behind == ()
    assert images.decode(bmp_of(b"\0\0\0\0")).metadata.left_behind == ()
    told = images.decode(bmp_of(b"\0\0\0\0", primaries=b"\1" * 48))
    assert told.metadata.left_behind == ("the primaries and gamma of the BMP",)
    linked = images.decode(bmp_of(b"KNIL", b"srgb.icc"))
    assert linked.metadata.left_behind == ("a colour profile in another file",)
    np.testing.assert_array_equal(told.pixels, SMOOTH)


def test_xmp_of_a_gif_is_kept() -> None:
    content = gif_of(extension(b"XMP DataXMP", XMP, blocks=False))
    assert opened(content).size == (36, 24)
    written, lost = converted(content, "PNG")
    assert (images.decode(written).metadata.around.xmp, lost) == (XMP, ())


def test_a_profile_of_colours_in_a_grey_image_is_named() -> None:
    grey = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = gif_of(extension(b"ICCRGBG1012", grey), colours=False)
    _, lost = converted(content, "PNG")
    assert lost == ("a colour profile of other colours",)


@pytest.mark.parametrize("header", [b"P5\n# by us\n2 1\n255\n", b"P5 2 1 # by us\n255\n"])
def test_a_comment_in_a_ppm_is_named(header: bytes) -> None:
    assert converted(header + b"#2", "PNG")[1] == (
        "what only PPM files hold (captions, comments, text)",
    )
    assert converted(b"P5 2 1 255\n#2", "PNG")[1] == ()


@pytest.mark.parametrize("target", OTHERS)
def test_exif_that_cannot_be_read_is_named_and_does_not_make_an_unreadable_file(
    target: str,
) -> None:
    plain = saved(kind="JPEG")
    for broken in (b"\xff\xff\xff\xff\0\0\0\x08\0\4", b"MM\0*\0\0\0"):
        content = plain[:2] + segment(0xE1, b"Exif\0\0" + broken) + plain[2:]
        written, lost = converted(content, target)
        assert images.decode(written).pixels.shape == SMOOTH.shape
        assert "EXIF that cannot be read" in lost


def test_values_with_which_readers_refuse_a_tiff_are_not_written() -> None:
    exif = Image.Exif()
    exif[0x0128], exif[0x010F] = 65535, "A maker"
    written, _ = converted(saved(kind="JPEG", exif=exif.tobytes()), "TIFF")
    tags = tiff.read_pages(written)[0]
    assert tags[0x010F].value == b"A maker\0"
    assert images.decode(written).pixels.shape == SMOOTH.shape


@pytest.mark.parametrize("target", ["JPEG", *OTHERS])
def test_an_orientation_that_only_xmp_tells_is_kept(target: str) -> None:
    packet = b"""<x:xmpmeta xmlns:x='adobe:ns:meta/'>
    <rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description
    xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>"""
    content = with_chunk(saved(), b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
    image = images.decode(content)
    assert image.orientation == 6
    written = images.encode(image, image.pixels, target)
    assert ImageOps.exif_transpose(opened(written)).size == image.pixels.shape[1::-1]
    assert images.decode(written).pixels.shape == image.pixels.shape


def test_a_file_whose_properties_rule_over_xmp_is_not_turned_by_it() -> None:
    packet = XMP.replace(b">\xc3\xa9<", b" tiff:Orientation='6'><")
    image = replace(images.decode(saved(kind="AVIF")), format="AVIF")
    around = replace(image.metadata.around, xmp=packet)
    image = replace(image, metadata=replace(image.metadata, around=around))
    written = images.decode(images.encode(image, image.pixels, "PNG"))
    tags = tiff.read_pages(written.metadata.around.exif)[0]
    assert tiff.get_number(tags, tiff.ORIENTATION, 0) == 1
    assert written.pixels.shape == image.pixels.shape


def test_the_maker_note_that_moves_into_a_tiff_is_named() -> None:
    exif = Image.Exif()
    exif[0x8769] = {0x927C: b"Nikon\0\2\x10\0\0MM\0*"}
    content = saved(kind="JPEG", exif=exif.tobytes())
    assert converted(content, "TIFF")[1] == ("the offsets in the maker note",)
    assert converted(content, "WEBP")[1] == ()


def test_a_preview_in_a_tiff_is_named() -> None:
    preview = saved(SMOOTH[:8, :8], "JPEG")
    plain = tiff_of(SMOOTH, photometric="rgb", byteorder="<", metadata=None)
    place = len(plain) + len(plain) % 2
    tags = {
        number: tiff.Tag(tiff.LONG, struct.pack("<I", value))
        for number, value in ((0x0201, place), (0x0202, len(preview)))
    }
    content = tiff.insert_tags(plain.ljust(place, b"\0") + preview, tags)
    assert "the preview" in images.decode(content).metadata.left_behind


def test_frames_and_profiles_that_no_decoder_reads_are_named() -> None:
    content = with_chunk(saved(), b"iCCP", b"name\0\0no zlib")
    found = png.read_metadata(with_chunk(content, b"fdAT", bytes(9)))
    assert found.blocks == ()
    assert found.left_behind == (
        "the frames of an animation",
        "a colour profile that cannot be read",
    )


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"DDS |\0\0\0", "a texture"),
        (b"\0\0\1\0\1\0", "an icon"),
        (b"\xff\x4f\xff\x51\0\x2f", "a JPEG 2000"),
    ],
)
def test_an_image_of_a_format_that_is_not_read_is_called_by_its_format(
    start: bytes, name: str
) -> None:
    with pytest.raises(NotAnImageError, match=name):
        read_header(start + bytes(40))


def test_text_and_sizes_beyond_what_decoders_read_are_not_called_damaged() -> None:
    content = with_chunk(saved(), b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2 << 20)))
    with pytest.raises(ImageError, match="its text is larger than any caption") as text:
        images.decode(content)
    bomb = (
        "Image size (9 pixels) exceeds limit of 4 pixels, could be decompression bomb DOS attack."
    )
    size = make_read_error("it", Image.DecompressionBombError(bomb))
    for error in (text.value, size):
        assert "does not support" in str(error)
        assert "attack" not in str(error)
