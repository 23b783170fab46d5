"""The example with a detector, without OpenCV: frames are arrays, the detector is a stand-in."""

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from crdnet import Derainer
from tests.runtime.tiny import write_streak_model

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "opencv_pipeline.py"
Frame = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture
def derainer(tmp_path: Path) -> Derainer:
    return Derainer(write_streak_model(tmp_path / "streak.onnx"), device="cpu", threads=1)


def draw_scene(streak: int) -> Frame:
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[...] = (40, 80, 120)  # blue first: a dull orange
    frame[:, 5::16] += np.uint8(streak)
    return frame


def test_the_detector_sees_frames_without_rain_and_with_their_own_colours(
    example: dict[str, Any], derainer: Derainer
) -> None:
    seen: list[Frame] = []

    def detect(frame: Frame) -> list[tuple[int, int, int, int]]:
        seen.append(frame)
        return [(1, 2, 3, 4)]

    found = list(example["detect_in_frames"]([draw_scene(0), draw_scene(100)], derainer, detect))
    assert found == [("none", [(1, 2, 3, 4)]), ("light", [(1, 2, 3, 4)])]
    assert np.array_equal(seen[0], draw_scene(0))
    assert (
        np.abs(seen[1].astype(int) - draw_scene(0)).mean()
        < 0.1 * np.abs(draw_scene(100).astype(int) - draw_scene(0)).mean()
    )


def test_a_missing_opencv_is_named(
    example: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(SystemExit, match="pip install opencv-python-headless"):
        example["main"](["film.mp4"])
