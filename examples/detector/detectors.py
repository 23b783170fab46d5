"""Two small detectors run by onnxruntime: NanoDet-m and FastestDet, trained on COCO.

The model files are not part of crdnet: NanoDet is published under Apache-2.0, FastestDet under the
BSD 3-clause licence. A detector takes an image (h, w, 3), red first, and returns a list of
(class, score, (left, top, width, height)), with classes 0 to 79 in the order of COCO.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

Rgb = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Found = tuple[int, float, tuple[float, float, float, float]]
LEAST_SCORE = 0.02
MOST_BOXES = 100
MOST_OVERLAP = 0.55


class NanoDet:
    """NanoDet-m at 416 x 416, which predicts the distances of a box's sides from a cell.

    Args:
        session: Opened model; anything with its `run`.
    """

    SIDE = 416
    MEAN = np.array([103.53, 116.28, 123.675], np.float32)
    SCALE = np.array([0.01743, 0.01751, 0.01713], np.float32)
    OUTPUTS = ((8, "792", "795"), (16, "814", "817"), (32, "836", "839"))
    """Stride, and names of the scores and distances."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def __call__(self, image: Rgb) -> list[Found]:
        """Return the detections in an image."""
        pixels = (resize_to_bgr(image, self.SIDE) - self.MEAN) * self.SCALE
        names = [name for _, *pair in self.OUTPUTS for name in pair]
        outputs = self.session.run(names, {"input.1": pixels.transpose(2, 0, 1)[np.newaxis]})
        boxes, scores = [], []
        for (stride, *_), of_classes, distances in zip(
            self.OUTPUTS, outputs[::2], outputs[1::2], strict=True
        ):
            boxes.append(decode_distances(distances.reshape(-1, 4, 8), stride, self.SIDE))
            scores.append(of_classes.reshape(-1, of_classes.shape[-1]))
        return select_boxes(np.concatenate(boxes), np.concatenate(scores), image.shape)


class FastestDet:
    """FastestDet at 352 x 352, which predicts one box in each cell of a grid.

    Args:
        session: Opened model; anything with its `run`.
    """

    SIDE = 352

    def __init__(self, session: Any) -> None:
        self.session = session

    def __call__(self, image: Rgb) -> list[Found]:
        """Return the detections in an image."""
        pixels = resize_to_bgr(image, self.SIDE) / np.float32(255)
        (output,) = self.session.run(["758"], {"input.1": pixels.transpose(2, 0, 1)[np.newaxis]})
        (grid,) = output
        boxes = decode_cells(grid[1:5])
        scores = grid[:1] ** 0.6 * grid[5:] ** 0.4
        return select_boxes(boxes, scores.reshape(len(scores), -1).T, image.shape)


def open_detector(path: Path, threads: int = 1) -> NanoDet | FastestDet:
    """Open a model file of one of the two detectors, told apart by its outputs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of every initialiser
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = {output.name for output in session.get_outputs()}
    return NanoDet(session) if "792" in outputs else FastestDet(session)


def resize_to_bgr(image: Rgb, side: int) -> Floats:
    """Return an image at the size of a detector (side, side, 3), blue first."""
    resized = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.float32)[..., ::-1]


def decode_distances(distances: Floats, stride: int, side: int) -> Floats:
    """Return relative corners (n, 4) from distributions of distances (n, 4, bins)."""
    powers = np.exp(distances - distances.max(-1, keepdims=True))
    expected = powers @ np.arange(distances.shape[-1]) / powers.sum(-1) * stride
    cells = -(-side // stride)
    y, x = np.divmod(np.arange(cells * cells), cells)
    centre = (np.stack([x, y], axis=1) + 0.5) * stride
    corners = np.concatenate([centre - expected[:, :2], centre + expected[:, 2:]], axis=1)
    return (corners / side).astype(np.float32)


def decode_cells(grid: Floats) -> Floats:
    """Return relative corners (n, 4) from x, y, width and height of each cell (4, h, w)."""
    rows, columns = grid.shape[1:]
    y, x = np.mgrid[:rows, :columns]
    centre_x, centre_y = (x + np.tanh(grid[0])) / columns, (y + np.tanh(grid[1])) / rows
    half_width, half_height = (1 / (1 + np.exp(-side)) / 2 for side in grid[2:])
    corners = [
        *(centre_x - half_width, centre_y - half_height),
        *(centre_x + half_width, centre_y + half_height),
    ]
    return np.stack(corners, axis=-1).reshape(-1, 4).astype(np.float32)


def select_boxes(corners: Floats, scores: Floats, shape: tuple[int, ...]) -> list[Found]:
    """Return the best boxes of each class without overlaps, in pixels of the image.

    Args:
        corners: Left, top, right and bottom of each box, relative to the image (n, 4).
        scores: Score of each box for each class (n, k).
        shape: Height and width of the image, and more.
    """
    height, width = shape[:2]
    inside = np.clip(corners, 0, 1) * np.array([width, height, width, height])
    found: list[Found] = []
    for category in np.flatnonzero((scores > LEAST_SCORE).any(0)).tolist():
        order = np.argsort(-scores[:, category], kind="stable")
        order = order[scores[order, category] > LEAST_SCORE][: 4 * MOST_BOXES]
        while len(order):
            best, order = order[0], order[1:]
            left, top, right, bottom = inside[best].tolist()
            if right > left and bottom > top:
                box = (left, top, right - left, bottom - top)
                found.append((category, float(scores[best, category]), box))
            order = order[compute_overlaps(inside[best], inside[order]) <= MOST_OVERLAP]
    return sorted(found, key=lambda each: -each[1])[:MOST_BOXES]


def compute_overlaps(one: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the intersection over union of a box (4,) with others (n, 4)."""
    low = np.maximum(one[:2], others[:, :2])
    high = np.minimum(one[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    union = (one[2:] - one[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - shared
    return np.asarray(shared / np.maximum(union, 1e-9))
