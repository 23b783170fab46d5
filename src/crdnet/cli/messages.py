"""Translation of messages of the library into the words of the command line."""

import re
import unicodedata
from collections.abc import Iterable

import click

_FLAGS = {
    name: f"--{name.replace('_', '-')}"
    for name in (
        "address",
        "always",
        "cpus_per_worker",
        "device",
        "end",
        "ensemble",
        "fallback_format",
        "format",
        "gpus_per_worker",
        "id_column",
        "images",
        "jobs",
        "layout",
        "limit",
        "max_failures",
        "max_pixels",
        "metrics_port",
        "model",
        "only",
        "only_rain",
        "overwrite",
        "quality",
        "rain",
        "rate",
        "recursive",
        "sense_only",
        "shard",
        "skip_existing",
        "start",
        "strength",
        "strip_gps",
        "threshold",
        "tile",
        "uri_column",
        "workers",
    )
} | {
    "codec": "-c/--codec",
    "destination": "-o/--output",
    "pixel_format": "--pix-fmt",
    "webdataset": "--format webdataset",
}
_ARGUMENT = re.compile(r"`(\w+)(?:=True)?`")
_UNSHOWN = {"Cc", "Cs", "Zl", "Zp"}


def name_flags(message: str) -> str:
    """Replace arguments in a message of the library, such as `overwrite=True`, by flags."""
    return _ARGUMENT.sub(lambda match: _FLAGS.get(match[1], match[0]), message)


def report_errors(messages: Iterable[str]) -> int:
    """Print messages of the library as errors, and return the exit code."""
    code = 0
    for message in messages:
        code = 1
        click.echo(f"Error: {escape(name_flags(message))}", err=True)
    return code


def escape(text: str) -> str:
    """Return a text as one line of a terminal, with line breaks and control characters escaped."""
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in _UNSHOWN
        else letter
        for letter in text
    )
