"""Measure whether deraining helps a detector: clean, rainy, derained; and what it costs.

    pip install 'crdnet[detect]'
    python examples/detector/measure.py nanodet_m.onnx fastestdet.onnx --data detect/

The folder of --data has `images/` and YOLO labels in `labels/`, with COCO's 80 classes. Prints a
Markdown table of AP50 for each detector and rain, and the processor time of a frame. A rain is a
rate of camera rain in millimetres per hour, or a density.
"""

import argparse
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from detectors import FastestDet, NanoDet, Rgb, open_detector

from crdnet import Derainer, RainDensity
from crdnet.data import read_rgb
from crdnet.evaluation import (
    Change,
    Truth,
    check_detections,
    compare_detections,
    draw_rain,
    read_truth,
)
from crdnet.rain import CameraRain

RAINS = ("5", "25", "60", "medium", "heavy")
Detector = NanoDet | FastestDet


def measure_detectors(
    detectors: dict[str, Detector],
    truth: Truth,
    folder: Path,
    derainer: Callable[[Rgb], Rgb],
    rains: Sequence[str] = RAINS,
    seed: int = 0,
) -> dict[tuple[str, str], tuple[Change, str]]:
    """Return the change of AP50 and the verdict for each detector and rain.

    Every image is rained on and derained once, for all detectors.
    """
    found: dict[tuple[str, str], list[tuple[str, int, Any, Any, Any]]] = {}
    for index, image in enumerate(truth.images):
        print(f"image {index + 1} of {len(truth.images)}", end="\r", file=sys.stderr, flush=True)
        for version, pixels in make_versions(folder / image.name, derainer, rains, seed, index):
            for name, detector in detectors.items():
                entries = found.setdefault((name, version), [])
                entries += [
                    (f"{name} on {image.name}", index, *each)
                    for each in detector(pixels)
                    # A class that is nowhere in these images has no average precision.
                    if each[0] in truth.categories
                ]
    runs = {key: check_detections(" ".join(key), each, truth) for key, each in found.items()}
    results = {}
    for name in detectors:
        for rain in rains:
            report = compare_detections(
                truth,
                runs[name, f"rainy {rain}"],
                runs[name, f"derained {rain}"],
                runs[name, "clean"],
            )
            results[name, rain] = report.changes[1], report.changes[1].verdict.value
    return results


def make_versions(
    path: Path, derainer: Callable[[Rgb], Rgb], rains: Sequence[str], seed: int, index: int
) -> list[tuple[str, Rgb]]:
    """Return an image clean, and rainy and derained for each rain."""
    clean = read_rgb(path)
    versions = [("clean", clean)]
    for name in rains:
        rainy = draw_rain(clean, parse_rain(name), np.random.default_rng([seed, index]))
        versions += [(f"rainy {name}", rainy), (f"derained {name}", derainer(rainy))]
    return versions


def parse_rain(name: str) -> CameraRain | RainDensity:
    """Return the rain of a name: a rate in millimetres per hour, or a density."""
    if name.upper() in RainDensity.__members__:
        return RainDensity[name.upper()]
    return CameraRain(millimetres_per_hour=float(name))


def format_results(results: dict[tuple[str, str], tuple[Change, str]]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| detector | rain | clean | rainy | derained | difference | recovered | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (name, rain), (change, verdict) in results.items():
        clean, before, after = (
            "-" if value is None else f"{100 * value:.1f}"
            for value in (change.clean, change.before, change.after)
        )
        low, high = (100 * (value or 0) for value in (change.low, change.high))
        recovered = "-" if change.recovered is None else f"{100 * change.recovered:.0f} %"
        lines.append(
            f"| {name} | {rain}{' mm/h' * rain.isdigit()} | {clean} | {before} | {after} | "
            f"{100 * (change.difference or 0):+.1f} ({low:+.1f} to {high:+.1f}) | {recovered} | "
            f"{verdict} |"
        )
    return "\n".join(lines)


def derain_when_raining(
    frames: Iterable[Rgb], derainer: Derainer, every: int = 25
) -> Iterator[Rgb]:
    """Yield frames, derained while it rains; only every so many frames are sensed."""
    is_dry = False
    for number, frame in enumerate(frames):
        if number % every == 0:
            is_dry = derainer.sense(frame).dry
        yield frame if is_dry else derainer(frame)


def measure_cost(
    detectors: dict[str, Detector], derainer: Derainer, path: Path, repeats: int
) -> str:
    """Return the processor time of the steps on a clean and a rainy frame, as a Markdown table."""
    clean = read_rgb(path)
    rainy = draw_rain(clean, RainDensity.HEAVY, np.random.default_rng(0))
    steps: dict[str, Callable[[], object]] = {
        "derain every frame": lambda: derainer.run(rainy),
        "sense only": lambda: derainer.sense(clean),
        "sense and gate every frame, dry": lambda: derainer.run(clean, always=False),
        "sense one frame of 25, dry": lambda: list(derain_when_raining([clean] * 25, derainer)),
        "sense one frame of 25, rain": lambda: list(derain_when_raining([rainy] * 25, derainer)),
    }
    for name, detector in detectors.items():
        steps[name] = lambda detector=detector: detector(rainy)
    height, width = clean.shape[:2]
    lines = [f"| step, {width} x {height} | processor time of a frame |", "|---|---|"]
    for name, step in steps.items():
        step()
        times = []
        for _ in range(repeats):
            began = process_time()
            step()
            times.append((process_time() - began) / (25 if "25" in name else 1))
        lines.append(f"| {name} | {1000 * sorted(times)[len(times) // 2]:.1f} ms |")
    return "\n".join(lines)


def select_images(truth: Truth, limit: int) -> Truth:
    """Return a truth with a random part of the images."""
    if limit >= len(truth.images):
        return truth
    kept = sorted(random.Random(0).sample(range(len(truth.images)), limit))
    places = {index: place for place, index in enumerate(kept)}
    boxes = [
        type(box)(places[box.image], box.category, box.box, box.area, box.is_crowd)
        for box in truth.boxes
        if box.image in places
    ]
    return Truth([truth.images[index] for index in kept], truth.categories, boxes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("detectors", type=Path, nargs="+", help="model files")
    parser.add_argument("--data", type=Path, required=True, help="folder of images/ and labels/")
    parser.add_argument("--rain", nargs="+", default=RAINS, help="rates in mm/h, or densities")
    parser.add_argument("--limit", type=int, default=10**9, help="number of images to measure")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9, help="frames to time")
    arguments = parser.parse_args()
    folder = arguments.data / "images"
    truth = select_images(read_truth(arguments.data / "labels", folder), arguments.limit)
    detectors = {path.stem: open_detector(path, arguments.threads) for path in arguments.detectors}
    derainer = Derainer(device="cpu", threads=arguments.threads)
    print(f"{len(truth.images)} images, {len(truth.boxes)} boxes, AP50 in percent\n", flush=True)
    print(
        format_results(measure_detectors(detectors, truth, folder, derainer, arguments.rain)),
        flush=True,
    )
    path = folder / truth.images[0].name
    print("\n" + measure_cost(detectors, derainer, path, arguments.repeats))


if __name__ == "__main__":
    main()
