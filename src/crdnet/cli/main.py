"""The `crdnet` command: a group that imports a command only when it is called.

`crdnet --help` must take less than 0.3 s. Therefore each command has a separate module, and its
one-line help is here.
"""

import os
import sys
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import cast

import click

from crdnet._version import __version__
from crdnet.cli.messages import name_flags
from crdnet.errors import ArgumentError, CRDNetError

EXIT_FAILED = 1
EXIT_WRONG_USAGE = 2
EXIT_INTERRUPTED = 130

# name: (module that defines `command`, the line that `crdnet --help` prints)
_COMMANDS = {
    "derain": ("crdnet.cli.derain", "Remove rain from images and folders of images."),
    "sense": ("crdnet.cli.sense", "Measure the rain in images."),
    "video": ("crdnet.cli.video", "Remove rain from a clip or a live camera (extra: video)."),
    "batch": (
        "crdnet.cli.batch",
        "Derain or sense the images of a bucket, on a cluster (extra: cluster).",
    ),
    "serve": (
        "crdnet.cli.serve",
        "Run an HTTP API and a web page (extra: serve).",
    ),
    "models": ("crdnet.cli.models", "List the shipped models."),
    "bench": ("crdnet.cli.bench", "Measure the speed of each engine on this machine."),
    "evaluate": (
        "crdnet.cli.evaluate",
        "Score a model, or saved images of any method.",
    ),
    "data": ("crdnet.cli.data", "Check and split data sets."),
    "synth": ("crdnet.cli.synth", "Add synthetic rain to photographs to make training pairs."),
    "train": ("crdnet.cli.train", "Train a network from a recipe (extra: train)."),
    "export": ("crdnet.cli.export", "Convert trained weights to a model file (extra: train)."),
}


class LazyGroup(click.Group):
    """Click group that imports a command only to run it or to show its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands in the order in which a newcomer meets them."""
        return list(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import the module of a command."""
        if cmd_name not in _COMMANDS:
            return None
        return cast(click.Command, import_module(_COMMANDS[cmd_name][0]).command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the called command; for an unknown one, suggest the command that may be meant."""
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            suggested = _suggest(name)
            hint = f"; did you mean `{suggested}`?" if suggested else ""
            raise click.UsageError(f"there is no command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


def _suggest(name: str) -> str | None:
    """Return the likely call if an image, a folder or a typing error is given as the command."""
    if name == "." or Path(name).suffix or os.path.lexists(name):
        return f"crdnet derain {quote(name)}"
    similar = get_close_matches(name, _COMMANDS, n=1)
    return f"crdnet {similar[0]}" if similar else None


HELP = """
Remove rain from images and clips; offline, on a CPU.

\b
crdnet derain street.jpg                  write street_derained.jpg beside street.jpg
crdnet derain photos/ -o clean/ -r        derain a folder and its subfolders
cat a.png | crdnet derain - > b.png       read and write a pipe

`crdnet COMMAND --help` explains a command.
"""


@click.group(
    cls=LazyGroup,
    help=HELP,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
)
@click.version_option(__version__, "-V", "--version", prog_name="crdnet")
def cli() -> None:
    """Remove rain from images and clips; `crdnet COMMAND --help` explains a command."""


def _format_error(error: click.ClickException) -> str:
    """Return the message about a wrong call, with a hint to the help."""
    message = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{message.removesuffix('.')}; see `{error.ctx.command_path} --help`"
    return message


def main() -> None:
    """Run the command line and exit with its exit code; see `crdnet.cli`."""
    try:
        code = cli(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        code = EXIT_INTERRUPTED
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        code = EXIT_INTERRUPTED
    except click.ClickException as error:
        click.echo(f"Error: {_format_error(error)}", err=True)
        code = error.exit_code
    except CRDNetError as error:
        if "-v" in sys.argv or "--verbose" in sys.argv:
            raise
        click.echo(f"Error: {name_flags(str(error))}", err=True)
        code = EXIT_WRONG_USAGE if isinstance(error, ArgumentError) else EXIT_FAILED
    except BrokenPipeError:
        # The reader of standard output has closed it, like `| head`; Python would report this
        # again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_FAILED
    sys.exit(code if isinstance(code, int) else 0)
