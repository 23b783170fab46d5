"""`crdnet sense`: how heavy the rain in images is, without taking it out."""

from typing import Any

import click

from crdnet.cli import options

_HELP = """\
Tell how heavy the rain in images is: files, folders, patterns, or - for a pipe.

\b
crdnet sense street.jpg                   grade, intensity in grey levels of 255, score from 0 to 1
crdnet sense photos/ -r --json            one JSON object a line for each image

Nothing is written. Exit codes: 0 all done; 1 some inputs failed, each named; 2 wrong usage, a model
that does not sense rain included; 130 interrupted.
"""


@click.command("sense", help=_HELP)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@options.model
@options.device
@options.jobs
@click.option("-r", "--recursive", is_flag=True, help="Look into the folders in a folder.")
@options.files_from
@options.max_pixels
@options.as_json
@options.quiet
@options.verbose
def command(  # noqa: D103 - its help stands above
    inputs: tuple[str, ...],
    recursive: bool,
    files_from: Any,
    model: str,
    max_pixels: int,
    **values: Any,
) -> int:
    # Imported here, since numpy and onnxruntime take longer to load than --help may take.
    from crdnet.batch import BatchOptions, SenseRun  # noqa: PLC0415
    from crdnet.cli.report import Report, ReportOptions  # noqa: PLC0415
    from crdnet.pipeline import DerainOptions  # noqa: PLC0415

    sources = options.list_inputs(inputs, files_from)
    report = Report("sense", options.take_fields(values, ReportOptions))
    if not sources:
        return report.fail(files_from.name, "this list names no images")
    derain = DerainOptions(max_pixels=max_pixels)
    batch = options.take_fields(
        values, BatchOptions, model=options.as_path_or_name(model), derain=derain
    )
    with options.refuse_unknown_model():
        run = SenseRun(sources, recursive=recursive, options=batch)
    return report.follow(run)
