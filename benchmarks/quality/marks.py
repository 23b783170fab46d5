"""Streaks of real rain that were marked by hand, and the effect of a model on them.

The contrast of a streak is the mean luma of the pixels whose centres lie on its stroke, minus that
of two bands along it, 1 to 3 pixels away. Both sides have equal weight, so that a slope of the
background cancels. The ratio of a crop is the mean contrast of its streaks after deraining, divided
by that before: 1 is untouched, 0 is removed, below 0 is a dark trace. The change of the rest is the
mean absolute change of the colours in places without streaks.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.helpers import Rgb
from crdnet import Derainer
from crdnet.data import read_rgb
from crdnet.density import luma
from crdnet.errors import DataError

Plane = npt.NDArray[np.floating]
MARKS = Path(__file__).with_name("real_rain_marks.json")
NEAR, FAR = 1.0, 3.0
"""Start and end of the bands, in pixels from the edge: off its soft border, and no further."""
RESAMPLES = 10_000


class MarksError(DataError):
    """The photographs are not those that were marked."""


class Box(NamedTuple):
    """Rectangle in pixels of the whole upright image; right and bottom lie outside."""

    left: int
    top: int
    right: int
    bottom: int

    def cut(self, image: Rgb) -> Rgb:
        """Return the part of an image that lies inside."""
        return image[self.top : self.bottom, self.left : self.right]


class Streak(NamedTuple):
    """Marked streak: the middle line between two pixel positions, and its width."""

    x0: float
    y0: float
    x1: float
    y1: float
    width: float


@dataclass(frozen=True)
class MarkedCrop:
    """Marks in a photograph."""

    image: str
    size: tuple[int, int]
    """Width and height of the photograph, to recognise another one of the same name."""
    rain: str
    crop: Box
    streaks: tuple[Streak, ...]
    dry: tuple[Box, ...]
    """Places without a visible streak; empty where it rains everywhere."""


@dataclass(frozen=True)
class CropResult:
    """Effect of a model on the streaks of one crop and around them, in grey levels of 255."""

    image: str
    rain: str
    before: float
    """Mean contrast of the streaks."""
    after: float
    dry_change: float | None
    """Mean absolute change of the colours without streaks; None if there is no such place."""
    density: str | None
    intensity: float | None
    scale: float | None
    left_alone: bool

    @property
    def ratio(self) -> float:
        """Contrast after over contrast before: 1 is untouched, 0 gone, below 0 a dark trace."""
        return self.after / self.before


class Interval(NamedTuple):
    """Figure of the set and its 95 % bootstrap interval over crops."""

    value: float
    low: float
    high: float


def read_marks(path: Path = MARKS) -> list[MarkedCrop]:
    return [
        MarkedCrop(
            image=entry["image"],
            size=(entry["size"][0], entry["size"][1]),
            rain=entry["rain"],
            crop=Box(*entry["crop"]),
            streaks=tuple(Streak(*streak) for streak in entry["streaks"]),
            dry=tuple(Box(*box) for box in entry["dry"]),
        )
        for entry in json.loads(path.read_text())
    ]


def measure_contrast(plane: Plane, streak: Streak) -> float:
    """Return the brightness of a streak minus that of the bands beside it.

    Args:
        plane: Luma of the whole image (h, w).
        streak: The marked streak.

    Returns:
        The difference, in the units of the plane; negative where the streak is darker.
    """
    reach = streak.width / 2 + FAR
    rows, columns = (
        slice(max(0, int(min(ends) - reach)), int(max(ends) + reach) + 2)
        for ends in ((streak.y0, streak.y1), (streak.x0, streak.x1))
    )
    around = plane[rows, columns]
    y, x = (
        np.mgrid[: around.shape[0], : around.shape[1]]
        + np.array([rows.start, columns.start])[:, None, None]
    )
    length = float(np.hypot(streak.x1 - streak.x0, streak.y1 - streak.y0))
    right, down = (streak.x1 - streak.x0) / length, (streak.y1 - streak.y0) / length
    along = (x - streak.x0) * right + (y - streak.y0) * down
    across = (y - streak.y0) * right - (x - streak.x0) * down
    beside = (along >= 0) & (along <= length)
    edge = streak.width / 2
    stroke = beside & (np.abs(across) <= edge)
    bands = [
        beside & (side * across > edge + NEAR) & (side * across <= edge + FAR) for side in (-1, 1)
    ]
    return float(around[stroke].mean() - np.mean([around[band].mean() for band in bands]))


def measure(marked: MarkedCrop, rainy: Rgb, derained: Rgb) -> tuple[float, float, float | None]:
    """Return the mean contrast before and after, and the change without streaks."""
    before, after = (
        float(np.mean([measure_contrast(plane, streak) for streak in marked.streaks]))
        for plane in (luma(each.astype(np.float64)) for each in (rainy, derained))
    )
    changes = [
        np.abs(box.cut(rainy).astype(np.float64) - box.cut(derained)).ravel() for box in marked.dry
    ]
    return before, after, float(np.concatenate(changes).mean()) if changes else None


def judge(marked: MarkedCrop, folder: Path, derainer: Derainer) -> tuple[CropResult, Rgb]:
    """Derain a photograph; return the effect on its marks, and the crop before and after."""
    rainy = read_rgb(folder / marked.image)
    if rainy.shape[1::-1] != marked.size:
        raise MarksError(
            f"{folder / marked.image} has {rainy.shape[1]} x {rainy.shape[0]} pixels, the marked "
            f"one {marked.size[0]} x {marked.size[1]}; give the folder of the marked photographs"
        )
    result = derainer.run(rainy)
    before, after, dry_change = measure(marked, rainy, result.image)
    found = CropResult(
        image=marked.image,
        rain=marked.rain,
        before=before,
        after=after,
        dry_change=dry_change,
        density=None if result.density is None else result.density.name,
        intensity=result.intensity,
        scale=result.scale,
        left_alone=result.left_alone,
    )
    return found, np.stack([marked.crop.cut(rainy), marked.crop.cut(result.image)])


def estimate_interval(
    values: Sequence[float], statistic: Callable[..., Any], rng: np.random.Generator
) -> Interval:
    """Return a statistic of the crops and its interval, by bootstrap over crops."""
    drawn = statistic(rng.choice(values, (RESAMPLES, len(values))), axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(statistic(values)), float(low), float(high))


def summarise(results: Sequence[CropResult]) -> dict[str, Any]:
    """Return the figures of the set: ratios, and changes without streaks."""
    ratios = [found.ratio for found in results]
    changes = [found.dry_change for found in results if found.dry_change is not None]
    rng = np.random.default_rng(0)
    return {
        "crops": len(ratios),
        "ratio_median": estimate_interval(ratios, np.median, rng),
        "ratio_mean": estimate_interval(ratios, np.mean, rng),
        "halved": sum(abs(ratio) <= 0.5 for ratio in ratios),
        "crops_with_dry_places": len(changes),
        "dry_change_median": estimate_interval(changes, np.median, rng) if changes else None,
        "dry_change_mean": estimate_interval(changes, np.mean, rng) if changes else None,
        "dry_within_2": sum(change <= 2 for change in changes),
    }


def format_marks(results: Sequence[CropResult], summary: dict[str, Any]) -> str:
    lines = [
        "| image | rain | sensed | scale | contrast before | after | ratio | change where dry |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for found in results:
        sensed = (
            "-" if found.density is None else f"{found.density.lower()}, S = {found.intensity:.1f}"
        )
        cells = [
            Path(found.image).stem,
            found.rain,
            f"{sensed}, left alone" if found.left_alone else sensed,
            "-" if found.scale is None else f"{found.scale:g}",
            f"{found.before:.1f}",
            f"{found.after:.1f}",
            f"{found.ratio:.2f}",
            "-" if found.dry_change is None else f"{found.dry_change:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| of the set | median | mean | crops |", "|---|---|---|---|"]
    for name, key, met in (
        (
            "contrast after / before",
            "ratio",
            f"halved or better in {summary['halved']} of {summary['crops']}",
        ),
        (
            "change where dry",
            "dry_change",
            f"at most 2 levels in {summary['dry_within_2']} of {summary['crops_with_dry_places']}",
        ),
    ):
        figures = [_format_cell(summary[f"{key}_{statistic}"]) for statistic in ("median", "mean")]
        lines.append(f"| {name} | {figures[0]} | {figures[1]} | {met} |")
    return "\n".join(lines)


def _format_cell(figure: Interval | None) -> str:
    return "-" if figure is None else f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"
