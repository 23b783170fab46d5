"""Gain of a detector by deraining, measured on images with a truth."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crdnet.data import read_rgb
from crdnet.density import RainDensity
from crdnet.evaluation.detection_files import DetectionList, Truth, check_detections, read_truth
from crdnet.evaluation.detections import compare_detections
from crdnet.evaluation.task_report import TaskReport
from crdnet.rain import CameraRain, RainSpec, make_rainy_pair

Rgb = npt.NDArray[np.uint8]
Found = tuple[int, float, tuple[float, float, float, float]]
"""Category id, score, and left, top, width and height in pixels."""
Detector = Callable[[Rgb], Iterable[Found]]
Rain = CameraRain | RainSpec | RainDensity | Callable[[Rgb, np.random.Generator], Rgb]


def detector_gain(
    detector: Detector,
    images: str | Path,
    truth: str | Path | Truth,
    derainer: Callable[[Rgb], Rgb],
    *,
    rain: Rain | None = None,
    threshold: float = 0.3,
    seed: int = 0,
) -> TaskReport:
    """Measure how much deraining helps a detector.

    Args:
        detector: Function that returns the detections in an RGB image (h, w, 3).
        images: Folder of the images.
        truth: COCO instances, a folder of YOLO labels, or a `Truth` of `read_truth`.
        derainer: Function that derains an image, such as a `crdnet.Derainer`.
        rain: Rain to draw on clean images: a specification, or a function of image and generator;
            the report then has the scores without rain too. None if the images are rainy.
        threshold: Score from which a box counts as found in the list of images.
        seed: Seed of the rain and of the intervals.

    Raises:
        DataError: The truth, an image or a detection cannot be used.
        MissingExtraError: pycocotools is not installed.
    """
    folder = Path(images)
    known = truth if isinstance(truth, Truth) else read_truth(Path(truth), folder)
    found: dict[str, list[tuple[str, int, Any, Any, Any]]] = {"before": [], "after": []}
    if rain is not None:
        found["clean"] = []
    for index, image in enumerate(known.images):
        versions = {"before": read_rgb(folder / image.name)}
        if rain is not None:
            versions["clean"] = versions["before"]
            # A generator for each image, so that its rain does not depend on the others.
            rng = np.random.default_rng([seed, index])
            versions["before"] = draw_rain(versions["clean"], rain, rng)
        versions["after"] = derainer(versions["before"])
        for name, version in versions.items():
            where = f"detector on {image.name} ({name})"
            found[name] += [(where, index, *each) for each in detector(version)]
    runs: dict[str, DetectionList] = {
        name: check_detections(name, entries, known) for name, entries in found.items()
    }
    report = compare_detections(
        known, runs["before"], runs["after"], runs.get("clean"), threshold=threshold, seed=seed
    )
    about = {"images": str(folder), "rain": _describe_rain(rain)}
    return replace(report, about={**about, **report.about})


def draw_rain(clean: Rgb, rain: Rain, rng: np.random.Generator) -> Rgb:
    """Return an image with rain."""
    if isinstance(rain, CameraRain | RainSpec | RainDensity):
        return make_rainy_pair(clean, rain, rng).rainy
    return rain(clean, rng)


def _describe_rain(rain: Rain | None) -> str:
    return "in the images" if rain is None else getattr(rain, "__name__", None) or repr(rain)
