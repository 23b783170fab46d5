"""Taking the rain out of pictures in memory.

A `Derainer` owns what a network does not want to know: padding, tiles, the size at which the rain is such as the
network knows, the ranges and dtypes of pictures, devices and threads. What goes in comes out: the same type, size,
dtype and range.
"""

import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from crdnet import images
from crdnet.devices import DEVICES
from crdnet.errors import DeviceError, ImageError
from crdnet.runtime.cpus import usable_cpus
from crdnet.runtime.network import Bands, Network, Sensed
from crdnet.runtime.pixels import Array, Colours, as_colours, check_pixels
from crdnet.runtime.scales import REDUCTIONS
from crdnet.runtime.sensing import UNKNOWN, SenseReport, TellsRain
from crdnet.runtime.session import Session
from crdnet.runtime.store import find_model

if TYPE_CHECKING:
    from crdnet.runtime.files import FileRecord

Image = TypeVar("Image")


@dataclass(frozen=True)
class DerainResult(TellsRain):
    """What a derainer found in one picture."""

    image: Any
    """The picture without rain, of the type that came in."""
    sensed: SenseReport
    """How heavy the rain was."""
    left_alone: bool
    """Whether the picture was surely dry and is given back as it came."""
    rainy_pixels: Array
    derained_pixels: Array

    @property
    def rain(self) -> Colours:
        """What was taken out: rainy minus derained, in [-1, 1]; rain that brightens is positive."""
        return as_colours(self.rainy_pixels) - as_colours(self.derained_pixels)


class Derainer:
    """Takes the rain out of pictures; call it as often as you like, from as many threads as you like.

    The model is opened at the first call, once per process: a derainer may be made before a fork, and it
    pickles as its arguments.

    Args:
        model: The name of a shipped model (`crdnet models` lists them) or the path of an .onnx file.
        device: "cpu" (onnxruntime), "openvino", "cuda" (PyTorch), or "auto": the fastest that is installed and works
            here; `session.engine` says which.
        threads: Processors for one picture; None is all that this process may use.
        tile: Side of a tile in pixels, rounded up to the model's size multiple; 0 takes every picture whole;
            "auto" takes pictures whole up to 8 megapixels and cuts larger ones so that memory stays bounded.
            The answer is the same.

    Raises:
        ModelError: There is no such model. (What is wrong inside a model file shows when it is opened.)
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
                f"a derainer needs at least one thread, got {threads}; None is as many as there are"
            )
        if tile != "auto" and (not isinstance(tile, int) or tile < 0):
            raise ValueError(
                f"a tile is 'auto', 0 (whole pictures) or a side in pixels, got {tile!r}"
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
        """Return the call that makes such a derainer."""
        return "Derainer(model={!r}, device={!r}, threads={!r}, tile={!r})".format(*self._arguments)

    def __reduce__(self) -> tuple[type["Derainer"], tuple[Any, ...]]:
        """Pickle as the arguments: the receiver opens the model for itself."""
        return type(self), self._arguments

    @property
    def session(self) -> Session:
        """The opened model, with its `info` and `device`; opens it if need be."""
        if self._session is None:
            with self._lock:
                if self._session is None:
                    self._session = Session(
                        self._model, self._device, self._threads or usable_cpus()
                    )
        return self._session

    def __call__(self, image: Image, *, strength: float = 1.0) -> Image:
        """Return the picture without its rain; see `run` for what it takes."""
        derained: Image = self.run(image, strength=strength).image
        return derained

    def run(self, image: Any, *, strength: float = 1.0, always: bool | None = None) -> DerainResult:
        """Take the rain out of a picture and tell what was found.

        Args:
            image: RGB (h, w, 3), RGB with alpha (h, w, 4) or grey (h, w), uint8, uint16 or float32 in [0, 1]; a PIL
                image; or the bytes of a picture file. Alpha comes out as it came in.
            strength: How much of the rain to take out: 0 none, 1 all.
            always: Whether a picture that is surely dry is derained too; if not, it comes back as it is. None is True
                for arrays and PIL images, and False for the bytes of a file.

        Raises:
            ImageError: The picture holds something that cannot be derained.
            TypeError: It is no picture; a path belongs to `derain_file`.
        """
        check_strength(strength)
        pixels, like = _opened(image, "derain", "call crdnet.derain_file for files")
        always = not isinstance(like, images.Picture) if always is None else always
        rainy, alpha = (
            (pixels[..., :3], pixels[..., 3:]) if pixels.shape[2:] == (4,) else (pixels, None)
        )
        sensed = self._network.sense(rainy)
        left_alone = sensed.report.dry and not always
        derained = rainy if left_alone else self._network.derain(rainy, sensed, strength)
        if left_alone:
            returned = image
        elif isinstance(like, images.Picture):
            returned = images.encode(like, derained)
        elif like is not None:
            returned = images.pil_like(like, derained)
        else:
            returned = derained if alpha is None else np.concatenate([derained, alpha], axis=2)
        return DerainResult(returned, sensed.report, left_alone, rainy, derained)

    def sense(self, image: Any) -> SenseReport:
        """Tell how heavy the rain in a picture is.

        Args:
            image: As for `run`.

        Raises:
            ImageError: The picture holds something that cannot be looked at.
            TypeError: It is no picture.
        """
        pixels, _ = _opened(
            image, "sense", "give the bytes of the file, or call `crdnet sense` on it"
        )
        return self._network.sense(pixels[..., :3] if pixels.ndim == 3 else pixels).report

    def estimate(self, rainy: Colours, *, scale: float | None = None) -> Colours:
        """Return what the network says, neither clipped nor rounded; evaluation starts from here.

        Args:
            rainy: Colours (h, w, 3), float32 in [0, 1].
            scale: The size at which the network runs: 1, 0.5, 0.25 or 0.125; None is where the rain is sensed.

        Returns:
            Colours (h, w, 3), float32.
        """
        check_pixels(rainy)
        if rainy.dtype != np.float32 or rainy.shape[2:] != (3,):
            raise ImageError(
                f"estimate takes float32 (h, w, 3) in [0, 1], got {rainy.dtype} {rainy.shape}; derain takes "
                "more kinds"
            )
        if scale is not None and scale not in (1 / each for each in REDUCTIONS):
            raise ValueError(
                f"a scale is one of {', '.join(f'{1 / each:g}' for each in REDUCTIONS)}, got {scale}"
            )
        sensed = self._network.sense(rainy) if scale is None else Sensed(UNKNOWN, round(1 / scale))
        derained = np.empty_like(rainy, order="C")
        for rows, columns, piece in self._network.estimates(rainy, sensed):
            derained[rows, columns] = piece
        return derained

    def derain_file(
        self,
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
    ) -> "FileRecord":
        """Take the rain out of a picture file; arguments and errors are those of `crdnet.derain_file`."""
        from crdnet.runtime.files import derain_file_with  # noqa: PLC0415

        return derain_file_with(
            self,
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

    def run_bands(
        self, bands: Bands, height: int, width: int, *, strength: float = 1.0
    ) -> tuple[SenseReport, Iterator[Array]]:
        """Take the rain out of a picture that is read in bands, and never lies in memory as a whole.

        Args:
            bands: Begins to yield the picture's rows, (n, w) or (n, w, 3), from top to bottom; called once to sense the
                rain and once to take it out.
            height: Of the picture, in pixels.
            width: Of the picture, in pixels.
            strength: How much of the rain to take out: 0 none, 1 all.

        Returns:
            How heavy the rain is, and the derained rows from top to bottom, computed as they are asked for; the same
            pixels as those of `run`.
        """
        check_strength(strength)
        network = self._network
        sensed = network.sense_bands(bands, height, width)
        return sensed.report, network.derain_bands(bands, height, width, sensed, strength)

    def sense_bands(self, bands: Bands, height: int, width: int) -> SenseReport:
        """Tell how heavy the rain in a picture is that is read in bands, once; arguments are those of `run_bands`."""
        return self._network.sense_bands(bands, height, width).report

    def stop(self) -> None:
        """Make the calls that run in other threads end with an error soon; later calls work as ever."""
        if self._session is not None:
            self._session.stop()

    @property
    def _network(self) -> Network:
        return Network(self.session, self._tile)


def derain(
    image: Image,
    *,
    model: str | Path = "default",
    device: str = "auto",
    threads: int | None = None,
    tile: int | Literal["auto"] = "auto",
    strength: float = 1.0,
) -> Image:
    """Return a picture without its rain: same type in, same type out.

    The model is opened once and kept; `Derainer` tells what the arguments mean, and its `run` what a picture
    may be.
    """
    return shared_derainer(model, device, threads, tile)(image, strength=strength)


def sense(
    image: Any,
    *,
    model: str | Path = "default",
    device: str = "auto",
    threads: int | None = None,
) -> SenseReport:
    """Tell how heavy the rain in a picture is.

    The model is opened once and kept; `Derainer` tells what the arguments mean, and its `run` what a picture may be.
    """
    return shared_derainer(model, device, threads, "auto").sense(image)


@lru_cache(maxsize=4)
def shared_derainer(
    model: str | Path, device: str, threads: int | None, tile: int | Literal["auto"]
) -> Derainer:
    """Return the derainer that the functions of the package share."""
    return Derainer(model, device, threads, tile)


def check_strength(strength: float) -> None:
    """Refuse a strength outside [0, 1]."""
    if not 0 <= strength <= 1:
        raise ValueError(
            f"strength is how much of the rain to take out, from 0 to 1, got {strength}"
        )


def _opened(image: Any, verb: str, for_paths: str) -> tuple[Array, Any]:
    """Return the pixels of a picture, and what its result must be like: a file, a PIL image, or None for an array."""
    if isinstance(image, str | Path):
        raise TypeError(f"{verb} takes a picture, got the path {str(image)!r}; {for_paths}")
    if isinstance(image, np.ndarray):
        check_pixels(image)
        return image, None
    if isinstance(image, bytes | bytearray | memoryview):
        picture = images.decode(bytes(image))
        return picture.pixels, picture
    if images.is_pil(image):
        return images.pixels_of_pil(image), image
    raise TypeError(
        f"{verb} takes a numpy array, a PIL image or the bytes of a picture file, got "
        f"{type(image).__module__}.{type(image).__qualname__}"
    )


_derainers: "weakref.WeakSet[Derainer]" = weakref.WeakSet()


def _forget_after_fork() -> None:
    """Put aside, in the child of a fork, the sessions and locks that came with it.

    The sessions' threads stayed behind in the parent, and nobody will release a lock that another thread
    held.
    """
    for derainer in _derainers:
        if derainer._session is not None:
            derainer._session.abandon()
        derainer._session = None
        derainer._lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
