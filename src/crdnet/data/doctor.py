"""The doctor: reads a whole data set and says what it holds and what is wrong with it.

Training meets a broken picture hours in, and never meets pictures whose halves are the wrong way
round: it just learns to make rain. Every pair is loaded here, once.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from crdnet.data.detect import find
from crdnet.data.order import AGREEMENT, rain_vote, spread_sample
from crdnet.data.pairs import LoadedPair, Pair
from crdnet.data.problems import DataProblem, PictureError, ProblemKind
from crdnet.data.scenes import Fingerprint, scenes_of
from crdnet.density import RainDensity, rain_strength

Progress = Callable[[Sequence[Pair]], Iterable[Pair]]
"""Hands the pairs on and may show how far it is."""


@dataclass
class DataReport:
    """What a data set holds and what is wrong with it.

    Attributes:
        root: The folder that was looked at.
        layout: Name of its layout, as given or recognised.
        pairs: How many pairs could be loaded.
        labelled: How many of these carry a density in a folder's or a file's name.
        densities: Pairs of each grade, as labelled or, where there is no label, as measured.
        strengths: Median strength of the rain of each grade's pairs, in grey levels of 255.
        scenes: How many scenes the clean pictures show.
        sizes: Pairs of each (width, height), the most frequent first.
        aside: Pictures that the layout has no place for.
        other_files: How many files are no pictures by their names.
        problems: What is wrong, in the order in which it was met.
    """

    root: Path
    layout: str
    pairs: int = 0
    labelled: int = 0
    densities: dict[RainDensity, int] = field(default_factory=dict)
    strengths: dict[RainDensity, float] = field(default_factory=dict)
    scenes: int = 0
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    aside: list[str] = field(default_factory=list)
    other_files: int = 0
    problems: list[DataProblem] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def as_dict(self) -> dict[str, object]:
        """Return the report as values that JSON can hold."""
        return {
            "root": str(self.root),
            "layout": self.layout,
            "healthy": self.healthy,
            "pairs": self.pairs,
            "labelled": self.labelled,
            "densities": {grade.name.lower(): count for grade, count in self.densities.items()},
            "strengths": {grade.name.lower(): round(value, 2) for grade, value in self.strengths.items()},
            "scenes": self.scenes,
            "sizes": {f"{width}x{height}": count for (width, height), count in self.sizes.items()},
            "aside": self.aside,
            "other_files": self.other_files,
            "problems": [
                {"path": str(problem.path), "kind": problem.kind.value, "reason": problem.reason}
                for problem in self.problems
            ],
        }


def check(root: Path | str, layout: str = "auto", *, progress: Progress = iter) -> DataReport:
    """Look at every pair of a data set.

    Args:
        root: The folder of the data set, or of one of its splits.
        layout: One of `LAYOUTS`.
        progress: Wraps the pairs while they are loaded, as `rich.progress.track` does.

    Raises:
        DataError: There is nothing to look at: no such folder, no pictures, no layout that can be
            told.
    """
    layout, found, listing = find(Path(root), layout)
    report = DataReport(
        Path(root), layout, aside=found.aside, other_files=listing.other_files, problems=list(found.problems)
    )
    examined: list[_Examined] = []
    asked = set(spread_sample(found.pairs))
    for pair in progress(found.pairs):
        try:
            loaded = pair.load()
        except PictureError as error:
            report.problems.append(error.problem)
            continue
        if np.array_equal(loaded.rainy, loaded.clean):
            report.problems.append(_identical(pair))
        examined.append(_Examined.of(pair, loaded, ask_order=pair in asked))
    _count(report, examined)
    report.problems += _wrong_order(report.root, examined)
    return report


@dataclass(frozen=True, slots=True)
class _Examined:
    """What stays of a pair once its pictures are put away."""

    pair: Pair
    size: tuple[int, int]
    density: RainDensity
    strength: float
    fingerprint: Fingerprint
    vote: int

    @classmethod
    def of(cls, pair: Pair, loaded: LoadedPair, *, ask_order: bool) -> "_Examined":
        height, width = loaded.clean.shape[:2]
        return cls(
            pair,
            (width, height),
            loaded.density,
            rain_strength(loaded.rainy, loaded.clean),
            Fingerprint.of(loaded.clean),
            rain_vote(loaded.clean, loaded.rainy) if ask_order else 0,
        )


def _count(report: DataReport, examined: Sequence[_Examined]) -> None:
    report.pairs = len(examined)
    report.labelled = sum(one.pair.density is not None for one in examined)
    report.sizes = dict(Counter(one.size for one in examined).most_common())
    for grade in RainDensity:
        strengths = [one.strength for one in examined if one.density is grade]
        if strengths:
            report.densities[grade] = len(strengths)
            report.strengths[grade] = median(strengths)
    scenes = scenes_of([one.pair for one in examined], [one.fingerprint for one in examined])
    report.scenes = len(set(scenes.values()))


def _identical(pair: Pair) -> DataProblem:
    return DataProblem(
        pair.rainy_path, ProblemKind.IDENTICAL, "is equal to its clean picture: there is no rain"
    )


def _wrong_order(root: Path, examined: Sequence[_Examined]) -> list[DataProblem]:
    votes = [one.vote for one in examined if one.vote]
    suspects = [one.pair.name for one in examined if one.vote < 0]
    # One voice among several is a picture's mistake (1 in 100 of Rain800's is), not a set's.
    if len(suspects) <= (1 - AGREEMENT) * len(votes) or len(suspects) == 1 < len(votes):
        return []
    reason = (
        f"of {len(votes)} sampled pairs, {len(suspects)} look rainier in the clean picture than in the "
        f"rainy one, such as {suspects[0]}; the two may be swapped"
    )
    return [DataProblem(root, ProblemKind.WRONG_ORDER, reason)]
