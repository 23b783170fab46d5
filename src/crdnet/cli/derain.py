"""`crdnet derain`: images and folders of images, one output for each."""

import sys
from typing import Any

import click

from crdnet.cli import options

_HELP = """\
Remove rain from images. INPUT is a file, a folder, a pattern, or - for standard input.

\b
crdnet derain street.jpg                  write street_derained.jpg beside street.jpg
crdnet derain photos/ -o clean/ -r        derain a folder and its subfolders; repeat to resume
cat a.png | crdnet derain - > b.png       read and write a pipe

The output keeps the size, format and metadata of its input; a warning names whatever could not be
kept. A dry image is left alone: its file is copied. Existing files are replaced only with
--overwrite. Exit codes: 0 all done; 1 some inputs failed (each is named); 2 wrong usage;
130 interrupted.
"""


@click.command("derain", help=_HELP)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option("-o", "--output", metavar="PATH", help="Output file for one input, or output folder.")
@options.model
@options.device
@options.jobs
@options.tile
@options.strength
@options.recursive
@options.overwrite
@options.add_flag(
    "--skip-existing",
    help="Skip inputs whose output exists, even if another program wrote it. Resuming a run does "
    "not need this option.",
)
@options.add_flag(
    "--always",
    help="Derain dry images too. Models that do not sense rain, such as `paper`, always do.",
)
@options.add_flag(
    "--ensemble",
    help="Average the results for the image and for its mirror image, at twice the time.",
)
@click.option(
    "--rain",
    metavar="FILE|DIR",
    help="Also save the removed rain as a PNG: file for one input, or folder.",
)
@click.option("--format", type=options.FORMATS, help="Format of all outputs.")
@click.option(
    "--fallback-format",
    type=options.FORMATS,
    help="Output format for inputs that can be read but not written: GIF, BMP, PPM, HEIC.",
)
@click.option(
    "--quality",
    metavar="keep|N",
    default="keep",
    type=options.parse_number_or("keep", None, int, 1, 100),
    help="Quality of lossy formats, 1 to 100; keep: that of the input (quantisation tables and "
    "subsampling of a JPEG).",
)
@options.add_flag(
    "--strip-gps",
    help="Remove the location from EXIF, XMP and IPTC, and blocks that may hold it: maker notes, "
    "unknown blocks, appended videos. Captions and keywords stay.",
)
@options.add_flag("--preserve-times", help="Copy the file times of each input to its output.")
@options.files_from
@options.max_pixels
@options.add_flag("--dry-run", help="List the outputs without writing them.")
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
        return Report("derain", reported).fail(files_from.name, "the list names no images")
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
            "--json and the image would both be written to standard output; give -o FILE"
        )
    if not dry_run and sys.stdout.isatty():
        raise click.UsageError(
            "the image would be written to the terminal; redirect standard output, or give -o FILE"
        )
