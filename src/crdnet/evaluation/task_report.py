"""Report on a task before and after deraining: changes with intervals, a verdict, several forms.

The intervals are percentile intervals of the paired difference: images are drawn with replacement,
and both results are computed on the same draw.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crdnet._version import __version__

FORMAT = "crdnet-task/1"
RESAMPLES = 1000
"""Number of draws of images; each draw computes the average precision of every class."""
ENOUGH_IMAGES = 30
"""Number of images from which a percentile interval has about its nominal coverage."""
_COVERAGE = 0.95


class Verdict(Enum):
    """Answer to the question whether deraining helps."""

    HELPS = "helps"
    NONE = "no measurable difference"
    HURTS = "hurts"


@dataclass(frozen=True)
class Change:
    """A quantity in [0, 1] before and after deraining.

    Attributes:
        name: Name of the quantity.
        before: Value without deraining; None if no box or word of the truth counts for it.
        after: Value with deraining.
        low: Lower end of the 95% interval of the difference; None if fewer than two images have
            such boxes or words.
        high: Upper end of the interval.
        clean: Value without rain, if known.
        truths: Number of boxes or words of the truth that count for the quantity.
    """

    name: str
    before: float | None
    after: float | None
    low: float | None
    high: float | None
    clean: float | None
    truths: int

    @property
    def difference(self) -> float | None:
        """After minus before."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def verdict(self) -> Verdict:
        """Verdict from the interval of the difference: whether and on which side it excludes 0."""
        if self.low is not None and self.low > 0:
            return Verdict.HELPS
        return Verdict.HURTS if self.high is not None and self.high < 0 else Verdict.NONE

    @property
    def recovered(self) -> float | None:
        """Share of the loss by rain that deraining recovers; None without a loss."""
        if self.clean is None or self.before is None or self.after is None:
            return None
        lost = self.clean - self.before
        return (self.after - self.before) / lost if lost > 0 else None


@dataclass(frozen=True)
class Item:
    """A box or a word of the truth.

    Attributes:
        label: Class of the box, or the word.
        box: Left, top, width and height in pixels; None for a word.
    """

    label: str
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class ImageChange:
    """Boxes or words of the truth of an image, sorted by whether they were found.

    Attributes:
        name: Name of the image.
        size: Width and height in pixels; None if unknown.
        found: Items found only after deraining.
        lost: Items found only before deraining.
        kept: Items found both before and after.
        missed: Items found neither before nor after.
    """

    name: str
    size: tuple[int, int] | None
    found: Sequence[Item] = ()
    lost: Sequence[Item] = ()
    kept: Sequence[Item] = ()
    missed: Sequence[Item] = ()


@dataclass(frozen=True)
class TaskReport:
    """Results of a task before and after deraining.

    Attributes:
        changes: Quantities over all classes; the first decides the verdict.
        classes: The first quantity for each class.
        images: Items found or lost in each image.
        notes: Notes for the interpretation of the figures, one sentence each.
        about: Facts about the evaluation.
    """

    changes: Sequence[Change]
    classes: Sequence[Change]
    images: Sequence[ImageChange]
    notes: Sequence[str] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """Verdict on whether deraining helps, from the first quantity."""
        return self.changes[0].verdict

    def describe_verdict(self) -> str:
        """Return the verdict as a sentence."""
        main = self.changes[0]
        subject = {
            Verdict.HELPS: "Deraining helps",
            Verdict.NONE: "No measurable difference",
            Verdict.HURTS: "Deraining hurts",
        }[self.verdict]
        if main.before is None or main.after is None:
            return f"{subject}: the truth holds nothing to find."
        span = (
            "no interval, since it takes two images of the truth"
            if main.low is None or main.high is None
            else f"95% interval {100 * main.low:+.1f} to {100 * main.high:+.1f}"
        )
        return (
            f"{subject}: {main.name} goes from {100 * main.before:.1f} to {100 * main.after:.1f}, "
            f"by {100 * (main.after - main.before):+.1f} ({span}; {len(self.images)} images)."
        )

    def as_text(self) -> str:
        """Return the tables and the verdict."""
        shown = build_change_table(self.changes)
        if self.classes:
            # The headings of both tables are the same; the widths have to be too.
            shown += [["", *[""] * (len(shown[0]) - 1)], *build_change_table(self.classes)[1:]]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if index == 0 else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in shown
        ]
        return "\n".join([*lines, "", self.describe_verdict()]) + "\n"

    def as_json(self) -> str:
        """Return everything as JSON."""
        document = {
            "format": FORMAT,
            "crdnet": __version__,
            "about": dict(self.about),
            "verdict": self.verdict.value,
            "sentence": self.describe_verdict(),
            "changes": [_convert(change) for change in self.changes],
            "classes": [_convert(change) for change in self.classes],
            "images": [asdict(image) for image in self.images],
            "notes": list(self.notes),
        }
        return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def as_html(self, folders: Sequence[Path] = ()) -> str:
        """Return a self-contained page with the boxes or words that were found or lost.

        Args:
            folders: Folders of the images to draw boxes on: one, or those before and after.
        """
        from crdnet.evaluation.task_page import format_task_page  # noqa: PLC0415 - imports this

        return format_task_page(self, folders)


def draw_weights(images: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the count of each image per draw (1 + draws, images); the first row is all ones."""
    chances = np.full(images, 1 / images)
    drawn = rng.multinomial(images, chances, size=RESAMPLES if images > 1 else 0)
    return np.concatenate([np.ones((1, images)), drawn])


def note_few(weights: npt.NDArray[np.float64]) -> list[str]:
    """Return a note if there are too few images for the interval to be trusted."""
    images = weights.shape[1]
    if images >= ENOUGH_IMAGES:
        return []
    return [
        f"{images} images are few: intervals from fewer than {ENOUGH_IMAGES} images are too narrow"
    ]


def measure_change(
    name: str,
    before: npt.NDArray[np.float64],
    after: npt.NDArray[np.float64],
    clean: npt.NDArray[np.float64] | None = None,
    *,
    truths: int,
) -> Change:
    """Measure the change of a quantity.

    Args:
        name: Name of the quantity.
        before: Values (1 + draws,) for the rows of `draw_weights`; NaN where it is undefined.
        after: The same after deraining.
        clean: The same without rain.
        truths: Number of boxes or words in the truth that count for it.
    """
    drawn = (after - before)[1:]
    drawn = drawn[~np.isnan(drawn)]
    tail = (1 - _COVERAGE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail]) if len(drawn) else (np.nan, np.nan)
    return Change(
        name,
        before=_as_known(before[0]),
        after=_as_known(after[0]),
        low=_as_known(low),
        high=_as_known(high),
        clean=None if clean is None else _as_known(clean[0]),
        truths=truths,
    )


def _as_known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def build_change_table(changes: Sequence[Change]) -> list[list[str]]:
    """Return the headings and a line for each change, in percent."""
    has_clean = any(change.clean is not None for change in changes)
    table = [["", "truth", *["clean"] * has_clean, "before", "after", "difference", "95% interval"]]
    for change in changes:
        span = (
            "-"
            if change.low is None or change.high is None
            else f"{100 * change.low:+.1f} to {100 * change.high:+.1f}"
        )
        table.append(
            [
                change.name,
                str(change.truths),
                *[_show(change.clean)] * has_clean,
                _show(change.before),
                _show(change.after),
                _show(change.difference, "+"),
                span,
            ]
        )
    return table


def _show(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{100 * value:{sign}.1f}"


def _convert(change: Change) -> dict[str, Any]:
    return {
        **asdict(change),
        "difference": change.difference,
        "recovered": change.recovered,
        "verdict": change.verdict.value,
    }
