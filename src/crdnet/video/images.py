"""Encoding of numbered images, which keeps format, depth, alpha and metadata.

The frames of a sequence are derained like those of a clip. `crdnet.images` encodes each output with
the metadata of its input file; the output of a frame that was left alone equals the input file byte
for byte.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from crdnet.density import luma
from crdnet.errors import VideoError
from crdnet.images import FORMAT_OF_SUFFIX, FORMATS, ImageSource, LocalCodec, encode, turn_upright
from crdnet.video.source import find_first_number
from crdnet.video.temporal import DerainedFrame


class ImageEncoder:
    """Encoder of derained frames with the metadata of their input files.

    Args:
        source: Pattern of the input files, such as frames/%05d.png.
        output: Pattern of the output files; its suffix gives the format.
        side_by_side: If True, put the rainy frame to the left of each derained one.

    Raises:
        VideoError: The format of the output cannot be written.
    """

    def __init__(self, source: str, output: Path, *, side_by_side: bool) -> None:
        self._source, self._side_by_side = source, side_by_side
        self._first = find_first_number(Path(source))
        self._format = FORMAT_OF_SUFFIX.get(output.suffix.lower(), "")
        if self._format not in FORMATS.values():
            raise VideoError(
                f"{output} has no suffix of a supported image format; use .png, .jpg, .tif or .webp"
            )

    def encode(self, number: int, frame: DerainedFrame) -> bytes:
        """Return the content of an output file.

        Args:
            number: Number of the frame in the sequence, from 0.
            frame: Derained frame, in the orientation of the file.

        Raises:
            VideoError: The input file and the frame differ in size.
        """
        path = Path(self._source % (self._first + number))
        with ImageSource(path) as source:
            rainy = LocalCodec().decode(source)
            if frame.left_alone and rainy.format == self._format and not self._side_by_side:
                return source.content
        change = turn_upright(frame.change, rainy.orientation)
        if change.shape[:2] != rainy.pixels.shape[:2]:
            raise VideoError(
                f"{path} changed while it was derained; try again when no program writes to it"
            )
        if rainy.pixels.ndim == 2:
            change = luma(change)
        top = np.iinfo(rainy.pixels.dtype).max
        derained = np.rint(np.clip(rainy.pixels + change * (top / 255), 0, top))
        pixels = derained.astype(rainy.pixels.dtype)
        if self._side_by_side:
            pixels = np.hstack([rainy.pixels, pixels])
            if rainy.alpha is not None:
                rainy = replace(rainy, alpha=np.hstack([rainy.alpha, rainy.alpha]))
        return encode(rainy, pixels, self._format, name=str(path))
