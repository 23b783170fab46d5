"""`crdnet models`: list the shipped models, and measure the cost of model files."""

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from crdnet.cli import options
from crdnet.cli.messages import report_errors
from crdnet.errors import CRDNetError, ModelError

if TYPE_CHECKING:
    from crdnet.runtime import StoredModel

_HELP = """\
List the shipped models: name, size, parameters, training data and scores.

\b
crdnet models
crdnet models --cost --size 1920x1080 default my.onnx

--cost measures MODELS (default: the shipped ones): parameters, multiplications, margin, memory
and time. The network alone is timed, in its own process; the memory is the peak of that process
while it derains the image.
"""
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


def _parse_size(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT as height and width."""
    found = _SIZE.fullmatch(value)
    if found is None or not all(int(side) for side in found.groups()):
        raise click.BadParameter(f"{value!r} is not WIDTHxHEIGHT in pixels", ctx=ctx, param=param)
    return int(found[2]), int(found[1])


@click.command("models", help=_HELP)
@click.argument("models", nargs=-1)
@options.add_flag("--cost", help="Measure the cost of MODELS: names or .onnx files.")
@click.option(
    "--size",
    callback=_parse_size,
    default="512x512",
    metavar="WIDTHxHEIGHT",
    help="Image size for memory and time, with --cost.",
)
@click.option(
    "--threads",
    type=options.AT_LEAST_ONE,
    help="CPU threads, with --cost.  [default: all usable CPUs]",
)
@options.device
@options.as_json
def command(
    models: tuple[str, ...],
    cost: bool,
    size: tuple[int, int],
    threads: int | None,
    device: str,
    as_json: bool,
) -> int:
    # Imported here, since numpy and onnxruntime take longer to load than --help may take.
    from crdnet.bench import measure_model_cost
    from crdnet.runtime import (
        FUSE,
        ModelSummary,
        count_cpus,
        list_models,
    )

    if models and not cost:
        raise click.UsageError(
            "names of models need --cost; without it, all shipped models are listed"
        )
    chosen: tuple[str | StoredModel, ...] = models or (*list_models(), *list_models(task=FUSE))
    if not chosen:
        click.echo("this installation has no models; give an .onnx file with -m", err=True)
    failures = []
    for each in chosen:
        try:
            model = _find_any_model(each) if isinstance(each, str) else each
            described = (
                measure_model_cost(model, *size, device=device, threads=threads or count_cpus())
                if cost
                else ModelSummary.read(model)
            )
        except CRDNetError as error:
            failures.append(str(error))
            continue
        click.echo(json.dumps(described.as_dict()) if as_json else described.as_text())
    return report_errors(failures)


def _find_any_model(name: str) -> "StoredModel":
    """Find a model that derains images, or one for frames of clips."""
    from crdnet.runtime import FUSE, find_model, read_info

    try:
        model = find_model(name)
        read_info(model)
    except ModelError:
        with suppress(ModelError):
            model = find_model(name, task=FUSE)
            read_info(model)
            return model
        raise
    return model
