"""Pictures to send, good and bad."""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

SIZE = (96, 64)


def scene(
    width: int = SIZE[0], height: int = SIZE[1], *, rain: int = 0, seed: int = 0
) -> Image.Image:
    """Return a smooth picture, with vertical lines one pixel wide that are `rain` grey levels brighter."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[0:height, 0:width]
    grey = 90 + 40 * np.sin(across / width * 3) * np.cos(down / height * 2 + rng.random())
    rgb = np.dstack([grey, grey * 0.9, grey * 0.8])
    if rain:
        rgb[:, ::3] += rain
    return Image.fromarray(rgb.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


RAINY = encoded(scene(rain=60))
DRY = encoded(scene())
JPEG = encoded(scene(rain=60), "JPEG", quality=92)


def png_claiming(width: int, height: int, rows: int = 1) -> bytes:
    """Return a PNG whose header says one size and which holds `rows` rows of it, compressed: a bomb in little."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    data = zlib.compress(bytes(rows * (1 + 3 * width)), 9)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
