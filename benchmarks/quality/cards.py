"""Measure the figures of a model card: enlarged and dry images, sensing, lookalikes; draw a sheet.

    python -m benchmarks.quality.cards tables DATA
    python -m benchmarks.quality.cards sheet DATA docs/images/default_grid.jpg

Contract: `crdnet.Derainer` processes all images, with the gate off. DATA holds `val_synth` (clean,
light, medium, heavy) and `rain800/val`, which are not used in training, and `streaks/val`. PSNR is
that of `restormer-y`; intervals of shares are 95 % Wilson intervals. The dry scenes are each clean
scene of the two sets once, and the photographs of scikit-image, which must be installed. Parts of
`tables`:

- scale: images and streaks enlarged by bicubic interpolation, 1, 2 and 4 times: the gain over the
  input at the chosen scale and at full size, and the number of densities equal to those at 1.
- dry: dry images compared with their output: PSNR, the worst image, the 99th percentile of the
  change.
- sensing: rainy images called NONE, dry images called rainy, densities, and the rank correlation of
  intensity and truth. Rainy images are those of the sets, and the dry scenes with drawn rain of all
  densities, half of it from `streaks/val`. Dry images are the scenes whole, cut into quarters,
  halved in size and enlarged. Quarters of one scene are not independent, so their interval is too
  narrow; that of the whole scenes is valid.
- lookalikes: `crdnet.rain.LOOKALIKES` drawn on dry scenes: densities and change.

`sheet`: all images of a set are derained and sorted by gain. The median and the worst image of each
set are drawn, cut to the part with the largest change by rain.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import skimage.data
from PIL import Image

import crdnet
from benchmarks.helpers import (
    Rgb,
    file_type,
    folder_type,
    model_option,
    quantise_colours,
    report_errors,
    resize_image,
)
from benchmarks.quality.sheets import Triple, draw_triples, write_sheet
from crdnet import metrics
from crdnet.data import Pair, assign_scenes, find_pairs
from crdnet.density import RainDensity, compute_intensity
from crdnet.rain import LOOKALIKES, StreakLibrary, make_rainy_pair

SHEET_QUALITY = 75
PARTS = ("dry", "sensing", "lookalikes", "scale")
HIGHEST_PSNR = 80.0
"""PSNR of an output equal to its input, so that means are finite."""
WET = (RainDensity.LIGHT, RainDensity.MEDIUM, RainDensity.HEAVY)
PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "cat",
    "cell",
    "clock",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "moon",
    "page",
    "rocket",
    "text",
)
"""Names in `skimage.data`, up to 872 x 1000; all dry, some hard: brickwork, print, grass."""
NORMAL_QUANTILE = 1.96
"""Quantile of the normal distribution at 97.5 %."""


class Scene(NamedTuple):
    """Pair of a set."""

    group: str
    name: str
    """Pairs of one scene share it."""
    rainy: Rgb
    clean: Rgb

    @classmethod
    def load(cls, pair: Pair, group: str) -> "Scene":
        """Load a pair."""
        loaded = pair.load()
        return cls(group, pair.scene, loaded.rainy, loaded.clean)


def measure_psnr(image: Rgb, clean: Rgb) -> float:
    return min(HIGHEST_PSNR, metrics.psnr(image, clean, "restormer-y"))


def load_scenes(data: Path) -> Iterator[Scene]:
    for pair in find_pairs(data / "val_synth"):
        yield Scene.load(pair, pair.name.split("/")[0])
    for pair in assign_scenes(find_pairs(data / "rain800" / "val", "clean-rainy")):
        yield Scene.load(pair, "rain800")


def load_photographs() -> list[Rgb]:
    """Return the photographs of scikit-image, grey ones as RGB."""
    return [
        np.asarray(Image.fromarray(getattr(skimage.data, name)()).convert("RGB"))
        for name in PHOTOGRAPHS
    ]


def cut_quarters(image: Rgb) -> list[Rgb]:
    height, width = image.shape[0] // 2, image.shape[1] // 2
    return [image[top:, left:][:height, :width] for top in (0, height) for left in (0, width)]


VIEWS: dict[str, Callable[[Rgb], list[Rgb]]] = {
    "whole": lambda image: [image],
    "quarters": cut_quarters,
    "halved in size": lambda image: [resize_image(image, 0.5)],
    "enlarged 2 times": lambda image: [resize_image(image, 2)],
}
"""Views of a dry scene, by name."""


def compute_wilson_interval(count: int, number: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share, of which `count` in `number` were seen."""
    square = NORMAL_QUANTILE**2
    middle = (count + square / 2) / (number + square)
    reach = (
        NORMAL_QUANTILE / (number + square) * sqrt(count * (number - count) / number + square / 4)
    )
    return max(0.0, middle - reach), min(1.0, middle + reach)


def format_share(count: int, number: int) -> str:
    low, high = compute_wilson_interval(count, number)
    return f"{count} ({count / number:.1%} [{low:.1%}, {high:.1%}])"


def tabulate_scales(derainer: crdnet.Derainer, scenes: Sequence[Scene]) -> Iterator[str]:
    yield (
        "| set | enlarged | input | gain | of the gain at 1 | at full size alone | grade as at 1 "
        "| found at |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for group in ("light", "medium", "heavy", "rain800"):
        members = [scene for scene in scenes if scene.group == group]
        at_one, grades_at_one = float("nan"), []
        for times in (1, 2, 4):
            before, gains, alone, grades, found = [], [], [], [], Counter[float]()
            for scene in members:
                rainy, clean = resize_image(scene.rainy, times), resize_image(scene.clean, times)
                result = derainer.run(rainy)
                before.append(measure_psnr(rainy, clean))
                gains.append(measure_psnr(result.image, clean) - before[-1])
                full = derainer.estimate((rainy / 255).astype(np.float32), scale=1.0)
                alone.append(measure_psnr(quantise_colours(full), clean) - before[-1])
                grades.append(result.density)
                found[result.scale or 1.0] += 1
            if times == 1:
                at_one, grades_at_one = float(np.mean(gains)), grades
            same = sum(one == other for one, other in zip(grades, grades_at_one, strict=True))
            sizes = ", ".join(
                f"{scale:g}: {number}" for scale, number in sorted(found.items(), reverse=True)
            )
            yield (
                f"| {group} | {times} | {np.mean(before):.2f} | {np.mean(gains):+.2f} "
                f"| {np.mean(gains) / at_one:.0%} | {np.mean(alone):+.2f} "
                f"| {same} of {len(members)} | {sizes} |"
            )


def tabulate_dry(derainer: crdnet.Derainer, sets: dict[str, list[Rgb]]) -> Iterator[str]:
    yield (
        "| dry images | number | PSNR | worst | under 38 dB | 99th percentile of the change "
        "| called rainy |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name, images in sets.items():
        scores, percentiles, wet = [], [], 0
        for image in images:
            result = derainer.run(image)
            scores.append(measure_psnr(result.image, image))
            change = np.abs(result.image.astype(int) - image)
            percentiles.append(float(np.percentile(change, 99)))
            wet += result.density not in (None, RainDensity.NONE)
        yield (
            f"| {name} | {len(images)} | {np.mean(scores):.2f} | {min(scores):.2f} | "
            f"{sum(score < 38 for score in scores)} | {np.mean(percentiles):.1f}, "
            f"at most {max(percentiles):.0f} | {wet} |"
        )


def draw_rain(dry: Sequence[Rgb], library: StreakLibrary) -> Iterator[tuple[Rgb, float]]:
    """Yield each image in rain of each density, half of it from the library, and the intensity.

    Images that are too bright for visible rain are left out.
    """
    for number, image in enumerate(dry):
        for grade in WET:
            rng = np.random.default_rng((number, grade))
            pair = make_rainy_pair(
                image, grade, rng, library=library if (number + grade) % 2 else None
            )
            if pair.density != RainDensity.NONE:
                yield pair.rainy, pair.intensity


def tabulate_rainy(
    derainer: crdnet.Derainer,
    scenes: Sequence[Scene],
    dry: Sequence[Rgb],
    library: StreakLibrary,
) -> Iterator[str]:
    rainy: list[tuple[str, Rgb, float]] = [
        (scene.group, scene.rainy, compute_intensity(scene.rainy, scene.clean)) for scene in scenes
    ]
    rainy += [("drawn", *each) for each in draw_rain(dry, library)]
    yield (
        "| rainy images | number | called NONE | grade right | two grades off "
        "| rank correlation of score and S |"
    )
    yield "|---|---|---|---|---|---|"
    sensed = [(group, derainer.sense(image), intensity) for group, image, intensity in rainy]
    for group in ("light", "medium", "heavy", "rain800", "drawn", "all"):
        members = [each for each in sensed if group in (each[0], "all")]
        off = [
            abs(report.density - RainDensity.from_intensity(true))
            for _, report, true in members
            if report.density is not None
        ]
        none = sum(report.density == RainDensity.NONE for _, report, _ in members)
        rank = correlate_ranks(
            [report.intensity for _, report, _ in members], [true for *_, true in members]
        )
        yield (
            f"| {group} | {len(members)} | {format_share(none, len(members))} | {off.count(0)} | "
            f"{sum(each > 1 for each in off)} | {rank:.3f} |"
        )


def tabulate_called_rainy(derainer: crdnet.Derainer, dry: Mapping[str, list[Rgb]]) -> Iterator[str]:
    yield "| dry images | shown | number | called rainy | surely dry (left alone in files) |"
    yield "|---|---|---|---|---|"
    for shown, views in VIEWS.items():
        reports = {
            name: [derainer.sense(view) for image in images for view in views(image)]
            for name, images in dry.items()
        }
        reports["all"] = [report for each in reports.values() for report in each]
        for name, each in reports.items():
            wet = sum(report.density != RainDensity.NONE for report in each)
            sure = sum(report.dry for report in each)
            yield f"| {name} | {shown} | {len(each)} | {format_share(wet, len(each))} | {sure} |"


def correlate_ranks(one: Sequence[float | None], other: Sequence[float]) -> float:
    """Return Spearman's coefficient; measured intensities have no ties."""
    ranks = [np.argsort(np.argsort(np.asarray(each, np.float64))) for each in (one, other)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def tabulate_lookalikes(derainer: crdnet.Derainer, dry: Sequence[Rgb]) -> Iterator[str]:
    yield "| on dry scenes | number | NONE | LIGHT | MEDIUM | HEAVY | PSNR | worst |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, draw in LOOKALIKES.items():
        grades, scores = Counter[Any](), []
        for number, image in enumerate(dry):
            drawn = draw(image, np.random.default_rng((number, 0)))
            result = derainer.run(drawn)
            grades[result.density] += 1
            scores.append(measure_psnr(result.image, drawn))
        counts = " | ".join(str(grades[grade]) for grade in RainDensity)
        yield f"| {name} | {len(dry)} | {counts} | {np.mean(scores):.2f} | {min(scores):.2f} |"


def select_scenes(scenes: Sequence[Scene], limit: int | None) -> list[Scene]:
    """Return the first scenes of each group."""
    groups = sorted({scene.group for scene in scenes})
    return [
        each
        for group in groups
        for each in [scene for scene in scenes if scene.group == group][:limit]
    ]


class Result(NamedTuple):
    """Image of a set, derained."""

    pair: Pair
    derained: Rgb
    before: float
    """PSNR in dB."""
    after: float

    @property
    def gain(self) -> float:
        """Gain in PSNR, in dB."""
        return self.after - self.before


def derain_pair(pair: Pair, derainer: crdnet.Derainer) -> Result:
    """Derain the rainy image of a pair and score it."""
    loaded = pair.load()
    derained = derainer(loaded.rainy)
    before, after = (
        metrics.psnr(each, loaded.clean, "restormer-y") for each in (loaded.rainy, derained)
    )
    return Result(pair, derained, before, after)


@click.group(help=__doc__.splitlines()[0])
def main() -> None: ...


@main.command("tables")
@click.argument("data", type=folder_type)
@model_option
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Parts to measure.  [default: all]",
)
@click.option("--limit", type=int, help="Scenes of each set, for a trial.")
@report_errors()
def tables_command(data: Path, model: str, parts: tuple[str, ...], limit: int | None) -> None:
    """Print the tables of a model card as Markdown."""
    derainer = crdnet.Derainer(model)
    scenes = select_scenes(list(load_scenes(data)), limit)
    halves = [scene for scene in scenes if scene.group == "rain800"]
    clean = {
        "val_synth/clean": [scene.clean for scene in scenes if scene.group == "light"],
        "clean halves of rain800/val": [scene.clean for scene in halves],
        "scikit-image": load_photographs()[:limit],
    }
    one_each = list({scene.name: scene.clean for scene in halves}.values())
    dry = clean | {"clean halves of rain800/val": one_each}
    every = [image for images in dry.values() for image in images]
    library = StreakLibrary.read(data / "streaks" / "val")
    tables: dict[str, Callable[[], Iterator[str]]] = {
        "dry": lambda: tabulate_dry(derainer, clean),
        "sensing": lambda: chain(
            tabulate_rainy(derainer, scenes, every, library),
            [""],
            tabulate_called_rainy(derainer, dry),
        ),
        "lookalikes": lambda: tabulate_lookalikes(derainer, every),
        "scale": lambda: tabulate_scales(derainer, scenes),
    }
    for part in parts or PARTS:
        print(f"\n{part}\n")
        for line in tables[part]():
            print(line, flush=True)


@main.command("sheet")
@click.argument("data", type=folder_type)
@click.argument("output", type=file_type)
@model_option
@report_errors()
def sheet_command(data: Path, output: Path, model: str) -> None:
    """Draw the middle and the worst image of each set to a JPEG."""
    derainer = crdnet.Derainer(model)
    synthetic = find_pairs(data / "val_synth")
    sets = {
        density: [pair for pair in synthetic if pair.name.startswith(f"{density}/")]
        for density in ("light", "medium", "heavy")
    }
    sets["Rain800"] = find_pairs(data / "rain800" / "val", "clean-rainy")
    triples = []
    for name, pairs in sets.items():
        results = sorted(
            (derain_pair(pair, derainer) for pair in pairs), key=lambda result: result.gain
        )
        for place, result in (("middle", results[len(results) // 2]), ("worst", results[0])):
            loaded = result.pair.load()
            title = f"{name}, {place}: {result.before:.1f} -> {result.after:.1f} dB"
            triples.append(Triple(title, loaded.rainy, result.derained, loaded.clean))
            print(
                f"{name}, {place}: {result.pair.name}, {result.before:.2f} -> {result.after:.2f} dB"
            )
    write_sheet(output, draw_triples(triples), SHEET_QUALITY)


if __name__ == "__main__":
    main()
