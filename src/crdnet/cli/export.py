"""`crdnet export`: trained weights become a model file."""

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


HELP = """
Turn trained weights into a model file that runs without torch.

SOURCE is a checkpoint of `crdnet train`, a .safetensors or .onnx file, a folder of save_pretrained,
the name of a model that comes with crdnet, or OWNER/NAME on the Hugging Face hub (extra: hub).

The file is reloaded and compared with the torch network on odd sizes; only if they agree is it left
in place.

\b
crdnet export runs/a/last.ckpt -o my.onnx
crdnet export paper -o paper.onnx
crdnet export --published checkpoints/ --epoch 100 -o theirs.onnx
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
@click.option("--epoch", type=int, help="Which of the authors' checkpoints, with --published.")
@click.option("--name", help="What the model calls itself [default: the output's name].")
@click.option(
    "--training-data",
    default="not stated",
    help="A sentence for the file: data trained on and its terms.",
)
@click.option(
    "--score",
    "scores",
    multiple=True,
    callback=_parse_scores,
    metavar="NAME=NUMBER",
    help="A measured score.",
)
@click.option("--weights", type=options.PATH, help="Write the torch weights too, as safetensors.")
@options.overwrite
def command(
    source: str | None,
    output: Path,
    published: Path | None,
    epoch: int | None,
    name: str | None,
    training_data: str,
    scores: dict[str, float],
    weights: Path | None,
    *,
    overwrite: bool,
) -> None:
    """Turn trained weights into a model file."""
    if (source is None) == (published is None):
        raise click.UsageError("give either a SOURCE of weights or --published ROOT")
    if (published is None) != (epoch is None):
        raise click.UsageError("--published ROOT and --epoch N go together")
    for path in (output, weights):
        if path is not None and path.exists() and not overwrite:
            raise click.UsageError(f"{path} exists; add --overwrite to replace it")

    from crdnet.export import (  # imports torch
        Network,
        describe_model,
        export_network,
        load_network,
    )
    from crdnet.nn import load_published, save_weights

    if published is not None and epoch is not None:
        network: Network = load_published(published, epoch)
    else:
        assert source is not None
        network = load_network(source)
    report = export_network(
        network, output, describe_model(network, name or output.stem, training_data, scores)
    )
    if weights is not None:
        save_weights(network, weights)
    click.echo(
        f"{report.path}  {report.bytes / 1e6:.1f} MB; differs from torch by at most "
        f"{report.largest_difference:.1e} on colours of 0..1"
    )
