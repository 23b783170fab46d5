"""`crdnet derain`: pictures and folders of pictures, one result a picture."""

import sys
import warnings
from contextlib import closing
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from crdnet.runtime import Derainer

_HELP = """\
Take the rain out of pictures: files, folders, patterns, or - for a pipe.

\b
crdnet derain street.jpg                  writes street_derained.jpg beside it
crdnet derain photos/ -o clean/ -r        a folder, its tree mirrored
crdnet derain photos/ -o clean/ -r --skip-existing      goes on where it was stopped
cat a.png | crdnet derain - > b.png       a pipe

Everything in the file but the rain is kept, or the file is refused. Nothing is replaced unasked. Exit codes:
0 all done; 1 some inputs failed, each named; 2 wrong usage; 130 interrupted.
"""


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


@click.command("derain", help=_HELP)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option(
    "-o", "--output", metavar="PATH", help="A file for one input, or a folder. A folder as input needs it."
)
@click.option(
    "-m",
    "--model",
    default="default",
    show_default=True,
    help="A name that `crdnet models` lists, or the path of an .onnx file.",
)
@click.option("-d", "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Pictures in work at a time. One network with all processors serves them, so few suffice.",
)
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
@click.option("-r", "--recursive", is_flag=True, help="Look into the folders in a folder, and mirror them.")
@click.option("--overwrite", is_flag=True, help="Replace results that exist. An input is never replaced.")
@click.option("--skip-existing", is_flag=True, help="Leave out inputs whose result exists.")
@click.option(
    "--always",
    is_flag=True,
    help="Derain pictures without rain too. Models that do not sense rain do so anyway, `paper` among them.",
)
@click.option(
    "--format", "format_", type=click.Choice(["jpg", "png", "webp", "tiff"]), help="Format of the results."
)
@click.option(
    "--files-from",
    type=click.File("r", errors="surrogateescape"),
    metavar="FILE|-",
    help="Read inputs from a list, one a line.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line on standard output for each input."
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Say which model and device work, and where errors come from."
)
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
    always: bool,  # noqa: ARG001 - no model senses rain yet, so none is gated
    format_: str | None,
    files_from: Any,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    # Imported here, since numpy and onnxruntime take longer to load than --help may take.
    from crdnet.cli.inputs import STREAM, Job, NoJob, plan, read_list  # noqa: PLC0415
    from crdnet.cli.report import Report  # noqa: PLC0415
    from crdnet.cli.work import do_jobs, outcome_of_no_job  # noqa: PLC0415

    if overwrite and skip_existing:
        raise click.UsageError("--overwrite and --skip-existing contradict each other; give one of them")
    if files_from is not None and STREAM in inputs:
        raise click.UsageError("- (standard input) is one picture and stands alone; leave --files-from away")
    arguments = [*inputs, *(read_list(files_from) if files_from is not None else [])]
    if not arguments and files_from is None:
        raise click.UsageError("no input; give files, a folder, or - for standard input")
    planned = plan(arguments, output, recursive=recursive, format=format_)
    if not planned:
        planned = [NoJob(files_from.name, "this list names no pictures")]
    work = [each for each in planned if isinstance(each, Job)]
    to_stdout = any(job.output is None for job in work)
    if to_stdout and as_json:
        raise click.UsageError("--json and the picture would both go to standard output; give -o FILE")
    if to_stdout and sys.stdout.isatty():
        raise click.UsageError(
            "a picture would go to the terminal; redirect standard output, or give -o FILE"
        )

    derainer = _derainer(model, device, tile)
    # What Pillow tells of a damaged corner of a file helps nobody here; what matters becomes an error.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    report = Report(as_json=as_json, quiet=quiet, verbose=verbose, results_to_stderr=to_stdout)
    if work:
        report.setting(derainer.session)
    with report.progress(len(work)):
        for each in planned:
            if isinstance(each, NoJob):
                report.add(outcome_of_no_job(each))
        outcomes = do_jobs(
            derainer,
            work,
            workers=jobs,
            strength=strength,
            overwrite=overwrite,
            skip_existing=skip_existing,
            format=format_,
        )
        with closing(outcomes):  # an interruption, wherever it comes, first ends what runs
            for outcome in outcomes:
                report.add(outcome)
    report.summary()
    return 1 if report.failed else 0


def _derainer(model: str, device: str, tile: int | Literal["auto"]) -> "Derainer":
    """Return the derainer that was asked for; a model that is not there is wrong usage."""
    from crdnet.errors import ModelError  # noqa: PLC0415
    from crdnet.runtime import Derainer  # noqa: PLC0415

    is_path = Path(model).suffix == ".onnx" or len(Path(model).parts) > 1
    try:
        return Derainer(Path(model) if is_path else model, device=device, tile=tile)
    except ModelError as error:
        raise click.BadParameter(str(error), param_hint="-m/--model") from error
