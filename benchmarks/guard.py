"""Is anything slower than it was? Ratios against PyTorch in the same run, compared with those that are committed.

    python benchmarks/guard.py               measure and compare: exit code 1 if anything is slower
    python benchmarks/guard.py --update      measure and write benchmarks/ratios.json

Contract: what is timed, and how, is told in latency.py; a ratio says how many times as fast as the published network in
PyTorch something is in the same round, so that a slow machine changes it little; a busy one is refused. Something has
moved if the quartiles of its ratios, committed and measured, have no number in common: that is more than its spread.
Ratios depend on the kind of machine; on another kind than that of the file what has moved is told, and the exit code
stays 0.
"""

import json
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
from latency import PUBLISHED, measure, rounds_option, runs_option

from crdnet import CRDNetError
from crdnet.bench import machine, told
from crdnet.errors import DataError
from crdnet.files import write_whole
from crdnet.runtime import installed_devices

RATIOS = Path(__file__).with_name("ratios.json")
MODELS = ("default", "paper")
SIZE = 512
THREADS = 2
_KIND = ("cpu", "architecture", "usable_cores")
"""What makes two machines of one kind."""


class Change(NamedTuple):
    """One thing, committed and measured."""

    name: str
    verdict: str
    """"slower", "faster", "as before", "new" or "not measured"."""
    told: str


def refuse_if_busy(place: Mapping[str, Any]) -> None:
    """Refuse to measure ratios while somebody else computes: PyTorch's threads wait for each other, ours much less.

    Raises:
        DataError: The machine is busy.
    """
    if place["busy"]:
        raise DataError(
            f"the machine is busy (load {place['load']} on {place['usable_cores']} cores), which slows PyTorch down "
            "far more than us, so ratios would mean nothing; measure when it does nothing else"
        )


def ratios_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is committed of a report of latency.py: ratios, and the machine that they are of."""
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


def changes(committed: Mapping[str, Any], measured: Mapping[str, Any]) -> Iterator[Change]:
    """Compare two documents of `ratios_of`, name by name."""
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
        yield Change(name, verdict, f"{_told(old)} -> {_told(new)}")


def same_kind(committed: Mapping[str, Any], measured: Mapping[str, Any]) -> bool:
    """Tell whether two documents are of one kind of machine, and of the same size and threads."""
    machines = committed["machine"], measured["machine"]
    return all(machines[0][key] == machines[1][key] for key in _KIND) and all(
        committed[key] == measured[key] for key in ("size", "threads")
    )


def read_ratios(path: Path) -> dict[str, Any]:
    """Return the committed document.

    Raises:
        DataError: It is not there, or not such a document.
    """
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = document["ratios"], [document["machine"][key] for key in _KIND]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no ratios ({error!r}); make it with --update") from error
    return document


def write_ratios(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document that `read_ratios` reads."""
    write_whole(path, (json.dumps(document, indent=2) + "\n").encode())


def compare(committed: Mapping[str, Any], measured: Mapping[str, Any]) -> int:
    """Print what has moved, and return the exit code."""
    found = list(changes(committed, measured))
    width = max(len(each.name) for each in found)
    print(f"{'times as fast as PyTorch':{width}}  committed -> measured, median [quartiles]")
    for each in found:
        print(f"{each.name:{width}}  {each.told}  {each.verdict}")
    comparable = same_kind(committed, measured)
    if not comparable:
        machine = committed["machine"]
        print(
            f"The committed ratios are of another kind of machine ({machine['cpu']}, {machine['architecture']}, "
            f"{machine['usable_cores']} cores, {committed['threads']} threads): they may differ here."
        )
    slower = [each.name for each in found if each.verdict == "slower"]
    if slower:
        print(f"Slower by more than the spread: {'; '.join(slower)}")
    return 1 if slower and comparable else 0


def _told(ratio: Mapping[str, float] | None) -> str:
    if ratio is None:
        return "none"
    return f"{ratio['median']:.2f} [{ratio['lower_quartile']:.2f}, {ratio['upper_quartile']:.2f}]"


@click.command()
@click.option("--update", is_flag=True, help="Write the ratios in place of comparing them.")
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    default=MODELS,
    show_default=True,
    help="May be given several times.",
)
@click.option("-d", "--device", "devices", multiple=True, help="All installed, if not given.")
@click.option(
    "--ratios",
    type=click.Path(path_type=Path, dir_okay=False),
    default=RATIOS,
    help="The committed file.  [default: benchmarks/ratios.json]",
)
@rounds_option
@runs_option
def main(
    update: bool,
    models: tuple[str, ...],
    devices: tuple[str, ...],
    ratios: Path,
    rounds: int,
    runs: int,
) -> None:
    """Compare how fast crdnet is with how fast it was."""
    try:
        refuse_if_busy(machine())
        committed = None if update else read_ratios(ratios)
        report = measure(models, devices or installed_devices(), SIZE, THREADS, rounds, runs)
        measured = ratios_of(report)
        print(told(report["machine"]))
        if committed is not None:
            sys.exit(compare(committed, measured))
        write_ratios(ratios, measured)
    except CRDNetError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
