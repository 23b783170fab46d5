"""Makes docs/performance.md anew: `python benchmarks/performance.py`, or `make performance`.

Contract: one machine, one run of everything: latency.py against the published network in PyTorch (whose ratios become
benchmarks/ratios.json), `crdnet bench` of the shipped models on all installed devices, startup.py, and the plot of
quality against time that follows from them. A machine that is busy is refused; its load is printed with the figures.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from guard import MODELS, RATIOS, SIZE, THREADS, ratios_of, refuse_if_busy, write_ratios
from latency import measure, rounds_option, runs_option
from markers import put_between_markers
from quality_time import measured_points, plot, quoted_points
from startup import CommandError
from startup import measure as measure_startup

from crdnet import CRDNetError, bench
from crdnet.files import write_whole
from crdnet.runtime import find_model, installed_devices, usable_cpus

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENT = REPOSITORY / "docs" / "performance.md"
README = REPOSITORY / "README.md"
PLOT = REPOSITORY / "docs" / "images" / "quality_time.svg"
SIZES = (0.25, 2.0, 12.0)


def machine_line(report: Mapping[str, Any]) -> str:
    """Return where a report was measured, in a line."""
    place = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in place["versions"].items())
    return f"{bench.told(place)}; {versions}."


def latency_part(report: Mapping[str, Any]) -> str:
    """Return the table of latency.py."""
    lines = []
    for name, timing in report["timings"].items():
        ratio = report["ratios"][name]
        lines.append(
            [
                name,
                f"{timing['median']:.1f} [{timing['lower_quartile']:.1f}, {timing['upper_quartile']:.1f}]",
                f"{ratio['median']:.2f} [{ratio['lower_quartile']:.2f}, {ratio['upper_quartile']:.2f}]",
            ]
        )
    headings = ["model, device", "milliseconds", "times as fast as PyTorch"]
    about = f"{report['size']} x {report['size']} pixels, {report['threads']} threads, {report['rounds']} rounds"
    return f"{bench.markdown_table(headings, lines)}\n\n{about}. {machine_line(report)}"


def startup_part(report: Mapping[str, Any]) -> str:
    """Return the table of startup.py."""
    lines = [
        [
            f"`{name}`",
            f"{each['median']:.0f} [{each['lower_quartile']:.0f}, {each['upper_quartile']:.0f}]",
        ]
        for name, each in report["commands"].items()
    ]
    table = bench.markdown_table(["command", "milliseconds"], lines)
    return f"{table}\n\nMedian of {report['rounds']} runs [quartiles]. {machine_line(report)}"


def readme_part(latency: Mapping[str, Any], startup: Mapping[str, Any]) -> str:
    """Return what README.md says of speed, of the fastest device."""
    ratios = {name: each["median"] for name, each in latency["ratios"].items()}
    name = max(
        (name for name in ratios if name.startswith("default, ") and "network" in name),
        key=ratios.__getitem__,
    )
    *_, command = startup["commands"].values()
    _, device, _ = name.split(", ")
    return (
        f"On {latency['threads']} cores of an {latency['machine']['cpu']}, a {SIZE} x {SIZE} image takes "
        f"{command['median'] / 1000:.2f} s from command to file, start-up included, and\n"
        f"{latency['timings'][name]['median']:.0f} ms in the network alone (device `{device}`), "
        f"{ratios[name]:.1f} times as fast as the published network in PyTorch ([performance](docs/performance.md))."
    )


@click.command()
@rounds_option
@runs_option
@click.option(
    "--size",
    "sizes",
    type=click.FloatRange(min=0, min_open=True),
    multiple=True,
    default=SIZES,
    show_default=True,
    help="Megapixels, for `crdnet bench`; may be given several times.",
)
def main(rounds: int, runs: int, sizes: tuple[float, ...]) -> None:
    """Measure everything, and write docs/performance.md, its plot, README.md's sentence and benchmarks/ratios.json."""
    try:
        refuse_if_busy(bench.machine())
        devices = installed_devices()
        click.echo(f"against PyTorch: {', '.join(MODELS)} on {', '.join(devices)}", err=True)
        latency = measure(MODELS, devices, SIZE, THREADS, rounds, runs)
        subjects = [
            bench.Subject(find_model(model), device) for model in MODELS for device in devices
        ]
        click.echo("against the machine: as crdnet bench", err=True)
        report = bench.measure(subjects, sizes, threads=usable_cpus(), rounds=max(1, rounds // 2))
        click.echo("whole commands", err=True)
        startup = measure_startup("default", rounds)
        write_ratios(RATIOS, ratios_of(latency))
        write_whole(PLOT, plot(measured_points(latency), quoted_points(latency)).encode())
        put_between_markers(DOCUMENT, "latency", latency_part(latency))
        put_between_markers(DOCUMENT, "bench", bench.as_markdown(report).rstrip())
        put_between_markers(DOCUMENT, "startup", startup_part(startup))
        put_between_markers(README, "speed", readme_part(latency, startup))
    except (CRDNetError, CommandError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
