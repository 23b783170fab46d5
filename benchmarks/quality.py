"""What a model promises beyond PSNR at the size it was trained at: `python benchmarks/quality.py DATA --model default`.

Contract: everything goes through `crdnet.Derainer` as users have it; nothing is gated. DATA holds `val_synth` (clean,
light, medium, heavy) and `rain800/val`, neither trained on, and `streaks/val`. PSNR is that of `restormer-y`; intervals
of shares are Wilson's, at 95 %. Dry scenes are each scene of the two sets once, and the photographs that come with
scikit-image, which must be installed.

- scale: pictures and streaks enlarged by bicubic interpolation, 1, 2 and 4 times: the gain over the input, by the
  sensed size and at full size alone, and how many grades are as at 1.
- dry: rain-free pictures against what comes out: PSNR, the worst picture, the 99th percentile of the change.
- sensing: rainy pictures called NONE, dry pictures called rainy, grades, and the rank correlation of score and S.
  Rainy are the sets' own pictures and rain drawn on the dry scenes in all three grades, half of it from `streaks/val`.
  Dry are the scenes whole, cut into quarters, halved in size and enlarged. Quarters are different views, but those of
  one scene are not independent: their interval is too narrow, that of the whole scenes is not.
- lookalikes: what `crdnet.rain.LOOKALIKES` draws on dry scenes, by seeds of its own: what that is called and how much
  is changed.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import skimage.data
from PIL import Image

import crdnet
from crdnet import metrics
from crdnet.data import Pair, assign_scenes, find_pairs
from crdnet.density import RainDensity, compute_intensity
from crdnet.rain import LOOKALIKES, StreakLibrary, make_rainy_pair

Picture = npt.NDArray[np.uint8]
HIGHEST_PSNR = 80.0
"""Counts for pictures that come out as they were; a mean with infinities says nothing."""
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
"""Of `skimage.data`, from 172 x 448 to 872 x 1000; all dry, some as hard as brickwork, print and grass are."""
NORMAL_QUANTILE = 1.96
"""Of 97.5 %."""


class Scene(NamedTuple):
    """A pair of a set."""

    group: str
    name: str
    """Pairs of one scene share it."""
    rainy: Picture
    clean: Picture

    @classmethod
    def of(cls, pair: Pair, group: str) -> "Scene":
        """Load a pair."""
        loaded = pair.load()
        return cls(group, pair.scene, loaded.rainy, loaded.clean)


def psnr(picture: Picture, clean: Picture) -> float:
    return min(HIGHEST_PSNR, metrics.psnr(picture, clean, "restormer-y"))


def pairs(data: Path) -> Iterator[Scene]:
    for pair in find_pairs(data / "val_synth"):
        yield Scene.of(pair, pair.name.split("/")[0])
    for pair in assign_scenes(find_pairs(data / "rain800" / "val", "clean-rainy")):
        yield Scene.of(pair, "rain800")


def photographs() -> list[Picture]:
    """Return the photographs of scikit-image, grey ones as RGB."""
    return [
        np.asarray(Image.fromarray(getattr(skimage.data, name)()).convert("RGB"))
        for name in PHOTOGRAPHS
    ]


def enlarged(picture: Picture, times: float) -> Picture:
    if times == 1:
        return picture
    size = (round(picture.shape[1] * times), round(picture.shape[0] * times))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def quarters(picture: Picture) -> list[Picture]:
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    return [picture[top:, left:][:height, :width] for top in (0, height) for left in (0, width)]


VIEWS: dict[str, Callable[[Picture], list[Picture]]] = {
    "whole": lambda picture: [picture],
    "quarters": quarters,
    "halved in size": lambda picture: [enlarged(picture, 0.5)],
    "enlarged 2 times": lambda picture: [enlarged(picture, 2)],
}
"""How dry scenes are shown."""


def wilson(count: int, number: int) -> tuple[float, float]:
    """Return Wilson's interval, at 95 %, of the share of which `count` in `number` were seen."""
    square = NORMAL_QUANTILE**2
    middle = (count + square / 2) / (number + square)
    reach = (
        NORMAL_QUANTILE / (number + square) * sqrt(count * (number - count) / number + square / 4)
    )
    return max(0.0, middle - reach), min(1.0, middle + reach)


def share(count: int, number: int) -> str:
    low, high = wilson(count, number)
    return f"{count} ({count / number:.1%} [{low:.1%}, {high:.1%}])"


def as_byte(colours: npt.NDArray[np.float32]) -> Picture:
    return np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8)


def scale_table(derainer: crdnet.Derainer, scenes: Sequence[Scene]) -> Iterator[str]:
    yield "| set | enlarged | input | gain | of the gain at 1 | at full size alone | grade as at 1 | found at |"
    yield "|---|---|---|---|---|---|---|---|"
    for group in ("light", "medium", "heavy", "rain800"):
        members = [scene for scene in scenes if scene.group == group]
        at_one, grades_at_one = float("nan"), []
        for times in (1, 2, 4):
            before, gains, alone, grades, found = [], [], [], [], Counter[float]()
            for scene in members:
                rainy, clean = enlarged(scene.rainy, times), enlarged(scene.clean, times)
                result = derainer.run(rainy)
                before.append(psnr(rainy, clean))
                gains.append(psnr(result.image, clean) - before[-1])
                full = derainer.estimate((rainy / 255).astype(np.float32), scale=1.0)
                alone.append(psnr(as_byte(full), clean) - before[-1])
                grades.append(result.density)
                found[result.scale or 1.0] += 1
            if times == 1:
                at_one, grades_at_one = float(np.mean(gains)), grades
            same = sum(one == other for one, other in zip(grades, grades_at_one, strict=True))
            sizes = ", ".join(
                f"{scale:g}: {number}" for scale, number in sorted(found.items(), reverse=True)
            )
            yield (
                f"| {group} | {times} | {np.mean(before):.2f} | {np.mean(gains):+.2f} | {np.mean(gains) / at_one:.0%} "
                f"| {np.mean(alone):+.2f} | {same} of {len(members)} | {sizes} |"
            )


def dry_table(derainer: crdnet.Derainer, sets: dict[str, list[Picture]]) -> Iterator[str]:
    yield "| dry pictures | number | PSNR | worst | under 38 dB | 99th percentile of the change | called rainy |"
    yield "|---|---|---|---|---|---|---|"
    for name, pictures in sets.items():
        scores, percentiles, wet = [], [], 0
        for picture in pictures:
            result = derainer.run(picture)
            scores.append(psnr(result.image, picture))
            change = np.abs(result.image.astype(int) - picture)
            percentiles.append(float(np.percentile(change, 99)))
            wet += result.density not in (None, RainDensity.NONE)
        yield (
            f"| {name} | {len(pictures)} | {np.mean(scores):.2f} | {min(scores):.2f} | "
            f"{sum(score < 38 for score in scores)} | {np.mean(percentiles):.1f}, at most {max(percentiles):.0f} "
            f"| {wet} |"
        )


def rained_on(dry: Sequence[Picture], library: StreakLibrary) -> Iterator[tuple[Picture, float]]:
    """Yield every picture in rain of each grade, every second one from photorealistic streaks, and its strength.

    Where a picture is too bright for rain to be seen there is none.
    """
    for number, picture in enumerate(dry):
        for grade in WET:
            rng = np.random.default_rng((number, grade))
            pair = make_rainy_pair(
                picture, grade, rng, library=library if (number + grade) % 2 else None
            )
            if pair.density != RainDensity.NONE:
                yield pair.rainy, pair.intensity


def rainy_table(
    derainer: crdnet.Derainer,
    scenes: Sequence[Scene],
    dry: Sequence[Picture],
    library: StreakLibrary,
) -> Iterator[str]:
    rainy: list[tuple[str, Picture, float]] = [
        (scene.group, scene.rainy, compute_intensity(scene.rainy, scene.clean)) for scene in scenes
    ]
    rainy += [("drawn", *each) for each in rained_on(dry, library)]
    yield "| rainy pictures | number | called NONE | grade right | two grades off | rank correlation of score and S |"
    yield "|---|---|---|---|---|---|"
    sensed = [(group, derainer.sense(picture), strength) for group, picture, strength in rainy]
    for group in ("light", "medium", "heavy", "rain800", "drawn", "all"):
        members = [each for each in sensed if group in (each[0], "all")]
        off = [
            abs(int(report.density) - RainDensity.from_intensity(true))
            for _, report, true in members
        ]  # type: ignore[arg-type]
        none = sum(report.density == RainDensity.NONE for _, report, _ in members)
        rank = rank_correlation(
            [report.strength for _, report, _ in members], [true for *_, true in members]
        )
        yield (
            f"| {group} | {len(members)} | {share(none, len(members))} | {off.count(0)} | "
            f"{sum(each > 1 for each in off)} | {rank:.3f} |"
        )


def called_rainy_table(
    derainer: crdnet.Derainer, dry: Mapping[str, list[Picture]]
) -> Iterator[str]:
    yield "| dry pictures | shown | number | called rainy | surely dry (left alone in files) |"
    yield "|---|---|---|---|---|"
    for shown, views in VIEWS.items():
        reports = {
            name: [derainer.sense(view) for picture in pictures for view in views(picture)]
            for name, pictures in dry.items()
        }
        reports["all"] = [report for each in reports.values() for report in each]
        for name, each in reports.items():
            wet = sum(report.density != RainDensity.NONE for report in each)
            sure = sum(report.dry for report in each)
            yield f"| {name} | {shown} | {len(each)} | {share(wet, len(each))} | {sure} |"


def rank_correlation(one: Sequence[float | None], other: Sequence[float]) -> float:
    """Return Spearman's coefficient; ties do not happen among measured strengths."""
    ranks = [np.argsort(np.argsort(np.asarray(each, np.float64))) for each in (one, other)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def lookalike_table(derainer: crdnet.Derainer, dry: Sequence[Picture]) -> Iterator[str]:
    yield "| on dry scenes | number | NONE | LIGHT | MEDIUM | HEAVY | PSNR | worst |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, draw in LOOKALIKES.items():
        grades, scores = Counter[Any](), []
        for number, picture in enumerate(dry):
            drawn = draw(picture, np.random.default_rng((number, 0)))
            result = derainer.run(drawn)
            grades[result.density] += 1
            scores.append(psnr(result.image, drawn))
        counts = " | ".join(str(grades[grade]) for grade in RainDensity)
        yield f"| {name} | {len(dry)} | {counts} | {np.mean(scores):.2f} | {min(scores):.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument(
        "--part", choices=["scale", "dry", "sensing", "lookalikes"], action="append"
    )
    parser.add_argument("--limit", type=int, help="scenes of each set, for a try")
    arguments = parser.parse_args()
    derainer = crdnet.Derainer(arguments.model)
    scenes = list(pairs(arguments.data))
    if arguments.limit:
        groups = {scene.group for scene in scenes}
        scenes = [
            each
            for group in sorted(groups)
            for each in [s for s in scenes if s.group == group][: arguments.limit]
        ]
    clean = {
        "val_synth/clean": [scene.clean for scene in scenes if scene.group == "light"],
        "clean halves of rain800/val": [
            scene.clean for scene in scenes if scene.group == "rain800"
        ],
        "scikit-image": photographs()[: arguments.limit],
    }
    dry = clean | {
        "clean halves of rain800/val": list(
            {scene.name: scene.clean for scene in scenes if scene.group == "rain800"}.values()
        )
    }
    every = [picture for pictures in dry.values() for picture in pictures]
    library = StreakLibrary.read(arguments.data / "streaks" / "val")
    parts: dict[str, Callable[[], Iterator[str]]] = {
        "dry": lambda: dry_table(derainer, clean),
        "sensing": lambda: chain(
            rainy_table(derainer, scenes, every, library), [""], called_rainy_table(derainer, dry)
        ),
        "lookalikes": lambda: lookalike_table(derainer, every),
        "scale": lambda: scale_table(derainer, scenes),
    }
    for name in arguments.part or parts:
        print(f"\n{name}\n")
        for line in parts[name]():
            print(line, flush=True)


if __name__ == "__main__":
    main()
