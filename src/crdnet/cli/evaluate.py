"""`crdnet evaluate`: score a model, or pictures made by any method, under named protocols."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import click
from click.core import ParameterSource

from crdnet.cli import options
from crdnet.cli.progress import progress
from crdnet.data import LAYOUTS, DataProblem, Pair, find_pairs
from crdnet.evaluation import (
    Case,
    Derain,
    Document,
    Evaluation,
    Failure,
    Frame,
    ImageFolder,
    LoadedCase,
    Thumbnails,
    assign_seen_scenes,
    build_table,
    evaluate,
    format_differences,
    keep_common_images,
    make_model_cases,
    make_saved_cases,
    make_saved_pair_cases,
    refuse_existing,
    write_text,
)
from crdnet.metrics import PROTOCOLS

_MOST_JOBS_UNASKED = 4
"""Pictures in memory at a time, unless -j says otherwise."""
_WEIGHTS = (".ckpt", ".safetensors")
_HELP = """\
Score a model on a data set, or pictures that any method has saved.

\b
crdnet evaluate --data rain800/val
crdnet evaluate --data rain800/val --protocol restormer-y --protocol crdnet --csv scores.csv
crdnet evaluate --data rain800/val --results theirs/
crdnet evaluate --data rain800/val --results a=ours/ --results b=theirs/ --html report.html
crdnet evaluate --target gt/ --rainy input/ --results theirs/
crdnet evaluate --clip street.mp4 --clip garden/ --save looks/

Prints mean PSNR and SSIM, before and after, with 95% intervals over scenes, for all pictures and for each
density of rain. Several --results are compared in pairs, on the images that all have. Pictures that cannot be
scored are named, and the exit code is then 1.

--clip scores real rain: frames of a static camera (a video, or a folder of images) against their temporal
median. Prints the contrast of the streaks in grey levels, the share of it that is left (1 untouched, 0 gone), the
change where nothing rains, and how many frames came back unchanged.
"""
_FOLDER = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)


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
    "-m",
    "--model",
    default="default",
    show_default=True,
    help="Name of a model, an .onnx file, or weights: .ckpt, .safetensors.",
)
@click.option(
    "--results",
    multiple=True,
    metavar="[NAME=]FOLDER",
    help="Score these saved pictures instead of running a model; several are compared.",
)
@click.option(
    "--names",
    metavar="PATTERN",
    help="Name of a saved picture for the {stem} of a rainy one, such as '{stem}_out' [default: found].",
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
@click.option(
    "--html",
    "html_file",
    type=_FILE,
    help="Write a page with tables, charts and pictures to this file.",
)
@click.option("--save", type=_FOLDER, help="Save the derained pictures in this folder, as PNG.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option(
    "--json", "print_json", is_flag=True, help="Print everything as JSON instead of a table."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="For the intervals."
)
@options.device
@options.tile
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
    results: tuple[str, ...],
    names: str | None,
    clips: tuple[Path, ...],
    target: Path | None,
    rainy: Path | None,
    protocols: tuple[str, ...],
    output: Path | None,
    csv_file: Path | None,
    markdown_file: Path | None,
    html_file: Path | None,
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
    reports = [path for path in (output, csv_file, markdown_file, html_file) if path is not None]
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
    about = _about(ctx)
    with ExitStack() as stack:
        cases: dict[str, Sequence[Case]] = {}
        for name, place in _name_results(results).items():
            if target is not None:
                cases[name], unmatched = make_saved_cases(place, target, rainy)
            else:
                cases[name], unmatched = make_saved_pair_cases(pairs, place, names)
            failures += unmatched
        if not results:
            derain, facts = _open_model(stack, model, device, tile, jobs)
            about |= facts
            cases[model] = make_model_cases(pairs, derain, folder.save if folder else None)
        listed = [case.pair.name for each in cases.values() for case in each]
        if not overwrite:
            refuse_existing([*reports, *(folder.locate_all(listed) if folder else [])])
        thumbnails = Thumbnails(len(listed)) if html_file is not None else None
        with progress(len(listed), "pictures", quiet=quiet) as advance:
            evaluations, found = _score_methods(cases, protocols, jobs, advance, thumbnails)
        failures += found
        document = Document.summarise(evaluations, failures, about, seed)
        if html_file is not None and thumbnails is not None:
            write_text(html_file, document.as_html(cases, thumbnails))
    for path, write in (
        (output, document.as_json),
        (csv_file, document.as_csv),
        (markdown_file, document.as_markdown),
    ):
        if path is not None:
            write_text(path, write())
    if print_json:
        click.echo(document.as_json(), nl=False)
    else:
        _print_tables(document)
    for failure in failures:
        click.echo(f"Error: {failure.message}", err=True)
    return 1 if failures else 0


def _score_methods(
    cases: Mapping[str, Sequence[Case]],
    protocols: Sequence[str],
    jobs: int,
    advance: Callable[[], object],
    thumbnails: Thumbnails | None,
) -> tuple[dict[str, Evaluation], list[Failure]]:
    """Score the cases of each method; of several keep the images that all have."""
    evaluations = {}
    for name, of_method in cases.items():
        look = _ignore if thumbnails is None else partial(thumbnails.add, name)
        scored = evaluate(of_method, protocols, jobs=jobs, on_done=advance, on_loaded=look)
        evaluations[name] = assign_seen_scenes(scored, of_method)
    failures = [failure for each in evaluations.values() for failure in each.failures]
    if len(evaluations) > 1:
        evaluations, different = keep_common_images(evaluations)
        failures += different
    return evaluations, failures


def _ignore(case: Case, loaded: LoadedCase) -> None:
    """Keep nothing of a case."""


def _name_results(results: Sequence[str]) -> dict[str, Path]:
    """Return the folders of saved pictures by the name of their method: NAME=FOLDER, or FOLDER."""
    named: dict[str, Path] = {}
    for result in results:
        name, equals, place = result.partition("=")
        path = Path(place if equals else result)
        name = name if equals else (path.name or path.resolve().name)
        # Two methods may have folders of one name: a/derained and b/derained.
        if name in named and not equals:
            name = path.as_posix()
        if name in named:
            raise click.UsageError(f"two --results are named {name!r}; name them NAME=FOLDER")
        named[name] = path
    return named


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
    for name, partner in (
        ("target", "results"),
        ("rainy", "target"),
        ("layout", "data"),
        ("names", "data"),
    ):
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
        "html_file",
        "names",
        "jobs",
    ):
        if name in given:
            flag = {
                "protocols": "protocol",
                "csv_file": "csv",
                "markdown_file": "markdown",
                "html_file": "html",
            }.get(name, name)
            raise click.UsageError(f"--{flag} is for pairs of images and does not go with --clip")


def _pairs(data: Path, layout: str) -> tuple[list[Pair], list[Failure]]:
    problems: list[DataProblem] = []
    pairs = find_pairs(data, layout, problems=problems)
    return pairs, [Failure(str(problem.path), str(problem)) for problem in problems]


def _default_jobs() -> int:
    from crdnet.runtime import count_cpus  # noqa: PLC0415

    return min(_MOST_JOBS_UNASKED, count_cpus())


def _open_model(
    stack: ExitStack, model: str, device: str, tile: int | Literal["auto"], jobs: int
) -> tuple[Derain, dict[str, Any]]:
    """Return what derains, and facts about it for the reports."""
    from crdnet.pipeline import Derainer  # noqa: PLC0415
    from crdnet.runtime import count_cpus, find_model  # noqa: PLC0415

    path = Path(model)
    digest = None
    if path.suffix in _WEIGHTS or path.is_dir():
        digest = sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        model = str(_export_weights(stack, path))
    derainer = Derainer(model, device, threads=max(1, count_cpus() // jobs), tile=tile)
    session = derainer.session  # a model that cannot be opened is one error, not one per image
    facts = {
        "model_sha256": digest or sha256(find_model(model).read()).hexdigest(),
        "engine": session.engine,
        "scale": "sensed for each image",
    }
    return derainer.estimate, facts


def _export_weights(stack: ExitStack, path: Path) -> Path:
    """Export weights to a temporary model file."""
    from crdnet.export import describe_model, export_network, load_network  # noqa: PLC0415 - torch

    network = load_network(path)
    file = Path(stack.enter_context(TemporaryDirectory())) / f"{path.stem or 'model'}.onnx"
    export_network(network, file, describe_model(network, path.stem))
    return file


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
        name: list(value)
        if isinstance(value, tuple)
        else str(value)
        if isinstance(value, Path)
        else value
        for name, value in values.items()
    }


def _print_tables(document: Document) -> None:
    """Print the table of each method, drawn on a terminal, and their differences."""
    if not sys.stdout.isatty():
        click.echo(document.as_text(), nl=False)
        return
    from rich.console import Console  # noqa: PLC0415 - rich is slow to import
    from rich.table import Table  # noqa: PLC0415

    for name, rows in document.rows.items():
        if len(document.rows) > 1:
            click.echo(f"{name}:")
        if rows:
            headings, cells = build_table(rows)
            printed = Table()
            for heading in headings:
                printed.add_column(heading, no_wrap=heading == "protocol")
            for line in cells:
                printed.add_row(*line)
            Console().print(printed)
    click.echo(format_differences(document.differences), nl=False)
