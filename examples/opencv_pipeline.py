"""Derain frames in front of a detector, through the Python API.

    pip install crdnet opencv-python-headless
    python examples/opencv_pipeline.py dashcam.mp4
    python examples/opencv_pipeline.py street_1.jpg street_2.jpg

OpenCV reads and detects people; crdnet stands between. Frames that are surely dry are not derained, which costs a look
at each. Prints a line for each frame: its number, how heavy the rain was, and what was detected in it.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from crdnet import Derainer

Frame = npt.NDArray[np.uint8]
"""(h, w, 3), blue first, as OpenCV has it."""
Box = tuple[int, int, int, int]


def derained(frames: Iterable[Frame], derainer: Derainer) -> Iterator[tuple[Frame, str]]:
    """Yield each frame without its rain, and the name of the rain's grade."""
    for frame in frames:
        rgb = np.ascontiguousarray(frame[..., ::-1])
        result = derainer.run(rgb, always=False)
        grade = "unknown" if result.density is None else result.density.name.lower()
        yield np.ascontiguousarray(result.image[..., ::-1]), grade


def detections(
    frames: Iterable[Frame], derainer: Derainer, detect: Callable[[Frame], list[Box]]
) -> Iterator[tuple[str, list[Box]]]:
    """Yield the grade of the rain in each frame, and what a detector finds in the frame without it."""
    for frame, grade in derained(frames, derainer):
        yield grade, detect(frame)


def frames_of(path: str, cv2: Any) -> Iterator[Frame]:
    """Yield the frames of a film, or the one of a picture."""
    film = cv2.VideoCapture(path)
    if not film.isOpened():
        sys.exit(f"OpenCV cannot open {path}; give a film or a picture")
    while (read := film.read())[0]:
        yield read[1]


def people_detector(cv2: Any) -> Callable[[Frame], list[Box]]:
    """Return OpenCV's own detector of people; put yours in its place."""
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
    frames = (frame for path in paths for frame in frames_of(path, cv2))
    for number, (grade, boxes) in enumerate(detections(frames, Derainer(), people_detector(cv2))):
        print(f"frame {number}: rain {grade}, people at {boxes}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
