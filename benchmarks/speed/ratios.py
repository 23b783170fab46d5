"""Comparison of measured ratios to PyTorch with the committed ones.

A ratio is the speed of a task relative to the published network in PyTorch in the same round
(`latency.py`), so that a slow machine changes it little; a busy machine is refused. A task has
changed if the interquartile ranges of its committed and measured ratios do not overlap. Ratios
depend on the kind of machine; on another kind, changes are printed and the exit code stays 0.
"""

import json
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.speed.latency import PUBLISHED
from crdnet.errors import DataError
from crdnet.files import write_whole

RATIOS = Path(__file__).with_name("ratios.json")
MODELS = ("default", "paper")
SIZE = 512
THREADS = 2
# Facts that are equal for two machines of one kind.
_KIND = ("cpu", "architecture", "usable_cores")


class Change(NamedTuple):
    """Ratio of one task, committed and measured."""

    name: str
    verdict: str
    """"slower", "faster", "as before", "new" or "not measured"."""
    text: str


def refuse_if_busy(place: Mapping[str, Any]) -> None:
    """Refuse to measure ratios on a busy machine, which slows PyTorch far more than the engines.

    Raises:
        DataError: The machine is busy.
    """
    if place["busy"]:
        raise DataError(
            f"the machine is busy (load {place['load']} on {place['usable_cores']} cores), which "
            "slows PyTorch far more than the engines, so ratios would mean nothing; measure when "
            "it does nothing else"
        )


def extract_ratios(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a latency report that is committed: ratios and their machine."""
    return {
        "machine": {
            "cpu": report["machine"]["cpu"],
            "architecture": platform.machine(),
            "usable_cores": report["machine"]["usable_cores"],
            "versions": report["machine"]["versions"],
        },
        "size": report["size"],
        "threads": report["threads"],
        "rounds": report["rounds"],
        "ratios": {
            name: {key: round(value, 3) for key, value in ratio.items()}
            for name, ratio in report["ratios"].items()
            if name != PUBLISHED
        },
    }


def find_changes(committed: Mapping[str, Any], measured: Mapping[str, Any]) -> Iterator[Change]:
    """Compare two documents of `extract_ratios`, name by name."""
    before, now = committed["ratios"], measured["ratios"]
    for name in [*before, *(name for name in now if name not in before)]:
        old, new = before.get(name), now.get(name)
        if new is None:
            verdict = "not measured"
        elif old is None:
            verdict = "new"
        elif new["upper_quartile"] < old["lower_quartile"]:
            verdict = "slower"
        elif new["lower_quartile"] > old["upper_quartile"]:
            verdict = "faster"
        else:
            verdict = "as before"
        yield Change(name, verdict, f"{_format(old)} -> {_format(new)}")


def is_same_kind(committed: Mapping[str, Any], measured: Mapping[str, Any]) -> bool:
    """Return whether two documents have the same kind of machine, size and threads."""
    machines = committed["machine"], measured["machine"]
    return all(machines[0][key] == machines[1][key] for key in _KIND) and all(
        committed[key] == measured[key] for key in ("size", "threads")
    )


def read_ratios(path: Path) -> dict[str, Any]:
    """Return the committed document.

    Raises:
        DataError: The file is missing or holds no ratios.
    """
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = document["ratios"], [document["machine"][key] for key in _KIND]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no ratios ({error!r}); write it with --update") from error
    return document


def write_ratios(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document that `read_ratios` reads."""
    write_whole(path, (json.dumps(document, indent=2) + "\n").encode())


def compare(committed: Mapping[str, Any], measured: Mapping[str, Any]) -> int:
    """Print the changes and return the exit code."""
    found = list(find_changes(committed, measured))
    width = max(len(each.name) for each in found)
    print(f"{'times as fast as PyTorch':{width}}  committed -> measured, median [quartiles]")
    for each in found:
        print(f"{each.name:{width}}  {each.text}  {each.verdict}")
    comparable = is_same_kind(committed, measured)
    if not comparable:
        machine = committed["machine"]
        print(
            f"The committed ratios are of another kind of machine ({machine['cpu']}, "
            f"{machine['architecture']}, {machine['usable_cores']} cores, "
            f"{committed['threads']} threads): they may differ here."
        )
    slower = [each.name for each in found if each.verdict == "slower"]
    if slower:
        print(f"Slower by more than the spread: {'; '.join(slower)}")
    return 1 if slower and comparable else 0


def _format(ratio: Mapping[str, float] | None) -> str:
    if ratio is None:
        return "none"
    return f"{ratio['median']:.2f} [{ratio['lower_quartile']:.2f}, {ratio['upper_quartile']:.2f}]"
