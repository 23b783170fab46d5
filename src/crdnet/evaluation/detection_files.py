"""Reading and checking of boxes of the truth and of a detector, from COCO files or YOLO labels.

Boxes are [left, top, width, height] in pixels. An image is identified by its id, its name, or its
name without the suffix. Every error message is one line that names the file and the entry.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from crdnet.data import list_images
from crdnet.errors import DataError

Box = tuple[float, float, float, float]
ImageId = int | str


@dataclass(frozen=True)
class TruthImage:
    """An image of the truth: its name, and its width and height in pixels."""

    name: str
    width: int
    height: int


@dataclass(frozen=True)
class TrueBox:
    """A box of the truth.

    Attributes:
        image: Index of its image.
        category: Id of its class.
        box: Left, top, width and height.
        area: Area of the object in pixels, which sorts it into small, medium and large.
        is_crowd: True if the box marks a group; detections that match it are not counted.
    """

    image: int
    category: int
    box: Box
    area: float
    is_crowd: bool = False


@dataclass(frozen=True)
class Detection:
    """Box that a detector found in the image with an index."""

    image: int
    category: int
    score: float
    box: Box


@dataclass(frozen=True)
class Truth:
    """Images, and the boxes that a detector should find.

    Attributes:
        images: Images, in the order of their indices.
        categories: Names of the classes by id.
        boxes: Boxes of all images.
        ids: Index of each image by its id.
    """

    images: Sequence[TruthImage]
    categories: Mapping[int, str]
    boxes: Sequence[TrueBox]
    ids: Mapping[ImageId, int] = field(default_factory=dict)

    def find_image(self, key: Any) -> int | None:
        """Return the index of an image by its id, its name, or its name without the suffix."""
        if not isinstance(key, int | str) or isinstance(key, bool):
            return None
        return self.ids.get(key)


@dataclass(frozen=True)
class DetectionList:
    """Detections of one run, and notes on unusual ones."""

    name: str
    boxes: Sequence[Detection]
    notes: Sequence[str] = ()


def read_truth(path: Path, images: Path | None = None) -> Truth:
    """Read the truth.

    Args:
        path: COCO instances as JSON, or a folder of YOLO labels, which may hold `classes.txt`.
        images: Folder of the images, whose sizes YOLO labels need.

    Raises:
        DataError: The file cannot be read, or an entry is invalid.
    """
    if path.is_dir():
        return _read_yolo_truth(path, images)
    content = _read_json(path)
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= set(content):
        raise DataError(
            f"{path} is not a COCO truth: it must be an object with images, annotations, categories"
        )
    for part in ("images", "annotations", "categories"):
        if not isinstance(content[part], list):
            raise DataError(f"{path}: {part} must be a list")
    named: list[tuple[ImageId, TruthImage]] = []
    for number, entry in enumerate(content["images"], 1):
        where = f"{path}, image {number}"
        key = _take_id(entry, where)
        size = [_take(entry, side, where) for side in ("width", "height")]
        if not all(isinstance(side, int) and side > 0 for side in size):
            raise DataError(f"{where}: width and height must be positive integers, got {size}")
        name = str(entry.get("file_name", key))
        named.append((key, TruthImage(name, size[0], size[1])))
    categories: dict[int, str] = {}
    for number, entry in enumerate(content["categories"], 1):
        category = _take_id(entry, f"{path}, category {number}")
        if not isinstance(category, int):
            raise DataError(f"{path}, category {number}: the id must be an integer")
        categories[category] = str(entry.get("name", category))
    truth = _make_truth(path, named, categories, [])
    boxes = [
        _convert_annotation(entry, truth, f"{path}, annotation {number}")
        for number, entry in enumerate(content["annotations"], 1)
    ]
    return Truth(truth.images, categories, boxes, truth.ids)


def read_detections(path: Path, truth: Truth) -> DetectionList:
    """Read the detections of one run.

    Args:
        path: COCO results as JSON (a list of image_id, category_id, bbox and score), or a folder of
            YOLO labels with a score in the sixth column.
        truth: Truth that they belong to.

    Raises:
        DataError: The file cannot be read, or an entry is invalid.
    """
    if path.is_dir():
        return check_detections(str(path), _read_yolo_detections(path, truth), truth)
    content = _read_json(path)
    if not isinstance(content, list):
        raise DataError(
            f"{path} is not a list of COCO results with image_id, category_id, bbox and score"
        )
    entries = []
    for number, entry in enumerate(content, 1):
        where = f"{path}, detection {number}"
        image = truth.find_image(_take(entry, "image_id", where))
        if image is None:
            raise DataError(
                f"{where}: image_id {entry['image_id']!r} is not in the truth; score the images of "
                "the truth only"
            )
        box = _take(entry, "bbox", where)
        entries.append(
            (where, image, _take(entry, "category_id", where), _take(entry, "score", where), box)
        )
    return check_detections(str(path), entries, truth)


def check_detections(
    name: str, entries: Iterable[tuple[str, int, Any, Any, Any]], truth: Truth
) -> DetectionList:
    """Check detections.

    Args:
        name: Name of the run for messages.
        entries: Place in the file, index of the image, class, score and box of each detection.
        truth: Truth for the detections.

    Raises:
        DataError: A class is unknown, a score or a box is not a number, or a box lies outside its
            image.
    """
    checked: list[Detection] = []
    beyond: list[str] = []
    for where, index, category, score, box in entries:
        image = truth.images[index]
        if not _is_number(category) or category not in truth.categories:
            raise DataError(
                f"{where}: category {category!r} is not in the truth, which has "
                f"{_list_some(truth.categories)}; map the detector's classes to those ids"
            )
        if not _is_number(score):
            raise DataError(f"{where}: the score must be a finite number, got {score!r}")
        found = _convert_box(box, where)
        left, top, width, height = found
        if left >= image.width or top >= image.height or left + width <= 0 or top + height <= 0:
            raise DataError(
                f"{where}: the box {list(found)} lies outside of {image.name}, which has "
                f"{image.width} x {image.height} pixels; give left, top, width, height in its "
                "pixels"
            )
        # A pixel of overhang comes from rounding; more may be corners given as sizes.
        if min(left, top) < -1 or left + width > image.width + 1 or top + height > image.height + 1:
            beyond.append(where)
        checked.append(Detection(index, int(category), float(score), found))
    notes = []
    if not checked:
        notes.append(f"{name} holds no detections; its AP is 0")
    if beyond:
        notes.append(
            f"{len(beyond)} of {len(checked)} boxes reach beyond their images, first {beyond[0]}; "
            "they are scored as they are"
        )
    return DetectionList(name, checked, notes)


def _make_truth(
    path: Path,
    named: Sequence[tuple[ImageId, TruthImage]],
    categories: Mapping[int, str],
    boxes: Sequence[TrueBox],
) -> Truth:
    if not named:
        raise DataError(f"{path} names no images; a truth needs at least one")
    ids: dict[ImageId, int] = {}
    # Ids go last, so that they win over names that look like them.
    keys: list[Callable[[ImageId, TruthImage], ImageId]] = [
        lambda _, image: PurePosixPath(image.name).stem,
        lambda _, image: image.name,
        lambda key, _: key,
    ]
    for make_key in keys:
        ids |= {make_key(key, image): index for index, (key, image) in enumerate(named)}
    if len({key for key, _ in named}) < len(named):
        raise DataError(f"{path}: two images have the same id")
    return Truth([image for _, image in named], categories, boxes, ids)


def _convert_annotation(entry: Any, truth: Truth, where: str) -> TrueBox:
    image = truth.find_image(_take(entry, "image_id", where))
    if image is None:
        raise DataError(f"{where}: image_id {entry['image_id']!r} is not among the images")
    category = _take(entry, "category_id", where)
    if not _is_number(category) or category not in truth.categories:
        raise DataError(f"{where}: category_id {category!r} is not among the categories")
    box = _convert_box(_take(entry, "bbox", where), where)
    area = entry.get("area", box[2] * box[3])
    if not _is_number(area):
        raise DataError(f"{where}: the area must be a finite number, got {area!r}")
    return TrueBox(image, category, box, float(area), bool(entry.get("iscrowd", 0)))


def _read_yolo_truth(folder: Path, images: Path | None) -> Truth:
    if images is None:
        raise DataError(
            f"{folder} holds YOLO labels, whose boxes are relative; name the folder of "
            "their images with `images`"
        )
    from PIL import Image  # noqa: PLC0415 - slow to import, and only YOLO labels need it

    named: list[tuple[ImageId, TruthImage]] = []
    for name in list_images(images).images:
        try:
            with Image.open(images / name) as opened:
                named.append((name.stem, TruthImage(str(name), *opened.size)))
        except OSError as error:
            raise DataError(f"{images / name} cannot be read: {error}") from error
    labels = _list_labels(folder)
    found = {key: index for index, (key, _) in enumerate(named)}
    boxes: list[TrueBox] = []
    for path in labels:
        if path.stem not in found:
            raise DataError(f"{path}: there is no image of this name in {images}")
        index = found[path.stem]
        for where, numbers in _read_yolo_lines(path, 5):
            box = _scale_box(numbers[1:5], named[index][1])
            category = _convert_class(numbers[0], where)
            boxes.append(TrueBox(index, category, _convert_box(box, where), box[2] * box[3]))
    return _make_truth(folder, named, _name_classes(folder, boxes), boxes)


def _name_classes(folder: Path, boxes: Sequence[TrueBox]) -> dict[int, str]:
    file = folder / "classes.txt"
    if file.is_file():
        return dict(enumerate(file.read_text("utf-8", errors="replace").splitlines()))
    return {category: f"class {category}" for category in sorted({box.category for box in boxes})}


def _read_yolo_detections(folder: Path, truth: Truth) -> list[tuple[str, int, Any, Any, Any]]:
    entries: list[tuple[str, int, Any, Any, Any]] = []
    for path in _list_labels(folder):
        index = truth.find_image(path.stem)
        if index is None:
            raise DataError(f"{path}: there is no image of this name in the truth")
        for where, numbers in _read_yolo_lines(path, 6):
            box = _scale_box(numbers[1:5], truth.images[index])
            entries.append((where, index, _convert_class(numbers[0], where), numbers[5], box))
    return entries


def _list_labels(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.txt") if path.name != "classes.txt")


def _read_yolo_lines(path: Path, columns: int) -> Iterable[tuple[str, list[float]]]:
    wanted = "class, centre x, centre y, width, height" + ", score" * (columns == 6)
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
        words, where = line.split(), f"{path}, line {number}"
        if not words:
            continue
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = []
        if len(numbers) != columns:
            raise DataError(
                f"{where}: a label must have {columns} numbers ({wanted}), got {line!r}"
            )
        yield where, numbers


def _scale_box(relative: Sequence[float], image: TruthImage) -> Box:
    x, y, width, height = relative
    return (
        (x - width / 2) * image.width,
        (y - height / 2) * image.height,
        width * image.width,
        height * image.height,
    )


def _convert_class(number: float, where: str) -> int:
    if not number.is_integer():
        raise DataError(f"{where}: a class must be an integer, got {number}")
    return int(number)


def _convert_box(box: Any, where: str) -> Box:
    sound = isinstance(box, Sequence) and len(box) == 4 and all(map(_is_number, box))
    if not sound or box[2] < 0 or box[3] < 0:
        raise DataError(
            f"{where}: a box must be four finite numbers, left, top, width and height, the last "
            f"two not negative, got {box!r}"
        )
    left, top, width, height = map(float, box)
    return left, top, width, height


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _take(entry: Any, key: str, where: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise DataError(f"{where}: {key} is missing")
    return entry[key]


def _take_id(entry: Any, where: str) -> ImageId:
    key = _take(entry, "id", where)
    if isinstance(key, bool) or not isinstance(key, int | str):
        raise DataError(f"{where}: the id must be an integer or a text, got {key!r}")
    return key


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error


def _list_some(values: Iterable[object]) -> str:
    listed = [str(value) for value in values]
    more = len(listed) - 5
    return ", ".join(listed[:5]) + (f" and {more} more" if more > 0 else "")
