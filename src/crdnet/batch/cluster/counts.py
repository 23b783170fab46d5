"""Counts of the results of a chunk or a cluster job."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MOST_FAILURES = 1000
"""Maximum number of failures in a tally; `dead_letters.jsonl` holds all."""


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
    """Number of results by status."""
    faults: Counter[str] = field(default_factory=Counter)
    """Number of failures by class of error."""
    failures: list[Failure] = field(default_factory=list)
    """The first failures, at most `MOST_FAILURES`."""
    earlier: int = 0
    """Number of inputs that an earlier attempt finished."""
    failed_images: int = 0
    """Number of images in tar files that were copied because deraining failed."""
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
        """Add the counts of another tally."""
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
    """State of a cluster job while it runs, and its result at the end."""

    inputs: int = 0
    """Number of listed inputs of this share, within the limit."""
    earlier: int = 0
    """Number of inputs in chunks that earlier runs finished."""
    tally: Tally = field(default_factory=Tally)
    """Counts of this run."""
    seconds: float = 0.0
    left_out: dict[str, int] = field(default_factory=dict)
    """Number of files that are not inputs, by kind."""
    stopped: str | None = None
    """Reason for which the run stopped early; None if it did not."""

    @property
    def finished(self) -> int:
        """Number of inputs of this run that have a result."""
        return self.tally.counts.total()

    @property
    def left(self) -> int:
        """Number of inputs without a result."""
        return max(0, self.inputs - self.earlier - self.tally.earlier - self.finished)

    @property
    def is_complete(self) -> bool:
        """True if every input has a result and none failed."""
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
