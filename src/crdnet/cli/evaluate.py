"""`crdnet evaluate`: score a model, or pictures made by any method, under named protocols."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
from click.core import ParameterSource

from crdnet.cli import options
from crdnet.cli.progress import progress
from crdnet.data import LAYOUTS, DataProblem, Pair, find_pairs
from crdnet.evaluation import (
    Derain,
    Failure,
    Frame,
    ImageFolder,
    Row,
    assign_seen_scenes,
    build_table,
    evaluate,
    format_csv,
    format_json,
    format_markdown,
    format_text,
    make_model_cases,
    make_saved_cases,
    make_saved_pair_cases,
    refuse_existing,
    summarise,
    write_text,
)
from crdnet.metrics import PROTOCOLS

_MOST_JOBS_UNASKED = 4
"""Pictures in memory at a time, unless -j says otherwise."""
_HELP = """\
Score a model on a data set, or pictures that any method has saved.

\b
crdnet evaluate --data rain800/val
crdnet evaluate --data rain800/val --protocol restormer-y --protocol crdnet --csv scores.csv
crdnet evaluate --data rain800/val --results theirs/
crdnet evaluate --target gt/ --rainy input/ --results theirs/
crdnet evaluate --clip street.mp4 --clip garden/ --save looks/

Prints mean PSNR and SSIM, before and after, with 95% intervals over scenes, for all pictures and for each
density of rain. Pictures that cannot be scored are named, and the exit code is then 1.

--clip scores real rain: frames of a static camera (a video, or a folder of images) against their temporal
median. Prints the contrast of the streaks in grey levels, the share of it that is left (1 untouched, 0 gone), the
change where nothing rains, and how many frames came back unchanged.
"""
_FOLDER = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)


def _tile_side(ctx: click.Context, param: click.Parameter, value: str) -> int | Literal["auto"]:
    """Turn the text of --tile into what a Derainer takes."""
    if value == "auto":
        return "auto"
    if not (value.isascii() and value.isdecimal()):
        rule = "is neither 'auto', nor 0 (whole pictures), nor a side in pixels"
        raise click.BadParameter(f"{value!r} {rule}", ctx=ctx, param=param)
    return int(value)


@click.command(
    help=_HELP, short_help="Score a model, or pictures made by any method, under a named protocol."
)
@click.option(
    "--data", type=_FOLDER, help="Data set to score on; `crdnet data check` looks at one."
)
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default="auto",
    show_default=True,
    help="How it is laid out.",
)
@click.option(
    "-m", "--model", default="default", show_default=True, help="Name of a model, or an .onnx file."
)
@click.option(
    "--results", type=_FOLDER, help="Score these saved pictures instead of running a model."
)
@click.option(
    "--clip",
    "clips",
    type=_FOLDER,
    multiple=True,
    help="Clip of a static camera; may be given several times.",
)
@click.option("--target", type=_FOLDER, help="Ground truth of --results, matched by name.")
@click.option("--rainy", type=_FOLDER, help="Input of --results, to be scored beside them.")
@click.option(
    "--protocol",
    "protocols",
    type=click.Choice(list(PROTOCOLS)),
    multiple=True,
    default=("restormer-y",),
    show_default=True,
    help="How to compare; may be given several times.",
)
@click.option("-o", "--output", type=_FILE, help="Write everything as JSON to this file.")
@click.option(
    "--csv", "csv_file", type=_FILE, help="Write the scores of every picture to this file."
)
@click.option("--markdown", "markdown_file", type=_FILE, help="Write the table to this file.")
@click.option("--save", type=_FOLDER, help="Save the derained pictures in this folder, as PNG.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option(
    "--json", "print_json", is_flag=True, help="Print everything as JSON instead of a table."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="For the intervals."
)
@options.device
@click.option(
    "--tile",
    callback=_tile_side,
    default="auto",
    show_default=True,
    metavar="auto|0|N",
    help="Side of a tile in pixels; 0 takes pictures whole.",
)
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Pictures worked on at a time.")
@click.option("-q", "--quiet", is_flag=True, help="Draw no progress bar.")
@click.option(
    "-v", "--verbose", is_flag=True, expose_value=False, help="Show where an error came from."
)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    data: Path | None,
    layout: str,
    model: str,
    results: Path | None,
    clips: tuple[Path, ...],
    target: Path | None,
    rainy: Path | None,
    protocols: tuple[str, ...],
    output: Path | None,
    csv_file: Path | None,
    markdown_file: Path | None,
    save: Path | None,
    overwrite: bool,
    print_json: bool,
    seed: int,
    device: str,
    tile: int | Literal["auto"],
    jobs: int | None,
    quiet: bool,
) -> int:
    """Score cases, write the reports, print the table."""
    reports = [path for path in (output, csv_file, markdown_file) if path is not None]
    _check_usage(ctx, reports)
    if clips:
        from crdnet.cli.clips import evaluate_clips  # noqa: PLC0415

        return evaluate_clips(
            clips,
            _opened_derainer(model, device, tile),
            seed=seed,
            save=save,
            output=output,
            overwrite=overwrite,
            print_json=print_json,
            quiet=quiet,
            about={"model": model, "seed": seed},
        )
    jobs = jobs or _default_jobs()
    folder = ImageFolder(save) if save is not None else None
    pairs, failures = _pairs(data, layout) if data is not None else ([], [])
    if results is None:
        derain = _opened_model(model, device, tile, jobs)
        cases = make_model_cases(pairs, derain, folder.save if folder else None)
    elif target is not None:
        cases, failures = make_saved_cases(results, target, rainy)
    else:
        cases, unmatched = make_saved_pair_cases(pairs, results)
        failures += unmatched
    if not overwrite:
        refuse_existing(
            [*reports, *(folder.locate_all(case.pair.name for case in cases) if folder else [])]
        )

    with progress(len(cases), "pictures", quiet=quiet) as advance:
        evaluation = assign_seen_scenes(
            evaluate(cases, protocols, jobs=jobs, on_done=advance), cases
        )
    evaluation = replace(evaluation, failures=(*failures, *evaluation.failures))
    rows = summarise(evaluation, np.random.default_rng(seed))

    about = _about(ctx)
    if output is not None:
        write_text(output, format_json(evaluation, rows, about))
    if csv_file is not None:
        write_text(csv_file, format_csv(evaluation))
    if markdown_file is not None:
        write_text(markdown_file, format_markdown(rows, about))
    if print_json:
        click.echo(format_json(evaluation, rows, about), nl=False)
    elif rows:
        _print_table(rows)
    for failure in evaluation.failures:
        click.echo(f"Error: {failure.message}", err=True)
    return 1 if evaluation.failures else 0


def _check_usage(ctx: click.Context, reports: Sequence[Path]) -> None:
    given = {
        name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    if "clips" in given:
        _check_clip_usage(given)
        return
    if "results" not in given and "data" not in given:
        raise click.UsageError(
            "nothing to score: name a data set with --data, images with --results or a clip with --clip"
        )
    if "results" in given and ("data" in given) == ("target" in given):
        raise click.UsageError("--results needs its ground truth: either --target or --data")
    for name, partner in (("target", "results"), ("rainy", "target"), ("layout", "data")):
        if name in given and partner not in given:
            raise click.UsageError(f"--{name} goes with --{partner}")
    for name in ("model", "save", "device", "tile"):
        if name in given and "results" in given:
            raise click.UsageError(
                f"--{name} is for running a model, --results for pictures that are there"
            )
    if len({path.absolute() for path in reports}) < len(reports):
        raise click.UsageError("two reports cannot share a file")


def _check_clip_usage(given: set[str]) -> None:
    for name in (
        "data",
        "layout",
        "results",
        "target",
        "rainy",
        "protocols",
        "csv_file",
        "markdown_file",
        "jobs",
    ):
        if name in given:
            flag = {"protocols": "protocol", "csv_file": "csv", "markdown_file": "markdown"}.get(
                name, name
            )
            raise click.UsageError(f"--{flag} is for pairs of images and does not go with --clip")


def _pairs(data: Path, layout: str) -> tuple[list[Pair], list[Failure]]:
    problems: list[DataProblem] = []
    pairs = find_pairs(data, layout, problems=problems)
    return pairs, [Failure(str(problem.path), str(problem)) for problem in problems]


def _default_jobs() -> int:
    from crdnet.runtime import usable_cpus  # noqa: PLC0415

    return min(_MOST_JOBS_UNASKED, usable_cpus())


def _opened_model(model: str, device: str, tile: int | Literal["auto"], jobs: int) -> Derain:
    from crdnet.pipeline import Derainer  # noqa: PLC0415
    from crdnet.runtime import usable_cpus  # noqa: PLC0415

    derainer = Derainer(model, device, threads=max(1, usable_cpus() // jobs), tile=tile)
    _ = derainer.session  # A model that cannot be opened is one error, not one for every picture.
    return derainer.estimate


def _opened_derainer(
    model: str, device: str, tile: int | Literal["auto"]
) -> Callable[[Frame], Frame]:
    """Return what derains a frame as `crdnet derain` derains a file, which leaves dry ones alone."""
    from crdnet.pipeline import Derainer  # noqa: PLC0415

    derainer = Derainer(model, device, tile=tile)
    _ = derainer.session

    def derain(frame: Frame) -> Frame:
        derained: Frame = derainer.run(frame, always=False).image
        return derained

    return derain


def _about(ctx: click.Context) -> dict[str, Any]:
    """Return what was scored, for the reports."""
    told = ["results", "target"] if ctx.params["target"] else ["results", "data", "layout"]
    told = (
        ["seed", *told]
        if ctx.params["results"]
        else ["seed", "model", "device", "tile", "data", "layout"]
    )
    values = {name: ctx.params[name] for name in told}
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in values.items()
    }


def _print_table(rows: Sequence[Row]) -> None:
    if not sys.stdout.isatty():
        click.echo(format_text(rows), nl=False)
        return
    from rich.console import Console  # noqa: PLC0415 - rich is slow to import
    from rich.table import Table  # noqa: PLC0415

    headings, cells = build_table(rows)
    printed = Table()
    for heading in headings:
        printed.add_column(heading, no_wrap=heading == "protocol")
    for line in cells:
        printed.add_row(*line)
    Console().print(printed)
