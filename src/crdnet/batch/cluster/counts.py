"""Counts of results: of a chunk, and of a job."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MOST_FAILURES = 1000
"""Failures that a tally names; `dead_letters.jsonl` names all."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that failed."""

    uri: str
    error_class: str
    reason: str


@dataclass
class Tally:
    """Counts of results."""

    counts: Counter[str] = field(default_factory=Counter)
    """By status."""
    faults: Counter[str] = field(default_factory=Counter)
    """Failures by class of error."""
    failures: list[Failure] = field(default_factory=list)
    """The first that were counted."""
    earlier: int = 0
    """Inputs that an earlier attempt finished."""
    failed_images: int = 0
    """Images in tar files that were copied as they are."""
    pixels: int = 0
    bytes_read: int = 0
    bytes_written: int = 0

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Count one result."""
        self.counts[row["status"]] += 1
        if row["status"] == "failed":
            self.faults[row["error_class"]] += 1
            self._keep([Failure(row["uri"], row["error_class"], row["error"])])
        if row["failed_images"]:
            self.failed_images += row["failed_images"]
            self._keep([Failure(row["uri"], row["error_class"], row["error"])])
        self.pixels += row["pixels"] or 0
        self.bytes_read += row["bytes_read"] or 0
        self.bytes_written += row["bytes_written"] or 0

    def add(self, other: "Tally") -> None:
        """Count what another tally counted."""
        self.counts += other.counts
        self.faults += other.faults
        self._keep(other.failures)
        self.earlier += other.earlier
        self.failed_images += other.failed_images
        self.pixels += other.pixels
        self.bytes_read += other.bytes_read
        self.bytes_written += other.bytes_written

    def _keep(self, failures: list[Failure]) -> None:
        self.failures += failures[: MOST_FAILURES - len(self.failures)]


@dataclass
class JobReport:
    """State of a job, and its result at the end."""

    inputs: int = 0
    """Inputs of this share that are listed, within the limit."""
    earlier: int = 0
    """Inputs in chunks that earlier runs finished."""
    tally: Tally = field(default_factory=Tally)
    """Counts of this run."""
    seconds: float = 0.0
    left_out: dict[str, int] = field(default_factory=dict)
    """Files that are no inputs, by kind."""
    stopped: str | None = None
    """Reason for which the run stopped early."""

    @property
    def finished(self) -> int:
        """Inputs of this run that have a result."""
        return self.tally.counts.total()

    @property
    def left(self) -> int:
        """Inputs without a result."""
        return max(0, self.inputs - self.earlier - self.tally.earlier - self.finished)

    @property
    def is_complete(self) -> bool:
        """Whether every input has a result that is no failure."""
        return not (self.left or self.tally.counts["failed"] or self.tally.failed_images)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values, as `crdnet batch --json` prints it."""
        tally = self.tally
        return {
            "inputs": self.inputs,
            "earlier": self.earlier + tally.earlier,
            **{name: tally.counts[name] for name in ("done", "dry", "skipped", "failed")},
            "failed_images": tally.failed_images,
            "left": self.left,
            "faults": dict(tally.faults),
            "failures": [asdict(failure) for failure in tally.failures],
            "pixels": tally.pixels,
            "bytes_read": tally.bytes_read,
            "bytes_written": tally.bytes_written,
            "seconds": round(self.seconds, 3),
            "left_out": self.left_out,
            "stopped": self.stopped,
        }
