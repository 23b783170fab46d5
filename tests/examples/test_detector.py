"""The example that measures detectors, without their model files: sessions are stand-ins."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from crdnet import Derainer
from crdnet.evaluation import TrueBox, Truth, TruthImage, read_truth
from crdnet.runtime import SenseReport
from tests.runtime.tiny import write_streak_model

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "detector"
IMAGE = np.zeros((208, 416, 3), np.uint8)


class Session:
    """Gives arrays by name, and keeps the input."""

    def __init__(self, outputs: dict[str, npt.NDArray[np.float32]]) -> None:
        self.outputs = outputs
        self.seen = np.zeros(0, np.float32)

    def run(self, names: Sequence[str], inputs: dict[str, npt.NDArray[np.float32]]) -> list[Any]:
        self.seen = inputs["input.1"]
        return [self.outputs[name] for name in names]


@pytest.fixture
def detectors(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("detectors")


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("measure")


def make_nanodet_outputs() -> dict[str, npt.NDArray[np.float32]]:
    """Return outputs with one box of class 3: cell (row 2, column 4) of stride 16, sides 2."""
    outputs: dict[str, npt.NDArray[np.float32]] = {}
    for stride, scores, distances in ((8, "792", "795"), (16, "814", "817"), (32, "836", "839")):
        cells = (416 // stride) ** 2
        outputs[scores] = np.zeros((1, cells, 80), np.float32)
        outputs[distances] = np.zeros((1, cells, 32), np.float32)
    cell = 2 * 26 + 4
    outputs["814"][0, cell, 3] = 0.8
    outputs["817"][0, cell].reshape(4, 8)[:, 2] = 100  # surely bin 2: two strides
    return outputs


def test_nanodet_decodes_distances_into_a_box_in_pixels_of_the_image(detectors: Any) -> None:
    (found,) = detectors.NanoDet(Session(make_nanodet_outputs()))(IMAGE)
    assert found[:2] == (3, pytest.approx(0.8))
    # The centre is at (72, 40) of 416 x 416; the image is half as high.
    assert found[2] == pytest.approx((40.0, 4.0, 64.0, 32.0), abs=1e-3)


def test_nanodet_sees_blue_first_and_normalised(detectors: Any) -> None:
    session = Session(make_nanodet_outputs())
    detectors.NanoDet(session)(np.full_like(IMAGE, (255, 0, 0)))
    expected = [-103.53 * 0.01743, -116.28 * 0.01751, (255 - 123.675) * 0.01713]
    assert session.seen[0, :, 0, 0].tolist() == pytest.approx(expected, abs=1e-4)


def test_fastestdet_decodes_a_cell_and_mixes_both_scores(detectors: Any) -> None:
    output = np.zeros((1, 85, 22, 22), np.float32)
    output[0, 0, 11, 5], output[0, 5 + 7, 11, 5] = 0.5, 0.25
    ((category, score, box),) = detectors.FastestDet(Session({"758": output}))(IMAGE)
    assert (category, score) == (7, pytest.approx(0.5**0.6 * 0.25**0.4))
    # Half the width and height (sigmoid of 0), centred on the corner of the cell; clipped at 0.
    assert box == pytest.approx((0.0, 52.0, (5 / 22 + 0.25) * 416, 104.0), abs=1e-3)


def test_overlapping_boxes_of_a_class_are_one_and_those_of_two_classes_are_two(
    detectors: Any,
) -> None:
    corners = np.array([[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.48], [0.5, 0.5, 1, 1]], np.float32)
    scores = np.array([[0.9, 0.0], [0.8, 0.7], [0.6, 0.0]], np.float32)
    found = detectors.select_boxes(corners, scores, (100, 100, 3))
    assert [(category, round(score, 1)) for category, score, _ in found] == [
        (0, 0.9),
        (1, 0.7),
        (0, 0.6),
    ]


def test_only_frames_of_a_rainy_stretch_are_derained_and_few_are_sensed(
    measure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    derainer = Derainer(write_streak_model(tmp_path / "streak.onnx"), device="cpu", threads=1)
    sensed: list[Any] = []
    sense = derainer.sense

    def count_and_sense(image: Any) -> SenseReport:
        sensed.append(image)
        return sense(image)

    monkeypatch.setattr(derainer, "sense", count_and_sense)
    dry = np.full((48, 64, 3), 60, np.uint8)
    rainy = dry.copy()
    rainy[:, 5::16] += np.uint8(100)
    frames = [dry, dry, dry, rainy, rainy, rainy]
    yielded = list(measure.derain_when_raining(frames, derainer, every=3))
    assert [one is other for one, other in zip(yielded, frames, strict=True)] == [True] * 3 + [
        False
    ] * 3
    assert len(sensed) == 2


def test_the_table_shows_each_detector_and_rate(measure: Any, tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for number in range(2):
        Image.new("RGB", (64, 64), (90, 90, 90)).save(tmp_path / "images" / f"{number}.png")
        (tmp_path / "labels" / f"{number}.txt").write_text("2 0.5 0.5 0.5 0.5\n")
    truth = read_truth(tmp_path / "labels", tmp_path / "images")

    def detect(image: npt.NDArray[np.uint8]) -> list[tuple[int, float, Any]]:
        is_even = np.ptp(image) == 0
        return [(2, 0.9, (16, 16, 32, 32)), (5, 0.9, (0, 0, 9, 9))] if is_even else []

    results = measure.measure_detectors(
        {"even": detect}, truth, tmp_path / "images", lambda rainy: np.full_like(rainy, 90), ("60",)
    )
    assert measure.format_results(results).splitlines()[2] == (
        "| even | 60 mm/h | 100.0 | 0.0 | 100.0 | +100.0 (+100.0 to +100.0) | 100 % | helps |"
    )


def test_a_part_of_the_images_keeps_its_boxes(measure: Any) -> None:
    images = [TruthImage(f"{number}.png", 9, 9) for number in range(6)]
    boxes = [TrueBox(number, 0, (0.0, 0.0, number + 1.0, 1.0), 9.0) for number in range(6)]
    part = measure.select_images(Truth(images, {0: "car"}, boxes), 3)
    assert len(part.images) == 3
    assert [f"{int(box.box[2]) - 1}.png" for box in part.boxes] == [
        part.images[box.image].name for box in part.boxes
    ]
