"""Measure the speed of the models and the commands, and update docs/performance.md.

    python -m benchmarks.speed.performance latency    against the published network in PyTorch
    python -m benchmarks.speed.performance commands   whole commands, from start to end
    python -m benchmarks.speed.performance compare    ratios to PyTorch against the committed ones
    python -m benchmarks.speed.performance page       everything, written to docs/performance.md
    python -m benchmarks.speed.performance cost       parameters and multiplications, counted

Contract: `latency.py` and `commands.py` define the timed tasks, and `ratios.py` defines a change;
`compare` exits with 1 if a task is slower. `page` measures everything in one run on one machine:
latency (whose ratios are written to ratios.json), `crdnet bench` of the shipped models on all
installed devices, whole commands, and the plot of quality against time. `compare` and `page` refuse
a busy machine; the load is printed with the figures.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.helpers import (
    REPOSITORY,
    file_type,
    json_option,
    model_option,
    report_errors,
    write_between_markers,
)
from benchmarks.speed.commands import format_commands, measure_commands
from benchmarks.speed.latency import format_latency, measure
from benchmarks.speed.plot import draw_plot, list_measured_points, list_quoted_points
from benchmarks.speed.ratios import (
    MODELS,
    RATIOS,
    SIZE,
    THREADS,
    compare,
    extract_ratios,
    read_ratios,
    refuse_if_busy,
    write_ratios,
)
from crdnet import bench
from crdnet.files import write_whole
from crdnet.runtime import count_cpus, find_model, list_installed_devices

if TYPE_CHECKING:
    from torch import nn

DOCUMENT = REPOSITORY / "docs" / "performance.md"
README = REPOSITORY / "README.md"
PLOT = REPOSITORY / "docs" / "images" / "quality_time.svg"
SIZES = (0.25, 2.0, 12.0)


def describe_machine(report: Mapping[str, Any]) -> str:
    """Return the machine and the versions of a report in one line."""
    place = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in place["versions"].items())
    return f"{bench.format_machine(place)}; {versions}."


def format_quartiles(figure: Mapping[str, float], decimals: int) -> str:
    """Return a median and, in brackets, its quartiles."""
    middle, low, high = (
        f"{figure[name]:.{decimals}f}" for name in ("median", "lower_quartile", "upper_quartile")
    )
    return f"{middle} [{low}, {high}]"


def format_latency_part(report: Mapping[str, Any]) -> str:
    """Return the table of times against PyTorch."""
    lines = [
        [name, format_quartiles(timing, 1), format_quartiles(report["ratios"][name], 2)]
        for name, timing in report["timings"].items()
    ]
    headings = ["model, device", "milliseconds", "times as fast as PyTorch"]
    sides = f"{report['size']} x {report['size']} pixels"
    about = f"{sides}, {report['threads']} threads, {report['rounds']} rounds"
    return f"{bench.format_markdown_table(headings, lines)}\n\n{about}. {describe_machine(report)}"


def format_commands_part(report: Mapping[str, Any]) -> str:
    """Return the table of whole commands."""
    lines = [[f"`{name}`", format_quartiles(each, 0)] for name, each in report["commands"].items()]
    table = bench.format_markdown_table(["command", "milliseconds"], lines)
    return f"{table}\n\nMedian of {report['rounds']} runs [quartiles]. {describe_machine(report)}"


def format_readme_part(latency: Mapping[str, Any], commands: Mapping[str, Any]) -> str:
    """Return the sentence of README.md on speed, for the fastest device."""
    ratios = {name: each["median"] for name, each in latency["ratios"].items()}
    name = max(
        (name for name in ratios if name.startswith("default, ") and "network" in name),
        key=ratios.__getitem__,
    )
    *_, command = commands["commands"].values()
    _, device, _ = name.split(", ")
    return (
        f"On {latency['threads']} cores of an {latency['machine']['cpu']}, "
        f"a {SIZE} x {SIZE} image takes "
        f"{command['median'] / 1000:.2f} s from command to file, start-up included, and\n"
        f"{latency['timings'][name]['median']:.0f} ms in the network alone (device `{device}`), "
        f"{ratios[name]:.1f} times as fast as the published network in PyTorch "
        "([performance](docs/performance.md))."
    )


def count_parameters(network: "nn.Module") -> int:
    """Return the number of parameters of a network or a part of it."""
    return sum(each.numel() for each in network.parameters())


@click.group(help=__doc__.splitlines()[0])
def main() -> None: ...


models_option = click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    default=MODELS,
    show_default=True,
    help="Name of a model or path of an .onnx file; may be repeated.",
)
devices_option = click.option(
    "-d", "--device", "devices", multiple=True, help="Device; may be repeated.  [default: all]"
)
rounds_option = click.option(
    "--rounds",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Timed runs of each task in a process.",
)
runs_option = click.option(
    "--runs",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Processes of each task, one after the other.",
)


@main.command("latency")
@models_option
@devices_option
@click.option(
    "--size",
    type=click.IntRange(1),
    default=SIZE,
    show_default=True,
    help="Side of the image in pixels.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=THREADS,
    show_default=True,
    help="CPU threads of each task.",
)
@rounds_option
@runs_option
@json_option
@report_errors()
def latency_command(
    models: tuple[str, ...],
    devices: tuple[str, ...],
    size: int,
    threads: int,
    rounds: int,
    runs: int,
    as_json: bool,
) -> None:
    """Time models on their engines against the published network in PyTorch."""
    report = measure(models, devices or list_installed_devices(), size, threads, rounds, runs)
    print(json.dumps(report, indent=2) if as_json else format_latency(report))


@main.command("commands")
@model_option
@rounds_option
@json_option
@report_errors()
def commands_command(model: str, rounds: int, as_json: bool) -> None:
    """Time whole commands, each in a process of its own."""
    report = measure_commands(model, rounds)
    print(json.dumps(report, indent=2) if as_json else format_commands(report))


@main.command("compare")
@click.option("--update", is_flag=True, help="Write the ratios instead of comparing them.")
@models_option
@devices_option
@click.option("--ratios", type=file_type, default=RATIOS, help="Another committed file.")
@rounds_option
@runs_option
@report_errors()
def compare_command(
    update: bool,
    models: tuple[str, ...],
    devices: tuple[str, ...],
    ratios: Path,
    rounds: int,
    runs: int,
) -> None:
    """Compare the speed with the committed one; exit with 1 if anything is slower."""
    refuse_if_busy(bench.inspect_machine())
    committed = None if update else read_ratios(ratios)
    report = measure(models, devices or list_installed_devices(), SIZE, THREADS, rounds, runs)
    measured = extract_ratios(report)
    print(bench.format_machine(report["machine"]))
    if committed is not None:
        sys.exit(compare(committed, measured))
    write_ratios(ratios, measured)


@main.command("page")
@rounds_option
@runs_option
@click.option(
    "--size",
    "sizes",
    type=click.FloatRange(min=0, min_open=True),
    multiple=True,
    default=SIZES,
    show_default=True,
    help="Megapixels, for `crdnet bench`; may be repeated.",
)
@report_errors()
def page_command(rounds: int, runs: int, sizes: tuple[float, ...]) -> None:
    """Measure everything and write docs/performance.md, its plot, README.md and ratios.json."""
    refuse_if_busy(bench.inspect_machine())
    devices = list_installed_devices()
    click.echo(f"against PyTorch: {', '.join(MODELS)} on {', '.join(devices)}", err=True)
    latency = measure(MODELS, devices, SIZE, THREADS, rounds, runs)
    subjects = [bench.Subject(find_model(model), device) for model in MODELS for device in devices]
    click.echo("against the machine, as crdnet bench", err=True)
    report = bench.measure(subjects, sizes, threads=count_cpus(), rounds=max(1, rounds // 2))
    click.echo("whole commands", err=True)
    commands = measure_commands("default", rounds)
    write_ratios(RATIOS, extract_ratios(latency))
    drawn = draw_plot(list_measured_points(latency), list_quoted_points(latency))
    write_whole(PLOT, drawn.encode())
    write_between_markers(DOCUMENT, "latency", format_latency_part(latency))
    write_between_markers(DOCUMENT, "bench", bench.as_markdown(report).rstrip())
    write_between_markers(DOCUMENT, "startup", format_commands_part(commands))
    write_between_markers(README, "speed", format_readme_part(latency, commands))


@main.command("cost")
def cost_command() -> None:
    """Count parameters and multiplications per pixel of each part of the networks."""
    from crdnet.nn import (  # noqa: PLC0415 - slow to import, and only this needs it
        build_crdnet,
        build_residual_crdnet,
        count_kilo_macs,
    )

    for title, network in (("default", build_residual_crdnet()), ("paper", build_crdnet())):
        macs = count_kilo_macs(network.eval())
        lines = [
            [f"`{part}`", f"{count_parameters(module):,}", f"{macs[part]:.2f}"]
            for part, module in network.named_children()
        ]
        lines.append(["all", f"{count_parameters(network):,}", f"{sum(macs.values()):.2f}"])
        print(f"\n{title}\n")
        print(bench.format_markdown_table(["part", "parameters", "kMAC per pixel"], lines))


if __name__ == "__main__":
    main()
