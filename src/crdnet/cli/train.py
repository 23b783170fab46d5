"""`crdnet train`: pass its options to the recipe parser of `crdnet.training`."""

import logging
import sys

import click

from crdnet.errors import RecipeError
from crdnet.recipes import list_recipes, read_summary

_HELP = """\
Usage: crdnet train --config NAME_OR_FILE --data.root PATH [--KEY VALUE ...]

Train a network from a recipe (extra: train). Every key of a recipe is also an option; an option
overrides the recipe.

  crdnet train --config fine-tune --model.start_from default --data.root my_pairs/
  crdnet train --config paper-cpu --data.root train/ --data.validation val/ --run runs/a
  crdnet train --config paper-cpu --data.root train/ --data.validation val/ --run runs/a --resume

Options:
  --config NAME_OR_FILE    Recipe; --list lists the shipped recipes.
  --kind KIND              published, published-mixed, residual or pairs; set by the recipe.
  --run FOLDER             Folder of the run: configuration, checkpoints, curves.
  --resume                 Continue from the last finished epoch of the run.
  --data.root PATH         Training pairs: folder, list file or shards; for mixed data: photographs
                           without rain.
  --data.validation PATH   Validation pairs, of other scenes; or a list of sets.
  --data.workers N         Processes that load images.
  --leaks warn|refuse|ignore        What to do if validation scenes are among the training scenes.
  --model.start_from NAME_OR_FILE   Initial weights.
  --model.network.class_path CLASS  A network of your own (kind: pairs).
  --model.optimizer.learning_rate X Learning rate.
  --ema_decay X            Average the weights, with this decay per step.
  --trainer.max_epochs N   Number of epochs. Other options of the Lightning trainer work too:
                           accelerator, devices, precision, logger, callbacks, fast_dev_run, ...
  --curves WHERE           Logger: tensorboard, csv, wandb (offline), mlflow (offline) or visdom.
  --list                   List the shipped recipes.
  --help-all               List all options of all kinds; takes some seconds.
  -h, --help               Show this message and exit.
"""


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": [],
    },
    short_help="Train a network from a recipe (extra: train).",
)
@click.option("--list", "lists", is_flag=True, help="List the shipped recipes.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(lists: bool, arguments: tuple[str, ...]) -> None:
    """Train a network from a recipe."""
    if lists:
        for name, path in list_recipes().items():
            click.echo(f"{name:<16} {read_summary(path)}")
        return
    if "--help" in arguments or "-h" in arguments:
        click.echo(_HELP, nl=False)
        return
    from crdnet.training import train  # torch is imported only by those who train

    if "--help-all" in arguments:
        _print_every_option()
        return
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        run = train(arguments)
    except RecipeError as error:
        raise click.UsageError(str(error)) from error
    if (run / "last.ckpt").exists():  # not after a trial with --trainer.fast_dev_run
        click.echo(run / "last.ckpt")


def _print_every_option() -> None:
    """Print the options of every kind, as the recipe parser lists them."""
    from crdnet.training import KINDS, train

    for kind in KINDS:
        click.echo(f"---- kind: {kind} ----")
        try:
            train(["--kind", kind, "--help"])
        except SystemExit:  # an argument parser exits after its help
            continue
