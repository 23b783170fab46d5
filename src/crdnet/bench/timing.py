"""Timing of calls that take turns, and a description of the machine that ran them."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, ClassVar

import numpy as np

from crdnet.runtime import count_cpus


@dataclass(frozen=True)
class Timing:
    """Summary of the times of one call, in milliseconds."""

    HEADER: ClassVar[str] = f"{'milliseconds':28} {'median':>9} {'quartiles':>19} {'fastest':>9}"

    median: float
    lower_quartile: float
    upper_quartile: float
    fastest: float

    @classmethod
    def from_seconds(cls, seconds: Sequence[float]) -> "Timing":
        """Summarise the times of all rounds."""
        lower, median, upper = np.percentile(np.asarray(seconds) * 1000, [25, 50, 75]).tolist()
        return cls(median, lower, upper, min(seconds) * 1000)

    def to_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return asdict(self)

    def format_row(self, name: str) -> str:
        """Format one line of a table under `HEADER`."""
        quartiles = f"{self.lower_quartile:.1f} to {self.upper_quartile:.1f}"
        return f"{name:28} {self.median:9.1f} {quartiles:>19} {self.fastest:9.1f}"


SETTLE_SECONDS = 0.03
"""Pause before each timed run, in seconds.

Idle threads may spin for a while (those of OpenMP, in PyTorch) and would take CPU time from the
next call.
"""


def time_in_turns(
    calls: Sequence[Callable[[], object]],
    rounds: int,
    warm_up: int,
    on_round: Callable[[], object] = lambda: None,
) -> list[list[float]]:
    """Time several calls in turn, so that a disturbance of the machine affects all alike.

    Args:
        calls: Calls to time.
        rounds: Number of timed rounds.
        warm_up: Number of rounds before those, whose times are thrown away.
        on_round: Called after each round, those of the warm-up included.

    Returns:
        Seconds of each call in each round, so that calls can be compared round by round.
    """
    seconds: list[list[float]] = [[] for _ in calls]
    for round_number in range(warm_up + rounds):
        # Every call once per round, so that a slow minute of the machine slows all of them.
        for call, times in zip(calls, seconds, strict=True):
            sleep(SETTLE_SECONDS)
            began = perf_counter()
            call()
            if round_number >= warm_up:
                times.append(perf_counter() - began)
        on_round()
    return seconds


def inspect_machine() -> dict[str, Any]:
    """Return the properties that times depend on: processor, usable cores, load, versions.

    Call it before the measurement, which is load itself.
    """
    # Windows has no load average.
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    cores = count_cpus()
    return {
        "cpu": _read_cpu_model(),
        "usable_cores": cores,
        "load": "unknown" if load is None else f"{load:.1f}",
        # The load average still contains a measurement that has just ended, which may fill all
        # cores; only more than that is the work of somebody else.
        "busy": load is not None and load > 1.25 * cores,
        "system": platform.platform(),
        "versions": {
            "Python": platform.python_version(),
            **_find_versions("numpy", "onnxruntime", "openvino", "torch", "crdnet"),
        },
    }


def format_machine(machine: Mapping[str, Any]) -> str:
    """Format the result of `inspect_machine` as one line, without versions."""
    warning = ", BUSY WITH OTHER WORK: times and ratios mean little" if machine["busy"] else ""
    cores = machine["usable_cores"]
    return f"{machine['cpu']}, {cores} usable cores, load {machine['load']}{warning}"


def _read_cpu_model() -> str:
    # platform.processor() gives only the architecture on Linux, or nothing.
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def _find_versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            # An extra that is not installed.
            continue
    return found
