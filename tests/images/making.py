"""Files made for tests, by other means than those that are tested."""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import tifffile
from PIL import Image, ImageCms, PngImagePlugin
from PIL.ExifTags import IFD, Base

from crdnet import images

PIXELS = np.random.default_rng(5).integers(0, 256, (24, 36, 3), dtype=np.uint8)
SMOOTH = np.asarray(Image.fromarray(PIXELS[:4, :6]).resize((36, 24), Image.Resampling.BICUBIC))
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\xc3\xa9</x:xmpmeta>'
IPTC = b"\x1c\x02\x78\x00\x08a street"
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
    chunk = (
        struct.pack(">I", len(payload))
        + name
        + payload
        + struct.pack(">I", zlib.crc32(name + payload))
    )
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
            struct.pack(">I", len(payload))
            + name
            + payload
            + struct.pack(">I", zlib.crc32(name + payload))
        )
    return content


def tiff_of(samples: np.ndarray | Iterator[bytes], **options: Any) -> bytes:
    """A TIFF by tifffile, which writes every kind of sample."""
    buffer = BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def again(content: bytes, kind: str | None = None, **options: Any) -> bytes:
    """Decode a file and encode its own pixels."""
    decoded = images.decode(content)
    return images.encode(decoded, decoded.pixels, kind, **options)


def wide(samples: np.ndarray) -> np.ndarray:
    """Samples of 16 bits whose lower halves are not their upper halves."""
    noise = np.random.default_rng(3).integers(0, 256, samples.shape, dtype=np.uint16)
    return samples.astype(np.uint16) * 256 + noise


def samples_of(channels: str, bits: int) -> np.ndarray:
    """Smooth colours, with an alpha channel whose every value differs from its neighbours'."""
    alpha = (
        np.arange(SMOOTH.shape[0] * SMOOTH.shape[1], dtype=np.uint32)
        .astype(np.uint8)
        .reshape(SMOOTH.shape[:2])
    )
    colours = SMOOTH if channels.startswith("rgb") else SMOOTH[..., 0]
    samples = np.dstack([colours, alpha]) if channels.endswith("a") else colours
    return samples if bits == 8 else wide(samples)


def by_vips(saver: str, samples: np.ndarray, **options: Any) -> bytes:
    """A file by libvips."""
    kind = "rgb16" if samples.ndim == 3 and samples.shape[2] > 2 else "grey16"
    image = pyvips.Image.new_from_array(samples)
    image = image.copy(interpretation=kind) if samples.dtype == np.uint16 else image
    content: bytes = getattr(image, saver)(**options)
    return content


def make_image_file(kind: str, channels: str, bits: int, orientation: int = 6) -> bytes:
    """A file of every kind that is kept, with as much around its pixels as its maker can write."""
    samples = samples_of(channels, bits)
    exif = exif_of(orientation).tobytes()
    if kind == "TIFF":
        described = {
            "description": "a street",
            "software": "ours",
            "resolution": (300, 150, "INCH"),
            "metadata": None,
        }
        tags = [
            (0x010F, "s", 0, "A maker", True),
            (0x0112, "H", 1, orientation, True),
            (0x02BC, "B", len(XMP), XMP, True),
        ]
        tags += [(0x83BB, "B", len(IPTC), IPTC, True), (0xC000, "I", 2, (7, 9), True)]
        colours = "rgb" if channels.startswith("rgb") else "minisblack"
        extra = {"extrasamples": ["unassalpha"]} if channels.endswith("a") else {}
        return tiff_of(
            samples,
            photometric=colours,
            compression="zlib",
            extratags=tags,
            iccprofile=PROFILE,
            **extra,
            **described,
        )
    options: dict[str, Any] = {"exif": exif, "icc_profile": PROFILE}
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Title", "a street")
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        plain = saved(samples_of(channels, 8), kind, dpi=(300, 150), pnginfo=text, **options)
        if bits == 8:
            return plain
        content = by_vips("pngsave_buffer", samples, bitdepth=16, keep="none")
        around = [
            chunk for chunk in png_chunks(plain) if chunk[0] not in (b"IHDR", b"IDAT", b"IEND")
        ]
        for name, payload in reversed(around):
            content = with_chunk(content, name, payload)
        return content
    if kind == "AVIF" and bits > 8:
        return by_vips("heifsave_buffer", samples, compression="av1", bitdepth=bits, lossless=True)
    if kind == "JPEG":
        options |= {"comment": b"remember", "dpi": (300, 150), "quality": 83}
    return saved(samples, kind, xmp=XMP, **options)


def gradient(width: int, height: int, most: int = 255) -> np.ndarray:
    """Pixels of `gradient_*.heic`: red grows to the right, green downwards.

    The files were made with pillow-heif 1.8.1:
    `from_bytes(mode, (width, height), pixels).save(path, quality=quality)`, with mode RGB and
    quality 50 for 512 x 512, RGB and 80 for 61 x 37; RGB;16 (`most` is 65535) for 10 bits.
    The encoder stores 61 x 37 as 64 x 64 with a clean aperture.
    """
    y, x = np.mgrid[:height, :width]
    colours = x * most // (width - 1), y * most // (height - 1), np.full_like(x, most // 2)
    return np.stack(colours, axis=2)


def heic(name: str) -> bytes:
    """A file that lies beside the tests."""
    return (Path(__file__).parent / f"{name}.heic").read_bytes()


def heic_cropped(left: int, top: int, width: int, height: int) -> bytes:
    """`gradient_61x37.heic` with another clean aperture in its 64 x 64 coded samples."""
    content = bytearray(heic("gradient_61x37"))
    # Offsets are those of the centre from the centre of the image, in halves.
    across, down = 2 * left + width - 64, 2 * top + height - 64
    struct.pack_into(
        ">IIIIiIiI", content, content.index(b"clap") + 4, width, 1, height, 1, across, 2, down, 2
    )
    return bytes(content)


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of AVIF and HEIC files."""
    return struct.pack(">I", 8 + sum(map(len, parts))) + kind + b"".join(parts)


def heic_of_tiles(
    width: int,
    height: int,
    quarter_turns: int = 0,
    *,
    beside: bytes = b"",
    name: str = "gradient_512x512",
) -> bytes:
    """A HEIC as phones write it: a grid of tiles, each the same file, cut and turned.

    Args:
        width: Of the whole.
        height: Of the whole.
        quarter_turns: Against the clock.
        beside: The type of an auxiliary image of one tile, such as a depth map; none where empty.
        name: Of the file that lies beside the tests, of 512 x 512 pixels.
    """
    tile = heic(name)

    def payload(kind: bytes) -> bytes:
        place = tile.index(kind)
        return tile[place + 4 : place - 4 + int.from_bytes(tile[place - 4 : place], "big")]

    columns, rows = -(-width // 512), -(-height // 512)
    tiles = range(2, 2 + columns * rows)
    coded = payload(b"mdat")
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    properties = (
        box(b"hvcC", payload(b"hvcC")),
        *(box(b"ispe", struct.pack(">III", 0, *size)) for size in ((512, 512), (width, height))),
        box(b"irot", bytes([quarter_turns])),
        *([box(b"auxC", bytes(4), beside, b"\0")] if beside else ()),
    )
    auxiliary = [tiles.stop] if beside else []
    kinds = [
        box(b"infe", struct.pack(">IHH", 2 << 24, item, 0), kind, b"\0")
        for item, kind in ((1, b"grid"), *((item, b"hvc1") for item in (*tiles, *auxiliary)))
    ]
    references = box(b"dimg", struct.pack(f">HH{len(tiles)}H", 1, len(tiles), *tiles))
    references += b"".join(box(b"auxl", struct.pack(">HHH", item, 1, 1)) for item in auxiliary)
    of_items = [
        struct.pack(">HBBB", 1, 2, 3, 0x84),
        *(struct.pack(">HBBB", item, 2, 0x81, 2) for item in tiles),
        *(struct.pack(">HBBBB", item, 3, 0x81, 2, 0x85) for item in auxiliary),
    ]

    def meta(begin: int) -> bytes:
        coded_items = (*tiles, *auxiliary)
        places = [(item, begin + len(grid), len(coded)) for item in coded_items]
        places.insert(0, (1, begin, len(grid)))
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", struct.pack(">IH", 0, 1)),
            box(
                b"iloc",
                struct.pack(">IBBH", 0, 0x44, 0, len(places)),
                *(struct.pack(">HHHII", item, 0, 1, place, size) for item, place, size in places),
            ),
            box(b"iinf", struct.pack(">IH", 0, len(kinds)), *kinds),
            box(b"iref", bytes(4), references),
            box(
                b"iprp",
                box(b"ipco", *properties),
                box(b"ipma", struct.pack(">II", 0, len(of_items)), *of_items),
            ),
        )

    start = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    begin = len(start) + len(meta(0)) + 8
    return start + meta(begin) + box(b"mdat", grid, coded)


def files_of_all_kinds() -> dict[str, bytes]:
    """Small files, each read by another path through the decoders."""
    files = {
        f"{kind} {channels} {bits}": make_image_file(kind, channels, bits)
        for kind, channels, bits in (
            *(("JPEG", channels, 8) for channels in ("grey", "rgb")),
            *((kind, "rgba", bits) for kind in ("PNG", "TIFF") for bits in (8, 16)),
            ("TIFF", "greya", 16),
            ("WEBP", "rgba", 8),
            ("AVIF", "rgba", 8),
            ("AVIF", "rgb", 10),
        )
    }
    image = Image.fromarray(SMOOTH)
    return files | {
        "palette.gif": pil_saved(image.quantize(), "GIF"),
        "palette.png": pil_saved(image.quantize(), "PNG"),
        "colours.bmp": pil_saved(image, "BMP"),
        "colours.ppm": pil_saved(image, "PPM"),
        "wide.ppm": b"P6\n36 24\n65535\n" + wide(SMOOTH).astype(">u2").tobytes(),
        "inks.jpg": pil_saved(image.convert("CMYK"), "JPEG"),
        "inks.tif": pil_saved(image.convert("CMYK"), "TIFF"),
        "tiles.tif": by_vips("tiffsave_buffer", SMOOTH, tile=True, tile_width=16, tile_height=16),
        "street.heic": heic("street"),
        "odd.heic": heic("gradient_61x37"),
        "odd_10_bits.heic": heic("gradient_61x37_10_bits"),
    }
