"""Headers of image files: format and size, read from the first bytes without decoding."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from crdnet.errors import ImageError, NotAnImageError
from crdnet.images.containers import isobmff, jpeg, png, tiff, webp
from crdnet.images.containers.metadata import Content
from crdnet.images.decoded import FORMATS, MAX_PIXELS
from crdnet.images.faults import describe_fault
from crdnet.images.raw import recognise_raw

READABLE = "JPEG, PNG, WebP, TIFF, AVIF, HEIC, GIF, BMP and PPM"
_UNSUPPORTED_MAGIC = {
    b"%PDF": "a PDF",
    b"\xff\x0a": "a JPEG XL",
    b"\0\0\0\x0cJXL ": "a JPEG XL",
    b"\0\0\0\x0cjP  ": "a JPEG 2000",
    b"8BPS": "a Photoshop document",
    b"PF\n": "a PFM of floating-point samples",
    b"Pf\n": "a PFM of floating-point samples",
    b"P7\n": "a PAM",
    b"<svg": "an SVG",
    b"<?xml": "an XML document",
    b"<!DOCTYPE html": "a web page, perhaps one that stands in for an image",
    b"<html": "a web page, perhaps one that stands in for an image",
    b"\xff\x4f\xff\x51": "a JPEG 2000",
    b"II\xbc": "a JPEG XR",
    b"\0\0\1\0": "an icon (ICO)",
    b"\0\0\2\0": "a cursor (CUR)",
    b"icns": "an icon (ICNS)",
    b"DDS ": "a texture (DDS)",
    b"qoif": "a QOI",
    b"%!PS": "a PostScript document",
    b"v/1\x01": "an OpenEXR",
    b"#?RADIANCE": "a Radiance HDR",
    b"SIMPLE  =": "a FITS",
    b"gimp xcf": "an XCF of GIMP",
    b"\x01\xda": "an SGI image",
    b"\x0a\x05\x01": "a PCX",
    b"/* XPM */": "an XPM",
    b"#define": "an XBM",
    b"PK\3\4": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
}


UNNAMED = "the image"
"""Name of bytes in messages, unless the caller has another one."""
COSTLY_SIDE = 32
"""Side that a thinner image costs: networks pad sides to multiples of at most this many pixels."""
# An image that pads to at most this many pixels is never refused as too thin.
_CHEAP_PIXELS = 1_000_000
# The bits of at most this many channels are read, because a hostile file may declare millions.
_MOST_CHANNELS = 16


@dataclass(frozen=True)
class Header:
    """Header of an image file."""

    format: str
    width: int
    """Width of the stored pixels, before any rotation."""
    height: int
    frames: int = 1
    """Pages or frames; 2 means several where counting them would take long."""
    bits: int = 8
    """Bits per sample."""

    @property
    def pixels(self) -> int:
        """Pixels of all frames together."""
        return self.width * self.height * self.frames

    @property
    def cost(self) -> int:
        """Pixels to process in all frames; a thin image counts as `COSTLY_SIDE` wide."""
        return max(self.width, COSTLY_SIDE) * max(self.height, COSTLY_SIDE) * self.frames


def read_header(
    source: Content | Path, name: str | None = None, *, max_pixels: int = MAX_PIXELS
) -> Header:
    """Return the header of an image file, without reading more.

    Args:
        source: Content or path of the file.
        name: Name of the file in messages; None is its path.
        max_pixels: Maximum number of pixels, all frames together.

    Raises:
        NotAnImageError: The file is not an image in a supported format.
        ImageError: The file is damaged or has too many pixels.
        OSError: The path cannot be read.
    """
    if isinstance(source, Path):
        with source.open("rb") as file:
            if not source.stat().st_size:  # nothing to map
                return read_header(b"", name or str(source))
            with mmap(file.fileno(), 0, access=ACCESS_READ) as mapped:
                # A map reads like bytes, but loads only the pages that are looked at.
                return read_header(mapped, name or str(source), max_pixels=max_pixels)
    name = name or UNNAMED
    format, measure = _recognise_format(source, name)
    try:
        header = measure(source, format)
    except (ValueError, IndexError, struct.error) as error:
        raise ImageError(
            f"{name} is a damaged {format} ({describe_fault(error)}); open it in another program "
            "and save it again"
        ) from error
    if header.width < 1 or header.height < 1:
        raise ImageError(
            f"{name} is a damaged {format} of {header.width} x {header.height} pixels; save it "
            "again"
        )
    if header.pixels <= max_pixels and header.cost > max(max_pixels, _CHEAP_PIXELS):
        raise ImageError(
            f"{name} of {header.width} x {header.height} pixels is so narrow that it costs as much "
            f"as {header.cost:,} pixels, more than {max_pixels:,}; cut it into parts or raise "
            "`max_pixels`"
        )
    if header.pixels > max_pixels:
        frames = f" in each of {header.frames} frames" if header.frames > 1 else ""
        raise ImageError(
            f"{name} has {header.width} x {header.height} pixels{frames}, more than "
            f"{max_pixels:,}; cut it into parts or raise `max_pixels`"
        )
    return header


def check_writable(format: str, name: str) -> str:
    """Return a format that can be written.

    Raises:
        ImageError: It is only read.
    """
    if format not in FORMATS.values():
        raise ImageError(
            f"{name} is a {format}, which crdnet reads but does not write; choose another `format` "
            f"({', '.join(FORMATS)}), or a `fallback_format`, with which other images keep theirs"
        )
    return format


def _recognise_format(content: Content, name: str) -> tuple[str, Callable[[Content, str], Header]]:
    """Return the format of the content, and the function that reads its header."""
    start = content[:16]
    if not start:
        raise ImageError(f"{name} is empty (0 bytes); fetch or save it again")
    # Whether bytes are an image is the question here.
    told = "the bytes are" if name == UNNAMED else f"{name} is"
    if kind := recognise_raw(content, name):
        raise NotAnImageError(
            f"{told} a raw file of a camera ({kind}), whose image is not developed yet; develop "
            "it with a program such as darktable or RawTherapee, and give the TIFF, PNG or JPEG"
        )
    if start[4:8] == b"ftyp":
        brands = isobmff.read_brands(content)
        if brands & {b"avif", b"avis"}:
            return "AVIF", _measure_boxes
        if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
            return "HEIC", _measure_boxes
        raise NotAnImageError(f"{told} a video, not an image; `crdnet derain` reads {READABLE}")
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WEBP", _measure_webp
    if start[:1] == b"P" and start[1:2] in b"123456" and start[2:3].isspace():
        return "PPM", _measure_ppm
    for magic, (kind, measure) in _MAGIC.items():
        if start.startswith(magic):
            return kind, measure
    other = next(
        (kind for magic, kind in _UNSUPPORTED_MAGIC.items() if start.startswith(magic)),
        "not an image",
    )
    raise NotAnImageError(
        f"{told} {other}; crdnet reads {READABLE}, so convert to one of them first"
    )


def _measure_jpeg(content: Content, format: str) -> Header:
    frame = jpeg.read_frame(content)
    if frame is None:
        raise ValueError("it ends before its size")
    return Header(format, frame.width, frame.height, bits=frame.bits)


def _measure_png(content: Content, format: str) -> Header:
    width, height, bits = struct.unpack_from(">IIB", content, 16)
    return Header(format, width, height, 2 if png.is_animated(content) else 1, bits)


def _measure_webp(content: Content, format: str) -> Header:
    return Header(format, *webp.read_size(bytes(content[:64])))


def _measure_tiff(content: Content, format: str) -> Header:
    found = tiff.read_pages(content)
    width, height = (tiff.get_number(found[0], number, 0) for number in (tiff.WIDTH, tiff.HEIGHT))
    bits = max(tiff.get_numbers(found[0], tiff.BITS, _MOST_CHANNELS), default=1)
    return Header(format, width, height, 1 + tiff.count_extra_pages(found), bits)


def _measure_gif(content: Content, format: str) -> Header:
    return Header(format, *struct.unpack_from("<HH", content, 6))


def _measure_bmp(content: Content, format: str) -> Header:
    # A header of 12 bytes is that of OS/2, with sides of 16 bits.
    old = struct.unpack_from("<I", content, 14)[0] == 12
    width, height = struct.unpack_from("<HH" if old else "<ii", content, 18)
    # A negative height means that rows are stored from the top.
    return Header(format, width, abs(height))


def _measure_ppm(content: Content, format: str) -> Header:
    plain = content[:4096]
    words = b" ".join(line.split(b"#")[0] for line in plain.split(b"\n")).split()
    # P1 and P4 are bitmaps, which state no largest value.
    count = 3 if plain[1:2] in b"14" else 4
    if not all(word.isdigit() for word in words[1:count]):
        raise ValueError("its header holds something other than numbers")
    width, height = int(words[1]), int(words[2])
    most = 1 if plain[1:2] in b"14" else int(words[3])
    return Header(format, width, height, bits=most.bit_length())


def _measure_boxes(content: Content, format: str) -> Header:
    coding = isobmff.read_coding(content)
    return Header(
        format, coding.width, coding.height, 2 if isobmff.is_sequence(content) else 1, coding.bits
    )


_MAGIC = {
    b"\xff\xd8\xff": ("JPEG", _measure_jpeg),
    png.MAGIC: ("PNG", _measure_png),
    b"II*\0": ("TIFF", _measure_tiff),
    b"MM\0*": ("TIFF", _measure_tiff),
    b"II+\0": ("TIFF", _measure_tiff),
    b"MM\0+": ("TIFF", _measure_tiff),
    b"GIF8": ("GIF", _measure_gif),
    b"BM": ("BMP", _measure_bmp),
}
