"""Frames of clips, from a video file or a folder."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from crdnet.data.image_reader import read_rgb
from crdnet.data.listing import list_images
from crdnet.density import luma
from crdnet.errors import DataError, MissingExtraError

Frame = npt.NDArray[np.uint8]
"""RGB (h, w, 3)."""

FRAMES = 60
"""Default number of frames of a median: two seconds of most clips."""
# Change below which a frame repeats the previous one, relative to the median change.
_REPEATED = 0.25


def read_frames(path: Path, start: int = 0, count: int = FRAMES) -> list[Frame]:
    """Read frames of a video file (extra `video`), or the images of a folder in order of name.

    Args:
        path: Video file or folder.
        start: Index of the first frame.
        count: Largest number of frames.

    Raises:
        DataError: The path does not exist or cannot be read.
        MissingExtraError: The path is a video and PyAV is not installed.
    """
    if path.is_dir():
        names = sorted(list_images(path).images)
        return [read_rgb(path / name) for name in names[start : start + count]]
    if not path.is_file():
        raise DataError(f"{path}: there is no such clip")
    try:
        import av  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("reading a clip", "video") from error
    frames: list[Frame] = []
    try:
        with av.open(str(path)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number >= start + count:
                    break
                if number >= start:
                    frames.append(frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False))
    # PyAV raises IndexError for a file without a video stream.
    except (av.error.FFmpegError, IndexError) as error:
        raise DataError(f"{path}: cannot be read as a video: {error}") from error
    return frames


def drop_repeated(frames: Sequence[Frame]) -> list[Frame]:
    """Return the frames that differ from the previous one.

    Encoders repeat frames to fill a higher frame rate, and a drop would then last two frames.
    """
    lumas = (luma(frame.astype(np.float32)) for frame in frames)
    changes = [float(np.abs(after - before).mean()) for before, after in pairwise(lumas)]
    least = _REPEATED * float(np.median(changes)) if changes else 0.0
    differs = [True, *(change > least for change in changes)]
    return [frame for frame, kept in zip(frames, differs, strict=True) if kept]
