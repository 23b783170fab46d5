"""Encoding of image files, with the format and the metadata of a decoded `Picture`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from crdnet.errors import ImageError
from crdnet.images import vips
from crdnet.images.containers import colour, isobmff, jpeg, png, tiff, webp
from crdnet.images.containers.metadata import Metadata
from crdnet.images.faults import BROKEN
from crdnet.images.headers import writable
from crdnet.images.picture import Picture, Pixels, turned_back, with_alpha

# Qualities for an input of another format; they cause no visible loss.
_QUALITY = {"JPEG": 95, "WEBP": 95, "AVIF": 90}
_WIDE = {"PNG", "TIFF", "AVIF"}
"""Formats for more than 8 bits per sample."""
_TELL_CODES = ("PNG", "AVIF")
"""Formats that can state a colour space by codes (ITU-T H.273)."""
_MOST_IN_SMALL_TIFF = 2**32 - 2**24
"""Bytes of samples, above which a TIFF needs offsets of eight bytes (BigTIFF)."""


def encode(
    picture: Picture,
    pixels: Pixels,
    format: str | None = None,  # noqa: A002
    *,
    quality: int | None = None,
    name: str = "the image",
) -> bytes:
    """Encode new pixels with the format and the metadata of an image.

    Args:
        picture: Image from which the pixels were made. Its alpha channel is written unchanged.
        pixels: Upright pixels, of the same shape and dtype as those of the image.
        format: Another format, one of the values of `FORMATS`; None keeps that of the image.
        quality: 1 to 100, for lossy formats. None keeps the coding of the image, such as the tables
            and the subsampling of a JPEG. A lossless image stays lossless.
        name: Name of the image in messages.

    Raises:
        ImageError: The format can only be read, or cannot hold an image of this size.
    """
    target = writable(format or picture.format, name)
    if not _keeps_channel(picture, target):
        picture = replace(picture, alpha=None)
    samples = with_alpha(pixels, picture.alpha)
    if samples.dtype == np.uint16 and target not in _WIDE:
        samples = np.rint(samples / np.float32(257)).astype(np.uint8)
    stored = np.ascontiguousarray(turned_back(samples, picture.orientation))
    try:
        return _WRITERS[target](
            stored, picture, picture.options if target == picture.format else {}, quality
        )
    except BROKEN as error:
        height, width = stored.shape[:2]
        raise ImageError(
            f"an image of {width} x {height} pixels cannot be stored as {target} "
            f"({vips.one_line(error)}); ask for another format"
        ) from error


def lost_between(picture: Picture, format: str | None = None) -> tuple[str, ...]:  # noqa: A002
    """Return the names of what an output will lack that the input file holds.

    Args:
        picture: Image decoded from the input.
        format: Format of the output; None is that of the input.
    """
    target = writable(format or picture.format, "the image")
    found = picture.surroundings
    if target == picture.format:
        return (*found.left_behind, *found.recoded)
    lost = [*found.left_behind]
    if picture.alpha is not None and not _keeps_channel(picture, target):
        lost.append(
            "a fourth channel of which the file does not say that it is alpha"
            if found.has_unnamed_channel
            else "the alpha channel"
        )
    if picture.pixels.dtype == np.uint16 and target not in ("PNG", "TIFF"):
        lost.append(
            "more than 12 bits per sample" if target == "AVIF" else "more than 8 bits per sample"
        )
    lost += _lost_around(_around_for(picture, target), target)
    colours = found.around.colours
    if colours is not None and not _keeps_colours(picture, target):
        lost.append(f"the colour space {colours.name}")
    if found.only_here:
        lost.append(f"what only {picture.format} files hold (captions, comments, text)")
    return tuple(dict.fromkeys(lost))


def notes(picture: Picture, format: str | None = None) -> tuple[str, ...]:  # noqa: A002
    """Describe all differences of an output to its input, as sentences without a full stop.

    Args:
        picture: Image decoded from the input.
        format: Format of the output; None is that of the input.
    """
    return (
        *picture.changes,
        *(f"could not carry over {what}" for what in lost_between(picture, format)),
    )


def _keeps_channel(picture: Picture, target: str) -> bool:
    """Return whether an output keeps the alpha channel, or an unnamed fourth channel."""
    if picture.surroundings.has_unnamed_channel:
        return target == "TIFF"
    return target != "JPEG"


def _keeps_colours(picture: Picture, target: str) -> bool:
    around = _around_for(picture, target)
    assert around.colours is not None
    has_codes = around.colours.codes is not None
    return (target in _TELL_CODES and has_codes) or (
        bool(around.icc) and around.colours.curve is not None
    )


def _around_for(picture: Picture, target: str) -> Metadata:
    """Return the metadata of an image in the form that another format can hold.

    A colour space given by codes or chromaticities becomes an ICC profile if possible.
    """
    around = picture.surroundings.around
    if around.colours is None or around.icc or target == picture.format:
        return around
    return replace(around, icc=colour.profile_of(around.colours, grey=picture.pixels.ndim == 2))


def _lost_around(around: Metadata, target: str) -> list[str]:
    if target == "TIFF":
        return []
    if target == "AVIF":
        return isobmff.lost_of(around)
    lost: list[str] = _CONTAINERS[target].blocks_of(around)[1]
    return lost


def jpeg_options(coding: Mapping[str, Any], quality: int | None) -> dict[str, Any]:
    """Return Pillow's options for a JPEG: the coding of the input, unless a quality is given."""
    options = dict(coding) or {"quality": _QUALITY["JPEG"], "subsampling": 0}
    if quality is not None:
        options.pop("qtables", None)
        options["quality"] = quality
    return options


# Each writer takes the samples to store, the image from which they were made, the coding options of
# that image (empty if it has another format), and the quality that the user chose.


def _jpeg(
    stored: Pixels, picture: Picture, coding: Mapping[str, Any], quality: int | None
) -> bytes:
    content = _pillow(stored, "JPEG", **jpeg_options(coding, quality))
    return jpeg.with_surroundings(content, _blocks(picture, "JPEG"))


def _png(
    stored: Pixels, picture: Picture, coding: Mapping[str, Any], _quality: int | None
) -> bytes:
    if stored.dtype == np.uint16 or coding:
        bits = 8 * stored.itemsize
        content = vips.save("pngsave_buffer", stored, bitdepth=bits, filter="up", **coding)
    else:
        content = _pillow(stored, "PNG")
    return png.with_surroundings(content, _blocks(picture, "PNG"))


def _webp(
    stored: Pixels, picture: Picture, coding: Mapping[str, Any], quality: int | None
) -> bytes:
    lossless = coding.get("lossless", quality is None)
    # "exact" keeps the colours of fully transparent pixels.
    options = {"lossless": True} if lossless else {"quality": quality or _QUALITY["WEBP"]}
    content = _pillow(stored, "WEBP", exact=True, **options)
    height, width = stored.shape[:2]
    return webp.with_surroundings(
        content, _blocks(picture, "WEBP"), size=(width, height), alpha=picture.alpha is not None
    )


def _tiff(
    stored: Pixels, picture: Picture, coding: Mapping[str, Any], _quality: int | None
) -> bytes:
    options = dict(coding) or {"compression": "deflate", "predictor": "horizontal"}
    if stored.nbytes > _MOST_IN_SMALL_TIFF:
        options["bigtiff"] = True
    around = picture.surroundings
    tags = tiff.pages(around.blocks[0])[0] if coding else tiff.tags_of(_around_for(picture, "TIFF"))
    return tiff.with_tags(vips.save("tiffsave_buffer", stored, **options), tags)


def _avif(
    stored: Pixels, picture: Picture, coding: Mapping[str, Any], quality: int | None
) -> bytes:
    grey = stored.ndim == 2 or stored.shape[2] < 3
    wide = stored.dtype == np.uint16
    lossless = coding.get("lossless", False)
    if wide or (lossless and not grey):
        # libheif has one quality for colours and alpha, so only lossless coding keeps alpha.
        exact = lossless or picture.alpha is not None
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
        if picture.alpha is not None:  # lossless alpha next to lossy colours
            options["advanced"] = {"alpha:lossless": "1"}
        content = _pillow(stored, "AVIF", **options)
    around = _around_for(picture, "AVIF")
    if coding:
        around = replace(around, exif=picture.surroundings.blocks[0])
    return isobmff.with_surroundings(content, around, picture.orientation)


def _blocks(picture: Picture, target: str) -> tuple[bytes, ...]:
    if picture.format == target:
        return picture.surroundings.blocks
    return tuple(_CONTAINERS[target].blocks_of(_around_for(picture, target))[0])


def _pillow(stored: Pixels, format: str, **options: Any) -> bytes:  # noqa: A002
    buffer = BytesIO()
    Image.fromarray(stored).save(buffer, format, **options)
    return buffer.getvalue()


_CONTAINERS: Mapping[str, Any] = {"JPEG": jpeg, "PNG": png, "WEBP": webp}
_WRITERS: Mapping[str, Callable[[Pixels, Picture, Mapping[str, Any], int | None], bytes]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "TIFF": _tiff,
    "AVIF": _avif,
}
