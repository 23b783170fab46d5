"""Names, formats and places of outputs."""

import errno
import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from crdnet.errors import OutputError
from crdnet.images import FORMAT_OF_SUFFIX, FORMATS, RAW_SUFFIXES
from crdnet.pipeline.options import DerainOptions
from crdnet.runtime import Array, as_colours

SUFFIX = "_derained"
"""Suffix of the name of an output that is written beside its input."""


def name_output(source: Path, options: DerainOptions) -> Path:
    """Return the path of the output beside the source: street_derained.jpg for street.jpg."""
    return source.with_name(source.stem + SUFFIX + choose_suffix(source, options))


def choose_suffix(source: Path, options: DerainOptions) -> str:
    """Return the suffix of the output: that of the source, unless the format changes."""
    format = options.format
    if FORMAT_OF_SUFFIX.get(source.suffix.lower(), "JPEG") not in FORMATS.values():
        format = format or options.fallback_format
    if format is None or FORMAT_OF_SUFFIX.get(source.suffix.lower()) == FORMATS.get(format):
        return source.suffix
    return f".{format}"


def choose_format(
    source: Path | None,
    output: Path | None,
    format: str | None,
) -> str | None:
    """Return the format to write, a key of `FORMATS`; None is the format of the input's content.

    The suffix of the output decides only if it differs from that of the source: a source with a
    wrong suffix keeps its format.
    """
    source_suffix = "" if source is None else source.suffix
    suffix = source_suffix if output is None else output.suffix
    # A suffix that names no format, such as that of a temporary file, contradicts none.
    named = FORMAT_OF_SUFFIX.get(suffix.lower())
    if format is not None:
        if named not in (None, FORMATS[format]):
            raise OutputError(
                f"the suffix {suffix} does not fit the format {format}; give only one of them"
            )
        return format
    if suffix.lower() == source_suffix.lower():
        return None
    for key, name in FORMATS.items():
        if name == named:
            return key
    raise OutputError(describe_unwritten(suffix))


def describe_unwritten(suffix: str) -> str:
    """Return the error message for an output suffix whose format cannot be written."""
    known = ", ".join(each for each, name in FORMAT_OF_SUFFIX.items() if name in FORMATS.values())
    kind = (
        "is that of raw files of cameras, which crdnet neither reads nor writes"
        if suffix.lower() in RAW_SUFFIXES
        else "names no format that crdnet writes"
    )
    return f"the suffix {suffix!r} {kind}; use one of {known}"


def choose_fallback(output: Path | None, fallback: str | None) -> str | None:
    """Return the output format for a source in a read-only format; None lets the source fail.

    The suffix of the output decides, so that a HEIC file named street.jpg becomes a JPEG and the
    name matches the content.
    """
    named = None if output is None else FORMAT_OF_SUFFIX.get(output.suffix.lower())
    by_suffix = next((key for key, name in FORMATS.items() if name == named), fallback)
    return None if fallback is None else by_suffix


def check_output(source: Path | None, output: Path, *, overwrite: bool) -> None:
    """Refuse an output that is the source, or that exists and may not be replaced."""
    if source is not None and _is_same_file(source, output):
        raise OutputError(
            f"the output {output} is the input itself, which is never replaced; choose another "
            "output"
        )
    try:
        # Only the length of the name matters here; the writer reports other faults.
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            output.lstat()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise OutputError(
            f"the name of the output {output} is too long for the file system; choose a shorter "
            "name, or another folder"
        ) from error
    if not overwrite and os.path.lexists(output):
        raise OutputError(f"{output} exists; use `overwrite=True` to replace it, or another output")
    if output.is_dir():
        raise OutputError(f"{output} is a folder; name a file in it")


def encode_rain(rainy: Array, derained: Array) -> bytes:
    """Return the removed rain as an upright 8-bit PNG: streaks on black.

    The pixels are the positive part of rainy minus derained, because rain nearly always brightens.
    Added to the derained image, they restore the rainy one except for the few pixels that rain
    darkened.
    """
    rain = as_colours(rainy) - as_colours(derained)
    levels = np.rint(np.clip(rain, 0.0, 1.0) * 255).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    return buffer.getvalue()


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        # One does not exist, or is a link to itself, for which Path.resolve fails.
        return os.path.realpath(one) == os.path.realpath(other)
