"""`crdnet train`: hands its options to the recipe parser of `crdnet.training`."""

import logging
import sys

import click

from crdnet.errors import RecipeError
from crdnet.recipes import shipped_recipes, summary_of


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": [],
    },
    short_help="Train a network from a recipe (extra: train).",
)
@click.option("--list", "lists", is_flag=True, help="List the recipes that come with crdnet.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(lists: bool, arguments: tuple[str, ...]) -> None:
    """Train a network from a recipe; `crdnet train --help` lists every key."""
    if lists:
        for name, path in shipped_recipes().items():
            click.echo(f"{name:<16} {summary_of(path)}")
        return
    from crdnet.training import train  # noqa: PLC0415 - torch is imported only by those who train

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        run = train(["--help"] if arguments == ("-h",) else arguments)
    except RecipeError as error:
        raise click.UsageError(str(error)) from error
    click.echo(run / "last.ckpt")
