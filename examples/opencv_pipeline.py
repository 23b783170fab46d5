"""Derain frames in front of a detector, through the Python API.

    pip install crdnet opencv-python-headless
    python examples/opencv_pipeline.py dashcam.mp4
    python examples/opencv_pipeline.py street_1.jpg street_2.jpg

OpenCV reads the frames and detects people; crdnet derains the frames in between. All frames are
sensed, and frames that are surely dry are left alone. Prints a line for each frame: its number, the
density of the rain, and the detections.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from crdnet import Derainer

Frame = npt.NDArray[np.uint8]
"""Image (h, w, 3), blue first, as in OpenCV."""
Box = tuple[int, int, int, int]


def derain_frames(frames: Iterable[Frame], derainer: Derainer) -> Iterator[tuple[Frame, str]]:
    """Yield each frame without its rain, and the name of its density."""
    for frame in frames:
        rgb = np.ascontiguousarray(frame[..., ::-1])
        result = derainer.run(rgb, always=False)
        density = "unknown" if result.density is None else result.density.name.lower()
        yield np.ascontiguousarray(result.image[..., ::-1]), density


def detect_in_frames(
    frames: Iterable[Frame], derainer: Derainer, detect: Callable[[Frame], list[Box]]
) -> Iterator[tuple[str, list[Box]]]:
    """Yield the density of the rain in each frame, and the detections in the derained frame."""
    for frame, density in derain_frames(frames, derainer):
        yield density, detect(frame)


def read_frames(path: str, cv2: Any) -> Iterator[Frame]:
    """Yield the frames of a clip, or the one frame of an image."""
    clip = cv2.VideoCapture(path)
    if not clip.isOpened():
        sys.exit(f"OpenCV cannot open {path}; give a clip or an image")
    while (read := clip.read())[0]:
        yield read[1]


def make_people_detector(cv2: Any) -> Callable[[Frame], list[Box]]:
    """Return OpenCV's detector of people; replace it with your own."""
    detector = cv2.HOGDescriptor()
    detector.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())

    def detect(frame: Frame) -> list[Box]:
        boxes, _ = detector.detectMultiScale(frame)
        return [
            (int(left), int(top), int(width), int(height)) for left, top, width, height in boxes
        ]

    return detect


def main(paths: list[str]) -> None:
    try:
        import cv2  # noqa: PLC0415
    except ImportError:
        sys.exit("this example needs OpenCV; run: pip install opencv-python-headless")
    frames = (frame for path in paths for frame in read_frames(path, cv2))
    found = detect_in_frames(frames, Derainer(), make_people_detector(cv2))
    for number, (density, boxes) in enumerate(found):
        print(f"frame {number}: rain {density}, people at {boxes}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
