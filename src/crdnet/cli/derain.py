"""`crdnet derain`: images and folders of images, one output for each."""

import sys
from math import isnan
from typing import Any

import click

from crdnet.cli import options

_HELP = """\
Take the rain out of images: files, folders, patterns, or - for a pipe.

\b
crdnet derain street.jpg                  writes street_derained.jpg beside it
crdnet derain photos/ -o clean/ -r        a folder, its tree mirrored; resumes if repeated
cat a.png | crdnet derain - > b.png       a pipe

Everything in the file but the rain is kept, or the file is refused; an image that is surely dry is
left as it is. Nothing is replaced unasked. Exit codes: 0 all done; 1 some inputs failed, each
named; 2 wrong usage; 130 interrupted.
"""


def _strength(ctx: click.Context, param: click.Parameter, value: float) -> float:
    """Refuse not-a-number, which passes every comparison of a range."""
    if isnan(value):
        raise click.BadParameter("nan is not in the range 0<=x<=1", ctx, param)
    return value


def _quality(ctx: click.Context, param: click.Parameter, value: str) -> int | None:
    """Turn the text of --quality into what `DerainOptions` takes."""
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
@options.tile
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
    help="Derain images that are surely dry too. Models that do not sense rain do so anyway, `paper` among "
    "them.",
)
@click.option(
    "--ensemble",
    is_flag=True,
    help="Take the mean of the results for the image and for its mirror image (left to right), "
    "at twice the time.",
)
@click.option(
    "--rain",
    metavar="FILE|DIR",
    help="Save what was taken out as well, a PNG of streaks on black: a file for one input, or a folder.",
)
@click.option(
    "--format",
    type=click.Choice(["jpg", "png", "webp", "tiff", "avif"]),
    help="Format of all results.",
)
@click.option(
    "--fallback-format",
    type=click.Choice(["jpg", "png", "webp", "tiff", "avif"]),
    help="Format of the results of images whose format is only read: GIF, BMP, PPM, HEIC. All "
    "others keep theirs.",
)
@click.option(
    "--quality",
    metavar="keep|N",
    default="keep",
    show_default=True,
    callback=_quality,
    help="1 to 100 for formats that lose something; keep: what the image had, a JPEG's tables and subsampling.",
)
@click.option(
    "--strip-gps",
    is_flag=True,
    help="Remove the location from EXIF, XMP and IPTC, of dry images too, and what may hold it: "
    "maker notes, unknown blocks, videos behind the image. Captions and keywords stay.",
)
@click.option("--preserve-times", is_flag=True, help="Give each result the times of its input.")
@options.files_from
@options.max_pixels
@click.option("--dry-run", is_flag=True, help="List what would be done, and do nothing.")
@options.as_json
@options.quiet
@options.verbose
def command(  # noqa: D103 - its help stands above
    inputs: tuple[str, ...],
    output: str | None,
    recursive: bool,
    files_from: Any,
    model: str,
    **values: Any,
) -> int:
    # Imported here, since numpy and onnxruntime take longer to load than --help may take.
    from crdnet.batch import BatchOptions, DerainRun, plan_deraining  # noqa: PLC0415
    from crdnet.cli.report import Report, ReportOptions  # noqa: PLC0415
    from crdnet.pipeline import DerainOptions  # noqa: PLC0415

    sources = options.list_inputs(inputs, files_from)
    reported = options.take_fields(values, ReportOptions)
    if not sources:
        return Report("derain", reported).fail(files_from.name, "this list names no images")
    derain = options.take_fields(values, DerainOptions)
    batch = options.take_fields(
        values, BatchOptions, model=options.as_path_or_name(model), derain=derain
    )
    with options.refuse_unknown_model():
        run = DerainRun(plan_deraining(sources, output, batch, recursive=recursive))
    if run.uses_standard_output:
        _check_stdout(as_json=reported.as_json, dry_run=batch.dry_run)
    report = Report("derain", reported, results_to_stderr=run.uses_standard_output)
    return report.follow(run)


def _check_stdout(*, as_json: bool, dry_run: bool) -> None:
    """Refuse to write an image where something else is to stand."""
    if as_json:
        raise click.UsageError(
            "--json and the image would both go to standard output; give -o FILE"
        )
    if not dry_run and sys.stdout.isatty():
        raise click.UsageError(
            "an image would go to the terminal; redirect standard output, or give -o FILE"
        )
