"""Images to send, good and bad."""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

SIZE = (96, 64)


def make_scene(
    width: int = SIZE[0], height: int = SIZE[1], *, rain: int = 0, seed: int = 0
) -> Image.Image:
    """Return a smooth image with vertical lines, one pixel wide and `rain` grey levels brighter."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[0:height, 0:width]
    grey = 90 + 40 * np.sin(across / width * 3) * np.cos(down / height * 2 + rng.random())
    rgb = np.dstack([grey, grey * 0.9, grey * 0.8])
    if rain:
        rgb[:, ::3] += rain
    return Image.fromarray(rgb.clip(0, 255).astype(np.uint8))


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


RAINY = encode(make_scene(rain=60))
DRY = encode(make_scene())
JPEG = encode(make_scene(rain=60), "JPEG", quality=92)


def make_png_claiming(width: int, height: int, rows: int = 1) -> bytes:
    """Return a PNG whose header claims a size and which holds `rows` black rows of it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    data = zlib.compress(bytes(rows * (1 + 3 * width)), 9)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
