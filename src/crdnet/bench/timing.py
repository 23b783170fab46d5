"""Taking turns with a clock, and saying which machine it was."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, ClassVar

import numpy as np

from crdnet.runtime import usable_cpus


@dataclass(frozen=True)
class Timing:
    """How long one thing took, in milliseconds."""

    HEADER: ClassVar[str] = f"{'milliseconds':28} {'median':>9} {'quartiles':>19} {'fastest':>9}"

    median: float
    lower_quartile: float
    upper_quartile: float
    fastest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Timing":
        """Summarise the times of all rounds."""
        lower, median, upper = np.percentile(np.asarray(seconds) * 1000, [25, 50, 75]).tolist()
        return cls(median, lower, upper, min(seconds) * 1000)

    def as_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return asdict(self)

    def row(self, name: str) -> str:
        """Return one line of a table under `HEADER`."""
        quartiles = f"{self.lower_quartile:.1f} to {self.upper_quartile:.1f}"
        return f"{name:28} {self.median:9.1f} {quartiles:>19} {self.fastest:9.1f}"


SETTLE_SECONDS = 0.03
"""Pause before each timed run: worker threads spin for a while when their work is done (OpenMP's, in PyTorch), and
would take their processors from whoever runs next."""


def interleaved(
    calls: Sequence[Callable[[], object]],
    rounds: int,
    warm_up: int,
    on_round: Callable[[], object] = lambda: None,
) -> list[list[float]]:
    """Time several calls in turn, so that whatever disturbs the machine disturbs them alike.

    Args:
        calls: What to time.
        rounds: How often each is timed.
        warm_up: Rounds before those, whose times are thrown away.
        on_round: Called after each round, those of the warm-up included.

    Returns:
        Seconds of each call in each round, so that calls can be compared round by round.
    """
    seconds: list[list[float]] = [[] for _ in calls]
    for round_number in range(warm_up + rounds):
        for call, times in zip(calls, seconds, strict=True):
            sleep(SETTLE_SECONDS)
            began = perf_counter()
            call()
            if round_number >= warm_up:
                times.append(perf_counter() - began)
        on_round()
    return seconds


def machine() -> dict[str, Any]:
    """Return what a time depends on: processor, usable cores, load, versions; to be called before the clock runs."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    cores = usable_cpus()
    return {
        "cpu": _cpu_model(),
        "usable_cores": cores,
        "load": "unknown" if load is None else f"{load:.1f}",
        # One measurement right after another is not taken for somebody else's work.
        "busy": load is not None and load > 1.25 * cores,
        "system": platform.platform(),
        "versions": {
            "Python": platform.python_version(),
            **_versions("numpy", "onnxruntime", "openvino", "torch", "crdnet"),
        },
    }


def told(place: Mapping[str, Any]) -> str:
    """Return in a line what `machine` said of the machine."""
    warning = ", BUSY WITH OTHER WORK: times and ratios mean little" if place["busy"] else ""
    return f"{place['cpu']}, {place['usable_cores']} usable cores, load {place['load']}{warning}"


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
