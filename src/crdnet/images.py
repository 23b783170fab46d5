"""Picture files in and out: what the network sees, and everything around it that must not be lost.

Read and written are JPEG, PNG, WebP, TIFF and BMP with 8 bits per sample, grey or RGB; the content decides
which, never the name. Alpha channels, palettes, 16 bits, CMYK and animations are refused by name, since what
cannot be kept must not be lost in silence.

The network sees a picture upright. Its pixels are stored in the file as they were stored before and the
orientation tag stays, so that the file comes out the same way up with its metadata untouched; TIFF is stored
upright, without the tag. EXIF, XMP, colour profile and resolution are carried, between JPEG files and between
PNG files everything else too, byte for byte. A JPEG is written with the quantisation tables and the
subsampling it came with. What a format cannot carry becomes a warning.
"""

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ExifTags import IFD, Base
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.PngImagePlugin import PngImageFile, PngInfo
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from crdnet import containers
from crdnet.errors import ImageError

Pixels = npt.NDArray[np.uint8]
"""(h, w, 3) RGB or (h, w) grey."""

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tiff": "TIFF"}
"""What `--format` may ask for, which is also the suffix, and Pillow's name for it."""
FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
MAX_PIXELS = 2_000_000_000

_MODES_REFUSED = {
    "1": "1 bit per pixel",
    "P": "a palette",
    "PA": "a palette with an alpha channel",
    "LA": "an alpha channel",
    "La": "an alpha channel",
    "RGBA": "an alpha channel",
    "RGBa": "an alpha channel",
    "CMYK": "CMYK colours",
    "YCbCr": "YCbCr colours",
    "LAB": "Lab colours",
    "F": "floating-point samples",
    "I": "more than 8 bits per sample",
}
_UNSUPPORTED_MAGIC = {
    b"GIF8": "a GIF",
    b"%PDF": "a PDF",
    b"\xff\x0a": "a JPEG XL",
    b"8BPS": "a Photoshop document",
}
# What Pillow raises on broken files, as found in its own catch clauses.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError)
_BROKEN_DEEP = (struct.error, zlib.error, Image.DecompressionBombError)

# From another format nothing says how well to store; these lose nothing one could see.
_OPTIONS_ANEW: Mapping[str, Mapping[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "BMP": {},
}
_LOSSLESS_TIFF = {"raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "lzma", "zstd"}
_TIFF_TAGS_CARRIED = {
    Base.ImageDescription,
    Base.Make,
    Base.Model,
    Base.Software,
    Base.DateTime,
    Base.Artist,
    Base.HostComputer,
    Base.Copyright,
    IFD.Exif,
    IFD.GPSInfo,
    0x010D,  # document name
    0x011D,  # page name
    0x83BB,  # IPTC
    0x8649,  # Photoshop
    *(0x830E, 0x8482, 0x85D8, 0x87AF, 0x87B0, 0x87B1, 0xA480, 0xA481),  # GeoTIFF and GDAL
}
# Tags that describe the pixels' storage, which the encoder writes anew, or that travel by another way.
_TIFF_TAGS_OF_ENCODER = {
    *(0x00FE, 0x00FF, 0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x010A, 0x0111, 0x0112, 0x0115, 0x0116, 0x0117),
    *(0x0118, 0x0119, 0x011A, 0x011B, 0x011C, 0x0128, 0x013D, 0x0142, 0x0143, 0x0144, 0x0145, 0x0153, 0x015B),
    *(0x0211, 0x0212, 0x0213, 0x0214, 0x02BC, 0x8773),
}
_XMP_TAG = 0x02BC
_EXIF_START = b"Exif\0\0"


@dataclass(frozen=True)
class Picture:
    """A decoded picture file and what is needed to write one like it."""

    pixels: Pixels
    """Upright."""
    format: str
    """Pillow's name, such as JPEG."""
    orientation: int = 1
    """The EXIF tag: how the stored pixels must be turned to stand upright, 1 (not at all) to 8."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """How the pixels were coded, as Pillow's `save` takes it."""
    around: Mapping[str, Any] = field(default_factory=dict)
    """`icc_profile`, `exif`, `xmp`, `dpi`: what every format can carry."""
    blocks: tuple[bytes, ...] = ()
    """Blocks to copy as they stand into a file of the same format; `around` is in them."""
    not_carried: tuple[str, ...] = ()
    """What a file of the same format will lack."""


class _Tiff(TiffImageFile):
    """Pillow's TIFF reader under our limit of pixels, not Pillow's, which is lower and process-wide."""

    def load_prepare(self) -> None:
        if self._im is None:
            self.im = Image.core.new(self.mode, self._tile_size)  # type: ignore[attr-defined]
        ImageFile.ImageFile.load_prepare(self)


def decode(content: bytes, name: str = "the picture") -> Picture:
    """Read a picture file.

    Args:
        content: The whole file.
        name: What messages call it.

    Raises:
        ImageError: It is no picture, is damaged, or holds something that this version cannot keep.
    """
    opener = _opener(content, name)
    try:
        # Pillow's own opener would warn of more than 89 megapixels, and try forty formats that we do not
        # write.
        with opener(BytesIO(content)) as image:
            _check_kind(image, content, name)
            image.load()
            return _picture(image, content)
    except ImageError:
        raise
    except (*_BROKEN, *_BROKEN_DEEP) as error:
        raise ImageError(
            f"{name} is damaged and cannot be read to its end ({error}); open it in another program and save "
            "it anew"
        ) from error


def encode(picture: Picture, pixels: Pixels, format: str | None = None) -> bytes:  # noqa: A002
    """Write new pixels into a file like the picture's own.

    Args:
        picture: What the pixels were made from.
        pixels: Upright, of the picture's shape.
        format: Pillow's name of another format; None keeps the picture's.
    """
    target = format or picture.format
    same = target == picture.format
    # BMP has no place for the tag, so the pixels stand upright; TIFF we store upright as well.
    stored = pixels if target in ("BMP", "TIFF") else turned_back(pixels, picture.orientation)
    options = dict(picture.options if same else _OPTIONS_ANEW[target])
    if not (same and picture.blocks):
        options |= _around_options(picture, target)
    buffer = BytesIO()
    try:
        Image.fromarray(np.ascontiguousarray(stored)).save(buffer, target, **options)
    except (*_BROKEN, struct.error) as error:
        height, width = stored.shape[:2]
        raise ImageError(
            f"a picture of {width} x {height} pixels cannot be stored as {target} ({error}); ask for another "
            "format"
        ) from error
    content = buffer.getvalue()
    if not (same and picture.blocks):
        return content
    splice = {"JPEG": containers.with_jpeg_surroundings, "PNG": containers.with_png_surroundings}[target]
    return splice(content, list(picture.blocks))


def lost_between(picture: Picture, format: str | None = None) -> tuple[str, ...]:  # noqa: A002
    """Return the names of what is around the picture that a file of `format` (None: the same) will lack."""
    target = format or picture.format
    if target == picture.format:
        return picture.not_carried
    lost = [*picture.not_carried]
    if target == "BMP":
        lost += [
            {"icc_profile": "the colour profile", "exif": "EXIF", "xmp": "XMP"}[key]
            for key in picture.around
            if key != "dpi"
        ]
    if len(picture.blocks) > len(set(picture.around) - {"dpi"}):
        lost.append(f"what only {picture.format} files hold (captions, comments, text)")
    return tuple(lost)


def is_pil(image: Any) -> bool:
    """Return whether something is a PIL image."""
    return isinstance(image, Image.Image)


def pixels_of_pil(image: Image.Image) -> Pixels:
    """Return the upright pixels of a PIL image of mode RGB or L."""
    if image.mode not in ("RGB", "L"):
        kind = _MODES_REFUSED.get(image.mode, "mode " + image.mode)
        raise ImageError(
            f"this version refuses {kind}, got a PIL image of mode {image.mode!r}; derain "
            "image.convert('RGB') or ('L')"
        )
    if "transparency" in image.info:
        raise ImageError("this version refuses an alpha channel, got a PIL image with a transparent colour")
    return turned_up(np.asarray(image), _orientation(image))


def pil_like(image: Image.Image, pixels: Pixels) -> Image.Image:
    """Return a PIL image of upright pixels that lies and is described as `image` is."""
    derained = Image.fromarray(np.ascontiguousarray(turned_back(pixels, _orientation(image))))
    derained.info = dict(image.info)
    return derained


def turned_up(stored: Pixels, orientation: int) -> Pixels:
    """Return stored pixels as they are meant to be seen; a view."""
    return _TURNS.get(orientation, _TURNS[1])(stored)


def turned_back(upright: Pixels, orientation: int) -> Pixels:
    """Undo `turned_up`."""
    return turned_up(upright, {6: 8, 8: 6}.get(orientation, orientation))


# By the EXIF standard, "row 0 is at the top, column 0 at the left" and so on.
_TURNS: Mapping[int, Callable[[Pixels], Pixels]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored, 1),
}


def _opener(content: bytes, name: str) -> Callable[[BytesIO], ImageFile.ImageFile]:
    """Return Pillow's reader for what the content is."""
    if not content:
        raise ImageError(f"{name} is empty (0 bytes); fetch or save it again")
    if content.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return WebPImageFile
    if content.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return _Tiff
    if content.startswith(b"BM"):
        return BmpImageFile
    kind = next((kind for magic, kind in _UNSUPPORTED_MAGIC.items() if content.startswith(magic)), None)
    if kind is None and content[4:8] == b"ftyp":
        kind = "an AVIF" if content[8:12] in (b"avif", b"avis") else "a HEIC picture or a film"
    raise ImageError(
        f"{name} is {kind or 'not a picture'}; crdnet reads JPEG, PNG, WebP, TIFF and BMP, so convert it to "
        "one of them first"
    )


def _check_kind(image: ImageFile.ImageFile, content: bytes, name: str) -> None:
    """Refuse, before any pixel is decoded, what cannot be kept."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{name} has {width} x {height} pixels, more than {MAX_PIXELS:,}; cut it into parts")
    kind = _MODES_REFUSED.get(image.mode)
    if image.mode.startswith("I;") or _bits(image, content) > 8:
        kind = "more than 8 bits per sample"
    elif _bits(image, content) < 8 and kind is None:
        kind = "fewer than 8 bits per sample"
    elif "transparency" in image.info:
        kind = "a transparent colour"
    elif getattr(image, "n_frames", 1) > 1:
        kind = f"{image.n_frames} pages or frames"  # type: ignore[attr-defined]
    if kind is not None or image.mode not in ("RGB", "L"):
        raise ImageError(
            f"{name} has {kind or 'mode ' + image.mode}, which this version refuses rather than lose; "
            "convert it to 8-bit RGB or grey first"
        )


def _bits(image: ImageFile.ImageFile, content: bytes) -> int:
    """Return the bits per sample, which Pillow's mode hides where it reads 16 bits as 8."""
    if isinstance(image, PngImageFile):
        return content[24]
    if isinstance(image, TiffImageFile):
        return int(max(image.tag_v2.get(Base.BitsPerSample, (1,))))
    return 8


def _picture(image: ImageFile.ImageFile, content: bytes) -> Picture:
    """Gather everything of a loaded picture."""
    assert image.format is not None
    orientation = 1 if isinstance(image, TiffImageFile) else _orientation(image)
    around = {key: image.info[key] for key in ("icc_profile", "exif", "xmp", "dpi") if image.info.get(key)}
    if "exif" in around and not around["exif"].startswith(_EXIF_START):  # WebP files leave it away
        around["exif"] = _EXIF_START + around["exif"]
    options: dict[str, Any] = {}
    blocks: list[bytes] = []
    left: list[str] = []
    if isinstance(image, JpegImageFile):
        sampling = get_sampling(image)
        options = {"qtables": image.quantization, "progressive": bool(image.info.get("progressive"))}
        if image.mode == "RGB":
            options["subsampling"] = (
                sampling if sampling >= 0 else 0
            )  # a layout Pillow cannot write loses nothing in 4:4:4
        options |= {"dpi": around["dpi"]} if "dpi" in around else {}
        blocks, left = containers.jpeg_surroundings(content)
    elif isinstance(image, PngImageFile):
        blocks, left = containers.png_surroundings(content)
    elif isinstance(image, WebPImageFile):
        options = {"lossless": True} if containers.webp_is_lossless(content) else {"quality": 95}
    elif isinstance(image, TiffImageFile):
        compression = image.info.get("compression")
        options = {"compression": compression if compression in _LOSSLESS_TIFF else "tiff_adobe_deflate"}
        left = _read_tiff_tags(image, around)
    return Picture(
        pixels=turned_up(np.asarray(image), orientation),
        format=image.format,
        orientation=orientation,
        options=options,
        around=around,
        blocks=tuple(blocks),
        not_carried=tuple(left),
    )


def _read_tiff_tags(image: TiffImageFile, around: dict[str, Any]) -> list[str]:
    """Put a TIFF's descriptive tags into `around` as EXIF, and return the names of the tags left behind."""
    tags = image.getexif()
    exif = Image.Exif()
    left = []
    for tag, value in tags.items():
        if tag in (IFD.Exif, IFD.GPSInfo):
            exif[tag] = tags.get_ifd(tag)
        elif tag in _TIFF_TAGS_CARRIED:
            exif[tag] = value
        elif tag not in _TIFF_TAGS_OF_ENCODER:
            left.append(f"the tag {tag}")
    if len(exif):
        around["exif"] = exif.tobytes()
    return left


def _around_options(picture: Picture, target: str) -> dict[str, Any]:
    """Return what is around the picture as Pillow's `save` takes it for a format."""
    around = dict(picture.around)
    if target == "BMP":
        return {key: around[key] for key in ("dpi",) if key in around}
    xmp = around.pop("xmp", None)
    if target == "TIFF":
        exif = Image.Exif()
        exif.load(around.pop("exif", b"") or None)  # type: ignore[arg-type]
        exif.pop(Base.Orientation, None)
        if xmp:
            exif[_XMP_TAG] = xmp
        # Only Pillow's own writer, which does not compress, can write the camera's part of EXIF.
        plain = {"compression": "raw"} if IFD.Exif in exif or IFD.GPSInfo in exif else {}
        return around | {"exif": exif} | plain
    if target == "WEBP":
        around.pop("dpi", None)
    if xmp and target == "PNG":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
        around["pnginfo"] = text
    elif xmp:
        around["xmp"] = xmp
    return around


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 where there is none or where it cannot be read."""
    try:
        tag = image.getexif().get(Base.Orientation, 1)
    except (*_BROKEN, struct.error):
        return 1
    return tag if tag in _TURNS else 1
