"""`crdnet derain`: pictures and folders of pictures, one result a picture."""

import sys
from contextlib import ExitStack, closing
from functools import partial
from hashlib import sha256
from math import isnan
from typing import TYPE_CHECKING, Any, Literal

import click

from crdnet.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crdnet.cli.inputs import Job, Plan
    from crdnet.runtime import Journal

_HELP = """\
Take the rain out of pictures: files, folders, patterns, or - for a pipe.

\b
crdnet derain street.jpg                  writes street_derained.jpg beside it
crdnet derain photos/ -o clean/ -r        a folder, its tree mirrored; once more: goes on where it stopped
cat a.png | crdnet derain - > b.png       a pipe

Everything in the file but the rain is kept, or the file is refused; a picture that is surely dry is left as it
is. Nothing is replaced unasked. Exit codes: 0 all done; 1 some inputs failed, each named; 2 wrong usage;
130 interrupted.
"""
UNLOCKED_SECONDS = 3600.0
"""How long nobody must have written to a temporary file that we take for left behind in a folder without a lock."""


def _tile(ctx: click.Context, param: click.Parameter, value: str) -> int | Literal["auto"]:
    """Turn the text of --tile into what a Derainer takes."""
    if value == "auto":
        return "auto"
    if not (value.isascii() and value.isdecimal()):
        raise click.BadParameter(
            f"{value!r} is neither auto, nor 0 (whole pictures), nor a side in pixels", ctx, param
        )
    return int(value)


def _strength(ctx: click.Context, param: click.Parameter, value: float) -> float:
    """Refuse not-a-number, which passes every comparison of a range."""
    if isnan(value):
        raise click.BadParameter("nan is not in the range 0<=x<=1", ctx, param)
    return value


def _quality(ctx: click.Context, param: click.Parameter, value: str) -> int | None:
    """Turn the text of --quality into what `FileOptions` takes."""
    if value == "keep":
        return None
    if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= 100):
        raise click.BadParameter(
            f"{value!r} is neither keep nor a number from 1 to 100", ctx, param
        )
    return int(value)


@click.command("derain", help=_HELP)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="A file for one input, or a folder. A folder as input needs it.",
)
@options.model
@options.device
@options.jobs
@click.option(
    "--tile",
    metavar="auto|0|N",
    default="auto",
    show_default=True,
    callback=_tile,
    help="Side of a tile in pixels, rounded up to the model's size multiple; 0: whole pictures; auto: whole "
    "up to 8 megapixels, above that tiles that bound the memory. The result is the same.",
)
@click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    callback=_strength,
    help="How much of the rain to take out.",
)
@click.option(
    "-r", "--recursive", is_flag=True, help="Look into the folders in a folder, and mirror them."
)
@click.option(
    "--overwrite", is_flag=True, help="Replace results that exist. An input is never replaced."
)
@click.option(
    "--skip-existing",
    is_flag=True,
    help="Leave out inputs whose result exists, whoever made it. A run into a folder that is called again goes "
    "on without it.",
)
@click.option(
    "--always",
    is_flag=True,
    help="Derain pictures that are surely dry too. Models that do not sense rain do so anyway, `paper` among "
    "them.",
)
@click.option(
    "--rain",
    metavar="FILE|DIR",
    help="Save what was taken out as well, a PNG of streaks on black: a file for one input, or a folder.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jpg", "png", "webp", "tiff", "avif"]),
    help="Format of the results. Pictures in formats that are only read need it: GIF, BMP, PPM, HEIC.",
)
@click.option(
    "--quality",
    metavar="keep|N",
    default="keep",
    show_default=True,
    callback=_quality,
    help="1 to 100 for formats that lose something; keep: what the picture had, a JPEG's tables and subsampling.",
)
@click.option(
    "--strip-gps",
    is_flag=True,
    help="Take out of EXIF and XMP where the picture was taken, dry or not.",
)
@click.option("--preserve-times", is_flag=True, help="Give each result the times of its picture.")
@options.files_from
@options.max_pixels
@click.option("--dry-run", is_flag=True, help="List what would be done, and do nothing.")
@options.as_json
@options.quiet
@options.verbose
def command(  # noqa: D103 - its help stands above
    inputs: tuple[str, ...],
    output: str | None,
    model: str,
    device: str,
    jobs: int,
    tile: int | Literal["auto"],
    strength: float,
    recursive: bool,
    overwrite: bool,
    skip_existing: bool,
    always: bool,
    rain: str | None,
    format_: str | None,
    quality: int | None,
    strip_gps: bool,
    preserve_times: bool,
    files_from: Any,
    max_pixels: int,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    # Imported here, since numpy and onnxruntime take longer to load than --help may take.
    from crdnet.cli.inputs import Job, NoJob, plan  # noqa: PLC0415
    from crdnet.cli.report import Report  # noqa: PLC0415
    from crdnet.cli.standing import standing  # noqa: PLC0415
    from crdnet.cli.work import Wanted, derain_job, do_jobs, ending, stop_on_signals  # noqa: PLC0415
    from crdnet.images import Decoders  # noqa: PLC0415
    from crdnet.runtime import FileOptions  # noqa: PLC0415

    if overwrite and skip_existing:
        raise click.UsageError(
            "--overwrite and --skip-existing contradict each other; give one of them"
        )
    arguments = options.all_inputs(inputs, files_from)
    planned = plan(arguments, output, recursive=recursive, format=format_, rain=rain)
    if not planned.each:
        planned.each.append(NoJob(files_from.name, "this list names no pictures"))
    work = [each for each in planned.each if isinstance(each, Job)]
    to_stdout = any(job.output is None for job in work)
    if to_stdout:
        _check_stdout(as_json=as_json, dry_run=dry_run)
    stored = options.stored_model(model)
    settings = {
        "model": stored.name,
        "sha256": sha256(stored.read()).hexdigest(),
        "strength": strength,
        "always": always,
        "format": format_,
        "quality": quality,
        "strip-gps": strip_gps,
        "rain": rain is not None,
    }
    derainer = options.shared_derainer(model, device, tile, pictures=len(work), jobs=jobs)
    report = Report(
        "derain", as_json=as_json, quiet=quiet, verbose=verbose, results_to_stderr=to_stdout
    )
    with ExitStack() as stack:
        journal = _journal(planned)
        if work and not dry_run:
            if journal is None or not journal.exists:
                report.setting(
                    derainer.session
                )  # a model that cannot be opened fails before a folder is made
            if journal is not None:
                stack.enter_context(journal.run())
        elif journal is not None:
            journal.read()
        if journal is not None and not overwrite and (differences := journal.differences(settings)):
            raise click.UsageError(
                f"{journal.folder} holds results of another run ({', '.join(differences)}); choose another "
                "folder, or replace them with --overwrite"
            )
        stack.callback(report.summary, planned.left_out)
        stands = standing(planned.each, journal, overwrite=overwrite, skip_existing=skip_existing)
        for outcome in stands.settled:
            report.settled(outcome)
        if dry_run or not stands.to_do:
            for job in stands.to_do:
                report.planned(job)
            return 1 if report.failed else 0
        _clean(work, locked=journal is not None)
        if journal is not None:
            journal.begin(settings, stands.to_make, stands.to_replace)
        stdin = sys.stdin.buffer.read() if any(job.source is None for job in stands.to_do) else None
        decoders = stack.enter_context(Decoders()) if len(stands.to_do) > 1 else None
        file_options = FileOptions(strength, always, quality, strip_gps, max_pixels, decoders)
        wanted = Wanted(file_options, format_, overwrite, preserve_times)
        with stop_on_signals(quiet=quiet) as stop:
            do = partial(derain_job, derainer, wanted=wanted, journal=journal, stdin=stdin)
            outcomes = do_jobs(stands.to_do, do, workers=jobs, stop=stop, abort=derainer.stop)
            with closing(outcomes):  # an interruption, wherever it comes, first ends what runs
                report.follow(outcomes, total=len(stands.to_do))
    return ending(stop, failed=report.failed)


def _check_stdout(*, as_json: bool, dry_run: bool) -> None:
    """Refuse to write a picture where something else is to stand."""
    if as_json:
        raise click.UsageError(
            "--json and the picture would both go to standard output; give -o FILE"
        )
    if not dry_run and sys.stdout.isatty():
        raise click.UsageError(
            "a picture would go to the terminal; redirect standard output, or give -o FILE"
        )


def _journal(planned: "Plan") -> "Journal | None":
    """Return the journal of the folder that the results go into.

    One picture into a folder is no run that one would want to go on, unless the folder is that of a run.
    """
    from crdnet.runtime import Journal  # noqa: PLC0415

    if planned.folder is None:
        return None
    journal = Journal(planned.folder)
    return None if planned.single and not journal.exists else journal


def _clean(jobs: "Sequence[Job]", *, locked: bool) -> None:
    """Remove what killed runs left where results will go; where no lock keeps others out, only what is old."""
    from crdnet.files import remove_stale_parts  # noqa: PLC0415

    for folder in {
        place.parent for job in jobs for place in (job.output, job.rain) if place is not None
    }:
        remove_stale_parts(folder, seconds=0.0 if locked else UNLOCKED_SECONDS)
