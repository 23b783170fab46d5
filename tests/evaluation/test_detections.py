"""Average precision of hand-made truths, against figures by hand and against pycocotools."""

import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from crdnet.errors import CRDNetError, DataError, MissingExtraError
from crdnet.evaluation import (
    Detection,
    DetectionList,
    TaskReport,
    TrueBox,
    Truth,
    TruthImage,
    Verdict,
    compare_detection_files,
    compare_detections,
    compute_average_precision,
    detector_gain,
    read_detections,
    read_truth,
)

BOX = (10.0, 10.0, 20.0, 20.0)
"""A small box: 400 square pixels."""
FAR = (60.0, 60.0, 20.0, 20.0)


def make_truth(boxes: Sequence[TrueBox], images: int = 1) -> Truth:
    """Return a truth of images of 100 x 100 pixels with the classes car and cat."""
    named = [TruthImage(f"{index}.png", 100, 100) for index in range(images)]
    return Truth(named, {1: "car", 2: "cat"}, boxes)


def find(image: int, score: float, box: tuple[float, float, float, float] = BOX) -> Detection:
    return Detection(image, 1, score, box)


def mark(image: int, box: tuple[float, float, float, float] = BOX, category: int = 1) -> TrueBox:
    return TrueBox(image, category, box, box[2] * box[3])


def compare(truth: Truth, before: Sequence[Detection], after: Sequence[Detection]) -> TaskReport:
    return compare_detections(truth, DetectionList("b", before), DetectionList("a", after))


def average(truth: Truth, found: Sequence[Detection]) -> list[float]:
    """Return AP and AP50."""
    once = np.ones((1, len(truth.images)))
    return [float(each) for each in compute_average_precision(truth, found, once)[0]]


def test_the_average_precision_of_four_detections_is_the_one_by_hand() -> None:
    # Two boxes; the detections by falling score: a hit, a miss, a hit, a miss. Precision is 1 up to
    # recall 0.5 (51 of the 101 recalls) and 2/3 up to recall 1 (50 of them), at every IoU.
    truth = make_truth([mark(0), mark(0, FAR)])
    nowhere = (40.0, 10.0, 5.0, 5.0)
    found = [find(0, 0.9), find(0, 0.8, nowhere), find(0, 0.7, FAR), find(0, 0.6, nowhere)]
    expected = (51 + 50 * 2 / 3) / 101
    assert average(truth, found) == pytest.approx([expected, expected])


def test_a_box_of_half_the_overlap_counts_at_one_iou_of_ten() -> None:
    truth = make_truth([mark(0)])
    # 20 x 20 against its left 11 columns: IoU 0.55, which is at least 0.5 and 0.55.
    assert average(truth, [find(0, 0.9, (10.0, 10.0, 11.0, 20.0))]) == pytest.approx([0.2, 1.0])


def draw_set(rng: np.random.Generator, images: int) -> tuple[Truth, list[Detection]]:
    """Return a random truth with crowds and all sizes, and detections near it and elsewhere."""
    boxes, found = [], []
    for image in range(images):
        for _ in range(rng.integers(0, 7)):
            side = float(rng.choice([12, 50, 150]))
            left, top = map(float, rng.integers(0, 200, 2))
            box = (left, top, side, float(side + rng.integers(0, 20)))
            category = int(rng.integers(1, 3))
            boxes.append(TrueBox(image, category, box, box[2] * box[3], bool(rng.random() < 0.15)))
            for _ in range(rng.integers(0, 4)):
                x, y, width, height = map(float, np.array(box) + rng.normal(0, side / 15, 4))
                score = round(float(rng.random()), 1)  # so that some scores are equal
                found.append(Detection(image, category, score, (x, y, width, height)))
        found.append(Detection(image, 2, float(rng.random()), (1.0, 1.0, 9.0, 9.0)))
    named = [TruthImage(f"{index}.png", 400, 400) for index in range(images)]
    return Truth(named, {1: "car", 2: "cat", 3: "bus"}, boxes), found


def summarise_by_pycocotools(truth: Truth, found: Sequence[Detection]) -> npt.NDArray[Any]:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    with redirect_stdout(StringIO()):
        side = coco.COCO()
        side.dataset = {
            "images": [{"id": index} for index in range(len(truth.images))],
            "categories": [{"id": each} for each in truth.categories],
            "annotations": [
                {"id": n, "image_id": b.image, "category_id": b.category, "bbox": list(b.box)}
                | {"area": b.area, "iscrowd": int(b.is_crowd)}
                for n, b in enumerate(truth.boxes, 1)
            ],
        }
        side.createIndex()
        results = [
            {"image_id": f.image, "category_id": f.category, "bbox": list(f.box), "score": f.score}
            for f in found
        ]
        evaluation = cocoeval.COCOeval(side, side.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.asarray(evaluation.stats)


@pytest.mark.parametrize("seed", range(3))
def test_all_figures_are_those_of_pycocotools(seed: int) -> None:
    truth, found = draw_set(np.random.default_rng(seed), 12)
    stats = summarise_by_pycocotools(truth, found)
    changes = compare(truth, found, found).changes
    assert [change.name for change in changes] == [
        *("AP", "AP50", "recall small", "recall medium", "recall large")
    ]
    ours = [change.before for change in changes]
    # It adds the spacing of 1 to its denominators.
    assert ours == pytest.approx(stats[[0, 1, 9, 10, 11]].tolist(), abs=1e-9)


def test_a_weight_counts_an_image_as_often_as_copies_of_it() -> None:
    truth, found = draw_set(np.random.default_rng(7), 5)
    times = [0, 3, 1, 0, 2]
    order = [image for image, number in enumerate(times) for _ in range(number)]
    copies = Truth(
        [truth.images[image] for image in order],
        truth.categories,
        [
            TrueBox(place, box.category, box.box, box.area, box.is_crowd)
            for place, image in enumerate(order)
            for box in truth.boxes
            if box.image == image
        ],
    )
    copied = [
        Detection(place, each.category, each.score, each.box)
        for place, image in enumerate(order)
        for each in found
        if each.image == image
    ]
    weighted = compute_average_precision(truth, found, np.array([times], float))[0]
    stats = summarise_by_pycocotools(copies, copied)
    assert weighted.tolist() == pytest.approx(stats[:2].tolist(), abs=1e-9)


def test_boxes_found_in_every_image_help_and_the_exchanged_lists_hurt() -> None:
    truth = make_truth([mark(index) for index in range(6)], images=6)
    none, all_ = [find(0, 0.9, FAR)], [find(index, 0.9) for index in range(6)]
    report = compare(truth, none, all_)
    assert report.verdict is Verdict.HELPS
    assert report.describe_verdict() == (
        "Deraining helps: AP goes from 0.0 to 100.0, by +100.0 "
        "(95% interval +100.0 to +100.0; 6 images)."
    )
    assert compare(truth, all_, none).verdict is Verdict.HURTS


def test_one_box_of_many_more_is_no_measurable_difference() -> None:
    truth = make_truth([mark(index) for index in range(9)], images=9)
    before = [find(index, 0.9) for index in range(0, 8, 2)]
    report = compare(truth, before, [*before, find(1, 0.9)])
    assert (report.changes[0].difference or 0) > 0
    assert report.verdict is Verdict.NONE
    assert report.describe_verdict().startswith("No measurable difference: AP goes from")


def test_one_image_gives_no_interval() -> None:
    report = compare(make_truth([mark(0)]), [], [find(0, 0.9)])
    assert (report.verdict, report.changes[0].low) == (Verdict.NONE, None)
    assert "it takes two images" in report.describe_verdict()


def test_a_class_in_one_image_of_many_has_no_interval() -> None:
    truth = make_truth([mark(0), mark(1), mark(2, category=2)], images=3)
    report = compare(truth, [], [find(0, 0.9), find(1, 0.9)])
    assert [each.low for each in report.classes] == [1.0, None]


def test_a_class_is_listed_with_its_own_figures_and_one_without_truth_is_not() -> None:
    truth = make_truth([mark(0), mark(1, FAR, category=2)], images=2)
    report = compare(truth, [], [find(0, 0.9)])
    assert [(each.name, each.before, each.after, each.truths) for each in report.classes] == [
        ("car", 0.0, 1.0, 1),
        ("cat", 0.0, 0.0, 1),
    ]
    assert len(compare(make_truth([mark(0)]), [], []).classes) == 1


def test_the_boxes_of_an_image_are_sorted_by_when_they_were_found_above_the_threshold() -> None:
    third = (10.0, 60.0, 20.0, 20.0)
    truth = make_truth([mark(0), mark(0, FAR), mark(0, third)])
    before = [find(0, 0.9), find(0, 0.29, FAR), find(0, 0.5, third)]
    (image,) = compare(truth, before, [find(0, 0.9), find(0, 0.31, FAR)]).images
    boxes = {
        state: [item.box for item in getattr(image, state)]
        for state in ("kept", "found", "lost", "missed")
    }
    assert boxes == {"kept": [BOX], "found": [FAR], "lost": [third], "missed": []}


def test_the_same_seed_gives_the_same_interval() -> None:
    truth, found = draw_set(np.random.default_rng(1), 6)
    assert (
        compare(truth, found[::2], found).as_json() == compare(truth, found[::2], found).as_json()
    )


def test_the_share_of_the_loss_that_is_recovered_needs_clean_images() -> None:
    truth = make_truth([mark(index) for index in range(4)], images=4)
    runs = [
        DetectionList(str(number), [find(index, 0.9) for index in range(number)])
        for number in (0, 2, 4)
    ]
    change = compare_detections(truth, *runs).changes[1]
    # Recall 0.5 reaches 51 of the 101 recalls.
    assert change.recovered == pytest.approx(51 / 101)
    assert compare(truth, [], []).changes[0].recovered is None


# Files


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """A COCO truth: two images whose ids are no indices, one car in each, and no area."""
    content = {
        "images": [
            {"id": 139, "file_name": "000139.jpg", "width": 100, "height": 80},
            {"id": 632, "file_name": "000632.jpg", "width": 100, "height": 80},
        ],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [
            {"id": 0, "image_id": 139, "category_id": 3, "bbox": list(BOX)},
            {"id": 1, "image_id": 632, "category_id": 3, "bbox": [0, 0, 100, 80]},
        ],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    return path


def write_results(path: Path, *entries: dict[str, Any]) -> Path:
    base = {"image_id": 139, "category_id": 3, "bbox": list(BOX), "score": 0.9}
    path.write_text(json.dumps([base | entry for entry in entries]))
    return path


def test_files_of_coco_are_compared(coco: Path, tmp_path: Path) -> None:
    before = write_results(tmp_path / "b.json", {})
    after = write_results(tmp_path / "a.json", {}, {"image_id": 632, "bbox": [0, 0, 100, 80]})
    report = compare_detection_files(before, after, coco)
    assert report.changes[0].before == pytest.approx(51 / 101)
    assert report.changes[0].after == pytest.approx(1)
    assert report.notes == (
        f"1 of 2 images have detections in {after} and none in {before}, first 000632.jpg; they "
        "count as images where nothing was found",
        "2 images are few: intervals from fewer than 30 images are too narrow",
    )


def test_an_image_is_known_by_its_id_its_name_and_its_stem(coco: Path, tmp_path: Path) -> None:
    keys = [139, "000139.jpg", "000139"]
    file = write_results(tmp_path / "b.json", *({"image_id": key} for key in keys))
    assert [each.image for each in read_detections(file, read_truth(coco)).boxes] == [0, 0, 0]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"image_id": 7}, "image_id 7 is not in the truth; score the images of the truth only"),
        ({"category_id": 1}, "category 1 is not in the truth, which has 3; map the detector's"),
        ({"category_id": [3]}, "category [3] is not in the truth"),
        ({"score": float("nan")}, "the score must be a finite number, got nan"),
        ({"score": "0.9"}, "the score must be a finite number, got '0.9'"),
        ({"bbox": [200, 0, 5, 5]}, "lies outside of 000139.jpg, which has 100 x 80 pixels"),
        ({"bbox": [0, 0, -5, 5]}, "a box must be four finite numbers, left, top, width and height"),
        ({"bbox": [0, 0, float("inf"), 5]}, "a box must be four finite numbers"),
        ({"bbox": [0, 0, 5]}, "a box must be four finite numbers"),
        ({"bbox": None}, "a box must be four finite numbers"),
    ],
)
def test_a_bad_detection_is_refused_in_one_line(
    coco: Path, tmp_path: Path, entry: dict[str, Any], message: str
) -> None:
    file = write_results(tmp_path / "bad.json", {}, entry)
    with pytest.raises(DataError) as refusal:
        read_detections(file, read_truth(coco))
    assert str(refusal.value).startswith(f"{file}, detection 2: ")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_no_detections_and_boxes_that_reach_out_are_scored_with_a_note(
    coco: Path, tmp_path: Path
) -> None:
    empty = write_results(tmp_path / "empty.json")
    wide = write_results(tmp_path / "wide.json", {"bbox": [10, 10, 95, 20]})
    report = compare_detection_files(empty, wide, coco)
    assert report.notes[0] == f"{empty} holds no detections; its AP is 0"
    assert report.notes[1].startswith("1 of 1 boxes reach beyond their images, first")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"images": []}', "3", '{"images": 1, "annotations": [], "categories": []}'],
)
def test_what_is_no_truth_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"x\.json"):
        read_truth(path)
    with pytest.raises(DataError, match=r"nothing\.json cannot be read"):
        read_truth(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    ("part", "index", "entry", "message"),
    [
        ("images", 0, {"width": 0}, "width and height must be positive integers"),
        ("images", 1, {"id": 139}, "two images have the same id"),
        ("images", 1, {"id": [1]}, "image 2: the id must be an integer or a text"),
        ("categories", 0, {"id": "car"}, "category 1: the id must be an integer"),
        ("annotations", 0, {"image_id": 5}, "annotation 1: image_id 5 is not among the images"),
        ("annotations", 1, {"category_id": 5}, "annotation 2: category_id 5 is not among"),
        ("annotations", 0, {"area": "big"}, "the area must be a finite number"),
    ],
)
def test_a_bad_truth_is_refused(
    coco: Path, part: str, index: int, entry: dict[str, Any], message: str
) -> None:
    content = json.loads(coco.read_text())
    content[part][index] |= entry
    coco.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        read_truth(coco)


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """A folder with images, YOLO labels and detections; the second image is background."""
    for folder in ("images", "labels", "found"):
        (tmp_path / folder).mkdir()
    for name in ("1.png", "2.png"):
        Image.new("RGB", (100, 80)).save(tmp_path / "images" / name)
    (tmp_path / "labels" / "1.txt").write_text("0 0.2 0.25 0.2 0.25\n\n")
    (tmp_path / "labels" / "classes.txt").write_text("car\ncat\n")
    (tmp_path / "found" / "1.txt").write_text("0 0.2 0.25 0.2 0.25 0.8\n")
    return tmp_path


def test_yolo_labels_are_the_same_boxes_as_those_of_coco(yolo: Path) -> None:
    truth = read_truth(yolo / "labels", yolo / "images")
    assert truth.categories == {0: "car", 1: "cat"}
    assert [image.name for image in truth.images] == ["1.png", "2.png"]
    (box,) = truth.boxes
    assert box.box == pytest.approx(BOX)
    (found,) = read_detections(yolo / "found", truth).boxes
    assert (found.image, found.score) == (0, 0.8)
    assert found.box == pytest.approx(BOX)


def test_bad_yolo_labels_are_refused_by_file_and_line(yolo: Path) -> None:
    with pytest.raises(DataError, match="name the folder of their images"):
        read_truth(yolo / "labels")
    truth = read_truth(yolo / "labels", yolo / "images")
    with pytest.raises(DataError, match=r"1\.txt, line 1: a label must have 6 numbers .* score"):
        read_detections(yolo / "labels", truth)
    (yolo / "found" / "1.txt").write_text("0 0.2 0.25 0.2 0.25 nan\n")
    with pytest.raises(DataError, match="line 1: the score must be a finite number"):
        read_detections(yolo / "found", truth)
    (yolo / "labels" / "9.txt").write_text("0 0.2 0.25 0.2 0.25\n")
    with pytest.raises(DataError, match=r"9\.txt: there is no image of this name"):
        read_truth(yolo / "labels", yolo / "images")


# A detector as a function


def detect_bright(image: npt.NDArray[np.uint8]) -> list[tuple[int, float, Any]]:
    """Find BOX if no pixel outside of it is bright."""
    outside = image.copy()
    outside[10:30, 10:30] = 0
    return [(0, 0.9, BOX)] if outside.max() < 100 else []


def test_a_detector_that_rain_disturbs_gains_what_an_ideal_derainer_gives_back(yolo: Path) -> None:
    def rain(clean: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        rainy = clean.copy()
        rainy[:, rng.integers(40, 100)] = 200
        return rainy

    report = detector_gain(
        detect_bright, yolo / "images", yolo / "labels", np.zeros_like, rain=rain
    )
    # One of the two images has a box; the other may be found wrongly with an equal score.
    change = report.changes[0]
    assert (change.before, change.after, change.recovered) == (0, change.clean, 1)
    assert report.about["rain"] == "rain"


def test_a_detector_with_unknown_classes_is_named_with_its_image(yolo: Path) -> None:
    with pytest.raises(DataError, match=r"detector on 1\.png \(before\): category 7"):
        detector_gain(
            lambda _: [(7, 0.9, BOX)], yolo / "images", yolo / "labels", lambda image: image
        )


def test_a_missing_pycocotools_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pycocotools.coco", None)
    with pytest.raises(MissingExtraError, match=r"crdnet\[detect\]"):
        average(make_truth([mark(0)]), [])


def test_a_threshold_is_a_score() -> None:
    with pytest.raises(CRDNetError, match="from 0 to 1, got nan"):
        compare_detections(
            make_truth([mark(0)]),
            DetectionList("b", []),
            DetectionList("a", []),
            threshold=float("nan"),
        )


# The page


def test_the_page_draws_found_and_lost_boxes_and_loads_nothing(yolo: Path) -> None:
    truth = read_truth(yolo / "labels", yolo / "images")
    nothing = DetectionList("b<i>", [])
    report = compare_detections(truth, nothing, read_detections(yolo / "found", truth))
    page = report.as_html([yolo / "images", yolo / "images"])
    assert page.count('<rect class="found" x="10.0" y="10.0" width="20.0" height="20.0">') == 2
    assert page.count('<image href="data:image/jpeg;base64,') == 2
    assert "1 found and 0 lost, in 1 of 2 images." in page
    assert report.describe_verdict() in page
    assert "http" not in page.replace("http-equiv", "")
    assert report.as_html().count("<rect class") == 1
    with pytest.raises(DataError, match="there is no such folder"):
        report.as_html([yolo / "nowhere"])
