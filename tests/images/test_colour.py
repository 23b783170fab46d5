"""A colour space that a file tells by codes or chromaticities is kept, or its loss is told."""

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from crdnet import images
from crdnet.images.containers import colour, isobmff
from tests.images.making import (
    PROFILE,
    SMOOTH,
    by_vips,
    opened,
    png_chunks,
    saved,
    wide,
    with_chunk,
)

P3, PQ, HLG = (12, 13), (9, 16), (9, 18)
SRGB = ImageCms.createProfile("sRGB")


def avif(codes: tuple[int, int], *, bits: int = 8, grey: bool = False) -> bytes:
    """An AVIF whose boxes tell the codes of primaries and transfer."""
    samples = SMOOTH[..., 0] if grey else SMOOTH
    if bits > 8:
        options = {"compression": "av1", "bitdepth": bits, "lossless": True}
        content = by_vips("heifsave_buffer", wide(samples), **options)
    else:
        content = saved(samples, "AVIF", quality=90)
    place = content.index(b"colrnclx") + 8
    return content[:place] + struct.pack(">HH", *codes) + content[place + 4 :]


def png(codes: tuple[int, int]) -> bytes:
    return with_chunk(saved(), b"cICP", bytes((*codes, 0, 1)))


def codes_of(content: bytes) -> tuple[int, int]:
    if content.startswith(b"\x89PNG"):
        payload = dict(png_chunks(content))[b"cICP"]
        return payload[0], payload[1]
    place = content.index(b"colrnclx") + 8
    primaries, transfer = struct.unpack_from(">HH", content, place)
    return primaries, transfer


def shown(content: bytes) -> np.ndarray:
    """The pixels in sRGB, by the profile of the file."""
    image = opened(content).convert("RGB")
    profile = ImageCms.ImageCmsProfile(BytesIO(image.info["icc_profile"]))
    converted = ImageCms.profileToProfile(image, profile, SRGB)
    return np.asarray(converted).astype(int)


def from_p3(pixels: np.ndarray) -> np.ndarray:
    """Display P3 to sRGB by the matrix of CSS Color 4."""
    plain = pixels / 255
    linear = np.where(plain <= 0.04045, plain / 12.92, ((plain + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]])
    linear = np.clip(linear @ matrix.T, 0, 1)
    coded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    rounded: np.ndarray = np.rint(coded * 255).astype(int)
    return rounded


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("codes", [P3, PQ, HLG], ids=["P3", "PQ", "HLG"])
def test_an_avif_keeps_its_codes(codes: tuple[int, int], bits: int) -> None:
    decoded = images.decode(avif(codes, bits=bits))
    content = images.encode(decoded, decoded.pixels)
    assert codes_of(content) == codes
    assert images.list_notes(decoded) == ()
    limit = 24 if bits == 8 else 64
    np.testing.assert_allclose(images.decode(content).pixels, decoded.pixels, atol=limit)


def test_an_avif_of_12_bits_gets_codes_that_other_readers_see() -> None:
    samples = wide(SMOOTH)
    source = by_vips("pngsave_buffer", samples, bitdepth=16, keep="none")
    decoded = images.decode(with_chunk(source, b"cICP", bytes((*PQ, 0, 1))))
    content = images.encode(decoded, decoded.pixels, "AVIF")
    assert codes_of(content) == PQ
    assert images.decode(content).metadata.around.colours == colour.build_space_of_codes(*PQ)
    # Pillow's decoder goes by the matrix and range that the boxes tell.
    found = np.asarray(opened(content).convert("RGB")).astype(int)
    np.testing.assert_allclose(found, samples // 257, atol=24)


@pytest.mark.parametrize("codes", [P3, PQ, HLG], ids=["P3", "PQ", "HLG"])
def test_codes_travel_between_avif_and_png(codes: tuple[int, int]) -> None:
    for source, target in ((avif(codes), "PNG"), (png(codes), "AVIF")):
        decoded = images.decode(source)
        content = images.encode(decoded, decoded.pixels, target)
        assert codes_of(content) == codes
        assert images.list_lost(decoded, target) == ()


@pytest.mark.parametrize("target", ["JPEG", "WEBP", "TIFF", "PNG"])
def test_p3_becomes_a_profile_that_shows_the_same_colours(target: str) -> None:
    for source in (avif(P3), png(P3)):
        decoded = images.decode(source)
        content = images.encode(decoded, decoded.pixels, target, quality=100)
        assert images.list_lost(decoded, target) == ()
        if target != decoded.format:
            limit = 3 if target in ("TIFF", "PNG") else 24
            difference = shown(content) - from_p3(np.asarray(opened(content).convert("RGB")))
            assert np.abs(difference).max() <= limit


@pytest.mark.parametrize("target", ["JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize(("codes", "name"), [(PQ, "BT.2020 with PQ"), (HLG, "BT.2020 with HLG")])
def test_hdr_that_no_profile_tells_is_named(codes: tuple[int, int], name: str, target: str) -> None:
    for source in (avif(codes), png(codes)):
        decoded = images.decode(source)
        assert f"the colour space {name}" in images.list_lost(decoded, target)
        assert (
            opened(images.encode(decoded, decoded.pixels, target)).info.get("icc_profile") is None
        )


def test_gamma_and_primaries_of_a_png_become_a_profile() -> None:
    linear = with_chunk(saved(), b"gAMA", struct.pack(">I", 100_000))
    decoded = images.decode(linear)
    content = images.encode(decoded, decoded.pixels, "TIFF")
    coded = SMOOTH / 255
    wanted = np.where(coded <= 0.0031308, coded * 12.92, 1.055 * coded ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(shown(content), wanted * 255, atol=1.5)
    assert images.list_lost(decoded, "TIFF") == ()


def test_primaries_of_a_png_become_a_profile() -> None:
    primaries = [31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000]
    decoded = images.decode(with_chunk(saved(), b"cHRM", struct.pack(">8I", *primaries)))
    content = images.encode(decoded, decoded.pixels, "TIFF")
    assert np.abs(shown(content) - from_p3(SMOOTH)).max() <= 3
    avif = images.encode(decoded, decoded.pixels, "AVIF")
    profile = opened(content).info["icc_profile"]
    assert isobmff.read_metadata(avif).around.icc == profile


def test_grey_gets_a_profile_of_grey() -> None:
    for source in (
        avif((1, 8), grey=True),
        with_chunk(saved(SMOOTH[..., 0]), b"gAMA", struct.pack(">I", 100_000)),
    ):
        decoded = images.decode(source)
        content = images.encode(decoded, decoded.pixels, "TIFF")
        profile = ImageCms.ImageCmsProfile(BytesIO(opened(content).info["icc_profile"]))
        assert profile.profile.xcolor_space == "GRAY"
        grey = Image.fromarray(np.array([[55]], np.uint8))
        rgb = ImageCms.profileToProfile(grey, profile, SRGB, outputMode="RGB")
        np.testing.assert_allclose(np.asarray(rgb)[0, 0], 128, atol=1)


SRGB_CHUNKS = {
    "nothing": [],
    "sRGB": [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000))],
    "the gamma of sRGB": [(b"gAMA", struct.pack(">I", 45455))],
    "the primaries of sRGB": [
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
    ],
    "the codes of sRGB": [(b"cICP", b"\1\x0d\0\1")],
    "damaged chunks": [(b"gAMA", b"xxxxx"), (b"cICP", b"")],
    "a gamma of nought": [(b"gAMA", bytes(4))],
}


@pytest.mark.parametrize("chunks", SRGB_CHUNKS.values(), ids=SRGB_CHUNKS.keys())
def test_srgb_needs_no_profile(chunks: list[tuple[bytes, bytes]]) -> None:
    content = saved()
    for chunk in chunks:
        content = with_chunk(content, *chunk)
    assert images.decode(content).metadata.around.colours is None


def test_a_profile_of_the_file_rules_over_gamma() -> None:
    content = with_chunk(saved(icc_profile=PROFILE), b"gAMA", struct.pack(">I", 100_000))
    decoded = images.decode(content)
    assert opened(images.encode(decoded, decoded.pixels, "JPEG")).info["icc_profile"] == PROFILE
    assert images.list_lost(decoded, "JPEG") == ()


@pytest.mark.parametrize(
    "chromaticities",
    [(0.3127, 0.329, 0.64, 0.33, 0.64, 0.33, 0.64, 0.33), (0.0,) * 8, (0.3, 1e-9, *(0.3, 0.3) * 3)],
)
def test_impossible_primaries_give_no_profile(chromaticities: colour.Chromaticities) -> None:
    space = colour.build_space_of_gamma(1.0, chromaticities)
    assert space is not None
    assert colour.build_profile(space, grey=False) == b""


def test_unknown_codes_are_named_by_number() -> None:
    for codes, name in (((200, 13), "of primaries 200"), ((12, 99), "Display P3 with transfer 99")):
        space = colour.build_space_of_codes(*codes)
        assert space is not None
        assert space.name == name
        assert colour.build_profile(space, grey=False) == b""
    assert colour.build_space_of_codes(2, 2) is None
    unspecified = colour.build_space_of_codes(2, 8)
    assert unspecified is not None
    assert unspecified.chromaticities == colour.SRGB_PRIMARIES


def test_metadata_of_hdr_is_named_when_it_goes() -> None:
    decoded = images.decode(with_chunk(saved(), b"cLLI", bytes(8)))
    assert images.list_notes(decoded) == ()
    assert "what only PNG files hold (captions, comments, text)" in images.list_lost(
        decoded, "JPEG"
    )
