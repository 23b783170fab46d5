import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from crdnet import images
from crdnet.errors import ImageError
from crdnet.images import BandReader, BandWriter
from tests.images.making import by_vips, make_image_file, opened, pil_saved, saved, tiff_of

TALL = np.random.default_rng(1).integers(0, 256, (700, 90, 4), dtype=np.uint8)
TALL[..., :3] = np.cumsum(TALL[..., :3] // 100, axis=0).astype(np.uint8)
WIDE = TALL.astype(np.uint16) * 200
FILES = {
    "grey.tif": tiff_of(TALL[..., 0], compression="zlib", predictor=True),
    "rgb.tif": saved(TALL[..., :3], "TIFF", compression="tiff_lzw"),
    "wide.tif": by_vips("tiffsave_buffer", WIDE, compression="deflate", predictor="horizontal"),
    "tiles.tif": by_vips(
        "tiffsave_buffer", WIDE[..., :3], tile=True, tile_width=64, tile_height=32, bigtiff=True
    ),
    "grey.png": saved(TALL[..., 0]),
    "rgba.png": saved(TALL),
    "wide.png": by_vips("pngsave_buffer", WIDE, bitdepth=16),
    "420.jpg": saved(TALL[..., :3], "JPEG", quality=80, subsampling=2),
    "444.jpg": saved(TALL[..., :3], "JPEG", quality=80, subsampling=0, comment=b"remember"),
    "grey.jpg": saved(TALL[..., 0], "JPEG", quality=80),
}


@pytest.mark.parametrize("band", [1, 37, 128, 700])
@pytest.mark.parametrize("name", FILES)
def test_bands_make_the_file_that_the_whole_makes(tmp_path: Path, name: str, band: int) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    whole = images.decode(FILES[name])
    buffer = BytesIO()
    with BandReader(path) as reader:
        assert (reader.height, reader.width, reader.dtype) == (700, 90, whole.pixels.dtype)
        writer = BandWriter(buffer, reader)
        for start in range(0, reader.height, band):
            stop = min(start + band, reader.height)
            pixels, alpha = reader.read_rows(start, stop)
            np.testing.assert_array_equal(pixels, whole.pixels[start:stop])
            assert (alpha is None) == (whole.alpha is None)
            writer.write(np.iinfo(pixels.dtype).max - pixels, alpha)
        writer.finish()
    wanted = images.decode(images.encode(whole, np.iinfo(whole.pixels.dtype).max - whole.pixels))
    found = images.decode(buffer.getvalue())
    np.testing.assert_array_equal(found.pixels, wanted.pixels)
    if whole.alpha is not None:
        np.testing.assert_array_equal(found.alpha, whole.alpha)
    assert dict(found.options) == dict(wanted.options)
    assert found.metadata == wanted.metadata


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_bands_keep_what_is_around_the_pixels(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "it"
    path.write_bytes(make_image_file(kind, "rgb", 8))
    buffer = BytesIO()
    with BandReader(path) as reader:
        assert reader.orientation == 6
        writer = BandWriter(buffer, reader)
        writer.write(*reader.read_rows(0, reader.height))
        writer.finish()
    assert images.decode(buffer.getvalue()).metadata == images.decode(path.read_bytes()).metadata


def test_rows_may_overlap_but_not_go_back(tmp_path: Path) -> None:
    path = tmp_path / "it.png"
    path.write_bytes(FILES["rgba.png"])
    with BandReader(path) as reader:
        for start, stop in ((0, 50), (30, 90), (30, 60), (89, 91), (300, 340)):
            np.testing.assert_array_equal(reader.read_rows(start, stop)[0], TALL[start:stop, :, :3])
        with pytest.raises(ValueError, match="forgotten"):
            reader.read_rows(299, 340)
        with pytest.raises(ValueError, match="of 700"):
            reader.read_rows(690, 701)


def test_what_must_be_changed_before_it_is_colours_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "it"
    for content in (
        pil_saved(Image.fromarray(TALL).convert("P"), "PNG"),
        saved(TALL, "WEBP"),
        FILES["rgb.tif"][:3000],
    ):
        path.write_bytes(content)
        with pytest.raises(ImageError), BandReader(path) as reader:
            reader.read_rows(0, reader.height)


def test_a_band_writer_wants_all_rows(tmp_path: Path) -> None:
    path = tmp_path / "it.png"
    path.write_bytes(FILES["grey.png"])
    with BandReader(path) as reader:
        writer = BandWriter(BytesIO(), reader)
        writer.write(reader.read_rows(0, 10)[0])
        with pytest.raises(ValueError, match="of 700 rows was given 10"):
            writer.finish()


# Not ru_maxrss, which a process takes over from the one that started it.
COPY = """
import sys
from pathlib import Path
from crdnet.images.bands import BandReader, BandWriter
with BandReader(Path(sys.argv[1])) as reader, open(sys.argv[2], "wb") as file:
    writer = BandWriter(file, reader)
    for start in range(0, reader.height, 256):
        writer.write(*reader.read_rows(start, min(start + 256, reader.height)))
    writer.finish()
lines = open("/proc/self/status")
print(next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak of memory is told by Linux alone"
)
def test_an_image_of_sixty_megapixels_takes_the_memory_of_its_bands(tmp_path: Path) -> None:
    before, after = tmp_path / "before.tif", tmp_path / "after.tif"
    pixels = tifffile.memmap(
        before, shape=(10_000, 6_000, 3), dtype=np.uint8, photometric="rgb", rowsperstrip=64
    )
    pixels[5000:5100] = 77
    pixels.flush()
    done = subprocess.run(
        [sys.executable, "-c", COPY, before, after], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 160, (
        "MB at most; the pixels alone are 172, the process without them 50"
    )
    with tifffile.TiffFile(after) as file:
        np.testing.assert_array_equal(file.asarray()[4990:5110, ::100], pixels[4990:5110, ::100])


def test_a_jpeg_of_bands_is_one_that_others_read(tmp_path: Path) -> None:
    path = tmp_path / "it.jpg"
    path.write_bytes(FILES["420.jpg"])
    buffer = BytesIO()
    with BandReader(path) as reader:
        writer = BandWriter(buffer, reader)
        writer.write(*reader.read_rows(0, 700))
        writer.finish()
    whole = images.decode(FILES["420.jpg"])
    np.testing.assert_array_equal(
        np.asarray(opened(buffer.getvalue())),
        np.asarray(opened(images.encode(whole, whole.pixels))),
    )


def test_bands_of_a_quality_make_the_file_that_the_whole_makes(tmp_path: Path) -> None:
    path = tmp_path / "it.jpg"
    path.write_bytes(FILES["444.jpg"])
    whole = images.decode(FILES["444.jpg"])
    buffer = BytesIO()
    with BandReader(path) as reader:
        writer = BandWriter(buffer, reader, quality=30)
        for start in range(0, 700, 100):
            writer.write(*reader.read_rows(start, start + 100))
        writer.finish()
    wanted = images.decode(images.encode(whole, whole.pixels, quality=30))
    found = images.decode(buffer.getvalue())
    np.testing.assert_array_equal(found.pixels, wanted.pixels)
    assert found.options["qtables"] == wanted.options["qtables"] != whole.options["qtables"]
