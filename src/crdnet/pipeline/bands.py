"""Codec for files too large for memory: row band by row band."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from crdnet.images import BandReader, BandWriter, ImageSource, Output, list_notes
from crdnet.runtime import Array, Bands

_BAND_ROWS = 256  # 30 MB of a file that is 40,000 pixels wide


@dataclass(frozen=True)
class BandedImage:
    """Image that is decoded again each time its bands are read."""

    pixels: Bands


class BandCodec:
    """Codec for one file that holds only a few rows in memory; see `crdnet.images.Codec`.

    Args:
        reader: The opened file, for its metadata.
    """

    def __init__(self, reader: BandReader) -> None:
        self._reader = reader

    def decode(self, source: ImageSource) -> BandedImage:
        """Return the image; its pixels are decoded when its bands are read."""
        read = partial(_read_bands, source)
        return BandedImage(Bands(self._reader.height, self._reader.width, read))

    def encode(
        self,
        image: BandedImage,  # noqa: ARG002 - the reader is all that is needed of it
        pixels: Iterator[Array],
        output: Output,
        *,
        format: str | None = None,  # noqa: ARG002 - always that of the file
        quality: int | None = None,
        name: str = "the image",  # noqa: ARG002 - the reader has it
    ) -> tuple[str, ...]:
        """Write bands into a file with the format and metadata of the image.

        Each band is computed when it is written.
        """
        with output() as file:
            writer = BandWriter(file, self._reader, quality=quality)
            for rows in pixels:
                writer.write(rows)
            writer.finish()
        return list_notes(self._reader.like)


def _read_bands(source: ImageSource) -> Iterator[Array]:
    """Yield the rows of a file from top to bottom, with alpha as the last channel.

    Raises:
        ImageError: The file is damaged, or changed while it was read.
    """
    assert source.path is not None
    with BandReader(source.path, source.header) as reader:
        for start in range(0, reader.height, _BAND_ROWS):
            # One result must not combine bands of two versions of a file.
            source.check_unchanged()
            rows = reader.read_samples(start, min(start + _BAND_ROWS, reader.height))
            yield rows[..., 0] if rows.shape[2] == 1 else rows
    source.check_unchanged()
