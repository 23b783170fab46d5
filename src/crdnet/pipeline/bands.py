"""Codec for files too large for memory: row band by row band."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from crdnet.images import BandReader, BandWriter, ImageSource, Output, list_notes
from crdnet.runtime import Array, Bands

_BAND_ROWS = 256  # 30 MB of a file that is 40,000 pixels wide


@dataclass(frozen=True)
class BandedImage:
    """Image that is decoded anew each time its bands are read."""

    pixels: Bands


class BandCodec:
    """Codec for one file of which only a few rows are in memory; see `crdnet.images.Codec`.

    Args:
        reader: The opened file, for what is around its pixels.
    """

    def __init__(self, reader: BandReader) -> None:
        self._reader = reader

    def decode(self, source: ImageSource) -> BandedImage:
        """Return the image, of which nothing is decoded yet."""
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
        """Write bands into a file like the image's own.

        They are computed here, as they are asked for.
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
        ImageError: It is damaged, or changed meanwhile.
    """
    assert source.path is not None
    with BandReader(source.path, source.header) as reader:
        for start in range(0, reader.height, _BAND_ROWS):
            # Bands of two versions of a file must not meet in one result.
            source.check_unchanged()
            rows = reader.read_samples(start, min(start + _BAND_ROWS, reader.height))
            yield rows[..., 0] if rows.shape[2] == 1 else rows
    source.check_unchanged()
