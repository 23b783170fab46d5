"""`crdnet export`: convert trained weights to a model file."""

import tempfile
from pathlib import Path

import click

from crdnet.cli import options


def _parse_scores(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, float]:
    del context, parameter
    scores = {}
    for value in values:
        name, equals, number = value.rpartition("=")
        try:
            scores[name] = float(number)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise click.BadParameter(f"{value!r} is not of the form NAME=NUMBER")
    return scores


def _find_training_data(source: str | None) -> str | None:
    """Return the training data stated by the shipped model of this name, None if there is none."""
    from crdnet.runtime import ModelSummary, list_models

    models = [each for each in list_models() if source in (each.name, *each.aliases)]
    return ModelSummary.read(models[0]).info.training_data if models else None


HELP = """
Convert trained weights to a model file that runs without PyTorch (extra: train).

SOURCE is a checkpoint of `crdnet train`, a .safetensors or .onnx file, a folder of save_pretrained,
the name of a shipped model, or OWNER/NAME on the Hugging Face Hub (extra: hub).

The model file is written only if its results agree with those of the torch network.

\b
crdnet export runs/a/last.ckpt -o my.onnx
crdnet export paper -o paper.onnx
crdnet export --published checkpoints/ --epoch 100 -o theirs.onnx
crdnet export default --fixed 512 --fp16 --opset 17 -o fixed.onnx
crdnet export default --darktable -o rain.dtmodel
"""


@click.command(help=HELP)
@click.argument("source", required=False)
@click.option(
    "-o",
    "--output",
    required=True,
    type=options.PATH,
    help="The model file to write, NAME.onnx.",
)
@click.option(
    "--published",
    metavar="ROOT",
    type=options.PATH,
    help="Folder of the authors' checkpoints.",
)
@click.option("--epoch", type=int, help="Epoch of the checkpoint, with --published.")
@click.option("--name", help="Name of the model in its metadata.  [default: the output's name]")
@click.option(
    "--training-data",
    help="Training data and its terms, as a sentence for the metadata.  [default: that of the "
    "shipped model, else: not stated]",
)
@click.option(
    "--score",
    "scores",
    multiple=True,
    callback=_parse_scores,
    metavar="NAME=NUMBER",
    help="Measured score for the metadata; may be repeated.",
)
@click.option(
    "--fixed",
    metavar="N",
    type=click.IntRange(min=1),
    help="For other programs: fix the image size to N x N pixels.",
)
@click.option(
    "--fp16", is_flag=True, help="For other programs: store weights and compute in float16."
)
@click.option(
    "--opset",
    metavar="N",
    type=int,
    help="For other programs: version of the ONNX operator set.  [default: 18]",
)
@click.option(
    "--darktable", is_flag=True, help="Write a package for darktable 5.6 and newer, NAME.dtmodel."
)
@click.option(
    "--weights",
    type=options.PATH,
    help="Also write the torch weights to this file, as safetensors.",
)
@options.overwrite
def command(
    source: str | None,
    output: Path,
    published: Path | None,
    epoch: int | None,
    name: str | None,
    training_data: str | None,
    scores: dict[str, float],
    fixed: int | None,
    opset: int | None,
    weights: Path | None,
    *,
    fp16: bool,
    darktable: bool,
    overwrite: bool,
) -> None:
    """Convert trained weights to a model file."""
    if (source is None) == (published is None):
        raise click.UsageError("give either a SOURCE of weights or --published ROOT")
    if (published is None) != (epoch is None):
        raise click.UsageError("--published ROOT and --epoch N go together")
    if darktable and (fixed is not None or fp16 or opset is not None):
        raise click.UsageError(
            "--darktable sets the image size, precision and opset; omit --fixed, --fp16 and --opset"
        )
    for path in (output, weights):
        if path is not None and path.exists() and not overwrite:
            raise click.UsageError(f"{path} exists; add --overwrite to replace it")

    from crdnet.export import (  # imports torch
        Network,
        describe_model,
        export_network,
        load_network,
    )
    from crdnet.foreign import Adaptation, adapt_model, package_for_darktable
    from crdnet.nn import load_published, save_weights

    if published is not None and epoch is not None:
        network: Network = load_published(published, epoch)
    else:
        assert source is not None
        network = load_network(source)
    training_data = training_data or _find_training_data(source) or "not stated"
    info = describe_model(network, name or output.stem, training_data, scores)
    if darktable or fixed is not None or fp16 or opset is not None:
        with tempfile.TemporaryDirectory() as folder:
            source_file = Path(folder) / "source.onnx"
            export_network(network, source_file, info)
            adapted = (
                package_for_darktable(source_file, output)
                if darktable
                else adapt_model(source_file, output, Adaptation(fixed, fp16, opset))
            )
        size, difference, other = adapted.bytes, adapted.largest_difference, "the model"
    else:
        report = export_network(network, output, info)
        size, difference, other = report.bytes, report.largest_difference, "torch"
    if weights is not None:
        save_weights(network, weights)
    click.echo(
        f"{output}  {size / 1e6:.1f} MB; differs from {other} by at most "
        f"{difference:.1e} for samples in 0..1"
    )
