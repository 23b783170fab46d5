"""The `Derainer`: a model, ready to derain and sense images in memory and in files.

The output has the type, size, dtype and range of the input.
"""

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any, Literal, TypeVar

import numpy as np

from crdnet.devices import DEVICES
from crdnet.errors import DeviceError, ImageError
from crdnet.files import open_whole
from crdnet.images import FORMATS, ImageSource, get_pil_pixels, is_pil, make_pil_like
from crdnet.pipeline.options import DerainOptions
from crdnet.pipeline.outcome import Outcome
from crdnet.pipeline.outputs import (
    check_output,
    choose_fallback,
    choose_format,
    name_output,
)
from crdnet.pipeline.route import derain_pixels, derain_source, sense_source
from crdnet.runtime import (
    REDUCTIONS,
    Array,
    Bands,
    Colours,
    HasReport,
    Network,
    SenseReport,
    Session,
    StoredModel,
    as_colours,
    check_pixels,
    count_cpus,
    drop_alpha,
    find_model,
)

Image = TypeVar("Image")


@dataclass(frozen=True)
class DerainResult(HasReport):
    """Result of deraining one image in memory."""

    image: Any
    """The derained image, of the same type as the input."""
    sensed: SenseReport
    """Report on the rain."""
    left_alone: bool
    """True if the image was surely dry and is returned unchanged."""
    rainy_pixels: Array
    """Pixels of the input, without alpha."""
    derained_pixels: Array

    @property
    def rain(self) -> Colours:
        """Removed rain: rainy minus derained, in [-1, 1]; rain that brightens is positive."""
        return as_colours(self.rainy_pixels) - as_colours(self.derained_pixels)


class Derainer:
    """Callable that derains images; it is thread-safe.

    Each process opens the model once, at the first call. A derainer can therefore be created before
    a fork, and it is pickled as its arguments.

    Args:
        model: The name of a shipped model (`crdnet models` lists them) or the path of an .onnx
            file.
        device: "cpu" (onnxruntime), "openvino", "cuda" (PyTorch), or "auto": the fastest that is
            installed and works on this machine; `session.engine` names it.
        threads: Number of threads for one image; None is all CPUs that this process may use.
        tile: Side of a tile in pixels, rounded up to the model's size multiple. 0 runs every image
            whole. "auto" runs images of up to 8 megapixels whole and cuts larger ones, so that
            memory stays bounded. The result does not depend on it.

    Raises:
        ModelError: There is no such model. A damaged model file raises when it is opened.
    """

    def __init__(
        self,
        model: str | Path = "default",
        device: str = "auto",
        threads: int | None = None,
        tile: int | Literal["auto"] = "auto",
    ) -> None:
        if device not in DEVICES:
            raise DeviceError(f"there is no device {device!r}; use one of {', '.join(DEVICES)}")
        if threads is not None and threads < 1:
            raise ValueError(
                f"`threads` must be at least 1, or None for all usable CPUs, got {threads}"
            )
        if tile != "auto" and (not isinstance(tile, int) or tile < 0):
            raise ValueError(
                f"`tile` must be 'auto', 0 (whole images) or a side in pixels, got {tile!r}"
            )
        self._arguments = (model, device, threads, tile)
        self._model = find_model(model)
        self._device = device
        self._threads = threads
        self._tile = tile
        self._session: Session | None = None
        self._lock = Lock()
        _derainers.add(self)

    def __repr__(self) -> str:
        """Return the call that creates an equal derainer."""
        return "Derainer(model={!r}, device={!r}, threads={!r}, tile={!r})".format(*self._arguments)

    def __reduce__(self) -> tuple[type["Derainer"], tuple[Any, ...]]:
        """Pickle the arguments only; the receiver opens the model itself."""
        return type(self), self._arguments

    @property
    def model(self) -> StoredModel:
        """The model file."""
        return self._model

    @property
    def session(self) -> Session:
        """The opened model, with its `info` and `device`; opened at the first access."""
        # Checked before and after locking, so that an open derainer never waits for the lock.
        if self._session is None:
            with self._lock:
                if self._session is None:
                    self._session = Session(
                        self._model, self._device, self._threads or count_cpus()
                    )
        return self._session

    def __call__(
        self,
        image: Image,
        *,
        strength: float = 1.0,
        always: bool | None = None,
        ensemble: bool = False,
    ) -> Image:
        """Return the derained image; see `run` for the arguments."""
        derained: Image = self.run(image, strength=strength, always=always, ensemble=ensemble).image
        return derained

    def run(
        self,
        image: Any,
        *,
        strength: float = 1.0,
        always: bool | None = None,
        ensemble: bool = False,
    ) -> DerainResult:
        """Derain an image and report its rain.

        Args:
            image: RGB (h, w, 3), RGB with alpha (h, w, 4) or grey (h, w), uint8, uint16 or float32
                in [0, 1]; a PIL image; or the bytes of an image file. Alpha stays unchanged.
            strength: Share of the rain to remove: 0 none, 1 all.
            always: If True, derain an image that is surely dry too; if False, return it unchanged.
                None is True for arrays and PIL images, and False for the bytes of a file.
            ensemble: If True, average the outputs for the image and for its mirror image (left to
                right), which takes twice the time.

        Raises:
            ImageError: The image has content that cannot be derained.
            TypeError: The argument is not an image; use `derain_file` for a path.
        """
        source = _make_source(image, "derain", "call crdnet.derain_file for files")
        options = DerainOptions(
            strength, always=(source is None) if always is None else always, ensemble=ensemble
        )
        if source is not None:
            return self._run_on_file(image, source, options)
        rainy, restore = _extract_pixels(image, "derain")
        network = self.network.enable_ensemble() if ensemble else self.network
        derained, report = derain_pixels(
            network, rainy, strength=options.strength, always=options.always
        )
        left_alone = derained is rainy  # the gate returns the same object
        return DerainResult(
            image if left_alone else restore(derained),
            report,
            left_alone,
            drop_alpha(rainy),
            drop_alpha(derained),
        )

    def _run_on_file(
        self, content: Any, source: ImageSource, options: DerainOptions
    ) -> DerainResult:
        own = source.header.format
        if own not in FORMATS.values():
            raise ImageError(
                f"the bytes are a {own}, which crdnet reads but does not write; give the image as "
                "pixels, or the file to crdnet.derain_file with "
                "DerainOptions(fallback_format='png')"
            )
        # A file in memory takes the same route as one on disk; `on_derained` collects the pixels.
        buffer = BytesIO()
        pixels: list[Array] = []
        outcome = derain_source(
            self.network,
            source,
            lambda: nullcontext(buffer),
            options,
            on_derained=lambda rainy, derained: pixels.extend((rainy, derained)),
        )
        derained = content if outcome.left_alone else buffer.getvalue()
        return DerainResult(derained, outcome.sensed, outcome.left_alone, *pixels)

    def sense(self, image: Any) -> SenseReport:
        """Sense the rain in an image.

        Args:
            image: An image of any type that `run` accepts.

        Raises:
            ImageError: The image has content that cannot be read.
            TypeError: The argument is not an image.
        """
        source = _make_source(
            image, "sense", "give the bytes of the file, or call crdnet.sense_folder"
        )
        if source is not None:
            return sense_source(self.network, source).sensed
        return self.network.sense(_extract_pixels(image, "sense")[0]).drop_look()

    def estimate(self, rainy: Colours, *, scale: float | None = None) -> Colours:
        """Return the output of the network, neither clipped nor rounded, as evaluation needs it.

        Args:
            rainy: Colours (h, w, 3), float32 in [0, 1].
            scale: Scale at which the network runs: 1, 0.5, 0.25 or 0.125; None is the scale at
                which rain is sensed.

        Returns:
            Colours (h, w, 3), float32.
        """
        check_pixels(rainy)
        if rainy.dtype != np.float32 or rainy.shape[2:] != (3,):
            raise ImageError(
                f"estimate takes float32 (h, w, 3) in [0, 1], got {rainy.dtype} {rainy.shape}; "
                "derain accepts other types"
            )
        if scale is not None and scale not in (1 / each for each in REDUCTIONS):
            known = ", ".join(f"{1 / each:g}" for each in REDUCTIONS)
            raise ValueError(f"`scale` must be one of {known}, got {scale}")
        network = self.network
        sensed = network.sense(rainy) if scale is None else SenseReport(None, scale)
        derained = np.empty_like(rainy, order="C")
        for rows, columns, piece in network.iterate_estimates(rainy, sensed):
            derained[rows, columns] = piece
        return derained

    def derain_file(
        self,
        source: str | Path,
        output: str | Path | None = None,
        *,
        options: DerainOptions | None = None,
        overwrite: bool = False,
    ) -> Outcome:
        """Derain an image file; arguments and errors are those of `crdnet.derain_file`."""
        began = perf_counter()
        options = options or DerainOptions()
        source = Path(source)
        output = name_output(source, options) if output is None else Path(output)
        target = choose_format(source, output, options.format)
        fallback = choose_fallback(output, options.fallback_format)
        check_output(source, output, overwrite=overwrite)
        with ImageSource(source, max_pixels=options.max_pixels) as opened:
            outcome = derain_source(
                self.network,
                opened,
                partial(open_whole, output, overwrite=overwrite),
                replace(options, format=target, fallback_format=None if target else fallback),
            )
        return replace(outcome, output=output, seconds=perf_counter() - began)

    def run_bands(
        self,
        bands: Callable[[], Iterator[Array]],
        height: int,
        width: int,
        *,
        strength: float = 1.0,
    ) -> tuple[SenseReport, Iterator[Array]]:
        """Derain an image in bands, without holding the whole image in memory.

        Args:
            bands: Function that yields the rows of the image, (n, w), (n, w, 3) or (n, w, 4), from
                top to bottom; called once to sense the rain and once to remove it.
            height: Height of the image, in pixels.
            width: Width of the image, in pixels.
            strength: Share of the rain to remove: 0 none, 1 all.

        Returns:
            The report on the rain, and an iterator that computes the derained rows from top to
            bottom. The pixels equal those of `run`.
        """
        options = DerainOptions(strength, always=True)
        derained, report = derain_pixels(
            self.network,
            Bands(height, width, bands),
            strength=options.strength,
            always=options.always,
        )
        return report, derained

    def stop(self) -> None:
        """Abort the calls that run in other threads; each raises an error soon.

        Later calls are not affected.
        """
        if self._session is not None:
            self._session.stop()

    @property
    def network(self) -> Network:
        """The opened model, for images of any size."""
        return Network(self.session, self._tile)


def derain(
    image: Image,
    *,
    model: str | Path = "default",
    device: str = "auto",
    threads: int | None = None,
    tile: int | Literal["auto"] = "auto",
    strength: float = 1.0,
    always: bool | None = None,
    ensemble: bool = False,
) -> Image:
    """Return the derained image, of the same type as the input.

    The model is opened once and kept. `Derainer` and `Derainer.run` describe the arguments and the
    types of images.
    """
    derainer = share_derainer(model, device, threads, tile)
    return derainer(image, strength=strength, always=always, ensemble=ensemble)


def sense(
    image: Any,
    *,
    model: str | Path = "default",
    device: str = "auto",
    threads: int | None = None,
) -> SenseReport:
    """Sense the rain in an image.

    The model is opened once and kept. `Derainer` describes the arguments, `Derainer.run` the types
    of images.
    """
    return share_derainer(model, device, threads, "auto").sense(image)


def derain_file(
    source: str | Path,
    output: str | Path | None = None,
    *,
    options: DerainOptions | None = None,
    overwrite: bool = False,
    model: str | Path = "default",
    device: str = "auto",
) -> Outcome:
    """Derain an image file; metadata and format are kept.

    Args:
        source: A file of a format that `crdnet.images` reads.
        output: Path of the output; None is `<name>_derained<suffix>` beside the source. Its folder
            is created if missing. A suffix that differs from that of the source sets the format.
        options: Options of deraining and writing; None is the defaults.
        overwrite: If True, an existing output may be replaced; the source is never replaced.
        model: See `Derainer`; its method `derain_file` allows all other arguments of a derainer.
        device: See `Derainer`.

    Raises:
        ImageError: The source cannot be read, or has content that cannot be kept.
        OutputError: The output exists, is the source, or cannot be written; no partial file
            remains.
    """
    derainer = share_derainer(model, device, None, "auto")
    return derainer.derain_file(source, output, options=options, overwrite=overwrite)


@lru_cache(maxsize=4)
def share_derainer(
    model: str | Path, device: str, threads: int | None, tile: int | Literal["auto"]
) -> Derainer:
    """Return the derainer that the functions of the package share."""
    return Derainer(model, device, threads, tile)


def _extract_pixels(image: Any, verb: str) -> tuple[Array, Callable[[Array], Any]]:
    """Return the pixels of an array or PIL image, and a function from pixels back to its type."""
    if isinstance(image, np.ndarray):
        check_pixels(image)
        return image, lambda pixels: pixels
    if is_pil(image):
        return get_pil_pixels(image), lambda pixels: make_pil_like(image, pixels)
    raise TypeError(
        f"{verb} takes a numpy array, a PIL image or the bytes of an image file, got "
        f"{type(image).__module__}.{type(image).__qualname__}"
    )


def _make_source(image: Any, verb: str, for_paths: str) -> ImageSource | None:
    """Return the source for the bytes of a file, None for other images; refuse a path."""
    if isinstance(image, str | Path):
        raise TypeError(f"{verb} takes an image, got the path {str(image)!r}; {for_paths}")
    if isinstance(image, bytes | bytearray | memoryview):
        return ImageSource(bytes(image))
    return None


_derainers: "weakref.WeakSet[Derainer]" = weakref.WeakSet()


def _forget_after_fork() -> None:
    """Abandon the inherited sessions and replace the locks in the child of a fork.

    The threads of the sessions exist only in the parent, and a lock that another thread held would
    never be released.
    """
    for derainer in _derainers:
        if derainer._session is not None:
            derainer._session.abandon()
        derainer._session = None
        derainer._lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
