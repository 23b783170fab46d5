"""Encoding of image files, with the format and the metadata of a decoded `DecodedImage`."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from io import BufferedIOBase, BytesIO
from typing import Any

import numpy as np
from PIL import Image

from crdnet.errors import ImageError
from crdnet.images import vips
from crdnet.images.containers import colour, exif, isobmff, jpeg, png, tiff, webp
from crdnet.images.containers.metadata import Metadata
from crdnet.images.decoded import DecodedImage, Pixels, join_alpha, turn_back
from crdnet.images.faults import BROKEN
from crdnet.images.headers import check_writable

# Qualities for an input of another format; they cause no visible loss.
_QUALITY = {"JPEG": 95, "WEBP": 95, "AVIF": 90}
# Formats for more than 8 bits per sample.
_WIDE = {"PNG", "TIFF", "AVIF"}
# Formats that can state a colour space by codes (ITU-T H.273).
_TELL_CODES = ("PNG", "AVIF")
# Bytes of samples, above which a TIFF needs offsets of eight bytes (BigTIFF).
_MOST_IN_SMALL_TIFF = 2**32 - 2**24

Output = Callable[[], AbstractContextManager[BufferedIOBase]]
"""Function that opens the output; the output is complete when the context ends without an error."""


def encode(
    image: DecodedImage,
    pixels: Pixels,
    format: str | None = None,
    *,
    quality: int | None = None,
    name: str = "the image",
) -> bytes:
    """Encode new pixels with the format and the metadata of an image.

    Args:
        image: Image from which the pixels were made. Its alpha channel is written unchanged.
        pixels: Upright pixels, of the same shape and dtype as those of the image.
        format: Another format, one of the values of `FORMATS`; None keeps that of the image.
        quality: 1 to 100, for lossy formats. None keeps the coding of the image, such as the tables
            and the subsampling of a JPEG. A lossless image stays lossless.
        name: Name of the image in messages.

    Raises:
        ImageError: The format can only be read, or cannot hold an image of this size.
    """
    buffer = BytesIO()
    encode_into(
        image, pixels, lambda: nullcontext(buffer), format=format, quality=quality, name=name
    )
    return buffer.getvalue()


def encode_into(
    image: DecodedImage,
    pixels: Pixels,
    output: Output,
    *,
    format: str | None = None,
    quality: int | None = None,
    name: str = "the image",
) -> tuple[str, ...]:
    """Encode new pixels, and write them when the file is complete.

    Arguments and errors are those of `encode`. `output` is opened last, when only the writing can
    still fail.

    Returns:
        Notes on content that the output could not keep, as sentences without a full stop.
    """
    target = check_writable(format or image.format, name)
    original = image
    if not _keeps_channel(image, target):
        image = replace(image, alpha=None)
    samples = join_alpha(pixels, image.alpha)
    if samples.dtype == np.uint16 and target not in _WIDE:
        samples = np.rint(samples / np.float32(257)).astype(np.uint8)
    stored = np.ascontiguousarray(turn_back(samples, image.orientation))
    try:
        content = _WRITERS[target](
            stored, image, image.options if target == image.format else {}, quality
        )
    except BROKEN as error:
        height, width = stored.shape[:2]
        raise ImageError(
            f"an image of {width} x {height} pixels cannot be stored as {target} "
            f"({vips.shorten_message(error)}); choose another format"
        ) from error
    with output() as file:
        file.write(content)
    return list_notes(original, format)


def list_lost(image: DecodedImage, format: str | None = None) -> tuple[str, ...]:
    """Return the names of the contents of the input that the output will lack.

    Args:
        image: Image decoded from the input.
        format: Format of the output; None is that of the input.
    """
    target = check_writable(format or image.format, "the image")
    found = image.metadata
    if target == image.format:
        return (*found.left_behind, *found.recoded)
    lost = [*found.left_behind]
    if image.alpha is not None and not _keeps_channel(image, target):
        lost.append(
            "a fourth channel of which the file does not say that it is alpha"
            if found.has_unnamed_channel
            else "the alpha channel"
        )
    if image.pixels.dtype == np.uint16 and target not in ("PNG", "TIFF"):
        lost.append(
            "more than 12 bits per sample" if target == "AVIF" else "more than 8 bits per sample"
        )
    around = _convert_metadata(image, target)
    if found.around.exif and not tiff.is_structure(found.around.exif):
        lost.append("EXIF that cannot be read")
    if target == "TIFF" and exif.has_maker_note(around.exif):
        lost.append("the offsets in the maker note")
    lost += _list_lost_metadata(around, target)
    colours = found.around.colours
    if colours is not None and not _keeps_colours(image, target):
        lost.append(f"the colour space {colours.name}")
    if found.only_here:
        lost.append(f"what only {image.format} files hold (captions, comments, text)")
    return tuple(dict.fromkeys(lost))


def list_notes(image: DecodedImage, format: str | None = None) -> tuple[str, ...]:
    """Describe all differences of an output to its input, as sentences without a full stop.

    Args:
        image: Image decoded from the input.
        format: Format of the output; None is that of the input.
    """
    return (
        *image.changes,
        *(f"could not carry over {what}" for what in list_lost(image, format)),
    )


def _keeps_channel(image: DecodedImage, target: str) -> bool:
    """Return whether the output keeps the alpha channel, or an unnamed fourth channel."""
    if image.metadata.has_unnamed_channel:
        return target == "TIFF"
    return target != "JPEG"


def _keeps_colours(image: DecodedImage, target: str) -> bool:
    around = _convert_metadata(image, target)
    assert around.colours is not None
    has_codes = around.colours.codes is not None
    return (target in _TELL_CODES and has_codes) or (
        bool(around.icc) and around.colours.curve is not None
    )


def _convert_metadata(image: DecodedImage, target: str) -> Metadata:
    """Return the metadata of an image in the form that another format can hold.

    A colour space given by codes or chromaticities becomes an ICC profile if possible. Unreadable
    EXIF is left out, because readers of some formats refuse the file. The orientation is written to
    EXIF, wherever the input stated it.
    """
    around = image.metadata.around
    if target == image.format:
        return around
    usable = around.exif if tiff.is_structure(around.exif) else b""
    # Some readers take the orientation from XMP if EXIF has none.
    unstated = 0 if b"Orientation" in around.xmp else 1
    told = tiff.get_number(tiff.read_exif_tags(usable), tiff.ORIENTATION, unstated)
    if told != image.orientation:
        usable = exif.set_orientation(usable, image.orientation, always=True)
    around = replace(around, exif=usable)
    if around.colours is None or around.icc:
        return around
    return replace(around, icc=colour.build_profile(around.colours, grey=image.pixels.ndim == 2))


def _list_lost_metadata(around: Metadata, target: str) -> list[str]:
    if target == "TIFF":
        return []
    if target == "AVIF":
        return isobmff.list_lost(around)
    lost: list[str] = _CONTAINERS[target].pack_metadata(around)[1]
    return lost


def choose_jpeg_options(coding: Mapping[str, Any], quality: int | None) -> dict[str, Any]:
    """Return Pillow's options for a JPEG: the coding of the input, unless a quality is given."""
    options = dict(coding) or {"quality": _QUALITY["JPEG"], "subsampling": 0}
    if quality is not None:
        options.pop("qtables", None)
        options["quality"] = quality
    return options


# Each writer takes the samples to store, the image from which they were made, the coding options of
# that image (empty if it has another format), and the quality that the user chose.


def _write_jpeg(
    stored: Pixels, image: DecodedImage, coding: Mapping[str, Any], quality: int | None
) -> bytes:
    content = _save_by_pillow(stored, "JPEG", **choose_jpeg_options(coding, quality))
    return jpeg.add_metadata(content, _list_blocks(image, "JPEG"))


def _write_png(
    stored: Pixels, image: DecodedImage, coding: Mapping[str, Any], _quality: int | None
) -> bytes:
    if stored.dtype == np.uint16 or coding:
        bits = 8 * stored.itemsize
        content = vips.save("pngsave_buffer", stored, bitdepth=bits, filter="up", **coding)
    else:
        content = _save_by_pillow(stored, "PNG")
    return png.add_metadata(content, _list_blocks(image, "PNG"))


def _write_webp(
    stored: Pixels, image: DecodedImage, coding: Mapping[str, Any], quality: int | None
) -> bytes:
    lossless = coding.get("lossless", quality is None)
    # "exact" keeps the colours of fully transparent pixels.
    options = {"lossless": True} if lossless else {"quality": quality or _QUALITY["WEBP"]}
    content = _save_by_pillow(stored, "WEBP", exact=True, **options)
    height, width = stored.shape[:2]
    return webp.add_metadata(
        content, _list_blocks(image, "WEBP"), size=(width, height), alpha=image.alpha is not None
    )


def _write_tiff(
    stored: Pixels, image: DecodedImage, coding: Mapping[str, Any], _quality: int | None
) -> bytes:
    options = dict(coding) or {"compression": "deflate", "predictor": "horizontal"}
    if stored.nbytes > _MOST_IN_SMALL_TIFF:
        options["bigtiff"] = True
    around = image.metadata
    tags = (
        tiff.read_pages(around.blocks[0])[0]
        if coding
        else tiff.convert_to_tags(_convert_metadata(image, "TIFF"))
    )
    return tiff.insert_tags(vips.save("tiffsave_buffer", stored, **options), tags)


def _write_avif(
    stored: Pixels, image: DecodedImage, coding: Mapping[str, Any], quality: int | None
) -> bytes:
    grey = stored.ndim == 2 or stored.shape[2] < 3
    wide = stored.dtype == np.uint16
    lossless = coding.get("lossless", False)
    if wide or (lossless and not grey):
        # libheif has one quality for colours and alpha, so only lossless coding keeps alpha.
        exact = lossless or image.alpha is not None
        options: dict[str, Any] = (
            {"lossless": True} if exact else {"Q": quality or _QUALITY["AVIF"]}
        )
        options["subsample_mode"] = (
            "on" if coding.get("subsampling") == "4:2:0" and not exact else "off"
        )
        options["bitdepth"] = coding.get("bits", 12 if wide else 8)
        content = vips.save("heifsave_buffer", stored, compression="av1", **options)
    else:
        options = {"quality": quality or (100 if lossless else _QUALITY["AVIF"])}
        options["subsampling"] = "4:0:0" if grey else coding.get("subsampling", "4:4:4")
        if image.alpha is not None:  # lossless alpha next to lossy colours
            options["advanced"] = {"alpha:lossless": "1"}
        content = _save_by_pillow(stored, "AVIF", **options)
    around = _convert_metadata(image, "AVIF")
    if coding:
        around = replace(around, exif=image.metadata.blocks[0])
    return isobmff.add_metadata(content, around, image.orientation)


def _list_blocks(image: DecodedImage, target: str) -> tuple[bytes, ...]:
    if image.format == target:
        return image.metadata.blocks
    return tuple(_CONTAINERS[target].pack_metadata(_convert_metadata(image, target))[0])


def _save_by_pillow(stored: Pixels, format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(stored).save(buffer, format, **options)
    return buffer.getvalue()


_CONTAINERS: Mapping[str, Any] = {"JPEG": jpeg, "PNG": png, "WEBP": webp}
_WRITERS: Mapping[str, Callable[[Pixels, DecodedImage, Mapping[str, Any], int | None], bytes]] = {
    "JPEG": _write_jpeg,
    "PNG": _write_png,
    "WEBP": _write_webp,
    "TIFF": _write_tiff,
    "AVIF": _write_avif,
}
