import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from hypothesis import given
from hypothesis.strategies import binary
from PIL import Image

from crdnet import images
from crdnet.errors import ImageError, NotAnImageError
from crdnet.images.containers import png
from tests.images.making import (
    PIXELS,
    PROFILE,
    SMOOTH,
    again,
    multi_page,
    opened,
    pil_saved,
    saved,
    segment,
    tiff_of,
)


def png_of(rows: bytes, bits: int = 8, interlaced: int = 0) -> bytes:
    """Return a PNG of 40 x 30 colours that holds these rows."""
    head = struct.pack(">IIBBBBB", 40, 30, bits, 2, 0, 0, interlaced)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return png.MAGIC + b"".join(png.pack_chunk(*part) for part in parts)


def tiff_with(tag: int, value: int) -> bytes:
    """Return an uncompressed TIFF of which one short tag says something else."""
    content = bytearray(tiff_of(SMOOTH, photometric="rgb", byteorder="<"))
    entry = content.index(struct.pack("<HHI", tag, 3, 1))
    content[entry + 8 : entry + 10] = struct.pack("<H", value)
    return bytes(content)


REFUSED = {
    "animated webp": (multi_page("WEBP"), "animation"),
    "animated png": (multi_page("PNG"), "animation"),
    "animated gif": (multi_page("GIF"), "animation"),
    "animated avif": (multi_page("AVIF"), "animation"),
    "two-page tiff": (multi_page("TIFF"), "several pages"),
    "float tiff": (tiff_of(SMOOTH.astype(np.float32), photometric="rgb"), "floating-point"),
    "signed tiff": (tiff_of(SMOOTH[..., 0].astype(np.int16)), "signed"),
    "32 bit tiff": (tiff_of(SMOOTH[..., 0].astype(np.uint32)), "32 bits"),
    "lab tiff": (tiff_of(SMOOTH, photometric="cielab"), "Lab"),
    "five samples": (tiff_of(np.dstack([SMOOTH, SMOOTH])[..., :5], photometric="rgb"), "5 samples"),
    "raw tiff": (tiff_of(SMOOTH[..., 0], photometric=32803), "raw"),
    "12 bit jpeg": (
        saved(kind="JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
        "12 bits",
    ),
    "film": (b"\0\0\0\x18ftypisom" + b"\0" * 40, "a video"),
    "jpeg xl": (b"\xff\x0a" + b"\0" * 40, "JPEG XL"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    "text": (b"hello, I am a text\n" * 20, "not an image"),
    "empty": (b"", r"empty \(0 bytes\)"),
    "half a jpeg": (saved(PIXELS, "JPEG")[:700], "damaged"),
    "half a png": (saved(PIXELS, "PNG")[:700], "damaged"),
    "a png of few rows": (png_of(bytes(3 * 121)), "damaged"),
    "a png of few rows, 16 bits": (png_of(bytes(3 * 241), bits=16), "damaged"),
    "an interlaced png without its last passes": (png_of(bytes(1000), interlaced=1), "damaged"),
    "a png without a byte": (png_of(bytes(30 * 121 - 1)), "damaged"),
    "half a webp": (saved(PIXELS, "WEBP")[:700], "damaged"),
    "half a tiff": (saved(PIXELS, "TIFF", compression="tiff_lzw")[:700], "damaged"),
    "half an avif": (saved(PIXELS, "AVIF")[:700], "damaged"),
    "half a gif": (pil_saved(Image.fromarray(PIXELS).convert("P"), "GIF")[:1000], "damaged"),
    "half a bmp": (saved(PIXELS, "BMP")[:700], "damaged"),
    "zstd tiff": (tiff_with(0x103, 50000), "Zstandard"),
    "lzma tiff": (tiff_with(0x103, 34925), "LZMA"),
    "half a ppm": (saved(PIXELS, "PPM")[:700], "damaged"),
    "a header only": (b"\xff\xd8\xff", "damaged"),
    "no pixels": (b"P5\n0 5\n255\n", "0 x 5 pixels"),
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_kept_is_refused_by_name(content: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        images.decode(content, "it.jpg")
    assert str(caught.value).startswith("it.jpg ")
    assert "\n" not in str(caught.value)


def test_what_is_no_image_is_told_from_an_image_that_is_refused() -> None:
    no_images = {}
    for name, (content, _) in REFUSED.items():
        with suppress(ImageError):
            try:
                images.read_header(content)
            except NotAnImageError as error:
                no_images[name] = str(error)
    assert set(no_images) == {"film", "jpeg xl", "raw tiff", "svg", "text"}
    assert all(each.startswith("the bytes are ") for each in no_images.values())


STARTS = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\x20\0\0\0WEBP",
    b"II*\0",
    b"MM\0+",
    b"BM",
    b"GIF89a",
    b"P6\n",
)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns before it gives up
@given(binary(max_size=200))
def test_rubbish_behind_a_right_beginning_is_an_image_error(rubbish: bytes) -> None:
    for start in (*STARTS, b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf"):
        with pytest.raises(ImageError):
            images.decode(start + rubbish)


def test_the_content_decides_what_a_file_is_and_not_its_name() -> None:
    decoded = images.decode(saved(kind="PNG"), "holiday.jpg")
    assert decoded.format == "PNG"
    assert opened(images.encode(decoded, decoded.pixels)).format == "PNG"


def test_rows_beyond_those_of_a_png_are_not_inflated() -> None:
    bomb = png_of(bytes(200 << 20))
    tracemalloc.start()
    assert png.has_all_rows(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_png_with_all_its_rows_is_read_however_it_is_stored() -> None:
    for mode in ("1", "L", "P", "LA", "RGB", "RGBA"):
        for size in ((1, 1), (7, 5), (33, 9)):
            drawn = Image.fromarray(PIXELS).resize(size).convert(mode)
            assert images.decode(pil_saved(drawn, "PNG")).pixels.shape[:2] == size[::-1]
    interlaced = pyvips.Image.new_from_array(PIXELS).pngsave_buffer(interlace=True)
    np.testing.assert_array_equal(images.decode(interlaced).pixels, PIXELS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (10_000, 1)], ids=str)
def test_an_image_may_be_a_pixel_or_a_line(kind: str, shape: tuple[int, int]) -> None:
    grey = np.arange(shape[0] * shape[1], dtype=np.uint32).astype(np.uint8).reshape(shape)
    assert opened(again(saved(grey, kind))).size == shape[::-1]


def test_a_file_may_be_larger_than_pillow_likes_but_not_than_we_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Pillow would warn above this and refuse twice as many.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for kind in ("JPEG", "PNG", "TIFF", "BMP"):
        assert images.decode(saved(kind=kind)).pixels.shape == SMOOTH.shape
        with pytest.raises(ImageError, match="36 x 24 pixels"):
            images.decode(saved(kind=kind), max_pixels=36 * 24 - 1)


def test_frames_count_towards_the_limit() -> None:
    with pytest.raises(ImageError, match="in each of 2 frames"):
        images.decode(multi_page("TIFF"), max_pixels=36 * 24 * 2 - 1)


def png_bomb(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, payload in [
        (b"IHDR", header),
        (b"IDAT", zlib.compress(bytes(1 << 20))),
        (b"IEND", b""),
    ]:
        content += (
            struct.pack(">I", len(payload))
            + name
            + payload
            + struct.pack(">I", zlib.crc32(name + payload))
        )
    return content


# Not ru_maxrss, which a process takes over from the one that started it.
PROBE = """
import sys
from pathlib import Path
from time import process_time
from crdnet import images
from crdnet.images.containers import png
from crdnet.errors import ImageError, NotAnImageError
def peak():
    lines = open("/proc/self/status")
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
began = process_time()
try:
    images.read_header(Path(sys.argv[1]))
except ImageError as error:
    print(process_time() - began, peak() - before, error)
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak of memory is told by Linux alone"
)
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_too_large_an_image_is_refused_from_its_header(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "huge"
    if kind == "png":
        path.write_bytes(png_bomb(50_000))
    else:
        tifffile.memmap(
            path, shape=(50_000, 50_000), dtype=np.uint8, bigtiff=True
        ).flush()  # a sparse file
    done = subprocess.run(
        [sys.executable, "-c", PROBE, path], capture_output=True, text=True, check=True
    )
    seconds, kilobytes, message = done.stdout.split(" ", 2)
    assert "50000 x 50000 pixels, more than 2,000,000,000" in message
    assert float(seconds) < 0.1
    assert int(kilobytes) < 50 << 10


def test_an_image_too_large_for_a_format_is_an_error_that_says_so() -> None:
    wide = np.zeros((1, 20000, 3), np.uint8)
    with pytest.raises(ImageError, match="20000 x 1 pixels cannot be stored as WEBP"):
        again(saved(wide), "WEBP")


@pytest.mark.parametrize("kind", ["GIF", "BMP", "PPM"])
def test_a_format_that_is_only_read_asks_for_another(kind: str) -> None:
    content = pil_saved(
        Image.fromarray(SMOOTH).quantize() if kind == "GIF" else Image.fromarray(SMOOTH), kind
    )
    with pytest.raises(ImageError, match=rf"rain is a {kind}.*`format` \(jpg, png"):
        images.encode(images.decode(content), SMOOTH, name="rain")
    assert opened(again(content, "PNG")).size == (36, 24)


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    avif = saved(kind="AVIF")
    heic = avif.replace(b"avif", b"heic")
    with pytest.raises(ImageError, match="pip install pi-heif"):
        images.decode(heic)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow tells of it as well
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "broken", [b"II*\0\xff\xff\xff\x7fnonsense", b"MM\0*\0\0\0\x08\xff\xff", b"x"]
)
def test_a_broken_exif_block_is_carried_and_costs_only_the_orientation(
    kind: str, broken: bytes
) -> None:
    before = saved(kind=kind, exif=b"Exif\0\0" + broken)
    assert images.decode(before).orientation == 1
    assert opened(again(before)).info["exif"].removeprefix(b"Exif\0\0") == broken


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(
    "profile", [b"", b"nonsense", PROFILE[:200]], ids=["none", "nonsense", "cut off"]
)
def test_a_missing_or_broken_profile_is_carried_as_it_is(kind: str, profile: bytes) -> None:
    options: dict[str, Any] = {"icc_profile": profile} if profile else {}
    assert opened(again(saved(kind=kind, **options))).info.get("icc_profile", b"") == profile


def test_a_broken_profile_of_inks_gives_way_to_that_of_common_print() -> None:
    inks = Image.fromarray(SMOOTH).convert("CMYK")
    decoded = images.decode(pil_saved(inks, "JPEG", icc_profile=b"x" * 500))
    assert decoded.changes == ("CMYK inks became sRGB colours by a profile of common print",)


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # of forking a process with threads, which is the point
def test_a_fork_of_a_process_that_used_libvips_gets_an_error_instead_of_waiting_for_ever() -> None:
    content = tiff_of(SMOOTH.astype(np.uint16), photometric="rgb")
    images.decode(content)
    child = os.fork()
    if child == 0:
        try:
            images.decode(content)
        except ImageError as error:
            os._exit(7 if "spawn" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_damaged_block_of_photoshop_does_not_stop_an_image() -> None:
    plain = saved(kind="JPEG")
    before = (
        plain[:2]
        + segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x0c\0\0\xff\xff\xff\xff")
        + plain[2:]
    )
    assert opened(again(before)).size == (36, 24)
