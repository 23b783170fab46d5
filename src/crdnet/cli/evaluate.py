"""`crdnet evaluate`: score a model, or saved images of any method, under named protocols."""

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
from crdnet.cli.data import layout
from crdnet.cli.messages import escape, report_errors
from crdnet.cli.progress import progress
from crdnet.data import DataProblem, Frame, Pair, find_pairs
from crdnet.evaluation import (
    Case,
    Derain,
    Document,
    Failure,
    ImageFolder,
    TaskReport,
    Thumbnails,
    build_table,
    compare_detection_files,
    compare_word_files,
    format_differences,
    make_model_cases,
    make_saved_cases,
    make_saved_pair_cases,
    refuse_existing,
    score_clips,
    score_methods,
    write_text,
)
from crdnet.metrics import PROTOCOLS

# Default of -j: number of images in memory at a time.
_MOST_JOBS_UNASKED = 4
_WEIGHTS = (".ckpt", ".safetensors")
_HELP = """\
Score a model on a data set, or saved images of any method.

\b
crdnet evaluate --data rain800/val
crdnet evaluate --data rain800/val --protocol restormer-y --protocol crdnet --csv scores.csv
crdnet evaluate --data rain800/val --results theirs/
crdnet evaluate --data rain800/val --results a=ours/ --results b=theirs/ --html report.html
crdnet evaluate --target gt/ --rainy input/ --results theirs/
crdnet evaluate --clip street.mp4 --clip garden/ --save looks/
crdnet evaluate --detections before.json after.json --truth instances.json --html report.html
crdnet evaluate --words before.json after.json --truth words.json

Prints mean PSNR and SSIM before and after deraining, with 95% intervals over scenes, for all images
and for each density of rain. Several --results are compared in pairs, on the images that all of
them have. Images that cannot be scored are named, and the exit code is then 1.

--clip scores real rain: frames of a static camera (a video, or a folder of images) are compared
with their temporal median. Prints the contrast of the streaks in grey levels, the share of it that
is left (1: nothing removed, 0: all removed), the change outside the streaks, and the number of
unchanged frames.

--detections measures whether deraining helps a detector: AP, AP50, recall by size, AP of each class
and 95% intervals of the differences over images. --words does the same for recognised text.
"""
_REPORTS = ("output", "csv", "markdown", "html")
_NOT_OF_CLIPS = (
    *("data", "layout", "results", "target", "rainy", "protocol", "csv", "markdown", "html"),
    *("names", "jobs", "truth", "images", "threshold"),
)
_OF_TASKS = (
    *("detections", "words", "truth", "images", "threshold", "output", "html", "as_json"),
    *("overwrite", "seed", "quiet", "show_traceback"),
)


@click.command(help=_HELP)
@click.option(
    "--data", type=options.PATH, help="Data set with ground truth, see `crdnet data check`."
)
@layout
@click.option(
    "-m",
    "--model",
    default="default",
    help="Name of a shipped model, an .onnx file, or weights: .ckpt, .safetensors.",
)
@click.option(
    "--results",
    multiple=True,
    metavar="[NAME=]FOLDER",
    help="Score these saved images instead of running a model; repeat it to compare methods.",
)
@click.option(
    "--names",
    metavar="PATTERN",
    help="Name of the saved image of a rainy image, such as '{stem}_out'.  [default: detected]",
)
@click.option(
    "--clip", type=options.PATH, multiple=True, help="Clip of a static camera; may be repeated."
)
@click.option(
    "--detections",
    type=options.PATH,
    nargs=2,
    metavar="BEFORE AFTER",
    help="Compare detections without and with deraining: COCO results, or YOLO labels.",
)
@click.option(
    "--words",
    type=options.PATH,
    nargs=2,
    metavar="BEFORE AFTER",
    help="Compare text recognised without and with deraining: JSON of image names and texts.",
)
@click.option(
    "--truth",
    type=options.PATH,
    help="Ground truth of --detections (COCO instances or YOLO labels) or of --words (JSON).",
)
@click.option(
    "--images",
    type=options.PATH,
    multiple=True,
    help="Folder of images of --detections, for --html and YOLO labels; give two for before and "
    "after.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.3,
    help="Lowest score of a box that --html counts as found.",
)
@click.option("--target", type=options.PATH, help="Ground truth of --results, matched by name.")
@click.option("--rainy", type=options.PATH, help="Rainy inputs of --results, to score them too.")
@click.option(
    "--protocol",
    type=click.Choice(list(PROTOCOLS)),
    multiple=True,
    default=("restormer-y",),
    help="Definition of PSNR and SSIM; may be repeated.",
)
@click.option("-o", "--output", type=options.FILE, help="Write all results as JSON to this file.")
@click.option("--csv", type=options.FILE, help="Write the scores of every image to this file.")
@click.option("--markdown", type=options.FILE, help="Write the table to this file.")
@click.option("--html", type=options.FILE, help="Write a page with tables, charts and images.")
@click.option("--save", type=options.PATH, help="Save the derained images here, as PNG.")
@options.overwrite
@options.as_one_json
@options.seed
@options.device
@options.tile
@click.option("-j", "--jobs", type=options.AT_LEAST_ONE, help="Images in progress at a time.")
@options.quiet
@options.traceback
@click.pass_context
def command(
    ctx: click.Context, /, as_json: bool, overwrite: bool, quiet: bool, **given: Any
) -> int:
    reports = {name: given[name] for name in _REPORTS if given[name] is not None}
    folder = None if given["save"] is None else ImageFolder(given["save"])
    _check_usage(ctx, list(reports.values()))
    if given["detections"] or given["words"]:
        return _evaluate_task(given, reports, as_json=as_json, overwrite=overwrite)
    if given["clip"]:
        return _evaluate_clips(given, folder, as_json=as_json, overwrite=overwrite, quiet=quiet)
    jobs = given["jobs"] or _choose_jobs()
    with ExitStack() as stack:
        cases, failures = _list_saved_cases(given)
        about = _describe_scored(given)
        if not given["results"]:
            derain, facts = _open_model(stack, given["model"], given["device"], given["tile"], jobs)
            about |= facts
            pairs, failures = _find_pairs(given)
            cases[given["model"]] = make_model_cases(pairs, derain, folder.save if folder else None)
        listed = [case.pair.name for each in cases.values() for case in each]
        if not overwrite:
            refuse_existing([*reports.values(), *(folder.locate_all(listed) if folder else [])])
        thumbnails = Thumbnails(len(listed)) if "html" in reports else None
        with progress(len(listed), "images", quiet=quiet) as advance:
            evaluations, found = score_methods(
                cases, given["protocol"], jobs=jobs, on_done=advance, thumbnails=thumbnails
            )
    failures += found
    document = Document.summarise(evaluations, failures, about, given["seed"])
    _write_reports(reports, document, cases, thumbnails)
    if as_json:
        click.echo(document.as_json(), nl=False)
    else:
        _print_tables(document)
    return report_errors(failure.message for failure in failures)


def _list_saved_cases(given: Mapping[str, Any]) -> tuple[dict[str, Sequence[Case]], list[Failure]]:
    """Return the cases of each --results, and the images without a partner."""
    cases: dict[str, Sequence[Case]] = {}
    if not given["results"]:
        return cases, []
    pairs, failures = _find_pairs(given)
    for name, place in _name_results(given["results"]).items():
        if given["target"] is not None:
            cases[name], unmatched = make_saved_cases(place, given["target"], given["rainy"])
        else:
            cases[name], unmatched = make_saved_pair_cases(pairs, place, given["names"])
        failures += unmatched
    return cases, failures


def _write_reports(
    reports: Mapping[str, Path],
    document: Document,
    cases: Mapping[str, Sequence[Case]],
    thumbnails: Thumbnails | None,
) -> None:
    forms: dict[str, Callable[[], str]] = {
        "output": document.as_json,
        "csv": document.as_csv,
        "markdown": document.as_markdown,
    }
    if thumbnails is not None:
        forms["html"] = partial(document.as_html, cases, thumbnails)
    for name, path in reports.items():
        write_text(path, forms[name]())


def _evaluate_clips(
    given: Mapping[str, Any],
    folder: ImageFolder | None,
    *,
    as_json: bool,
    overwrite: bool,
    quiet: bool,
) -> int:
    clips, output = given["clip"], given["output"]
    if not overwrite:
        saved = folder.locate_all(path.stem for path in clips) if folder else []
        refuse_existing([*saved, *([output] if output else [])])
    report = score_clips(
        clips,
        _open_derainer(given["model"], given["device"], given["tile"]),
        seed=given["seed"],
        about={"model": given["model"], "seed": given["seed"]},
        progress=partial(progress, quiet=quiet),
        folder=folder,
    )
    if output is not None:
        write_text(output, report.as_json() + "\n")
    click.echo(report.as_json() if as_json else report.as_text())
    return report_errors(report.failures)


def _evaluate_task(
    given: Mapping[str, Any], reports: Mapping[str, Path], *, as_json: bool, overwrite: bool
) -> int:
    """Score detections or words without and with deraining."""
    if not overwrite:
        refuse_existing(reports.values())
    folders: Sequence[Path] = given["images"]
    report: TaskReport
    if given["words"]:
        report = compare_word_files(*given["words"], given["truth"], seed=given["seed"])
    else:
        report = compare_detection_files(
            *given["detections"],
            given["truth"],
            images=folders[0] if folders else None,
            threshold=given["threshold"],
            seed=given["seed"],
        )
    if "output" in reports:
        write_text(reports["output"], report.as_json())
    if "html" in reports:
        write_text(reports["html"], report.as_html(folders))
    for note in report.notes:
        click.echo(f"Note: {escape(note)}", err=True)
    click.echo(report.as_json() if as_json else report.as_text(), nl=False)
    return 0


def _name_results(results: Sequence[str]) -> dict[str, Path]:
    """Return the folders of saved images by the name of their method: NAME=FOLDER, or FOLDER."""
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
    if given & {"detections", "words"}:
        _check_task(given)
    elif "clip" in given:
        for name in _NOT_OF_CLIPS:
            if name in given:
                raise click.UsageError(
                    f"--{name} is for pairs of images and cannot be combined with --clip"
                )
    else:
        _check_pairs(given)
    if len({path.absolute() for path in reports}) < len(reports):
        raise click.UsageError("two reports cannot share a file")


def _check_pairs(given: set[str]) -> None:
    """Check the options that score pairs of images."""
    for name in ("truth", "images", "threshold"):
        if name in given:
            raise click.UsageError(f"--{name} needs --detections")
    if "results" not in given and "data" not in given:
        raise click.UsageError(
            "nothing to score: name a data set with --data, images with --results, a clip with "
            "--clip or results of a detector with --detections"
        )
    if "results" in given and ("data" in given) == ("target" in given):
        raise click.UsageError("--results needs its ground truth: either --target or --data")
    partners = {"target": "results", "rainy": "target", "layout": "data", "names": "data"}
    for name, partner in partners.items():
        if name in given and partner not in given:
            raise click.UsageError(f"--{name} needs --{partner}")
    for name in ("model", "save", "device", "tile"):
        if name in given and "results" in given:
            raise click.UsageError(
                f"--{name} is for running a model; it cannot be combined with --results"
            )


def _check_task(given: set[str]) -> None:
    task = "detections" if "detections" in given else "words"
    if {"detections", "words"} <= given:
        raise click.UsageError(
            "--detections and --words cannot be combined; call the command once for each"
        )
    if "truth" not in given:
        raise click.UsageError(f"--{task} needs its ground truth: --truth")
    for name in sorted(given - set(_OF_TASKS)):
        raise click.UsageError(f"--{name} cannot be combined with --{task}")
    for name in ("images", "threshold"):
        if name in given and task == "words":
            raise click.UsageError(f"--{name} needs --detections")


def _find_pairs(given: Mapping[str, Any]) -> tuple[list[Pair], list[Failure]]:
    """Return the pairs of --data, and its problems as failures."""
    if given["data"] is None:
        return [], []
    problems: list[DataProblem] = []
    pairs = find_pairs(given["data"], given["layout"], problems=problems)
    return pairs, [Failure(str(problem.path), str(problem)) for problem in problems]


def _choose_jobs() -> int:
    # Imported here, since onnxruntime takes longer to load than --help may take.
    from crdnet.runtime import count_cpus

    return min(_MOST_JOBS_UNASKED, count_cpus())


def _open_model(
    stack: ExitStack, model: str, device: str, tile: int | Literal["auto"], jobs: int
) -> tuple[Derain, dict[str, Any]]:
    """Return the function that derains, and facts about the model for the reports."""
    from crdnet.pipeline import Derainer
    from crdnet.runtime import count_cpus, find_model

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
    from crdnet.export import describe_model, export_network, load_network  # imports torch

    network = load_network(path)
    file = Path(stack.enter_context(TemporaryDirectory())) / f"{path.stem or 'model'}.onnx"
    export_network(network, file, describe_model(network, path.stem))
    return file


def _open_derainer(
    model: str, device: str, tile: int | Literal["auto"]
) -> Callable[[Frame], Frame]:
    """Return a function that derains a frame like a file of `crdnet derain`, dry ones unchanged."""
    from crdnet.pipeline import Derainer  # as above

    derainer = Derainer(model, device, tile=tile)
    _ = derainer.session

    def derain(frame: Frame) -> Frame:
        derained: Frame = derainer.run(frame, always=False).image
        return derained

    return derain


def _describe_scored(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description of the scored images as JSON values, for the reports."""
    names = ["seed", "model", "device", "tile", "data", "layout"]
    if given["results"]:
        names = ["seed", "results", *(["target"] if given["target"] else ["data", "layout"])]
    values = {name: given[name] for name in names}
    if given["results"]:
        values["results"] = list(given["results"])
    return {name: str(each) if isinstance(each, Path) else each for name, each in values.items()}


def _print_tables(document: Document) -> None:
    """Print the table of each method and their differences; on a terminal, draw the tables."""
    if not sys.stdout.isatty():
        click.echo(document.as_text(), nl=False)
        return
    from rich.console import Console  # rich is slow to import
    from rich.table import Table

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
