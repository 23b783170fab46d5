"""The example in front of a detector, without OpenCV: frames are arrays, and the detector is one of ours."""

from pathlib import Path

import numpy as np
import pytest
from examples.opencv_pipeline import Box, Frame, detections, main

from crdnet import Derainer
from tests.runtime.tiny import write_streak_model


@pytest.fixture
def derainer(tmp_path: Path) -> Derainer:
    return Derainer(write_streak_model(tmp_path / "streak.onnx"), device="cpu", threads=1)


def scene(streak: int) -> Frame:
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[...] = (40, 80, 120)  # blue first: a dull orange
    frame[:, 5::16] += np.uint8(streak)
    return frame


def test_the_detector_sees_frames_without_rain_and_with_their_own_colours(derainer: Derainer) -> None:
    seen: list[Frame] = []

    def detect(frame: Frame) -> list[Box]:
        seen.append(frame)
        return [(1, 2, 3, 4)]

    found = list(detections([scene(0), scene(100)], derainer, detect))
    assert found == [("none", [(1, 2, 3, 4)]), ("light", [(1, 2, 3, 4)])]
    assert np.array_equal(seen[0], scene(0))
    assert np.abs(seen[1].astype(int) - scene(0)).max() < np.abs(scene(100).astype(int) - scene(0)).max()
    assert np.abs(seen[1].astype(int) - scene(0)).mean() < 5


def test_a_missing_opencv_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys  # noqa: PLC0415

    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(SystemExit, match="pip install opencv-python-headless"):
        main(["film.mp4"])
