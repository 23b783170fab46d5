"""Frames of clips, from a video file or a folder."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from crdnet.data.image_reader import read_rgb
from crdnet.data.listing import list_images
from crdnet.errors import DataError, MissingExtraError

Frame = npt.NDArray[np.uint8]
"""RGB (h, w, 3)."""

FRAMES = 60
"""Default number of frames of a median: two seconds of most clips."""


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
