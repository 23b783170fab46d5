"""Check of a data set: load every pair once and report contents and problems.

Without the check, training may meet a broken image only after hours, and with swapped halves it
would learn to add rain.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from crdnet.data.detect import apply_layout
from crdnet.data.half_order import AGREEMENT, sample_evenly, vote_rainy
from crdnet.data.loading import LoadedPair, Pair
from crdnet.data.problems import DataProblem, LoadError, ProblemKind
from crdnet.data.scenes import Fingerprint, name_scenes
from crdnet.density import RainDensity, compute_intensity

Progress = Callable[[Sequence[Pair]], Iterable[Pair]]
"""Wrapper that passes the pairs on and may display progress."""


_SHOWN_SIZES = 4


@dataclass
class DataReport:
    """Contents and problems of a data set.

    Attributes:
        root: Folder of the data set.
        layout: Name of its layout, given or recognised.
        pairs: Number of pairs that could be loaded.
        labelled: Number of these with a density in the name of a folder or file.
        densities: Number of pairs of each grade, labelled or else measured.
        intensities: Median intensity of the pairs of each grade, in grey levels of 255.
        scenes: Number of scenes that the clean images show.
        sizes: Number of pairs of each (width, height), the most frequent size first.
        aside: Images that do not belong to the layout.
        other_files: Number of files that are no images by their names.
        problems: Problems in the order of their discovery.
    """

    root: Path
    layout: str
    pairs: int = 0
    labelled: int = 0
    densities: dict[RainDensity, int] = field(default_factory=dict)
    intensities: dict[RainDensity, float] = field(default_factory=dict)
    scenes: int = 0
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    aside: list[str] = field(default_factory=list)
    other_files: int = 0
    problems: list[DataProblem] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """True if there are no problems."""
        return not self.problems

    def as_dict(self) -> dict[str, object]:
        """Return the report as JSON values."""
        return {
            "root": str(self.root),
            "layout": self.layout,
            "healthy": self.healthy,
            "pairs": self.pairs,
            "labelled": self.labelled,
            "densities": {grade.name.lower(): count for grade, count in self.densities.items()},
            "intensities": {
                grade.name.lower(): round(
                    value,
                    2,
                )
                for grade, value in self.intensities.items()
            },
            "scenes": self.scenes,
            "sizes": {f"{width}x{height}": count for (width, height), count in self.sizes.items()},
            "aside": self.aside,
            "other_files": self.other_files,
            "problems": [
                {"path": str(problem.path), "kind": problem.kind.value, "reason": problem.reason}
                for problem in self.problems
            ],
        }

    def as_text(self) -> str:
        """Return the report as text."""
        densities = ", ".join(
            f"{grade.name.lower()} {count} (intensity {self.intensities[grade]:.1f})"
            for grade, count in self.densities.items()
        )
        sizes = [f"{width} x {height}: {count}" for (width, height), count in self.sizes.items()]
        more = len(sizes) - _SHOWN_SIZES
        lines = [
            f"{self.root}: layout {self.layout}",
            f"pairs      {self.pairs}, of {self.scenes} scenes",
            f"density    {densities or '-'}; labelled: {self.labelled} of {self.pairs}",
            f"sizes      {', '.join(sizes[:_SHOWN_SIZES]) or '-'}"
            f"{f', and {more} more' if more > 0 else ''}",
            f"left aside {len(self.aside)} images, {self.other_files} other files",
            f"problems   {len(self.problems) or 'none'}",
            *(f"  {problem.kind.value}: {problem}" for problem in self.problems),
        ]
        # The name of a file may not be valid text; such bytes are shown as escapes.
        return "\n".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")


def check(root: Path | str, layout: str = "auto", *, progress: Progress = iter) -> DataReport:
    """Check every pair of a data set.

    Args:
        root: Folder of the data set, or of one of its splits.
        layout: One of `LAYOUTS`.
        progress: Wrapper of the pairs while they load, such as `rich.progress.track`.

    Raises:
        DataError: The folder does not exist, holds no images, or its layout is not recognised.
    """
    layout, found, listing = apply_layout(Path(root), layout)
    report = DataReport(
        Path(root),
        layout,
        aside=found.aside,
        other_files=listing.other_files,
        problems=list(found.problems),
    )
    # Only measurements are kept, since the images of a whole set do not fit into memory.
    examined: list[_Examined] = []
    # The same sample as in the detection of the order of halves.
    asked = set(sample_evenly(found.pairs))
    for pair in progress(found.pairs):
        try:
            loaded = pair.load()
        except LoadError as error:
            report.problems.append(error.problem)
            continue
        if np.array_equal(loaded.rainy, loaded.clean):
            report.problems.append(_report_identical(pair))
        examined.append(_Examined.from_pair(pair, loaded, ask_order=pair in asked))
    _count_pairs(report, examined)
    report.problems += _find_wrong_order(report.root, examined)
    return report


@dataclass(frozen=True, slots=True)
class _Examined:
    """Measurements of a pair, kept after its images are released."""

    pair: Pair
    size: tuple[int, int]
    density: RainDensity
    intensity: float
    fingerprint: Fingerprint
    vote: int

    @classmethod
    def from_pair(cls, pair: Pair, loaded: LoadedPair, *, ask_order: bool) -> "_Examined":
        height, width = loaded.clean.shape[:2]
        return cls(
            pair,
            (width, height),
            loaded.density,
            compute_intensity(loaded.rainy, loaded.clean),
            Fingerprint.from_image(loaded.clean),
            vote_rainy(loaded.clean, loaded.rainy) if ask_order else 0,
        )


def _count_pairs(report: DataReport, examined: Sequence[_Examined]) -> None:
    report.pairs = len(examined)
    report.labelled = sum(one.pair.density is not None for one in examined)
    report.sizes = dict(Counter(one.size for one in examined).most_common())
    for grade in RainDensity:
        intensities = [one.intensity for one in examined if one.density is grade]
        if intensities:
            report.densities[grade] = len(intensities)
            report.intensities[grade] = median(intensities)
    scenes = name_scenes([one.pair for one in examined], [one.fingerprint for one in examined])
    report.scenes = len(set(scenes.values()))


def _report_identical(pair: Pair) -> DataProblem:
    return DataProblem(
        pair.rainy_path, ProblemKind.IDENTICAL, "is equal to its clean image: there is no rain"
    )


def _find_wrong_order(root: Path, examined: Sequence[_Examined]) -> list[DataProblem]:
    votes = [one.vote for one in examined if one.vote]
    suspects = [one.pair.name for one in examined if one.vote < 0]
    # One vote against several is an error of the vote (1 in 100 in Rain800), not of the set.
    if len(suspects) <= (1 - AGREEMENT) * len(votes) or len(suspects) == 1 < len(votes):
        return []
    reason = (
        f"of {len(votes)} sampled pairs, {len(suspects)} look rainier in the clean image than in "
        f"the rainy one, such as {suspects[0]}; the two may be swapped"
    )
    return [DataProblem(root, ProblemKind.WRONG_ORDER, reason)]
