"""Messages of the library in the words of the command line."""

import re
import unicodedata

_FLAGS = {
    name: f"--{name.replace('_', '-')}"
    for name in (
        "always",
        "device",
        "ensemble",
        "fallback_format",
        "format",
        "jobs",
        "max_pixels",
        "model",
        "overwrite",
        "quality",
        "rain",
        "recursive",
        "skip_existing",
        "strength",
        "strip_gps",
        "tile",
    )
} | {"destination": "-o/--output"}
_ARGUMENT = re.compile(r"`(\w+)(?:=True)?`")
_UNSHOWN = {"Cc", "Cs", "Zl", "Zp"}


def name_flags(message: str) -> str:
    """Return a message of the library with flags in place of arguments, such as `overwrite=True`."""
    return _ARGUMENT.sub(lambda match: _FLAGS.get(match[1], match[0]), message)


def escape(text: str) -> str:
    """Return a text as one line of a terminal: line breaks, control characters and broken bytes are escaped."""
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in _UNSHOWN
        else letter
        for letter in text
    )
