"""Files made for tests, by other means than those that are tested."""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageCms
from PIL.ExifTags import IFD, Base

from crdnet import images

PIXELS = np.random.default_rng(5).integers(0, 256, (24, 36, 3), dtype=np.uint8)
SMOOTH = np.asarray(Image.fromarray(PIXELS[:4, :6]).resize((36, 24), Image.Resampling.BICUBIC))
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\xc3\xa9</x:xmpmeta>'
OPTIONS: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}}


def saved(pixels: np.ndarray = SMOOTH, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **(OPTIONS.get(kind, {}) | options))
    return buffer.getvalue()


def opened(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    image.load()
    return image


def exif_of(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    exif[Base.Make] = "A maker"
    exif[Base.Artist] = "Somebody"
    exif[IFD.Exif] = {0x829A: 0.01}  # exposure time
    loaded = Image.Exif()
    loaded.load(exif.tobytes())
    return loaded


def jpeg_segments(content: bytes) -> list[bytes]:
    segments, position = [], 2
    while content[position + 1] != 0xDA:
        size = 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        segments.append(content[position : position + size])
        position += size
    return segments


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


def png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position < len(content):
        size = int.from_bytes(content[position : position + 4], "big")
        yield content[position + 4 : position + 8], content[position + 8 : position + 8 + size]
        position += 12 + size


def with_chunk(content: bytes, name: bytes, payload: bytes) -> bytes:
    chunk = struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))
    return content[:33] + chunk + content[33:]


def multi_page(kind: str) -> bytes:
    buffer = BytesIO()
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def pil_saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_of_bits(bits: int, colour: int) -> bytes:
    """A PNG of one black pixel."""
    samples = {0: 1, 2: 3}[colour]
    row = b"\0" + b"\0" * max(1, bits * samples // 8)
    header = struct.pack(">IIBBBBB", 1, 1, bits, colour, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, payload in [(b"IHDR", header), (b"IDAT", zlib.compress(row)), (b"IEND", b"")]:
        content += (
            struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))
        )
    return content


def tiff_of(samples: np.ndarray, **options: Any) -> bytes:
    """A TIFF by tifffile, which writes every kind of sample."""
    buffer = BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def again(content: bytes, kind: str | None = None, **options: Any) -> bytes:
    """Decode a file and encode its own pixels."""
    picture = images.decode(content)
    return images.encode(picture, picture.pixels, kind, **options)
