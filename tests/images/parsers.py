"""The hand-written parsers, each with valid inputs and the laws that hold for any bytes."""

from collections.abc import Callable, Mapping

import numpy as np

from crdnet.errors import ImageError
from crdnet.images import raw
from crdnet.images.containers import colour, exif, isobmff, jpeg, photoshop, png, tiff, webp, xmp
from crdnet.images.headers import read_header
from crdnet.images.reading import _read_ppm_header
from tests.images import test_location
from tests.images.making import exif_of, heic, make_image_file, saved, tiff_of
from tests.images.test_dropped import exif_with_thumbnail, xmp_with_announcements


def read_tiff(content: bytes) -> None:
    pages = tiff.read_pages(content)
    tiff.count_extra_pages(pages)
    found = tiff.read_metadata(content)
    tiff.convert_to_tags(found.around)
    assert tiff.pack_structure(tiff.read_pages(found.blocks[0])[0]) == found.blocks[0]


def read_exif(content: bytes) -> None:
    exif.remove_thumbnail(content)
    for orientation in (1, 6):
        exif.set_orientation(content, orientation)
    tiff.read_exif_tags(content)
    edited, _ = exif.remove_location(content)
    assert len(edited) == len(content)
    assert exif.remove_location(edited) == (edited, ())


def read_jpeg(content: bytes) -> None:
    jpeg.read_frame(content)
    found = jpeg.read_metadata(content)
    jpeg.pack_metadata(found.around)
    again = jpeg.read_metadata(jpeg.add_metadata(JPEG, found.blocks))
    assert again.blocks == found.blocks
    edited, _ = jpeg.remove_location(content)
    assert jpeg.remove_location(edited) == (edited, ())


def read_png(content: bytes) -> None:
    png.is_animated(content)
    found = png.read_metadata(content)
    png.pack_metadata(found.around)
    again = png.read_metadata(png.add_metadata(PNG, found.blocks))
    assert again.blocks == found.blocks
    edited, _ = png.remove_location(content)
    assert png.remove_location(edited) == (edited, ())
    if found.around.colours is not None:
        colour.build_profile(found.around.colours, grey=False)
    if len(content) > 29:
        png.has_all_rows(content)


def read_webp(content: bytes) -> None:
    webp.is_lossless(content)
    found = webp.read_metadata(content)
    webp.pack_metadata(found.around)
    written = webp.add_metadata(WEBP, found.blocks, size=(36, 24), alpha=False)
    assert sorted(webp.read_metadata(written).blocks) == sorted(found.blocks)
    edited, _ = webp.remove_location(content)
    assert webp.remove_location(edited) == (edited, ())
    webp.read_size(content)


def read_boxes(content: bytes) -> None:
    isobmff.read_brands(content)
    isobmff.is_sequence(content)
    isobmff.read_coding(content)
    isobmff.read_metadata(content)
    edited, _ = isobmff.remove_location(content)
    assert len(edited) == len(content)
    assert isobmff.remove_location(edited)[0] == edited


def read_xmp(content: bytes) -> None:
    for edited in (xmp.remove_location(content), xmp.remove_announcements(content)):
        assert len(edited) == len(content)


def read_resources(content: bytes) -> None:
    photoshop.remove_resource_thumbnail(content)
    for edit in (photoshop.remove_resource_location, photoshop.remove_iptc_location):
        assert len(edit(content)) == len(content)


def read_ppm(content: bytes) -> None:
    _read_ppm_header(content)


def read_start(content: bytes) -> None:
    raw.recognise_raw(content, "it.nef")


def read_any_header(content: bytes) -> None:
    try:
        read_header(content, "it")
    except ImageError as error:
        raise ValueError from error


JPEG, PNG, WEBP = (saved(kind=kind) for kind in ("JPEG", "PNG", "WEBP"))
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
    "header": (
        read_any_header,
        [
            JPEG,
            PNG,
            WEBP,
            heic("gradient_61x37"),
            b"P5 2 2 255\n1234",
            *(saved(kind=kind) for kind in ("GIF", "BMP", "TIFF", "AVIF")),
        ],
    ),
}
