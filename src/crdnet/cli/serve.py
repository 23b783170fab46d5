"""`crdnet serve`: run the HTTP server, with a page to drop an image on (extra: serve)."""

import os
from pathlib import Path
from typing import Any

import click

from crdnet.cli import options
from crdnet.devices import DEVICES
from crdnet.errors import MissingExtraError, ModelError

_HELP = """\
Serve an HTTP API and a page to drop an image on; offline, on this machine alone unless told
otherwise.

\b
crdnet serve                              the page: http://127.0.0.1:8000
                                          the API: http://127.0.0.1:8000/docs
curl -F file=@street.jpg http://127.0.0.1:8000/v1/derain -o clean.jpg

Every option is an environment variable too: CRDNET_PORT for --port, CRDNET_API_KEY_FILE for
--api-key-file. The key itself is read from a file or from CRDNET_API_KEY, never from an argument,
which every user of the machine could see.
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
    help="Address to listen on. Another than this machine's needs an API key.",
)
@_add_option("--port", type=click.IntRange(0, 65535), default=8000, help="0: a free one.")
@_add_option(
    "--unix-socket",
    default="",
    metavar="PATH",
    help="Listen on this socket in the file system instead of on a port.",
)
@_add_option(
    "--model",
    "-m",
    "models",
    multiple=True,
    default=["default"],
    help="A model that clients may ask for; once for each, the first is what they get unasked.",
)
@_add_option("--device", "-d", type=click.Choice(DEVICES), default="auto")
@_add_option(
    "--jobs",
    "-j",
    type=options.AT_LEAST_ONE,
    default=2,
    help="Images in work at once; they share processors.",
)
@_add_option("--max-megabytes", type=options.ABOVE_ZERO, default=32.0, help="Of one upload.")
@_add_option("--max-megapixels", type=options.ABOVE_ZERO, default=50.0, help="Of one image.")
@_add_option(
    "--budget-megapixels",
    type=options.ABOVE_ZERO,
    default=60.0,
    help="Of all images in work at once.",
)
@_add_option("--queue", type=click.IntRange(min=0), default=16, help="Images that may wait.")
@_add_seconds("--queue-seconds", 30.0, "How long an image may wait.")
@_add_seconds("--header-seconds", 10.0, "How long the head of a request may take.")
@_add_seconds("--body-seconds", 60.0, "How long the body of a request may take.")
@_add_seconds("--answer-seconds", 60.0, "How long a client may take to fetch its answer.")
@_add_seconds("--codec-seconds", 30.0, "How long decoding or encoding an image may take.")
@_add_seconds("--work-seconds", 300.0, "How long one image may be in work.")
@_add_option(
    "--codec-megabytes",
    type=click.IntRange(min=512),
    default=3000,
    help="Address space of a process that decodes images.",
)
@_add_option("--connections", type=options.AT_LEAST_ONE, default=256, help="Connections at once.")
@_add_option(
    "--client-connections",
    type=options.AT_LEAST_ONE,
    default=128,
    help="Connections of one client at once; behind a trusted proxy, its requests.",
)
@_add_option(
    "--client-images-per-minute",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Images of one client in a minute; 0: any number.",
)
@_add_seconds("--grace-seconds", 30.0, "How long what is in flight may take after SIGTERM.")
@_add_option(
    "--api-key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of keys, one a line; clients must know one of them.",
)
@_add_option("--no-auth", is_flag=True, help="Serve other machines without a key.")
@_add_option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="A name by which this server may be called, beside localhost and addresses; * is any.",
)
@_add_option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    metavar="ORIGIN",
    help="A site whose pages may call this server.",
)
@_add_option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="ADDRESS",
    help="A proxy, or a network of proxies, whose X-Forwarded-For, -Proto and -Host count.",
)
@_add_option(
    "--root-path", default="", metavar="PATH", help="Path under which a proxy serves this server."
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
            "CRDNET_API_KEY and --api-key-file both give a key; leave one of them away"
        )
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(
            f"the key file {file} cannot be read ({error}); give a text file"
        ) from error
    return tuple(line.strip() for line in lines if line.strip()) or ("",)
