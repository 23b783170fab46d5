"""`crdnet derain`: images and folders of images, one output for each."""

import sys
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


@click.command("derain", help=_HELP)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option(
    "-o", "--output", metavar="PATH", help="A file for one input, or a folder: a folder needs it."
)
@options.model
@options.device
@options.jobs
@options.tile
@options.strength
@options.recursive
@options.overwrite
@options.add_flag(
    "--skip-existing",
    help="Leave out inputs whose result exists, whoever made it. A run into a folder that is "
    "called again goes on without it.",
)
@options.add_flag(
    "--always",
    help="Derain images that are surely dry too. Models that do not sense rain do so anyway, "
    "`paper` among them.",
)
@options.add_flag(
    "--ensemble",
    help="Take the mean of the results for the image and for its mirror image (left to right), "
    "at twice the time.",
)
@click.option(
    "--rain",
    metavar="FILE|DIR",
    help="Save what was taken out as well, a PNG of streaks on black: a file for one input, or a "
    "folder.",
)
@click.option("--format", type=options.FORMATS, help="Format of all results.")
@click.option(
    "--fallback-format",
    type=options.FORMATS,
    help="Format of the results of images whose format is only read: GIF, BMP, PPM, HEIC. All "
    "others keep theirs.",
)
@click.option(
    "--quality",
    metavar="keep|N",
    default="keep",
    type=options.parse_number_or("keep", None, int, 1, 100),
    help="1 to 100 for formats that lose something; keep: what the image had, a JPEG's tables "
    "and subsampling.",
)
@options.add_flag(
    "--strip-gps",
    help="Remove the location from EXIF, XMP and IPTC, of dry images too, and what may hold it: "
    "maker notes, unknown blocks, videos behind the image. Captions and keywords stay.",
)
@options.add_flag("--preserve-times", help="Give each result the times of its input.")
@options.files_from
@options.max_pixels
@options.add_flag("--dry-run", help="List what would be done, and do nothing.")
@options.as_json
@options.quiet
@options.verbose
def command(
    inputs: tuple[str, ...],
    output: str | None,
    recursive: bool,
    files_from: Any,
    model: str,
    **values: Any,
) -> int:
    # Imported here, since numpy and onnxruntime take longer to load than --help may take.
    from crdnet.batch import BatchOptions, DerainRun, plan_deraining
    from crdnet.cli.report import Report, ReportOptions
    from crdnet.pipeline import DerainOptions

    sources = options.list_inputs(inputs, files_from)
    reported = options.take_fields(values, ReportOptions)
    if not sources:
        return Report("derain", reported).fail(files_from.name, "this list names no images")
    derain = options.take_fields(values, DerainOptions)
    batch = options.take_fields(
        values, BatchOptions, model=options.parse_model(model), derain=derain
    )
    with options.refuse_unknown_model():
        run = DerainRun(plan_deraining(sources, output, batch, recursive=recursive))
    if run.uses_standard_output:
        _check_stdout(as_json=reported.as_json, dry_run=batch.dry_run)
    report = Report("derain", reported, results_to_stderr=run.uses_standard_output)
    return report.follow(run)


def _check_stdout(*, as_json: bool, dry_run: bool) -> None:
    """Refuse to write an image to standard output that is used for other text."""
    if as_json:
        raise click.UsageError(
            "--json and the image would both go to standard output; give -o FILE"
        )
    if not dry_run and sys.stdout.isatty():
        raise click.UsageError(
            "an image would go to the terminal; redirect standard output, or give -o FILE"
        )
