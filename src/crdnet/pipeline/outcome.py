"""Outcome of one input."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from crdnet.runtime import UNKNOWN, HasReport, SenseReport

STREAM = "-"
"""Name of standard input and output."""

Status = Literal["done", "dry", "skipped", "failed", "planned"]


@dataclass(frozen=True)
class Outcome(HasReport):
    """Outcome of deraining or sensing one input."""

    input: str
    """Name of the input: a path, or - for standard input."""
    output: Path | None = None
    """Path of the output; None is standard output, or no output."""
    status: Status = "done"
    """Status: `dry` means done with the pixels unchanged, because no rain was sensed; `planned`
    occurs in a dry run."""
    reason: str | None = None
    """Reason for which the input was skipped or failed."""
    width: int | None = None
    """Width of the upright image in pixels; None if it was not read."""
    height: int | None = None
    seconds: float | None = None
    engine: str | None = None
    """Engine that ran the network, with version and precision; None if none ran."""
    sensed: SenseReport = UNKNOWN
    """Report on the rain."""
    left_alone: bool = False
    """True if the output equals the input, byte for byte."""
    rain: Path | None = None
    """Path of the image of the rain, if requested."""
    warnings: tuple[str, ...] = ()
    """Messages about content of the input that the output could not keep."""
    error: BaseException | None = field(default=None, compare=False)
    """The exception behind a failure."""
    resumed: bool = False
    """True if the input was skipped because an earlier run finished it."""
    stages: Mapping[str, float] = field(default_factory=dict, repr=False, compare=False)
    """Seconds of each stage: decode, derain, encode."""

    @property
    def source(self) -> Path | None:
        """Path of the input; None is standard input."""
        return None if self.input == STREAM else Path(self.input)

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON values, as `crdnet derain --json` prints them."""
        is_done = self.status in ("done", "dry")
        probabilities = self.probabilities or {}
        return {
            "input": self.input,
            "output": None if self.output is None or self.status == "failed" else str(self.output),
            "rain": None if self.rain is None else str(self.rain),
            "status": self.status,
            "error": str(self.reason) if self.status == "failed" else None,
            "reason": self.reason if self.status == "skipped" else None,
            "width": self.width,
            "height": self.height,
            "seconds": _round(self.seconds, 3),
            "engine": self.engine,
            "density": None if self.density is None else self.density.name.lower(),
            "probabilities": {
                grade.name.lower(): round(share, 4) for grade, share in probabilities.items()
            }
            or None,
            "score": _round(self.score, 4),
            "intensity": _round(self.intensity, 3),
            "scale": self.scale,
            "dry": self.dry if is_done and self.density is not None else None,
            "left_alone": self.left_alone,
            "warnings": list(self.warnings),
        }


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
