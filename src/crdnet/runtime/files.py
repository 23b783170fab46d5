"""Taking the rain out of picture files: one file in, one file out, whole or not at all.

A picture that is surely dry is left alone: its file comes out byte for byte, unless another format was asked for.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from shutil import copyfile
from stat import S_ISREG
from time import perf_counter
from typing import Literal

import numpy as np
from PIL import Image

from crdnet import images
from crdnet.errors import ImageError, OutputError
from crdnet.files import whole_file
from crdnet.runtime.derainer import Derainer, DerainResult, shared_derainer
from crdnet.runtime.sensing import SenseReport, TellsRain

LARGE_PIXELS = 64_000_000
"""Pictures beyond this are read and written in bands: 200 MB at 8 bits, and as much again for the result."""
_BAND_ROWS = 256
_WHOLE_BYTES = 12
"""Per pixel of 8 bits that is read whole: RGB as decoded, as the result, turned back, and as the encoder has it."""
SUFFIX = "_derained"
"""What is added to a file's name where the result goes beside it."""


@dataclass(frozen=True)
class FileRecord(TellsRain):
    """What became of one file."""

    source: Path
    output: Path
    width: int
    """Pixels of the upright picture."""
    height: int
    sensed: SenseReport
    """How heavy the rain was."""
    dry: bool
    """Whether the picture was surely dry and its pixels were left alone."""
    seconds: float
    """From opening the source to closing the output."""
    warnings: tuple[str, ...] = ()
    """What of the source could not be carried over."""


@dataclass(frozen=True)
class Derained:
    """A derained picture file: in memory, or, of a large picture, still to be made as it is written."""

    content: bytes | None
    """All of it; None of a picture in bands."""
    write: Callable[[Path], None]
    """Writes it over a file that is there and empty. Of a picture in bands this is where the work is done, once."""
    rain: bytes | None
    """A PNG of what was taken out, if it was asked for: see `rain_picture`."""
    width: int
    height: int
    sensed: SenseReport
    dry: bool
    """Whether the picture was surely dry and its pixels were left alone."""
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class FileOptions:
    """How picture files are derained, and what of them is kept."""

    strength: float = 1.0
    """How much of the rain to take out: 0 none, 1 all."""
    always: bool = False
    """Whether a picture that is surely dry is derained too; if not, it is left as it is."""
    quality: int | None = None
    """1 to 100 for formats that lose something; None keeps the source's, a JPEG's tables and subsampling."""
    strip_gps: bool = False
    """Whether EXIF and XMP shall not say where the picture was taken."""
    max_pixels: int = images.MAX_PIXELS
    """The most that a picture may have, all frames together; a larger one is refused before it is read."""
    decoders: images.Decoders | None = None
    """What decodes, where a picture that makes its decoder crash must not end us as well."""


def derain_file(
    source: str | Path,
    output: str | Path | None = None,
    *,
    model: str | Path = "default",
    device: str = "auto",
    threads: int | None = None,
    tile: int | Literal["auto"] = "auto",
    strength: float = 1.0,
    always: bool = False,
    quality: int | None = None,
    strip_gps: bool = False,
    max_pixels: int = images.MAX_PIXELS,
    overwrite: bool = False,
    format: str | None = None,  # noqa: A002
) -> FileRecord:
    """Take the rain out of a picture file, and keep everything else in it.

    Args:
        source: A file of a format that `crdnet.images` reads.
        output: Where to write; None is `<name>_derained<suffix>` beside the source. Its folder is made if
            need be. A suffix other than the source's asks for that format.
        model: See `Derainer`, as for the next three.
        device: One of `crdnet.runtime.DEVICES`.
        threads: Processors for one picture.
        tile: "auto", 0, or a side in pixels.
        strength: See `FileOptions`, as for the next four.
        always: Whether a picture that is surely dry is derained too.
        quality: 1 to 100, or None.
        strip_gps: Whether the place is taken out.
        max_pixels: The most that the picture may have.
        overwrite: Whether an existing output may be replaced. The source never is.
        format: One of jpg, png, webp, tiff, avif; None keeps the source's, or follows the output's suffix.

    Raises:
        ImageError: The source cannot be read, or holds something that cannot be kept.
        OutputError: The output exists, is the source, or cannot be written; nothing half-written stays
            behind.
    """
    derainer = shared_derainer(model, device, threads, tile)
    return derain_file_with(
        derainer,
        source,
        output,
        strength=strength,
        always=always,
        quality=quality,
        strip_gps=strip_gps,
        max_pixels=max_pixels,
        overwrite=overwrite,
        format=format,
    )


def derain_file_with(
    derainer: Derainer,
    source: str | Path,
    output: str | Path | None = None,
    *,
    strength: float = 1.0,
    always: bool = False,
    quality: int | None = None,
    strip_gps: bool = False,
    max_pixels: int = images.MAX_PIXELS,
    overwrite: bool = False,
    format: str | None = None,  # noqa: A002
) -> FileRecord:
    """Do the work of `derain_file` with a derainer that is there already."""
    began = perf_counter()
    source = Path(source)
    output = default_output(source, format) if output is None else Path(output)
    target = output_format(source.suffix, output.suffix, format)
    check_output(source, output, overwrite=overwrite)
    options = FileOptions(strength, always, quality, strip_gps, max_pixels)
    derained, _ = derain_source(derainer, source, options=options, format=target)
    with whole_file(output, overwrite=overwrite) as temporary:
        derained.write(temporary)
    return FileRecord(
        source=source,
        output=output,
        width=derained.width,
        height=derained.height,
        sensed=derained.sensed,
        dry=derained.dry,
        seconds=perf_counter() - began,
        warnings=derained.warnings,
    )


def derain_source(
    derainer: Derainer,
    source: Path,
    *,
    options: FileOptions,
    rain: bool = False,
    format: str | None = None,  # noqa: A002
) -> tuple[Derained, os.stat_result]:
    """Take the rain out of a picture file, in bands where it is too large for memory.

    Bands are for pictures beyond `LARGE_PIXELS` in a format that has rows, upright as they are stored, and written in
    their format, with their place, and without a picture of the rain; all others are read whole. The arguments are
    those of `derain_content`.

    Returns:
        What was made, and what the file system said of the source before.
    """
    header = _large_header(source, options.max_pixels)
    if header is not None:
        asked = {
            "--rain": rain,
            "--strip-gps": options.strip_gps,
            "another format": format is not None,
        }
        reason = next((name for name, is_asked in asked.items() if is_asked), None)
        if reason is None and header.format in images.BANDED:
            found = source.stat()
            with images.BandReader(source, max_pixels=options.max_pixels) as reader:
                if reader.orientation == 1:
                    return _derain_in_bands(derainer, source, reader, options, found), found
            reason = "a picture that is stored turned"
        _check_whole_fits(source, header, reason or f"the format {header.format}")
    content, found = read_file(source, options.max_pixels)
    return derain_content(
        derainer, content, name=str(source), options=options, rain=rain, format=format
    ), found


def sense_source(
    derainer: Derainer, source: Path, *, options: FileOptions
) -> tuple[SenseReport, int, int]:
    """Tell how heavy the rain in a picture file is, in bands where it is too large for memory.

    Returns:
        The report, and the height and width of the upright picture.
    """
    header = _large_header(source, options.max_pixels)
    if header is not None:
        if header.format in images.BANDED:
            found = source.stat()
            with images.BandReader(source, max_pixels=options.max_pixels) as reader:
                turned, height, width = reader.orientation != 1, reader.height, reader.width
            if not turned:
                bands = (pixels for pixels, _ in _bands(source, found, options))
                return derainer.sense_bands(lambda: bands, height, width), height, width
        _check_whole_fits(source, header, "a picture that is stored turned, or not in rows,")
    content, _ = read_file(source, options.max_pixels)
    return sense_content(derainer, content, name=str(source), options=options)


def sense_content(
    derainer: Derainer, content: bytes, *, name: str, options: FileOptions
) -> tuple[SenseReport, int, int]:
    """Do what `sense_source` does with a picture file in memory, which messages call `name`."""
    pixels = _decoded(content, name, options).pixels
    height, width = pixels.shape[:2]
    return derainer.sense(pixels), height, width


def _large_header(source: Path, max_pixels: int) -> images.Header | None:
    """Return the header of a picture beyond `LARGE_PIXELS`; what is wrong with a file is told by who reads it."""
    try:
        header = images.read_header(source, max_pixels=max_pixels)
    except (OSError, ImageError):
        return None
    return header if header.width * header.height > LARGE_PIXELS else None


def _check_whole_fits(source: Path, header: images.Header, reason: str) -> None:
    """Refuse a picture that must be read whole and cannot be, before the machine runs out of memory."""
    needed = header.width * header.height * _WHOLE_BYTES * (2 if header.bits > 8 else 1)
    if hasattr(os, "sysconf") and needed > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
        raise ImageError(
            f"{source} of {header.width} x {header.height} pixels must be read whole for {reason}, which takes "
            f"{needed / 1e9:.0f} GB of memory, more than there is; store it upright as TIFF, PNG or JPEG, and ask for "
            "the result alone"
        )


def _derain_in_bands(
    derainer: Derainer,
    source: Path,
    reader: images.BandReader,
    options: FileOptions,
    found: os.stat_result,
) -> Derained:
    height, width = reader.height, reader.width
    alphas: list[images.Pixels] = []
    writing = False

    def bands() -> Iterator[images.Pixels]:
        for pixels, alpha in _bands(source, found, options):
            if writing and alpha is not None:
                alphas.append(alpha)
            yield pixels

    def alpha_of(rows: int) -> images.Pixels | None:
        if not reader.has_alpha:
            return None
        held = np.concatenate(alphas)
        alphas[:] = [held[rows:]]
        return held[:rows]

    report, derained = derainer.run_bands(bands, height, width, strength=options.strength)
    dry = report.dry and not options.always

    def write(path: Path) -> None:
        nonlocal writing
        if dry:
            copyfile(source, path)
            return
        writing = True
        with (
            images.BandReader(source, max_pixels=options.max_pixels) as like,
            path.open("wb") as file,
        ):
            writer = images.BandWriter(file, like, quality=options.quality)
            for pixels in derained:
                writer.write(pixels, alpha_of(len(pixels)))
            writer.finish()

    return Derained(
        content=None,
        write=write,
        rain=None,
        width=width,
        height=height,
        sensed=report,
        dry=dry,
        warnings=() if dry else images.notes(reader.like),
    )


def _bands(
    source: Path, found: os.stat_result, options: FileOptions
) -> Iterator[tuple[images.Pixels, images.Pixels | None]]:
    """Yield the rows of a large picture from top to bottom, and their alpha.

    Args:
        source: The file.
        found: What the file system said of it before.
        options: How.

    Raises:
        ImageError: It is damaged, or somebody wrote to it meanwhile.
    """
    with images.BandReader(source, max_pixels=options.max_pixels) as reader:
        for start in range(0, reader.height, _BAND_ROWS):
            _check_unchanged(source, found, source.stat())
            yield reader.rows(start, min(start + _BAND_ROWS, reader.height))
    _check_unchanged(source, found, source.stat())


def derain_content(
    derainer: Derainer,
    content: bytes,
    *,
    name: str,
    options: FileOptions,
    rain: bool = False,
    format: str | None = None,  # noqa: A002
) -> Derained:
    """Take the rain out of a picture file in memory.

    Args:
        derainer: Does the work.
        content: The whole file.
        name: What messages call it.
        options: How.
        rain: Whether a picture of what was taken out is wanted.
        format: The format to write, one of the values of `images.FORMATS`; None keeps the file's own.
    """
    went = tuple[str, ...]()
    if options.strip_gps:
        content, went = images.without_location(content, name)
    picture = _decoded(content, name, options)
    images.writable(format or picture.format, name)
    result = derainer.run(picture.pixels, strength=options.strength, always=options.always)
    as_it_is = result.left_alone and format in (None, picture.format)
    height, width = picture.pixels.shape[:2]
    if not as_it_is:
        content = images.encode(picture, result.image, format, quality=options.quality, name=name)
    return Derained(
        content=content,
        write=lambda path: _write_all(path, content),
        rain=rain_picture(result) if rain else None,
        width=width,
        height=height,
        sensed=result.sensed,
        dry=result.left_alone,
        warnings=(
            *(f"took out {what}, which may tell the location" for what in went),
            *(() if as_it_is else images.notes(picture, format)),
        ),
    )


def _decoded(content: bytes, name: str, options: FileOptions) -> images.Picture:
    decode = images.decode if options.decoders is None else options.decoders.decode
    return decode(content, name, max_pixels=options.max_pixels)


def _write_all(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def rain_picture(result: DerainResult) -> bytes:
    """Return what was taken out as a PNG, 8 bits, upright: streaks on black.

    It is the rainy picture minus the derained one where that is positive: rain brightens, nearly always. Added to the
    derained picture it gives the rainy one back, but for the few pixels that rain had darkened.
    """
    levels = np.rint(np.clip(result.rain, 0.0, 1.0) * 255).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    return buffer.getvalue()


def default_output(source: Path, format: str | None = None) -> Path:  # noqa: A002
    """Return the place beside the source: street.jpg becomes street_derained.jpg."""
    return source.with_name(source.stem + SUFFIX + suffix_for(source, format))


def suffix_for(source: Path, format: str | None) -> str:  # noqa: A002
    """Return the suffix of a result: the source's, unless another format was asked for."""
    if format is None or images.FORMAT_OF_SUFFIX.get(source.suffix.lower()) == images.FORMATS.get(
        format
    ):
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
            raise OutputError(
                f"there is no format {format!r}; use one of {', '.join(images.FORMATS)}"
            )
        if asked not in (None, images.FORMATS[format]):
            raise OutputError(
                f"the suffix {output_suffix} does not fit the format {format}; leave one of them away"
            )
        return images.FORMATS[format]
    if output_suffix.lower() == source_suffix.lower():
        return None
    if asked not in images.FORMATS.values():
        written = images.FORMATS.values()
        known = ", ".join(
            suffix for suffix, kind in images.FORMAT_OF_SUFFIX.items() if kind in written
        )
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


def read_file(source: Path, max_pixels: int = images.MAX_PIXELS) -> tuple[bytes, os.stat_result]:
    """Return a picture file's content, and what the file system said of it before.

    Raises:
        ImageError: It cannot be read, is no picture, has more pixels than it may have (both are told from its first
            bytes), or somebody wrote to it meanwhile.
    """
    try:
        with source.open("rb") as file:
            before = os.fstat(file.fileno())
            if S_ISREG(before.st_mode):
                images.read_header(source, max_pixels=max_pixels)
            content = file.read()
            after = os.fstat(file.fileno())
    except FileNotFoundError as error:
        raise ImageError(f"there is no file {source}; check the path") from error
    except OSError as error:
        raise ImageError(f"{source} cannot be read: {error.strerror or error}") from error
    if S_ISREG(after.st_mode):
        _check_unchanged(source, before, after, len(content))
    return content, before


def _check_unchanged(
    source: Path, before: os.stat_result, after: os.stat_result, size: int | None = None
) -> None:
    """Refuse a file to which somebody wrote meanwhile, or of which `size` bytes were read that it does not have."""
    as_before = (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    if not as_before or size not in (None, after.st_size):
        raise ImageError(f"{source} changed while it was read; derain it when nobody writes to it")


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (
        OSError
    ):  # one of them does not exist, or is a link to itself, which Path.resolve cannot take
        return os.path.realpath(one) == os.path.realpath(other)
