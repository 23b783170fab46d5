"""The route of every image: decode, sense, gate, derain, encode.

Functions, folders, standard input and the server take this route. They differ in the source, the
codec and the output:

- a source is a file or bytes (`crdnet.images.ImageSource`),
- a codec works in this process, in worker processes, or in bands of rows for files too large for
  memory,
- an output is opened when the result is ready for it, and is complete when its context ends
without an error.

The gate keeps the pixels of an image that is surely dry. Its file is copied byte for byte unless
another format is asked for.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any, TypeVar

from crdnet.errors import ImageError
from crdnet.images import (
    BANDED,
    FORMATS,
    BandReader,
    Codec,
    ImageSource,
    LocalCodec,
    Output,
    WorkerCodec,
    check_writable,
)
from crdnet.pipeline.bands import BandCodec
from crdnet.pipeline.options import DerainOptions
from crdnet.pipeline.outcome import Outcome
from crdnet.runtime import Array, Bands, Network, OnTile, SenseReport

LARGE_PIXELS = 64_000_000
"""Pixels above which a file is read and written in bands: 200 MB at 8 bits, and the same for the
result."""
# Bytes per pixel of 8 bits of a file that is read whole: RGB as decoded, as derained, as rotated
# back, and in the encoder.
_WHOLE_BYTES = 12
# Formats whose decoders are known to crash on damaged files; a worker process always decodes them.
_CRASHING = ("HEIC",)

Pixels = TypeVar("Pixels", Array, Bands)


def derain_source(
    network: Network,
    source: ImageSource,
    output: Output,
    options: DerainOptions | None = None,
    *,
    codec: Codec[Any] | None = None,
    on_derained: Callable[[Array, Array], None] | None = None,
    on_tile: OnTile | None = None,
) -> Outcome:
    """Derain one image file.

    Args:
        network: The network to run.
        source: The file.
        output: Context manager that opens the output.
        options: Options of deraining and writing; None is `DerainOptions()`.
        codec: Codec for files that fit into memory; None decodes and encodes in this process.
        on_derained: Called with the rainy and the derained pixels before the output is opened.
        on_tile: Called after each tile, for progress.

    Raises:
        ImageError: The file cannot be read, or has content that cannot be kept.
        OutputError: The output cannot be written.
    """
    began = perf_counter()
    options = options or DerainOptions()
    network = network.enable_ensemble() if options.ensemble else network
    target = _choose_target(source, options)
    asked = _find_whole_argument(source, target, options, wants_pixels=on_derained is not None)
    with _open_codec(source, codec, asked) as used:
        removed = source.strip_gps() if options.strip_gps else ()
        image = used.decode(source)
        decoded = perf_counter()
        pixels, report = derain_pixels(
            network,
            image.pixels,
            strength=options.strength,
            always=options.always,
            on_tile=on_tile,
        )
        # The gate returns the same object, so that no pixels need comparing.
        is_kept = pixels is image.pixels
        # Called before the output exists, so that a process that waits for it finds the rain too.
        if on_derained is not None:
            on_derained(image.pixels, pixels)
        derained = perf_counter()
        stages = {"decode": decoded - began, "derain": derained - decoded}
        warnings = tuple(f"removed {what}, which may hold the location" for what in removed)
        if is_kept and target == source.header.format:
            # Encoding the same pixels again would lose quality in lossy formats.
            with output() as file:
                source.copy_to(file)
        else:
            warnings += used.encode(
                image, pixels, output, format=target, quality=options.quality, name=source.name
            )
            stages["encode"] = perf_counter() - derained
    height, width = image.pixels.shape[:2]
    return Outcome(
        source.name,
        status="dry" if is_kept else "done",
        width=width,
        height=height,
        seconds=perf_counter() - began,
        engine=network.session.engine,
        sensed=report,
        left_alone=is_kept and target == source.header.format and source.is_original,
        warnings=warnings,
        stages=stages,
    )


def _find_whole_argument(
    source: ImageSource, target: str, options: DerainOptions, *, wants_pixels: bool
) -> str | None:
    """Return the argument that requires reading the whole file; None if there is none."""
    if wants_pixels:
        return "`rain`"
    if options.strip_gps:
        return "`strip_gps`"
    return "`format`" if target != source.header.format else None


def _choose_target(source: ImageSource, options: DerainOptions) -> str:
    """Return the name of the format to write.

    Raises:
        ImageError: The format of the source would be kept, and cannot be written.
    """
    asked, own = options.format, source.header.format
    if asked is None and own not in FORMATS.values():
        asked = options.fallback_format
    return check_writable(own if asked is None else FORMATS[asked], source.name)


def sense_source(
    network: Network, source: ImageSource, *, codec: Codec[Any] | None = None
) -> Outcome:
    """Sense the rain in one image file; arguments and errors are those of `derain_source`."""
    began = perf_counter()
    with _open_codec(source, codec, None) as used:
        image = used.decode(source)
        decoded = perf_counter()
        report = network.sense(image.pixels).drop_look()
    sensed = perf_counter()
    height, width = image.pixels.shape[:2]
    return Outcome(
        source.name,
        width=width,
        height=height,
        seconds=sensed - began,
        engine=network.session.engine,
        sensed=report,
        stages={"decode": decoded - began, "derain": sensed - decoded},
    )


def derain_pixels(
    network: Network,
    rainy: Pixels,
    *,
    strength: float,
    always: bool,
    on_tile: OnTile | None = None,
) -> tuple[Any, SenseReport]:
    """Sense the rain in pixels, and derain them unless they are surely dry.

    Args:
        network: The network to run.
        rainy: An array, or bands of rows.
        strength: Share of the rain to remove, 0 to 1.
        always: If True, derain an image that is surely dry too.
        on_tile: Called after each tile, for progress.

    Returns:
        The derained pixels, as an array or an iterator of bands, and the report. If the gate leaves
        the image alone, the pixels are the very object `rainy`.
    """
    sensed = network.sense(rainy)
    report = sensed.drop_look()
    if sensed.dry and not always:
        return rainy, report
    return network.derain(rainy, sensed, strength, on_tile), report


@contextmanager
def _open_codec(
    source: ImageSource, given: Codec[Any] | None, asked: str | None
) -> Iterator[Codec[Any]]:
    """Choose the codec of a source.

    Files above `LARGE_PIXELS` are processed in bands if their format is stored in rows, upright,
    and is written unchanged with all metadata.

    Args:
        source: The file.
        given: Codec for files that are read whole; None is this process, or a worker for formats
            whose decoder may crash.
        asked: Argument that requires reading the whole file, if any.
    """
    header = source.header
    with ExitStack() as stack:
        if source.path is not None and header.width * header.height > LARGE_PIXELS:
            reason = asked or f"the format {header.format}"
            if asked is None and header.format in BANDED:
                reader = stack.enter_context(BandReader(source.path, header))
                # Rotating would need rows of the whole height for each row of the result.
                if reader.orientation == 1:
                    yield BandCodec(reader)
                    return
                reason = "an image that is stored turned"
            _check_whole_fits(source, reason)
        if given is None:
            crashes = header.format in _CRASHING
            given = stack.enter_context(WorkerCodec()) if crashes else LocalCodec()
        yield given


def _check_whole_fits(source: ImageSource, reason: str) -> None:
    """Refuse an image that must be read whole and does not fit into memory."""
    header = source.header
    needed = header.width * header.height * _WHOLE_BYTES * (2 if header.bits > 8 else 1)
    # Windows has no sysconf; there the decoder fails for lack of memory by itself.
    if hasattr(os, "sysconf") and needed > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
        raise ImageError(
            f"{source.name} of {header.width} x {header.height} pixels must be read whole for "
            f"{reason}, which needs {needed / 1e9:.0f} GB of memory, more than is available; store "
            "it upright as TIFF, PNG or JPEG, and request only the derained image"
        )
