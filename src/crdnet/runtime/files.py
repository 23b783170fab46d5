"""Taking the rain out of picture files: one file in, one file out, whole or not at all."""

import os
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

from crdnet import images
from crdnet.density import RainDensity
from crdnet.errors import ImageError, OutputError
from crdnet.files import write_whole
from crdnet.runtime.derainer import Derainer, shared_derainer

SUFFIX = "_derained"
"""What is added to a file's name where the result goes beside it."""


@dataclass(frozen=True)
class FileRecord:
    """What became of one file."""

    source: Path
    output: Path
    width: int
    """Pixels of the upright picture."""
    height: int
    density: RainDensity | None
    """How heavy the rain was; None where the model does not sense it."""
    seconds: float
    """From opening the source to closing the output."""
    warnings: tuple[str, ...] = ()
    """What of the source could not be carried over."""


@dataclass(frozen=True)
class Derained:
    """A derained picture file in memory."""

    content: bytes
    width: int
    height: int
    density: RainDensity | None
    warnings: tuple[str, ...]


def derain_file(
    source: str | Path,
    output: str | Path | None = None,
    *,
    model: str | Path = "default",
    device: str = "auto",
    threads: int | None = None,
    tile: int | Literal["auto"] = "auto",
    strength: float = 1.0,
    overwrite: bool = False,
    format: str | None = None,  # noqa: A002
) -> FileRecord:
    """Take the rain out of a picture file, and keep everything else in it.

    Args:
        source: JPEG, PNG, WebP, TIFF or BMP, 8 bits, grey or RGB.
        output: Where to write; None is `<name>_derained<suffix>` beside the source. Its folder is made if
            need be. A suffix other than the source's asks for that format.
        model: See `Derainer`, as for the next three.
        device: "auto", "cpu" or "cuda".
        threads: Processors for one picture.
        tile: "auto", 0, or a side in pixels.
        strength: How much of the rain to take out: 0 none, 1 all.
        overwrite: Whether an existing output may be replaced. The source never is.
        format: One of jpg, png, webp, tiff; None keeps the source's, or follows the output's suffix.

    Raises:
        ImageError: The source cannot be read, or holds something that cannot be kept.
        OutputError: The output exists, is the source, or cannot be written; nothing half-written stays
            behind.
    """
    derainer = shared_derainer(model, device, threads, tile)
    return derain_file_with(derainer, source, output, strength=strength, overwrite=overwrite, format=format)


def derain_file_with(
    derainer: Derainer,
    source: str | Path,
    output: str | Path | None = None,
    *,
    strength: float = 1.0,
    overwrite: bool = False,
    format: str | None = None,  # noqa: A002
) -> FileRecord:
    """Do the work of `derain_file` with a derainer that is there already."""
    began = perf_counter()
    source = Path(source)
    output = default_output(source, format) if output is None else Path(output)
    target = output_format(source.suffix, output.suffix, format)
    check_output(source, output, overwrite=overwrite)
    derained = derain_content(derainer, read_file(source), name=str(source), strength=strength, format=target)
    write_whole(output, derained.content, overwrite=overwrite)
    return FileRecord(
        source=source,
        output=output,
        width=derained.width,
        height=derained.height,
        density=derained.density,
        seconds=perf_counter() - began,
        warnings=derained.warnings,
    )


def derain_content(
    derainer: Derainer,
    content: bytes,
    *,
    name: str,
    strength: float = 1.0,
    format: str | None = None,  # noqa: A002
) -> Derained:
    """Take the rain out of a picture file in memory.

    Args:
        derainer: Does the work.
        content: The whole file.
        name: What messages call it.
        strength: How much of the rain to take out.
        format: Pillow's name of the format to write; None keeps the file's own.
    """
    picture = images.decode(content, name)
    result = derainer.run(picture.pixels, strength=strength)
    height, width = picture.pixels.shape[:2]
    return Derained(
        content=images.encode(picture, result.image, format),
        width=width,
        height=height,
        density=result.density,
        warnings=tuple(f"could not carry over {what}" for what in images.lost_between(picture, format)),
    )


def default_output(source: Path, format: str | None = None) -> Path:  # noqa: A002
    """Return the place beside the source: street.jpg becomes street_derained.jpg."""
    return source.with_name(source.stem + SUFFIX + suffix_for(source, format))


def suffix_for(source: Path, format: str | None) -> str:  # noqa: A002
    """Return the suffix of a result: the source's, unless another format was asked for."""
    if format is None or images.FORMAT_OF_SUFFIX.get(source.suffix.lower()) == images.FORMATS.get(format):
        return source.suffix
    return f".{format}"


def output_format(source_suffix: str, output_suffix: str, format: str | None) -> str | None:  # noqa: A002
    """Return Pillow's name of the format to write, or None for that of the source's content.

    A changed suffix asks for its format; an unchanged one does not, since a wrong suffix must not change the
    content.
    """
    asked = images.FORMAT_OF_SUFFIX.get(output_suffix.lower())
    if format is not None:
        if format not in images.FORMATS:
            raise OutputError(f"there is no format {format!r}; use one of {', '.join(images.FORMATS)}")
        if asked not in (None, images.FORMATS[format]):
            raise OutputError(
                f"the suffix {output_suffix} does not fit the format {format}; leave one of them away"
            )
        return images.FORMATS[format]
    if output_suffix.lower() == source_suffix.lower():
        return None
    if asked is None:
        known = ", ".join(images.FORMAT_OF_SUFFIX)
        raise OutputError(
            f"the suffix {output_suffix!r} names no format that crdnet writes; use one of {known}"
        )
    return asked


def check_output(source: Path | None, output: Path, *, overwrite: bool) -> None:
    """Refuse an output that is the source, or that exists and may not be replaced."""
    if source is not None and _same_file(source, output):
        raise OutputError(
            f"the output {output} is the input itself, which is never replaced; choose another output"
        )
    if not overwrite and os.path.lexists(output):
        raise OutputError(
            f"{output} exists and is not replaced unasked; use --overwrite (overwrite=True) or another output"
        )
    if output.is_dir():
        raise OutputError(f"{output} is a folder; name a file in it")


def read_file(source: Path) -> bytes:
    """Return a file's content."""
    try:
        return source.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"there is no file {source}; check the path") from error
    except OSError as error:
        raise ImageError(f"{source} cannot be read: {error.strerror or error}") from error


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist
        return one.resolve() == other.resolve()
