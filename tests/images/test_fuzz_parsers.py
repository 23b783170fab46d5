"""Every hand-written parser on changed bytes returns, or raises the error that it documents."""

import os
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from crdnet.images import raw
from crdnet.images.containers import colour, exif, isobmff, jpeg, photoshop, png, tiff, webp, xmp
from crdnet.images.reading import _ppm_words
from tests.images import test_location
from tests.images.making import exif_of, heic, make_image_file, saved, tiff_of
from tests.images.test_dropped import exif_with_thumbnail, xmp_with_announcements

INPUTS = int(os.environ.get("CRDNET_MUTATED_FILES", "210")) * 2
"""Of each parser; `make soak` asks for more."""
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFF0)


def mutated(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """The content with a few changes of the kinds that parsers stumble over."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        if not changed:
            break
        # Headers hold most of what is parsed.
        reach = len(changed) if rng.random() < 0.5 else min(len(changed), 200)
        place = int(rng.integers(reach))
        match rng.integers(7):
            case 0:
                changed[place] = rng.integers(256)
            case 1:
                changed[place] ^= 1 << rng.integers(8)
            case 2:
                size, order = (
                    int(rng.choice([1, 2, 4, 8])),
                    "big" if rng.random() < 0.5 else "little",
                )
                value = int(rng.choice(EXTREMES)) % 256**size
                changed[place : place + size] = value.to_bytes(size, order)
            case 3:
                del changed[place:]
            case 4:
                del changed[place : place + int(rng.integers(1, 40))]
            case 5:
                begin = int(rng.integers(len(changed)))
                changed[place:place] = changed[begin : begin + int(rng.integers(1, 80))]
            case _:
                begin = int(rng.integers(len(other)))
                changed[place : place + 40] = other[begin : begin + 40]
    return bytes(changed)


def read_tiff(content: bytes) -> None:
    pages = tiff.pages(content)
    tiff.extra_pages(pages)
    found = tiff.read_metadata(content)
    tiff.tags_of(found.around)
    tiff.pages(found.blocks[0])


def read_exif(content: bytes) -> None:
    exif.without_thumbnail(content)
    for orientation in (1, 6):
        exif.with_orientation(content, orientation)
    tiff.tags_of_exif(content)
    edited, _ = exif.remove_location(content)
    assert len(edited) == len(content)


def read_jpeg(content: bytes) -> None:
    jpeg.frame(content)
    found = jpeg.read_metadata(content)
    jpeg.blocks_of(found.around)
    jpeg.remove_location(content)


def read_png(content: bytes) -> None:
    png.is_animated(content)
    found = png.read_metadata(content)
    png.blocks_of(found.around)
    png.remove_location(content)
    if found.around.colours is not None:
        colour.profile_of(found.around.colours, grey=False)
    if len(content) > 29:
        png.has_all_rows(content)


def read_webp(content: bytes) -> None:
    webp.is_lossless(content)
    found = webp.read_metadata(content)
    webp.blocks_of(found.around)
    webp.remove_location(content)
    webp.size_and_frames(content)


def read_boxes(content: bytes) -> None:
    isobmff.brands(content)
    isobmff.is_sequence(content)
    isobmff.coding(content)
    isobmff.read_metadata(content)
    edited, _ = isobmff.remove_location(content)
    assert len(edited) == len(content)


def read_xmp(content: bytes) -> None:
    for edited in (xmp.remove_location(content), xmp.without_announcements(content)):
        assert len(edited) == len(content)


def read_resources(content: bytes) -> None:
    photoshop.resources_without_thumbnail(content)
    for edit in (photoshop.resources_without_location, photoshop.iptc_without_location):
        assert len(edit(content)) == len(content)


def read_ppm(content: bytes) -> None:
    _ppm_words(content)


def read_start(content: bytes) -> None:
    raw.raw_kind(content, "it.nef")


EXIF = exif_of(6).tobytes().removeprefix(b"Exif\0\0")
LOCATION_EXIF = test_location.location_exif().removeprefix(b"Exif\0\0")
PARSERS: Mapping[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "tiff": (
        read_tiff,
        [make_image_file("TIFF", "rgba", 16), tiff_of(np.zeros((40, 40), np.uint8), tile=(16, 16))],
    ),
    "exif": (
        read_exif,
        [LOCATION_EXIF, *(exif_with_thumbnail(big_endian=order) for order in (False, True))],
    ),
    "jpeg": (read_jpeg, [make_image_file("JPEG", "rgb", 8), saved(kind="JPEG", progressive=True)]),
    "png": (read_png, [make_image_file("PNG", "rgba", 8), saved()]),
    "webp": (read_webp, [make_image_file("WEBP", "rgba", 8), saved(kind="WEBP")]),
    "isobmff": (
        read_boxes,
        [make_image_file("AVIF", "rgba", 8), heic("street"), heic("gradient_61x37")],
    ),
    "xmp": (read_xmp, [test_location.PACKET, xmp_with_announcements(("hdrgm", "GCamera", "C"))]),
    "photoshop": (read_resources, [test_location.RESOURCES, test_location.IPTC]),
    "ppm": (read_ppm, [b"P6\n# a remark\n36 24\n255\n" + bytes(40), b"P3 2 2 255 1 2 3"]),
    "raw": (read_start, [make_image_file("TIFF", "rgb", 8), b"IIRO" + bytes(20)]),
}


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_returns_or_raises_the_error_that_it_states(name: str) -> None:
    parse, seeds = PARSERS[name]
    rng = np.random.default_rng(17)
    for number in range(INPUTS):
        content = seeds[number % len(seeds)]
        other = seeds[int(rng.integers(len(seeds)))]
        broken = mutated(content, other, rng)
        try:
            parse(broken)
        except ValueError:
            continue
        except Exception as error:  # the input is what one needs to mend it
            raise AssertionError(f"{name} raised {error!r} on {broken!r}") from error
