"""`crdnet data`: the doctor that looks at a data set before a network is trained on it."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from crdnet.data import LAYOUTS, DataReport, Pair, check
from crdnet.errors import CRDNetError

EXIT_PROBLEMS = 1
_SHOWN_SIZES = 4


@click.group(name="data", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Look at a data set before training on it."""


@command.command(name="check")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default="auto",
    show_default=True,
    help="How the pairs are stored; auto tells by names, and by pictures where halves stand side by side.",
)
@click.option("--json", "as_json", is_flag=True, help="Write the whole report as one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@click.pass_context
def check_command(
    context: click.Context, path: Path, layout: str, as_json: bool, quiet: bool
) -> None:
    """Load every pair below PATH; say what the set holds and name each problem.

    Exit code 0 means healthy, 1 that problems were found.
    """
    try:
        report = check(path, layout, progress=iter if quiet else _with_bar)
    except CRDNetError as error:
        if not as_json:
            raise
        # A script that asked for JSON gets JSON, also where there is nothing to report on.
        click.echo(json.dumps({"root": str(path), "healthy": False, "error": str(error)}, indent=2))
        context.exit(EXIT_PROBLEMS)
    click.echo(json.dumps(report.as_dict(), indent=2) if as_json else _as_text(report))
    context.exit(0 if report.healthy else EXIT_PROBLEMS)


def _with_bar(pairs: Sequence[Pair]) -> Iterable[Pair]:
    if not sys.stderr.isatty():
        return pairs
    from rich.console import Console  # noqa: PLC0415 - only where a bar is drawn
    from rich.progress import track  # noqa: PLC0415

    return track(pairs, description="reading pairs", console=Console(stderr=True), transient=True)


def _as_text(report: DataReport) -> str:
    densities = ", ".join(
        f"{grade.name.lower()} {count} (intensity {report.intensities[grade]:.1f})"
        for grade, count in report.densities.items()
    )
    sizes = [f"{width} x {height}: {count}" for (width, height), count in report.sizes.items()]
    more = len(sizes) - _SHOWN_SIZES
    lines = [
        f"{report.root}: layout {report.layout}",
        f"pairs      {report.pairs}, of {report.scenes} scenes",
        f"density    {densities or '-'}; labelled: {report.labelled} of {report.pairs}",
        f"sizes      {', '.join(sizes[:_SHOWN_SIZES]) or '-'}{f', and {more} more' if more > 0 else ''}",
        f"left aside {len(report.aside)} pictures, {report.other_files} other files",
        f"problems   {len(report.problems) or 'none'}",
        *(f"  {problem.kind.value}: {problem}" for problem in report.problems),
    ]
    # A file's name need not be text; what cannot be printed is shown as an escape.
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")
