"""Report on the runs of the ablation; `ablation.py` states the contract.

Rows are compared image by image, over their common seeds. The differences of an image are averaged
over the seeds, and resampling whole scenes gives the interval over scenes. That interval does not
cover other seeds; with several seeds, their means give a second interval by Student's t. An effect
is claimed if it exceeds both intervals.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.experiments.ablation_runs import AT_EQUAL_STEPS, AT_EQUAL_TIME, ROWS, locate_result
from crdnet import RainDensity
from crdnet.errors import DataError
from crdnet.evaluation import Estimate
from crdnet.evaluation.bootstrap import estimate_scene_means

STUDENT = {2: 12.71, 3: 4.30}
"""Student's t for 95 %, two-sided, by the number of seeds."""


class Verdict(StrEnum):
    """Statement about an effect, in words."""

    BETTER = "better"
    WORSE = "worse"
    WITHIN_SCENES = "the effect is smaller than its interval over scenes"
    WITHIN_SEEDS = "the effect is smaller than its interval over seeds"


class Effect(NamedTuple):
    """A mean over images and seeds: of a row, or of what it has more than another."""

    over_scenes: Estimate
    by_seed: list[float]

    @property
    def seed_margin(self) -> float | None:
        """Half the 95 % interval over seeds (Student's t); None of a single seed."""
        seeds = len(self.by_seed)
        return (
            STUDENT[seeds] * float(np.std(self.by_seed, ddof=1)) / seeds**0.5 if seeds > 1 else None
        )

    @property
    def verdict(self) -> Verdict:
        """Return whether the effect exceeds both intervals, and its sign."""
        mean, low, high = self.over_scenes.mean, self.over_scenes.low, self.over_scenes.high
        if low is None or high is None or low <= 0 <= high:
            return Verdict.WITHIN_SCENES
        if self.seed_margin is not None and abs(mean) <= self.seed_margin:
            return Verdict.WITHIN_SEEDS
        return Verdict.BETTER if mean > 0 else Verdict.WORSE

    def cell(self, decimals: int, sign: str = "") -> str:
        """Return the mean, its interval over scenes, and the margin over seeds."""
        number = f"{sign}z.{decimals}f"
        mean, low, high = self.over_scenes.mean, self.over_scenes.low, self.over_scenes.high
        text = f"{mean:{number}}"
        if (
            sign
            and self.seed_margin is not None
            and self.verdict in (Verdict.BETTER, Verdict.WORSE)
        ):
            text = f"**{text}**"
        if low is not None:
            text += f" [{low:{number}}, {high:{number}}]"
        return text if self.seed_margin is None else f"{text} ± {self.seed_margin:.{decimals}f}"


class Results:
    """The scores of all runs in a folder.

    Args:
        folder: Of the runs.
        steps: Only runs of so many steps are read.

    Raises:
        DataError: There is none.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self.steps = steps
        self.runs: dict[str, dict[int, dict[str, Any]]] = {}
        for name, row in ROWS.items():
            for seed in row.seeds:
                path = locate_result(folder, name, seed, steps)
                if path.is_file():
                    self.runs.setdefault(name, {})[seed] = json.loads(
                        path.read_text(encoding="utf-8")
                    )
        if not self.runs:
            raise DataError(
                f"{folder} holds no run of {steps} steps; train first, or name other --steps"
            )

    def values(
        self, name: str, seed: int, when: str, value: Callable[[dict[str, Any]], float | None]
    ) -> dict[tuple[str, str], float]:
        """Return a value of each image that has it, by group and name."""
        images = self.runs[name][seed]["scored"][when]["images"]
        found = {(each["group"], each["name"]): value(each) for each in images}
        return {key: number for key, number in found.items() if number is not None}

    def common_seeds(self, name: str, other: str) -> list[int]:
        """Return the seeds that runs of both rows have."""
        return sorted(self.runs.get(name, {}).keys() & self.runs.get(other, {}).keys())

    def scenes(self) -> dict[tuple[str, str], str]:
        """Return the scene of each image, by group and name."""
        run = next(iter(next(iter(self.runs.values())).values()))
        images = run["scored"][AT_EQUAL_STEPS]["images"]
        return {(each["group"], each["name"]): each["scene"] for each in images}

    def mean(
        self,
        name: str,
        when: str,
        value: Callable[[dict[str, Any]], float | None],
        group: str | None = None,
        against: str | None = None,
    ) -> Effect | None:
        """Return the mean of a row, or of what it has more than another.

        Args:
            name: The row.
            when: At equal steps or at equal time.
            value: Of an image.
            group: Of images; None takes all.
            against: Another row, of which the seeds that both have are taken.

        Returns:
            None where nothing can be compared.
        """
        by_seed = []
        for seed in self.common_seeds(name, against or name):
            values = self.values(name, seed, when, value)
            others = (
                self.values(against, seed, when, value) if against else dict.fromkeys(values, 0.0)
            )
            by_seed.append(
                {key: values[key] - others[key] for key in values if group in (None, key[0])}
            )
        if not by_seed or not by_seed[0]:
            return None
        scenes = self.scenes()
        images = list(by_seed[0])
        numbers = np.array([[values[key] for key in images] for values in by_seed])
        (estimate,) = estimate_scene_means(
            numbers.mean(0)[:, None], [scenes[key] for key in images], np.random.default_rng(0)
        )
        assert estimate is not None
        return Effect(estimate, numbers.mean(1).tolist())


GROUPS = ("rain800/val", "val_synth/light", "val_synth/medium", "val_synth/heavy", None)
"""Columns of the tables; None is all images."""
GROUP_NAMES = [group or "all" for group in GROUPS]
WHEN = (AT_EQUAL_STEPS, AT_EQUAL_TIME)


def get_psnr(image: Mapping[str, Any]) -> float | None:
    """Return an image's PSNR, if it has rain."""
    psnr: float | None = image["psnr"]
    return psnr


def score_grade(image: Mapping[str, Any]) -> float | None:
    """Return whether the grade is right, in percent; real pairs are left out."""
    graded = image["grade"] is not None and image["group"].startswith("val_synth/")
    return 100.0 * (image["grade"] == image["truth"]) if graded else None


def report(results: Results, times: Mapping[str, Any]) -> str:
    """Return everything as Markdown."""
    parts = [
        _costs(results, times),
        "Mean PSNR in dB (`restormer-y`), over images and seeds:",
        _scores(results),
        "Effect of each step in dB: [95 % interval over scenes] ± 95 % margin over seeds, which a "
        "single seed does not have; bold where the effect is larger than both:",
        _effects(results),
    ]
    if any(row.sensing and name in results.runs for name, row in ROWS.items()):
        parts += [
            "Images of `val_synth`, dry ones included, whose density is right, in percent:",
            _grades(results),
        ]
    return "\n\n".join(parts)


def _table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [headings, ["---"] * len(headings), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _costs(results: Results, times: Mapping[str, Any]) -> str:
    lines = []
    for name, runs in results.runs.items():
        run = next(iter(runs.values()))
        lines.append(
            [
                ROWS[name].title,
                f"{run['kilo_macs_per_pixel']:.2f}",
                f"{run['parameters']:,}",
                f"{times['milliseconds'][name]['median']:.0f}",
                *[str(run["scored"][when]["step"]) for when in WHEN],
                str(len(runs)),
            ]
        )
    place = times["machine"]
    headings = ["row", "kMAC per pixel", "parameters", "ms per step", *WHEN, "seeds"]
    torch = f"PyTorch {place['versions']['torch']}"
    where = f"Times: {place['cpu']}, one thread, {torch}, load {place['load']}."
    return f"{_table(headings, lines)}\n\n{where}"


def _scores(results: Results) -> str:
    lines = []
    for name in results.runs:
        for when in WHEN:
            means = [results.mean(name, when, get_psnr, group) for group in GROUPS]
            cells = [f"{each.over_scenes.mean:.2f}" if each else "-" for each in means]
            lines.append([ROWS[name].title, when, *cells])
    return _table(["row", "at", *GROUP_NAMES], lines)


def _comparisons(results: Results) -> list[tuple[str, str, str]]:
    return [
        (name, against, when)
        for name in results.runs
        for against in ROWS[name].against
        if results.common_seeds(name, against)
        for when in WHEN
    ]


def _step(name: str, against: str) -> str:
    return f"{ROWS[against].title} → {ROWS[name].title}"


def _effects(results: Results) -> str:
    lines = []
    for name, against, when in _comparisons(results):
        effects = [results.mean(name, when, get_psnr, group, against) for group in GROUPS]
        lines.append(
            [_step(name, against), when, *[each.cell(2, "+") if each else "-" for each in effects]]
        )
    return _table(["step", "at", *GROUP_NAMES], lines)


def _grades(results: Results) -> str:
    lines = []
    for name in (name for name, row in ROWS.items() if row.sensing and name in results.runs):
        for when in WHEN:
            accuracy = results.mean(name, when, score_grade)
            if accuracy is not None:
                lines.append(
                    [ROWS[name].title, when, accuracy.cell(1), *_mistakes(results, name, when)]
                )
    words = []
    for name, against, when in _comparisons(results):
        effect = (
            results.mean(name, when, score_grade, against=against)
            if ROWS[against].sensing
            else None
        )
        if effect is not None:
            words.append(
                f"- {_step(name, against)}, at {when}: {effect.cell(1, '+')}; {effect.verdict}."
            )
    table = _table(
        ["row", "at", "right", "dry called rainy", "rainy called NONE", "two densities off"], lines
    )
    return "\n\n".join([table, *(["\n".join(words)] if words else [])])


def _mistakes(results: Results, name: str, when: str) -> list[str]:
    """Return how many images of `val_synth`, over all seeds, are mistaken in three ways."""
    graded = [
        (RainDensity[image["grade"]], RainDensity[image["truth"]])
        for run in results.runs[name].values()
        for image in run["scored"][when]["images"]
        if score_grade(image) is not None
    ]
    dry = [said for said, truth in graded if truth is RainDensity.NONE]
    rainy = [said for said, truth in graded if truth is not RainDensity.NONE]
    return [
        f"{sum(said is not RainDensity.NONE for said in dry)} of {len(dry)}",
        f"{sum(said is RainDensity.NONE for said in rainy)} of {len(rainy)}",
        f"{sum(abs(said - truth) >= 2 for said, truth in graded)} of {len(graded)}",
    ]
