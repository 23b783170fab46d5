"""`crdnet sense`: how heavy the rain in pictures is, without taking it out."""

import sys
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import click

from crdnet.cli import options

_HELP = """\
Tell how heavy the rain in pictures is: files, folders, patterns, or - for a pipe.

\b
crdnet sense street.jpg                   grade, strength in grey levels of 255, score from 0 to 1
crdnet sense photos/ -r --json            one JSON object a line for each picture

Nothing is written. Exit codes: 0 all done; 1 some inputs failed, each named; 2 wrong usage, a model that does not
sense rain included; 130 interrupted.
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
    model: str,
    device: str,
    jobs: int,
    recursive: bool,
    files_from: Any,
    max_pixels: int,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    # Imported here, since numpy and onnxruntime take longer to load than --help may take.
    from crdnet.cli.inputs import NoJob, plan_to_look  # noqa: PLC0415
    from crdnet.cli.report import Report  # noqa: PLC0415
    from crdnet.cli.standing import standing  # noqa: PLC0415
    from crdnet.cli.work import do_jobs, ending, sense_job, stop_on_signals  # noqa: PLC0415
    from crdnet.images import Decoders  # noqa: PLC0415
    from crdnet.runtime import FileOptions  # noqa: PLC0415

    planned = plan_to_look(options.all_inputs(inputs, files_from), recursive=recursive)
    if not planned.each:
        planned.each.append(NoJob(files_from.name, "this list names no pictures"))
    stored = options.stored_model(model)
    stands = standing(planned.each, None, overwrite=False, skip_existing=False)
    derainer = options.shared_derainer(model, device, "auto", pictures=len(stands.to_do), jobs=jobs)
    if not derainer.session.senses:
        raise click.BadParameter(
            f"the model {stored.name!r} does not sense rain; choose one with a density head",
            param_hint="-m/--model",
        )
    report = Report("sense", as_json=as_json, quiet=quiet, verbose=verbose)
    report.setting(derainer.session)
    for outcome in stands.settled:
        report.settled(outcome)
    stdin = sys.stdin.buffer.read() if any(job.source is None for job in stands.to_do) else None
    try:
        with ExitStack() as stack:
            decoders = stack.enter_context(Decoders()) if len(stands.to_do) > 1 else None
            stop = stack.enter_context(stop_on_signals(quiet=quiet))
            file_options = FileOptions(max_pixels=max_pixels, decoders=decoders)
            do = partial(sense_job, derainer, options=file_options, stdin=stdin)
            with closing(
                do_jobs(stands.to_do, do, workers=jobs, stop=stop, abort=derainer.stop)
            ) as outcomes:
                report.follow(outcomes, total=len(stands.to_do))
    finally:
        report.summary(planned.left_out)
    return ending(stop, failed=report.failed)
