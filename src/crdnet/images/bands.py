"""Reading and writing of large TIFF, PNG and JPEG images in bands.

A `BandReader` returns stored rows from top to bottom, a `BandWriter` takes them. Both hold only the
current band in memory, except for a progressive or interlaced file, which every reader must hold
whole. Metadata is carried over as in `decode` and `encode`.

Rows are in the orientation of the file. To get an upright window, call `turn_upright(window,
reader.orientation)`, and turn its result back with `turn_back`. The network's result for a window
does not depend on the position of the window.
"""

import struct
import zlib
from collections.abc import Callable
from io import BufferedIOBase, BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from crdnet.errors import ImageError
from crdnet.images import vips
from crdnet.images.containers import jpeg, png, tiff
from crdnet.images.decoded import MAX_PIXELS, Pixels, join_alpha, split_alpha
from crdnet.images.faults import BROKEN, make_read_error
from crdnet.images.headers import Header, read_header
from crdnet.images.reading import decode_metadata
from crdnet.images.writing import choose_jpeg_options

BANDED = ("TIFF", "PNG", "JPEG")
"""Formats that can be read and written in bands."""
_LOADERS = {"TIFF": "tiffload_source", "PNG": "pngload_source", "JPEG": "jpegload_source"}
# Rows of a band of a JPEG, a multiple of the restart markers' cycle (numbers 0 to 7).
_JPEG_ROWS = 8 * 16
_TIFF_ROWS = 128
_PNG_BLOCK = 1 << 20


class BandReader:
    """Reader of the rows of an image file, from top to bottom.

    Args:
        source: Path of the file.
        header: Header of the file, if it was parsed already.
        max_pixels: Maximum number of pixels; larger images are refused.

    Attributes:
        height: Stored rows.
        width: Stored columns.
        dtype: uint8 or uint16.
        channels: 1 for grey, 3 for RGB.
        has_alpha: Whether the rows have an alpha channel.
        orientation: EXIF orientation, 1 to 8.
        like: The image without pixels, for a `BandWriter`, `list_notes` and `list_lost`.

    Raises:
        ImageError: The file is damaged, or cannot be read in bands.
    """

    def __init__(
        self, source: Path, header: Header | None = None, *, max_pixels: int = MAX_PIXELS
    ) -> None:
        self._name = str(source)
        header = header or read_header(source, max_pixels=max_pixels)
        if header.format not in BANDED or header.frames > 1:
            raise ImageError(
                f"{source} is a {header.format}, which cannot be read in bands; read it whole"
            )
        self._file = source.open("rb")
        try:
            with mmap(self._file.fileno(), 0, access=ACCESS_READ) as mapped:
                self.like = decode_metadata(mapped, header, self._name)
            content = vips.load_vips().Source.new_from_descriptor(self._file.fileno())
            loader = _LOADERS[header.format]
            self._image = vips.VipsImage(loader, content, access="sequential")
        except BaseException as error:
            self._file.close()
            if isinstance(error, BROKEN) and not isinstance(error, ImageError):
                raise make_read_error(self._name, error) from error
            raise
        self.height, self.width = self._image.height, self._image.width
        self.dtype = self._image.dtype
        self.has_alpha: bool = self._image.bands in (2, 4)
        self.channels: int = self._image.bands - self.has_alpha
        self.orientation = self.like.orientation
        self._held = np.empty((0, self.width, self._image.bands), self.dtype)
        self._first = 0

    def __enter__(self) -> "BandReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def read_rows(self, start: int, stop: int) -> tuple[Pixels, Pixels | None]:
        """Return rows `start` to `stop` - 1, (rows, w, 3) or (rows, w), and their alpha or None.

        See `read_samples`.
        """
        return split_alpha(self.read_samples(start, stop))

    def read_samples(self, start: int, stop: int) -> Pixels:
        """Return rows `start` to `stop` - 1, (rows, w, channels), with alpha last.

        Rows before `start` are discarded, so that `start` must not decrease from call to call.

        Raises:
            ImageError: The file is damaged.
            ValueError: The rows do not exist or were discarded.
        """
        if not self._first <= start < stop <= self.height:
            raise ValueError(
                f"rows {start} to {stop} of {self.height}, "
                f"of which those before {self._first} are forgotten"
            )
        last = self._first + len(self._held)
        begin = max(start, last)
        parts = [self._held[start - self._first :]] if start < last else []
        try:
            if last < start:  # a sequential reader must still decode the rows in between
                self._image.read_rows(start - 1, start)
            if begin < stop:
                parts.append(self._image.read_rows(begin, stop))
        except ValueError as error:
            raise make_read_error(self._name, error) from error
        self._held, self._first = np.concatenate(parts) if len(parts) > 1 else parts[0], start
        return self._held[: stop - start]


class BandWriter:
    """Writer of a file like the input of a `BandReader`, row by row from top to bottom.

    Call `write` until all rows are written, then `finish`.

    Args:
        file: Binary file opened for writing, positioned at its beginning.
        reader: Reader of the input.
        quality: As for `encode`.
    """

    def __init__(
        self, file: BufferedIOBase, reader: BandReader, *, quality: int | None = None
    ) -> None:
        self._reader = reader
        form: dict[str, Callable[[BufferedIOBase, BandReader, int | None], Any]] = {
            "TIFF": _Tiff,
            "PNG": _Png,
            "JPEG": _Jpeg,
        }
        self._form = form[reader.like.format](file, reader, quality)
        self._waiting: Pixels | None = None
        self._rows = 0

    def write(self, pixels: Pixels, alpha: Pixels | None = None) -> None:
        """Write the next rows.

        Args:
            pixels: (rows, w, 3) or (rows, w), or rows with alpha as the last channel.
            alpha: (rows, w); None if `pixels` include it or there is none.
        """
        rows, step = join_alpha(pixels, alpha), self._form.step
        self._rows += len(rows)
        if self._waiting is not None:
            missing = step - len(self._waiting)
            first = np.concatenate((self._waiting, rows[:missing]))
            rows = rows[missing:]
            if len(first) < step:
                self._waiting = first
                return
            self._form.write(first)
        whole = len(rows) - len(rows) % step
        if whole:
            self._form.write(rows[:whole])
        self._waiting = rows[whole:].copy()  # a view would keep all rows in memory

    def finish(self) -> None:
        """Write the remaining rows and the end of the file.

        Raises:
            ValueError: The number of rows written is not the height of the image.
        """
        if self._rows != self._reader.height:
            raise ValueError(f"an image of {self._reader.height} rows was given {self._rows}")
        if self._waiting is not None and len(self._waiting):
            self._form.write(self._waiting)
        self._form.finish()


class _Tiff:
    """TIFF in bands.

    libvips compresses each band as a small TIFF, whose strips or tiles are copied.
    """

    def __init__(self, file: BufferedIOBase, reader: BandReader, _quality: int | None) -> None:
        self._file, self._reader = file, reader
        self._options = dict(reader.like.options)
        samples = (
            reader.height
            * reader.width
            * (reader.channels + reader.has_alpha)
            * reader.dtype.itemsize
        )
        # Compression can enlarge noise, so the limit is half of what 32-bit offsets can address.
        self._big = self._options.pop("bigtiff") or samples > 2**31
        self.step = self._options.get("tile_height", _TIFF_ROWS)
        self._tags: dict[int, tiff.Tag] = {}
        self._places, self._sizes = list[int](), list[int]()
        file.write(b"\0" * (16 if self._big else 8))

    def write(self, rows: Pixels) -> None:
        for at in range(0, len(rows), self.step):
            content = vips.save("tiffsave_buffer", rows[at : at + self.step], **self._options)
            tags = tiff.read_pages(content)[0]
            self._tags = self._tags or tags
            where, size = (
                (tiff.TILE_PLACES, tiff.TILE_BYTES)
                if tiff.TILE_PLACES in tags
                else (
                    tiff.STRIP_PLACES,
                    tiff.STRIP_BYTES,
                )
            )
            for place, count in zip(tags[where].numbers, tags[size].numbers, strict=True):
                self._places.append(self._file.tell())
                self._sizes.append(count)
                self._file.write(content[place : place + count])

    def finish(self) -> None:
        tiled = tiff.TILE_PLACES in self._tags
        code = "Q" if self._big else "I"
        kind = tiff.LONG8 if self._big else tiff.LONG
        packed = (
            tiff.Tag(kind, struct.pack(f"<{len(each)}{code}", *each))
            for each in (self._places, self._sizes)
        )
        where, size = (
            (tiff.TILE_PLACES, tiff.TILE_BYTES) if tiled else (tiff.STRIP_PLACES, tiff.STRIP_BYTES)
        )
        own = dict(self._tags) | {
            tiff.HEIGHT: tiff.Tag(tiff.LONG, struct.pack("<I", self._reader.height))
        }
        own |= dict(zip((where, size), packed, strict=True))
        if not tiled:
            own[tiff.ROWS_PER_STRIP] = tiff.Tag(tiff.LONG, struct.pack("<I", self.step))
        kept = tiff.read_pages(self._reader.like.metadata.blocks[0])[0]
        place = self._file.tell() + self._file.tell() % 2
        self._file.write(b"\0" * (place - self._file.tell()))
        self._file.write(tiff.pack_directory(tiff.drop_defaults(own) | kept, place, big=self._big))
        self._file.seek(0)
        self._file.write(
            struct.pack("<2sHHHQ", b"II", 43, 8, 0, place)
            if self._big
            else struct.pack("<2sHI", b"II", 42, place)
        )


class _Png:
    """PNG in bands.

    Every row is stored as the difference to the row above (the filter "up"), which compresses
    images well and needs only that row in memory.
    """

    step = 64

    def __init__(self, file: BufferedIOBase, reader: BandReader, _quality: int | None) -> None:
        self._file = file
        self._packer = zlib.compressobj(6)
        self._above = np.zeros((1, 0), np.uint8)
        self._packed = b""
        kind = {(1, False): 0, (3, False): 2, (1, True): 4, (3, True): 6}[
            reader.channels, reader.has_alpha
        ]
        header = struct.pack(
            ">IIBBBBB", reader.width, reader.height, 8 * reader.dtype.itemsize, kind, 0, 0, 0
        )
        file.write(
            b"".join((png.MAGIC, png.pack_chunk(b"IHDR", header), *reader.like.metadata.blocks))
        )

    def write(self, rows: Pixels) -> None:
        plain = rows.astype(">u2").view(np.uint8) if rows.dtype == np.uint16 else rows
        plain = np.ascontiguousarray(plain).reshape(len(rows), -1)
        above = self._above if self._above.size else np.zeros_like(plain[:1])
        differences = plain - np.concatenate((above, plain[:-1]))
        self._above = plain[-1:].copy()
        filters = np.full((len(rows), 1), 2, np.uint8)  # 2 is the filter "up"
        filtered = np.concatenate((filters, differences), axis=1)
        self._packed += self._packer.compress(filtered.tobytes())
        if len(self._packed) >= _PNG_BLOCK:
            self._put()

    def finish(self) -> None:
        self._packed += self._packer.flush()
        self._put()
        self._file.write(png.pack_chunk(b"IEND", b""))

    def _put(self) -> None:
        self._file.write(png.pack_chunk(b"IDAT", self._packed))
        self._packed = b""


class _Jpeg:
    """JPEG in bands: the scan of each band is encoded separately, and the scans are joined.

    A restart marker after each row of blocks resets the state of the coder, so that the scan of a
    band can follow that of another. The markers are numbered 0 to 7 in turn, and a band ends with
    number 7. The result is a baseline JPEG.
    """

    step = _JPEG_ROWS

    def __init__(self, file: BufferedIOBase, reader: BandReader, quality: int | None) -> None:
        self._file, self._like, self._height = file, reader.like, reader.height
        self._options = choose_jpeg_options(reader.like.options, quality)
        self._options |= {"progressive": False, "restart_marker_rows": 1}
        self._begun = False

    def write(self, rows: Pixels) -> None:
        for at in range(0, len(rows), self.step):
            buffer = BytesIO()
            Image.fromarray(np.ascontiguousarray(rows[at : at + self.step])).save(
                buffer, "JPEG", **self._options
            )
            head, scan = jpeg.split_scan(buffer.getvalue())
            if self._begun:
                self._file.write(b"\xff\xd7")
            else:
                whole = jpeg.set_height(head, self._height)
                self._file.write(jpeg.add_metadata(whole, self._like.metadata.blocks))
            self._file.write(scan)
            self._begun = True

    def finish(self) -> None:
        self._file.write(b"\xff\xd9")
