"""`crdnet serve`: run the HTTP server, with a page to drop an image on (extra: serve)."""

import os
from pathlib import Path
from typing import Any

import click

from crdnet.cli import options
from crdnet.devices import DEVICES
from crdnet.errors import MissingExtraError, ModelError

_HELP = """\
Run an HTTP API and a web page that derains images; by default for this machine only.

\b
crdnet serve                              page: http://127.0.0.1:8000
                                          API: http://127.0.0.1:8000/docs
curl -F file=@street.jpg http://127.0.0.1:8000/v1/derain -o clean.jpg

Each option can also be set by an environment variable: --port by CRDNET_PORT, --api-key-file by
CRDNET_API_KEY_FILE. The key itself is read from that file or from CRDNET_API_KEY, never from an
argument, because every user of the machine can read the arguments of a process.
"""
_MEGA = 1_000_000


def _add_option(name: str, *more: str, **settings: Any) -> options.Decorator:
    """Return an option that can also be set by an environment variable."""
    variable = "CRDNET_" + name.removeprefix("--").replace("-", "_").upper()
    return click.option(name, *more, envvar=variable, **settings)


def _add_seconds(name: str, default: float, told: str) -> options.Decorator:
    return _add_option(name, type=options.ABOVE_ZERO, default=default, help=told)


@click.command("serve", help=_HELP)
@_add_option(
    "--host",
    default="127.0.0.1",
    help="Address to listen on. An address that other machines can reach needs an API key.",
)
@_add_option("--port", type=click.IntRange(0, 65535), default=8000, help="Port; 0: any free port.")
@_add_option(
    "--unix-socket",
    default="",
    metavar="PATH",
    help="Listen on this Unix socket instead of a port.",
)
@_add_option(
    "--model",
    "-m",
    "models",
    multiple=True,
    default=["default"],
    help="Model that clients may choose; may be repeated; the first is the default.",
)
@_add_option(
    "--device",
    "-d",
    type=click.Choice(DEVICES),
    default="auto",
    help="Device that runs the network; auto: the fastest one that is installed and works.",
)
@_add_option(
    "--jobs",
    "-j",
    type=options.AT_LEAST_ONE,
    default=2,
    help="Images in progress at a time; they share the CPUs.",
)
@_add_option("--max-megabytes", type=options.ABOVE_ZERO, default=32.0, help="Limit of one upload.")
@_add_option("--max-megapixels", type=options.ABOVE_ZERO, default=50.0, help="Limit of one image.")
@_add_option(
    "--budget-megapixels",
    type=options.ABOVE_ZERO,
    default=60.0,
    help="Limit of all images in progress together.",
)
@_add_option(
    "--queue", type=click.IntRange(min=0), default=16, help="Number of images that may wait."
)
@_add_seconds("--queue-seconds", 30.0, "Time limit for waiting.")
@_add_seconds("--header-seconds", 10.0, "Time limit for receiving the header of a request.")
@_add_seconds("--body-seconds", 60.0, "Time limit for receiving the body of a request.")
@_add_seconds("--answer-seconds", 60.0, "Time limit for sending a response.")
@_add_seconds("--codec-seconds", 30.0, "Time limit for decoding or encoding an image.")
@_add_seconds("--work-seconds", 300.0, "Time limit for processing an image.")
@_add_option(
    "--codec-megabytes",
    type=click.IntRange(min=512),
    default=3000,
    help="Limit of the address space of a decoder process.",
)
@_add_option(
    "--connections", type=options.AT_LEAST_ONE, default=256, help="Limit of open connections."
)
@_add_option(
    "--client-connections",
    type=options.AT_LEAST_ONE,
    default=128,
    help="Limit of open connections of one client; behind a trusted proxy, of its requests.",
)
@_add_option(
    "--client-images-per-minute",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Rate limit of one client; 0: no limit.",
)
@_add_seconds("--grace-seconds", 30.0, "Time limit for requests in progress after SIGTERM.")
@_add_option(
    "--api-key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of API keys, one per line; a client must send one of them.",
)
@_add_option("--no-auth", is_flag=True, help="Do not require a key from other machines.")
@_add_option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Host name that requests may use, besides localhost and IP addresses; *: any.",
)
@_add_option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Origin whose pages may call this server.",
)
@_add_option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="ADDRESS",
    help="Address or network of a proxy whose X-Forwarded-For, -Proto and -Host are trusted.",
)
@_add_option(
    "--root-path",
    default="",
    metavar="PATH",
    help="Path prefix under which a proxy serves this server.",
)
def command(
    max_megabytes: float,
    max_megapixels: float,
    budget_megapixels: float,
    api_key_file: Path | None,
    **others: Any,
) -> None:
    try:
        from crdnet.server import Settings, serve  # FastAPI is an extra
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("crdnet"):
            raise
        raise MissingExtraError("crdnet serve", "serve") from error
    try:
        settings = Settings(
            max_bytes=round(max_megabytes * _MEGA),
            max_pixels=round(max_megapixels * _MEGA),
            budget_pixels=round(budget_megapixels * _MEGA),
            keys=_read_keys(api_key_file),
            **others,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    try:
        serve(settings)
    except ModelError as error:
        raise click.BadParameter(str(error), param_hint="-m/--model") from error


def _read_keys(file: Path | None) -> tuple[str, ...]:
    """Return the keys, one of which a client must send.

    Raises:
        click.UsageError: The file cannot be read, or both the file and the variable state a key.
    """
    from_environment = os.environ.get("CRDNET_API_KEY")
    if file is None:
        return () if from_environment is None else (from_environment,)
    if from_environment is not None:
        raise click.UsageError(
            "CRDNET_API_KEY and --api-key-file both give a key; use only one of them"
        )
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(
            f"the key file {file} cannot be read ({error}); give a text file"
        ) from error
    return tuple(line.strip() for line in lines if line.strip()) or ("",)
