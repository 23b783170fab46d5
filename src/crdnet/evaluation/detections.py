"""Average precision of a detector before and after deraining, with a paired interval.

pycocotools matches detections with the truth, once for each image. Average precision is then
computed from the matches as pycocotools does it (101 recalls, IoU 0.5 to 0.95, 100 detections for
each class of an image), for any number of draws of images at once: a draw is a weight per image.
"""

from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crdnet.errors import ArgumentError, MissingExtraError
from crdnet.evaluation.detection_files import (
    Detection,
    DetectionList,
    TrueBox,
    Truth,
    read_detections,
    read_truth,
)
from crdnet.evaluation.task_report import (
    Change,
    ImageChange,
    Item,
    TaskReport,
    draw_weights,
    measure_change,
    note_few,
)

Weights = npt.NDArray[np.float64]
SIZES = ("small", "medium", "large")
"""Areas of the truth below 32 x 32 pixels, below 96 x 96, and above."""
_RECALLS = np.linspace(0, 1, 101)
# Elements of an array of draws by detections; bounds the memory for sets of any size.
_BLOCK_ELEMENTS = 1 << 22


@dataclass(frozen=True)
class _Matches:
    """Matches of one class with the truth; detections are sorted by falling score.

    Attributes:
        image: Index of the image of each detection (d,).
        is_hit: Whether it matches a box of the truth, for each IoU (t, d).
        counts: Whether it counts: it matches no crowd (t, d).
        truths: Number of boxes of the truth in each image (n,).
        size_hits: Hits of each size in each image, for each IoU (3, t, n).
        size_truths: Boxes of the truth of each size in each image (3, n).
    """

    image: npt.NDArray[np.int64]
    is_hit: npt.NDArray[np.bool_]
    counts: npt.NDArray[np.bool_]
    truths: npt.NDArray[np.float64]
    size_hits: npt.NDArray[np.float64]
    size_truths: npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Curves:
    """Scores of a run for each draw; NaN for a class that has no truth in a draw.

    Attributes:
        precision: Average precision of each class (1 + draws, k).
        precision50: The same at IoU 0.5.
        recall: Mean recall of each size and class (3, 1 + draws, k).
    """

    precision: npt.NDArray[np.float64]
    precision50: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Scored:
    """Scores of a run, and the boxes of the truth that it found, by their indices."""

    curves: _Curves
    found: frozenset[int]


def compare_detection_files(
    before: Path,
    after: Path,
    truth: Path,
    *,
    images: Path | None = None,
    threshold: float = 0.3,
    seed: int = 0,
) -> TaskReport:
    """Compare the detections in two files with the truth.

    Args:
        before: Detections without deraining: COCO results, or a folder of YOLO labels.
        after: Detections with deraining.
        truth: COCO instances, or a folder of YOLO labels.
        images: Folder of the images, whose sizes a truth of YOLO labels needs.
        threshold: Score from which a box counts as found in the list of images.
        seed: Seed of the intervals.

    Raises:
        DataError: A file cannot be used.
    """
    known = read_truth(truth, images)
    runs = [read_detections(path, known) for path in (before, after)]
    report = compare_detections(known, *runs, threshold=threshold, seed=seed)
    about = {"before": str(before), "after": str(after), "truth": str(truth)}
    return replace(report, about={**about, **report.about})


def compare_detections(
    truth: Truth,
    before: DetectionList,
    after: DetectionList,
    clean: DetectionList | None = None,
    *,
    threshold: float = 0.3,
    seed: int = 0,
) -> TaskReport:
    """Compare the detections without and with deraining.

    Args:
        truth: Images, and the boxes to find.
        before: Detections without deraining.
        after: Detections with deraining.
        clean: Detections without rain, if they are known.
        threshold: Score from which a box counts as found in the list of images.
        seed: Seed of the intervals.

    Raises:
        MissingExtraError: pycocotools is not installed.
        ArgumentError: The threshold is no number in [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise ArgumentError(f"`threshold` must be from 0 to 1, got {threshold}")
    weights = draw_weights(len(truth.images), np.random.default_rng(seed))
    first = _score(truth, before.boxes, weights, threshold)
    second = _score(truth, after.boxes, weights, threshold)
    # Without rain, only the whole set is scored, because it is not part of the comparison.
    third = _score(truth, clean.boxes, weights[:1], threshold) if clean else None
    runs = [first.curves, second.curves, *([third.curves] if third else [])]
    counted = [box for box in truth.boxes if not box.is_crowd]

    def measure(
        name: str, values: Sequence[npt.NDArray[np.float64]], boxes: Sequence[TrueBox]
    ) -> Change:
        change = measure_change(name, *values, truths=len(boxes))
        # All draws then have the same boxes, so that the interval would have width 0.
        is_alone = len({box.image for box in boxes}) < 2
        return replace(change, low=None, high=None) if is_alone else change

    changes = [
        measure("AP", [_average(run.precision) for run in runs], counted),
        measure("AP50", [_average(run.precision50) for run in runs], counted),
    ]
    for index, size in enumerate(SIZES):
        boxes = [box for box in counted if _get_size(box.area) == index]
        recalls = [_average(run.recall[index]) for run in runs]
        changes.append(measure(f"recall {size}", recalls, boxes))
    classes = []
    for column, (category, name) in enumerate(sorted(truth.categories.items())):
        boxes = [box for box in counted if box.category == category]
        if boxes:
            classes.append(measure(name, [run.precision[:, column] for run in runs], boxes))
    return TaskReport(
        changes,
        classes,
        _list_changes(truth, first.found, second.found),
        (*before.notes, *after.notes, *_note_lone_images(truth, before, after), *note_few(weights)),
        {"threshold": threshold, "seed": seed},
    )


def compute_average_precision(
    truth: Truth, detections: Sequence[Detection], weights: Weights
) -> npt.NDArray[np.float64]:
    """Compute AP and AP50 over all classes, for images that occur several times.

    Args:
        truth: Images, and the boxes to find.
        detections: Boxes that a detector found.
        weights: Number of occurrences of each image (draws, n).

    Returns:
        AP and AP50 of each draw (draws, 2), in [0, 1].
    """
    curves = _score(truth, detections, weights, 0.0).curves
    return np.stack([_average(curves.precision), _average(curves.precision50)], axis=1)


def _score(
    truth: Truth, detections: Sequence[Detection], weights: Weights, threshold: float
) -> _Scored:
    matches, found = _match(truth, detections, threshold)
    precision, precision50 = np.full((2, len(weights), len(matches)), np.nan)
    recall = np.full((len(SIZES), len(weights), len(matches)), np.nan)
    for column, match in enumerate(matches):
        if not match.truths.any():
            continue
        at_ious = _compute_precisions(match, weights)
        precision[:, column], precision50[:, column] = at_ious.mean(0), at_ious[0]
        for size in range(len(SIZES)):
            truths = weights @ match.size_truths[size]
            with np.errstate(invalid="ignore"):
                recall[size, :, column] = (match.size_hits[size].mean(0) @ weights.T) / truths
    return _Scored(_Curves(precision, precision50, recall), found)


def _compute_precisions(match: _Matches, weights: Weights) -> npt.NDArray[np.float64]:
    """Return the average precision at each IoU and for each draw (t, draws)."""
    block = max(1, _BLOCK_ELEMENTS // max(1, len(match.image)))
    parts = [
        _compute_block(match, weights[begin : begin + block])
        for begin in range(0, len(weights), block)
    ]
    return np.concatenate(parts, axis=1)


def _compute_block(match: _Matches, weights: Weights) -> npt.NDArray[np.float64]:
    truths = weights @ match.truths
    of_detection = weights[:, match.image]
    found = np.empty((len(match.is_hit), len(weights)))
    for index, (is_hit, counts) in enumerate(zip(match.is_hit, match.counts, strict=True)):
        # Precision rises only at a hit, so only the number of the other detections matters.
        hits = np.cumsum(of_detection[:, is_hit], axis=1)
        counted = np.cumsum(of_detection * counts, axis=1)[:, is_hit]
        precision = hits / np.maximum(counted, 1)
        best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        with np.errstate(invalid="ignore"):
            recall = hits / truths[:, np.newaxis]
        reached = np.searchsorted(_RECALLS, recall, side="right")
        passed = np.diff(reached, axis=1, prepend=0)
        found[index] = (best_from_here * passed).sum(1) / len(_RECALLS)
    found[:, truths == 0] = np.nan
    return found


def _match(
    truth: Truth, detections: Sequence[Detection], threshold: float
) -> tuple[list[_Matches], frozenset[int]]:
    """Match detections with the truth.

    Returns:
        The matches of each class, in the order of the ids, and the indices of the boxes of the
        truth that a detection above the threshold found at IoU 0.5.
    """
    evaluation = _run_pycocotools(truth, detections)
    images = len(truth.images)
    areas = 1 + len(SIZES)
    matches: list[_Matches] = []
    found: set[int] = set()
    for column in range(len(truth.categories)):
        begin = column * areas * images
        by_area = [
            evaluation.evalImgs[begin + area * images : begin + (area + 1) * images]
            for area in range(areas)
        ]
        for result in filter(None, by_area[0]):
            sure = np.asarray(result["dtScores"]) >= threshold
            ids = result["dtMatches"][0][sure & ~result["dtIgnore"][0]]
            found.update(int(each) - 1 for each in ids if each)
        matches.append(_join_matches(by_area, images, len(evaluation.params.iouThrs)))
    return matches, frozenset(found)


def _join_matches(
    by_area: Sequence[Sequence[Mapping[str, Any] | None]], images: int, ious: int
) -> _Matches:
    parts = [(index, result) for index, result in enumerate(by_area[0]) if result is not None]
    # Empty parts give the arrays their shape where a class occurs nowhere.
    image = np.concatenate(
        [np.zeros(0, np.int64), *[np.full(len(r["dtScores"]), i) for i, r in parts]]
    )
    scores = np.concatenate([np.zeros(0), *[np.asarray(r["dtScores"], float) for _, r in parts]])
    nothing = np.zeros((ious, 0), bool)
    is_matched = np.concatenate([nothing, *[r["dtMatches"] > 0 for _, r in parts]], axis=1)
    is_ignored = np.concatenate([nothing, *[r["dtIgnore"] for _, r in parts]], axis=1)
    order = np.argsort(-scores, kind="stable")
    truths = np.zeros((len(by_area), images))
    hits = np.zeros((len(by_area), ious, images))
    for area, results in enumerate(by_area):
        for index, result in enumerate(results):
            if result is not None:
                truths[area, index] = np.count_nonzero(result["gtIgnore"] == 0)
                is_hit = (result["dtMatches"] > 0) & ~result["dtIgnore"]
                hits[area, :, index] = is_hit.sum(1)
    counts = ~is_ignored[:, order]
    return _Matches(
        image[order],
        is_matched[:, order] & counts,
        counts,
        truths[0],
        hits[1:],
        truths[1:],
    )


def _run_pycocotools(truth: Truth, detections: Sequence[Detection]) -> Any:
    """Return a `COCOeval` that has matched the detections of each image."""
    try:
        from pycocotools.coco import COCO  # noqa: PLC0415 - an extra
        from pycocotools.cocoeval import COCOeval  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("scoring detections", "detect") from error
    true_boxes = [
        _make_annotation(number, box.image, box.category, box.box)
        | {"area": box.area, "iscrowd": int(box.is_crowd)}
        for number, box in enumerate(truth.boxes, 1)  # pycocotools takes id 0 for no match
    ]
    found_boxes = [
        _make_annotation(number, found.image, found.category, found.box) | {"score": found.score}
        for number, found in enumerate(detections, 1)
    ]
    shared = {
        "images": [{"id": index} for index in range(len(truth.images))],
        "categories": [{"id": each} for each in truth.categories],
    }
    with redirect_stdout(StringIO()):
        sides = []
        for annotations in (true_boxes, found_boxes):
            side = COCO()
            side.dataset = {**shared, "annotations": annotations}
            side.createIndex()
            sides.append(side)
        evaluation = COCOeval(*sides, "bbox")
        evaluation.evaluate()
    return evaluation


def _make_annotation(
    number: int, image: int, category: int, box: tuple[float, float, float, float]
) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": list(box),
        "area": box[2] * box[3],
        "iscrowd": 0,
    }


def _average(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Average over the classes (draws, k) that occur in a draw."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0).sum(1) / known.sum(1))


def _get_size(area: float) -> int:
    return int(area > 32**2) + int(area > 96**2)


def _list_changes(truth: Truth, before: frozenset[int], after: frozenset[int]) -> list[ImageChange]:
    sorted_items: list[dict[tuple[bool, bool], list[Item]]] = [{} for _ in truth.images]
    for index, box in enumerate(truth.boxes):
        if not box.is_crowd:
            item = Item(truth.categories[box.category], box.box)
            key = index in before, index in after
            sorted_items[box.image].setdefault(key, []).append(item)
    return [
        ImageChange(
            image.name,
            (image.width, image.height),
            found=items.get((False, True), ()),
            lost=items.get((True, False), ()),
            kept=items.get((True, True), ()),
            missed=items.get((False, False), ()),
        )
        for image, items in zip(truth.images, sorted_items, strict=True)
    ]


def _note_lone_images(truth: Truth, before: DetectionList, after: DetectionList) -> list[str]:
    """Return notes on images with detections in only one run; COCO results omit empty images."""
    images = [{found.image for found in run.boxes} for run in (before, after)]
    notes = []
    for run, other, lone in (
        (before, after, images[0] - images[1]),
        (after, before, images[1] - images[0]),
    ):
        if lone and other.boxes:
            notes.append(
                f"{len(lone)} of {len(truth.images)} images have detections in {run.name} and none "
                f"in {other.name}, first {truth.images[min(lone)].name}; they count as images "
                "where nothing was found"
            )
    return notes
