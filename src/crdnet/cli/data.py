"""`crdnet data`: check a data set, find what sets share, and split a set by scene."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import click
import numpy as np

from crdnet.cli import options
from crdnet.cli.messages import name_flags
from crdnet.cli.progress import track
from crdnet.data import (
    LAYOUTS,
    check,
    count_leaks,
    find_leaks,
    find_pairs,
    format_leaks,
    list_entries,
    split_scenes,
    write_leaks,
    write_list,
)
from crdnet.errors import CRDNetError

EXIT_PROBLEMS = 1
_CHECK_HELP = """\
Check one data set, or find the images that several data sets share.

\b
crdnet data check rain800/train
crdnet data check rain800/train rain800/val --csv shared.csv

One path: load every pair, summarise the set and list its problems. Several paths: find images
that are in two of the sets, as the same file or as the same scene with other rain, another size
or another crop. A path is a data set, a list of pairs, or a folder of images.

Exit codes: 0 no problems; 1 problems or shared images were found.
"""
_SPLIT_HELP = """\
Split the data set at PATH into lists that share no scene.

\b
crdnet data split photos/ -o lists/ --validation 0.2
crdnet train --data.root lists/training.csv --data.validation lists/validation.csv ...
"""
Item = TypeVar("Item")
layout = click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default="auto",
    help="How the pairs are stored; auto: detect it from the names, or from the images if both "
    "halves of a pair are in one file.",
)


@click.group(name="data")
def command() -> None:
    """Check a data set, find images that several sets share, and split a set by scene."""


@command.command(name="check", help=_CHECK_HELP)
@click.argument("paths", nargs=-1, required=True, type=options.PATH)
@layout
@options.as_one_json
@click.option(
    "--csv", "csv_file", type=options.PATH, help="Write the list of shared images to this file."
)
@options.quiet
@click.pass_context
def check_command(
    context: click.Context,
    paths: tuple[Path, ...],
    layout: str,
    as_json: bool,
    csv_file: Path | None,
    quiet: bool,
) -> None:
    try:
        if len(paths) > 1:
            context.exit(_report_leaks(paths, layout, csv_file, as_json=as_json, quiet=quiet))
        if csv_file is not None:
            raise click.UsageError(
                "--csv lists the images that several sets share; name at least two"
            )
        report = check(paths[0], layout, progress=_choose_tracker(quiet=quiet))
    except CRDNetError as error:
        if not as_json:
            raise
        # With --json, print JSON even if there is nothing to report.
        about = {"root": str(paths[0]), "healthy": False, "error": name_flags(str(error))}
        click.echo(json.dumps(about, indent=2))
        context.exit(EXIT_PROBLEMS)
    click.echo(json.dumps(report.as_dict(), indent=2) if as_json else report.as_text())
    context.exit(0 if report.healthy else EXIT_PROBLEMS)


@command.command(name="split", help=_SPLIT_HELP)
@click.argument("path", type=options.PATH)
@click.option(
    "-o",
    "--output",
    type=options.PATH,
    required=True,
    help="Folder for the lists: training.csv, validation.csv and, with --test, test.csv.",
)
@click.option("--validation", type=float, default=0.1, help="Share of the validation list.")
@click.option("--test", type=float, default=0.0, help="Share of the test list.")
@options.seed
@layout
@options.overwrite
@options.quiet
def split_command(
    path: Path,
    output: Path,
    validation: float,
    test: float,
    seed: int,
    layout: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    shares = {"training": 1 - validation - test, "validation": validation, "test": test}
    shares = {name: share for name, share in shares.items() if share}
    files = {name: output / f"{name}.csv" for name in shares}
    existing = [file for file in files.values() if file.exists()]
    if existing and not overwrite:
        raise click.UsageError(f"{existing[0]} exists; add --overwrite to replace it")
    progress = _choose_tracker(quiet=quiet)
    parts = split_scenes(find_pairs(path, layout), shares, np.random.default_rng(seed), progress)
    for name, pairs in parts.items():
        write_list(pairs, files[name])
        click.echo(f"{files[name]}  {len(pairs)} pairs")


def _report_leaks(
    paths: Sequence[Path], layout: str, csv_file: Path | None, *, as_json: bool, quiet: bool
) -> int:
    names = [path.as_posix() for path in paths]
    if len(set(names)) < len(names):
        raise click.UsageError("a path is given twice; name different sets")
    sets = {name: list_entries(path, layout) for name, path in zip(names, paths, strict=True)}
    leaks = find_leaks(sets, _choose_tracker(quiet=quiet))
    if csv_file is not None:
        write_leaks(leaks, csv_file)
    counts = [count_leaks(leaks, sets, pair) for pair in combinations(names, 2)]
    if as_json:
        shared = [asdict(leak) for leak in leaks]
        click.echo(json.dumps({"healthy": not leaks, "sets": counts, "shared": shared}, indent=2))
    else:
        click.echo(format_leaks(counts, leaks))
    return EXIT_PROBLEMS if leaks else 0


def _choose_tracker(*, quiet: bool) -> Callable[[Sequence[Item]], Iterable[Item]]:
    return lambda items: track(items, "images", quiet=quiet)
