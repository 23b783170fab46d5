"""Decoding of image files."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from mmap import mmap
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import Image, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ExifTags import Base
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.WebPImagePlugin import WebPImageFile

from crdnet.errors import ImageError
from crdnet.images import vips
from crdnet.images.containers import bmp, exif, gif, isobmff, jpeg, png, tiff, webp
from crdnet.images.containers.metadata import Content, FileMetadata
from crdnet.images.decoded import (
    MAX_PIXELS,
    DecodedImage,
    Pixels,
    split_alpha,
    turn_back,
    turn_upright,
)
from crdnet.images.faults import BROKEN, make_read_error
from crdnet.images.headers import Header
from crdnet.images.source import ImageSource

_PALETTE = "the palette became colours"
_ONE_BIT = "black and white of 1 bit became grey of 8 bits"
_FEW_BITS = "grey of {} bits became grey of 8 bits"
_TRANSPARENT = "the transparent colour became an alpha channel"
_INKS = "CMYK inks became sRGB colours by {}"
_LOSSLESS_TIFF = {1: "none", 5: "lzw", 8: "deflate", 32946: "deflate", 32773: "packbits"}
# Compressions that the libvips wheel does not support.
_TIFF_UNREADABLE = {
    6: "old-style JPEG",
    34887: "LERC",
    34925: "LZMA",
    50000: "Zstandard",
    52546: "JPEG XL",
}
_TIFF_REFUSED = {
    8: "Lab colours",
    9: "Lab colours",
    10: "Lab colours",
    32844: "LogLuv colours",
    32845: "LogLuv colours",
}
_INKED, _PALETTED, _COLOURED = 5, 3, (2, 6)
_ASSOCIATED = 1
# JPEG sampling factors that Pillow can write, with its numbers for them.
_SAMPLINGS: Mapping[tuple[tuple[int, int], ...], int] = {
    ((1, 1),) * 3: 0,
    ((2, 1), (1, 1), (1, 1)): 1,
    ((2, 2), (1, 1), (1, 1)): 2,
}
# JPEG sampling factors that neither Pillow nor libvips can write.
_UNWRITTEN: Mapping[tuple[tuple[int, int], ...], str] = {
    ((1, 2), (1, 1), (1, 1)): "4:4:0",
    ((4, 1), (1, 1), (1, 1)): "4:1:1",
}


_PPM_COMMENT = re.compile(rb"P[1-6](\s+\d+){0,2}\s+#")
_NO_PIXELS: Pixels = np.empty((0, 0), np.uint8)


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """The image holds something that no output can keep; the argument names it."""


class _Unsupported(_Refused):
    """The image holds something that no decoder here reads; the argument names it."""


def decode(
    content: bytes, name: str = "the image", *, max_pixels: int = MAX_PIXELS
) -> DecodedImage:
    """Decode the content of an image file in this process.

    Args:
        content: Content of the file; it determines the format, not the name.
        name: Name of the file in messages.
        max_pixels: Maximum number of pixels, all frames together.

    Raises:
        ImageError: The file is not an image, is damaged or too large, or holds something that
            cannot be kept.
    """
    return decode_source(ImageSource(content, name, max_pixels=max_pixels))


def decode_source(source: ImageSource) -> DecodedImage:
    """Decode an image file in this process; errors are those of `decode`."""
    content, name, header = source.content, source.name, source.header
    try:
        decoded = _read(content, header)
    except _Refused as refused:
        raise _make_refusal(name, refused) from None
    except MemoryError as error:
        raise ImageError(
            f"{name} of {header.width} x {header.height} pixels does not fit into memory; "
            "cut it into parts"
        ) from error
    except BROKEN as error:
        raise make_read_error(name, error) from error
    turn = decoded.orientation
    alpha = None if decoded.alpha is None else turn_upright(decoded.alpha, turn)
    return replace(decoded, pixels=turn_upright(decoded.pixels, turn), alpha=alpha)


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, or 1 if it has none or it cannot be read."""
    try:
        tag = image.getexif().get(Base.Orientation, 1)
    except BROKEN:
        return 1
    return tag if tag in range(1, 9) else 1


def read_samples(image: Image.Image) -> tuple[Pixels, Pixels | None, tuple[str, ...]]:
    """Return the stored pixels of a loaded PIL image, its alpha, and the changes made to them.

    Raises:
        ImageError: The mode holds something that cannot be kept.
    """
    transparent = image.info.get("transparency")
    if image.mode in ("P", "PA"):
        mode = "RGBA" if transparent is not None or image.mode == "PA" else "RGB"
        return *split_alpha(np.asarray(image.convert(mode))), (_PALETTE,)
    if image.mode == "CMYK":
        pixels, told = vips.convert_inks(np.asarray(image), image.info.get("icc_profile") or b"")
        return (
            pixels,
            None,
            (_INKS.format("their profile" if told else "a profile of common print"),),
        )
    if image.mode in ("RGB", "L", "RGBA", "LA", "1") or image.mode.startswith("I;16"):
        changes = (_ONE_BIT,) if image.mode == "1" else ()
        stored = np.asarray(image.convert("L") if image.mode == "1" else image)
        if image.mode.startswith("I;16"):
            stored = stored.astype(np.uint16)
        pixels, alpha = split_alpha(stored)
        if transparent is not None and alpha is None and not isinstance(transparent, bytes):
            return pixels, _make_key_alpha(pixels, transparent), (*changes, _TRANSPARENT)
        return pixels, alpha, changes
    kinds = {
        "LAB": "Lab colours",
        "F": "floating-point samples",
        "I": "32 bits per sample",
        "HSV": "HSV colours",
    }
    raise ImageError(
        f"crdnet refuses {kinds.get(image.mode, 'the mode')} rather than lose them, "
        f"got a PIL image of mode {image.mode!r}; derain image.convert('RGB') or ('L')"
    )


def _make_refusal(name: str, refused: _Refused) -> ImageError:
    if isinstance(refused, _Unsupported):
        return ImageError(
            f"{name} has {refused}, which crdnet does not support; convert it to a plain TIFF, PNG "
            "or JPEG first"
        )
    return ImageError(
        f"{name} has {refused}, which crdnet refuses rather than lose; "
        "convert it to one image of 8 or 16 bits first"
    )


def _read(content: bytes, header: Header) -> DecodedImage:
    if header.frames > 1:
        raise _Refused("several pages" if header.format == "TIFF" else "an animation's frames")
    if header.format == "JPEG" and header.bits != 8:
        raise _Refused(f"{header.bits} bits per sample in a JPEG")
    return _READERS[header.format](content, header)


def decode_metadata(content: mmap, header: Header, name: str) -> DecodedImage:
    """Read a TIFF, PNG or JPEG of 8 or 16 bits without its pixels.

    Args:
        content: Content of the file.
        header: Header of the file.
        name: Name of the file in messages.

    Raises:
        ImageError: The pixels need a conversion to colours, so that the file must be read whole.
    """
    try:
        if header.format == "TIFF":
            tags = tiff.read_pages(content)[0]
            plain = (
                tiff.get_number(tags, tiff.PHOTOMETRIC, 1) not in (_INKED, _PALETTED)
                and header.bits >= 8
                and not tiff.holds_ycbcr(tags)
            )
            around = _read_around_tiff(content, header)
        elif header.format == "JPEG":
            image: Any = JpegImageFile(cast(BinaryIO, content))
            plain = image.mode != "CMYK"
            around = _read_around_jpeg(content, image)
            progressive = ("the progressive order",) * bool(around.options["progressive"])
            around = _add_recoded(around, progressive)
        else:
            image = PngImageFile(cast(BinaryIO, content))
            plain = image.mode != "P" and header.bits >= 8 and "transparency" not in image.info
            around = DecodedImage(
                _NO_PIXELS, "PNG", None, read_orientation(image), {}, png.read_metadata(content)
            )
            interlaced = ("the interlacing (Adam7)",) * png.is_interlaced(content)
            around = _add_recoded(around, interlaced)
    except _Refused as refused:
        raise _make_refusal(name, refused) from None
    if not plain:
        raise ImageError(f"{name} has pixels that must be converted to colours; read it whole")
    return around


def _add_recoded(around: DecodedImage, more: tuple[str, ...]) -> DecodedImage:
    """Return an image with more names of codings that its output will not have."""
    found = around.metadata
    return replace(around, metadata=replace(found, recoded=(*found.recoded, *more)))


def _read_jpeg(content: bytes, _header: Header) -> DecodedImage:
    image = _open(JpegImageFile, content)
    pixels, alpha, changes = read_samples(image)
    around = _read_around_jpeg(content, image)
    return replace(around, pixels=pixels, alpha=alpha, changes=changes)


def _read_around_jpeg(content: Content, image: Any) -> DecodedImage:
    """Read a JPEG without its pixels."""
    frame = jpeg.read_frame(content)
    assert frame is not None
    grey = image.mode == "L"
    numbers = frame.tables[: 1 if grey else 3]
    if len(set(numbers[1:])) == 1:  # the usual case: one table for luma, one for both chromas
        numbers = numbers[:2]
    options: dict[str, Any] = {"qtables": [image.quantization[number] for number in numbers]}
    options["progressive"] = bool(image.info.get("progressive"))
    if not grey:
        # 4:4:4 (0) keeps all samples of any other layout.
        options["subsampling"] = _SAMPLINGS.get(frame.samplings, 0)
    options |= (
        {"keep_rgb": True} if image.mode == "RGB" and image.info.get("adobe_transform") == 0 else {}
    )
    around = jpeg.read_metadata(content, with_icc=image.mode != "CMYK")
    if image.mode not in ("L", "CMYK") and frame.samplings not in _SAMPLINGS:
        name = _UNWRITTEN.get(frame.samplings, "of a rare kind")
        around = replace(
            around,
            left_behind=(
                *around.left_behind,
                f"the chroma subsampling {name}, for want of a writer",
            ),
        )
    return DecodedImage(_NO_PIXELS, "JPEG", None, read_orientation(image), options, around)


def _read_png(content: bytes, header: Header) -> DecodedImage:
    if header.bits == 16:
        # Pillow would return 8 bits, so it reads only the metadata.
        image = PngImageFile(BytesIO(content))
        pixels, alpha = split_alpha(vips.VipsImage("pngload_buffer", content).read_samples())
        changes: tuple[str, ...] = (_TRANSPARENT,) if "transparency" in image.info else ()
    else:
        image = _open(PngImageFile, content)
        if not png.has_all_rows(content):  # Pillow does not report missing rows
            raise OSError("rows are missing")
        if (
            image.mode == "L"
            and header.bits < 8
            and isinstance(image.info.get("transparency"), int)
        ):
            image.info["transparency"] *= 255 // (2**header.bits - 1)
        pixels, alpha, changes = read_samples(image)
        if image.mode == "L" and header.bits < 8:
            changes = (*changes, _FEW_BITS.format(header.bits))
    around = png.read_metadata(content, same_samples=not changes)
    options = {"interlace": True} if png.is_interlaced(content) else {}
    return DecodedImage(pixels, "PNG", alpha, read_orientation(image), options, around, changes)


def _read_webp(content: bytes, _header: Header) -> DecodedImage:
    image = _open(WebPImageFile, content)
    pixels, alpha, changes = read_samples(image)
    options: dict[str, Any] = {"lossless": webp.is_lossless(content)}
    return DecodedImage(
        pixels,
        "WEBP",
        alpha,
        read_orientation(image),
        options,
        webp.read_metadata(content),
        changes,
    )


def _read_tiff(content: bytes, header: Header) -> DecodedImage:
    around = _read_around_tiff(content, header)
    tags = tiff.read_pages(content)[0]
    kind = tiff.get_number(tags, tiff.PHOTOMETRIC, 1)
    stored = vips.VipsImage("tiffload_buffer", content).read_samples()
    changes: tuple[str, ...] = ()
    if kind == _INKED:
        stored, told = vips.convert_inks(stored, tags[tiff.ICC].value if tiff.ICC in tags else b"")
        changes = (_INKS.format("their profile" if told else "a profile of common print"),)
    elif kind == _PALETTED:
        changes = (_PALETTE,)
    elif header.bits < 8:
        changes = (_ONE_BIT if header.bits == 1 else _FEW_BITS.format(header.bits),)
    elif tiff.holds_ycbcr(tags):
        # libvips converts subsampled colours to RGBA, and leaves others as they are.
        stored = stored[..., :3] if tiff.is_subsampled(tags) else _convert_ycbcr(stored)
    pixels, alpha = split_alpha(stored)
    return replace(around, pixels=pixels, alpha=alpha, changes=changes)


def _convert_ycbcr(stored: Pixels) -> Pixels:
    """Convert YCbCr of BT.601, the default of TIFF, to RGB."""
    return np.asarray(Image.fromarray(stored, "YCbCr").convert("RGB"))


def _read_around_tiff(content: Content, header: Header) -> DecodedImage:
    """Read a TIFF without its pixels."""
    tags = tiff.read_pages(content)[0]
    kind, samples, samples_kind, compression = (
        tiff.get_number(tags, number, 1)
        for number in (tiff.PHOTOMETRIC, tiff.SAMPLES, tiff.SAMPLE_FORMAT, tiff.COMPRESSION)
    )
    if kind in _TIFF_REFUSED:
        raise _Refused(_TIFF_REFUSED[kind])
    if samples_kind not in (1, 4):
        raise _Refused(
            {2: "signed samples", 3: "floating-point samples"}.get(samples_kind, "complex samples")
        )
    if header.bits not in (1, 2, 4, 8, 16):
        raise _Refused(f"{header.bits} bits per sample")
    if compression in _TIFF_UNREADABLE:
        raise _Unsupported(f"the compression {_TIFF_UNREADABLE[compression]}")
    if tiff.holds_ycbcr(tags) and (header.bits, samples) != (8, 3):
        raise _Unsupported(f"YCbCr of {samples} samples of {header.bits} bits")
    if tiff.has_separate_planes(tags) and tiff.TILE_WIDTH in tags:
        raise _Unsupported("tiles of separate planes")
    if samples > (4 if kind in (*_COLOURED, _INKED) else 2):
        raise _Refused(f"{samples} samples per pixel")
    orientation = tiff.get_number(tags, tiff.ORIENTATION, 1)
    return DecodedImage(
        _NO_PIXELS,
        "TIFF",
        None,
        orientation if orientation in range(1, 9) else 1,
        _list_tiff_options(content, tags),
        tiff.read_metadata(content, with_icc=kind != _INKED),
    )


def _list_tiff_options(content: Content, tags: tiff.Tags) -> dict[str, Any]:
    """Return the options with which libvips writes a TIFF like this one."""
    options: dict[str, Any] = {
        "compression": _LOSSLESS_TIFF.get(tiff.get_number(tags, tiff.COMPRESSION, 1), "deflate"),
        "predictor": "horizontal" if tiff.get_number(tags, tiff.PREDICTOR, 1) == 2 else "none",
        "bigtiff": tiff.read_layout(content).big,
        "premultiply": tiff.get_number(tags, tiff.EXTRA_SAMPLES, 0) == _ASSOCIATED,
    }
    if tiff.TILE_WIDTH in tags:
        width, height = (
            tiff.get_number(tags, number, 256) for number in (tiff.TILE_WIDTH, tiff.TILE_HEIGHT)
        )
        options |= {"tile": True, "tile_width": width, "tile_height": height}
    return options


def _read_avif(content: bytes, header: Header) -> DecodedImage:
    coding = isobmff.read_coding(content)
    image = AvifImageFile(BytesIO(content))
    if image.is_animated:
        raise _Refused("an animation's frames")
    if header.bits > 8 or coding.cropped:
        # libheif applies the crop, and always returns upright pixels.
        upright = vips.VipsImage("heifload_buffer", content).read_samples()
        pixels, alpha = split_alpha(turn_back(upright, coding.orientation))
    else:
        image.load()
        pixels, alpha, _ = read_samples(image)
    changes: tuple[str, ...] = ()
    if coding.grey and pixels.ndim == 3:
        pixels = pixels[..., 0]
    if coding.grey and header.bits > 8:
        changes = ("grey is stored as colours",)  # libvips writes no other AVIF of more than 8 bits
    options = {
        "bits": coding.bits,
        "subsampling": coding.subsampling,
        # The file does not say whether grey is lossless, so it is written lossless.
        "lossless": coding.identity or coding.grey,
    }
    around = _copy_orientation(isobmff.read_metadata(content), coding.orientation)
    return DecodedImage(pixels, "AVIF", alpha, coding.orientation, options, around, changes)


def _read_heic(content: bytes, _header: Header) -> DecodedImage:
    orientation = isobmff.read_coding(content).orientation
    try:
        import pi_heif  # noqa: PLC0415 - for HEIC alone
    except ImportError as error:
        raise ImageError(
            f"HEIC images need the package pi-heif, which cannot be loaded ({error}); "
            "pip install pi-heif"
        ) from error
    opened = pi_heif.open_heif(BytesIO(content), convert_hdr_to_8bit=False)
    # libheif always applies rotation and crop. Copy: pi_heif frees the samples with `opened`.
    upright = np.array(opened)
    pixels, alpha = split_alpha(turn_back(upright, orientation))
    around = _copy_orientation(isobmff.read_metadata(content), orientation)
    return DecodedImage(pixels, "HEIC", alpha, orientation, {}, around)


def _copy_orientation(found: FileMetadata, orientation: int) -> FileMetadata:
    """Copy the orientation from the boxes of a file to its EXIF, for formats without such boxes.

    The only block is the unchanged EXIF, for an output of the same format.
    """
    told = replace(found.around, exif=exif.set_orientation(found.around.exif, orientation))
    return replace(found, around=told, blocks=(found.around.exif,))


def _read_ppm(content: bytes, header: Header) -> DecodedImage:
    found = FileMetadata(only_here=_PPM_COMMENT.match(content) is not None)
    if header.bits > 8:
        return DecodedImage(_read_wide_ppm(content), "PPM", metadata=found)
    image = _open(PpmImageFile, content)
    pixels, alpha, changes = read_samples(image)
    return DecodedImage(pixels, "PPM", alpha, metadata=found, changes=changes)


def _read_wide_ppm(content: bytes) -> Pixels:
    """Return the pixels of a PPM or PGM of more than 8 bits, which Pillow would reduce to 8."""
    magic, width, height, most, begin = _read_ppm_header(content)
    samples = 3 if magic == b"P6" else 1
    if magic not in (b"P5", b"P6") or most > 65535:
        raise _Refused("more than 8 bits per sample written as text")
    count = width * height * samples
    stored = np.frombuffer(content, ">u2", count, begin).astype(np.uint32)
    scaled = ((stored * 65535 + most // 2) // most).clip(0, 65535).astype(np.uint16)
    return scaled.reshape((height, width, 3) if samples == 3 else (height, width))


def _read_ppm_header(content: bytes) -> tuple[bytes, int, int, int, int]:
    """Return magic, width, height, the largest value, and the offset of the pixels."""
    words, place = list[bytes](), 0
    while len(words) < 4:
        if content[place : place + 1] == b"#":
            place = content.index(b"\n", place)
        elif content[place : place + 1].isspace():
            place += 1
        else:
            end = place
            while not content[end : end + 1].isspace():
                end += 1
                if end > len(content):
                    raise ValueError("it ends in its header")
            words.append(content[place:end])
            place = end
    return words[0], int(words[1]), int(words[2]), int(words[3]), place + 1


def _read_gif(content: bytes, _header: Header) -> DecodedImage:
    image = GifImageFile(BytesIO(content))
    if image.is_animated:
        raise _Refused("an animation's frames")
    return _read_plain(image, "GIF", gif.read_metadata(content))


def _read_bmp(content: bytes, _header: Header) -> DecodedImage:
    return _read_plain(BmpImageFile(BytesIO(content)), "BMP", bmp.read_metadata(content))


def _read_plain(
    image: ImageFile.ImageFile,
    format: str,
    found: FileMetadata,
) -> DecodedImage:
    """Return an image of a format with little metadata."""
    image.load()
    pixels, alpha, changes = read_samples(image)
    dpi, comment = image.info.get("dpi"), image.info.get("comment")
    around = replace(found.around, dpi=dpi and (float(dpi[0]), float(dpi[1])))
    left = found.left_behind
    if around.icc and around.icc[16:20] != (b"GRAY" if pixels.ndim == 2 else b"RGB "):
        around, left = replace(around, icc=b""), (*left, "a colour profile of other colours")
    found = replace(found, around=around, left_behind=left, only_here=bool(comment))
    return DecodedImage(pixels, format, alpha, metadata=found, changes=changes)


def _open(opener: Callable[[BytesIO], Any], content: bytes) -> Any:
    """Open and load a PIL image of a given format.

    `Image.open` would warn above 89 megapixels and try forty formats that are not supported here.
    """
    image = opener(BytesIO(content))
    image.load()
    return image


def _make_key_alpha(pixels: Pixels, key: int | tuple[int, ...]) -> Pixels:
    """Return an alpha channel in which the pixels of one colour are transparent."""
    hidden = pixels == np.asarray(key)
    hidden = hidden.all(2) if hidden.ndim == 3 else hidden
    most = np.iinfo(pixels.dtype).max
    return np.where(hidden, 0, most).astype(pixels.dtype)


_READERS: Mapping[str, Callable[[bytes, Header], DecodedImage]] = {
    "JPEG": _read_jpeg,
    "PNG": _read_png,
    "WEBP": _read_webp,
    "TIFF": _read_tiff,
    "AVIF": _read_avif,
    "HEIC": _read_heic,
    "PPM": _read_ppm,
    "GIF": _read_gif,
    "BMP": _read_bmp,
}
