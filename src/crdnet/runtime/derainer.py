"""Taking the rain out of pictures in memory.

A `Derainer` owns what a network does not want to know: padding, tiles, the ranges and dtypes of pictures,
devices and threads. What goes in comes out: the same type, size, dtype and range.
"""

import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from crdnet import images
from crdnet.density import LUMA_WEIGHTS, RainDensity
from crdnet.errors import DeviceError, ImageError, SizeError
from crdnet.runtime.cpus import usable_cpus
from crdnet.runtime.session import DEVICES, Session
from crdnet.runtime.store import find_model
from crdnet.sizes import padded_size, reflected_window
from crdnet.tiling import automatic_side, tiles

if TYPE_CHECKING:
    from crdnet.runtime.files import FileRecord

Image = TypeVar("Image")
Array = npt.NDArray[Any]
"""Pixels (h, w, 3) or (h, w), uint8 or float32 in [0, 1]."""


@dataclass(frozen=True)
class DerainResult:
    """What a derainer found in one picture."""

    image: Any
    """The picture without rain, of the type that came in."""
    density: RainDensity | None
    """How heavy the rain was; None where the model does not sense it, which is not RainDensity.NONE."""
    probabilities: Mapping[RainDensity, float] | None
    score: float | None
    """Strength of the rain in [0, 1]; None where the model does not sense it."""
    rainy_pixels: Array
    derained_pixels: Array

    @property
    def rain(self) -> npt.NDArray[np.float32]:
        """What was taken out: rainy minus derained, in [-1, 1]; rain that brightens is positive."""
        return _as_float(self.rainy_pixels) - _as_float(self.derained_pixels)


class Derainer:
    """Takes the rain out of pictures; call it as often as you like, from as many threads as you like.

    The model is opened at the first call, once per process: a derainer may be made before a fork, and it
    pickles as its arguments.

    Args:
        model: The name of a shipped model (`crdnet models` lists them) or the path of an .onnx file.
        device: "cpu", "cuda", or "auto": CUDA where onnxruntime has it.
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
            raise ValueError(f"a tile is 'auto', 0 (whole pictures) or a side in pixels, got {tile!r}")
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
                    self._session = Session(self._model, self._device, self._threads or usable_cpus())
        return self._session

    def __call__(self, image: Image, *, strength: float = 1.0) -> Image:
        """Return the picture without its rain; see `run` for what it takes."""
        derained: Image = self.run(image, strength=strength).image
        return derained

    def run(self, image: Any, *, strength: float = 1.0) -> DerainResult:
        """Take the rain out of a picture and tell what was found.

        Args:
            image: RGB (h, w, 3) or grey (h, w), uint8 or float32 in [0, 1]; a PIL image of mode RGB or L; or
                the bytes of a picture file.
            strength: How much of the rain to take out: 0 none, 1 all.

        Raises:
            ImageError: The picture holds something that cannot be derained.
            TypeError: It is no picture; a path belongs to `derain_file`.
        """
        check_strength(strength)
        if isinstance(image, str | Path):
            raise TypeError(
                f"derain takes a picture, got the path {str(image)!r}; call crdnet.derain_file for files"
            )
        if isinstance(image, np.ndarray):
            return self._run_array(image, strength)
        if isinstance(image, bytes | bytearray | memoryview):
            return self._run_bytes(bytes(image), strength)
        if images.is_pil(image):
            return self._run_pil(image, strength)
        raise TypeError(
            "derain takes a numpy array, a PIL image or the bytes of a picture file, got "
            f"{type(image).__module__}.{type(image).__qualname__}"
        )

    def estimate(self, rainy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what the network says, neither clipped nor rounded; evaluation starts from here.

        Args:
            rainy: Colours (h, w, 3), float32 in [0, 1].

        Returns:
            Colours (h, w, 3), float32.
        """
        _check_array(rainy)
        if rainy.dtype != np.float32 or rainy.ndim != 3:
            raise ImageError(
                f"estimate takes float32 (h, w, 3) in [0, 1], got {rainy.dtype} {rainy.shape}; derain takes "
                "more kinds"
            )
        derained = np.empty_like(rainy, order="C")
        for rows, columns, tile in self._tiles(rainy):
            derained[rows, columns] = tile
        return derained

    def derain_file(
        self,
        source: str | Path,
        output: str | Path | None = None,
        *,
        strength: float = 1.0,
        overwrite: bool = False,
        format: str | None = None,  # noqa: A002
    ) -> "FileRecord":
        """Take the rain out of a picture file; see `crdnet.derain_file`."""
        from crdnet.runtime.files import derain_file_with  # noqa: PLC0415

        return derain_file_with(self, source, output, strength=strength, overwrite=overwrite, format=format)

    def stop(self) -> None:
        """Make the calls that run in other threads end with an error soon; later calls work as ever."""
        if self._session is not None:
            self._session.stop()

    def _run_array(self, rainy: Array, strength: float) -> DerainResult:
        derained = self._derain_array(rainy, strength)
        return DerainResult(derained, None, None, None, rainy, derained)

    def _run_pil(self, image: Any, strength: float) -> DerainResult:
        rainy = images.pixels_of_pil(image)
        derained = self._derain_array(rainy, strength)
        return DerainResult(images.pil_like(image, derained), None, None, None, rainy, derained)

    def _run_bytes(self, content: bytes, strength: float) -> DerainResult:
        picture = images.decode(content)
        derained = self._derain_array(picture.pixels, strength)
        return DerainResult(images.encode(picture, derained), None, None, None, picture.pixels, derained)

    def _derain_array(self, rainy: Array, strength: float) -> Array:
        """Return the derained pixels in the shape, dtype and range of `rainy`, tile by tile."""
        _check_array(rainy)
        derained = np.empty_like(rainy, order="C")
        for rows, columns, estimate in self._tiles(rainy):
            before = rainy[rows, columns]
            after = np.clip(estimate, 0.0, 1.0)
            if rainy.ndim == 2:
                after = after @ np.asarray(LUMA_WEIGHTS, dtype=np.float32)
            if strength != 1.0:
                before = _as_float(before)
                after = before + np.float32(strength) * (after - before)
            derained[rows, columns] = _as_dtype(after, rainy.dtype)
        return derained

    def _tiles(self, rainy: Array) -> Any:
        """Yield (rows, columns, estimate (h, w, 3)) for pieces that make up the picture."""
        session = self.session
        height, width = rainy.shape[:2]
        for tile in self._plan(height, width):
            window = _as_float(reflected_window(rainy, tile.window_rows, tile.window_columns))
            estimate = session(window if window.ndim == 3 else np.repeat(window[..., None], 3, axis=2))
            # The padding beyond the picture is left behind here.
            rows = slice(tile.core_rows.start, min(tile.core_rows.stop, height))
            columns = slice(tile.core_columns.start, min(tile.core_columns.stop, width))
            core = estimate[tile.core_in_window][: rows.stop - rows.start, : columns.stop - columns.start]
            yield rows, columns, core

    def _plan(self, height: int, width: int) -> Any:
        info = self.session.info
        padded = padded_size(height, width, info.size_multiple)
        side = (
            automatic_side(*padded, info.margin, info.size_multiple) if self._tile == "auto" else self._tile
        )
        return tiles(*padded, side, info.margin, info.size_multiple)


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


@lru_cache(maxsize=4)
def shared_derainer(
    model: str | Path, device: str, threads: int | None, tile: int | Literal["auto"]
) -> Derainer:
    """Return the derainer that the functions of the package share."""
    return Derainer(model, device, threads, tile)


def check_strength(strength: float) -> None:
    """Refuse a strength outside [0, 1]."""
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is how much of the rain to take out, from 0 to 1, got {strength}")


def _check_array(image: Array) -> None:
    """Refuse what would be misread, with the way out."""
    if image.ndim == 3 and image.shape[2] == 4:
        raise ImageError(
            f"this version refuses an alpha channel, got shape {image.shape}; derain image[..., :3] and put "
            "the alpha back"
        )
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ImageError(f"a picture is RGB (h, w, 3) or grey (h, w), got an array of shape {image.shape}")
    if image.size == 0:
        raise SizeError(f"a picture has at least one pixel, got an array of shape {image.shape}")
    if image.dtype == np.uint8:
        return
    if image.dtype == np.uint16:
        raise ImageError("this version refuses uint16; convert with (image / 65535).astype(np.float32)")
    if image.dtype != np.float32:
        raise ImageError(
            f"a picture is uint8 or float32 in [0, 1], got {image.dtype}; convert it with astype(np.float32)"
        )
    low, high = float(image.min()), float(image.max())
    if not (np.isfinite(low) and np.isfinite(high)):  # NaN comes through min and max
        raise ImageError("a float picture holds colours in [0, 1], got NaN or infinity; replace them first")
    if low < 0 or high > 1:
        raise ImageError(
            f"a float picture holds colours in [0, 1], got values from {low:g} to {high:g}; "
            "divide by 255 if they are grey levels, or clip"
        )


def _as_float(image: Array) -> npt.NDArray[np.float32]:
    return (
        image.astype(np.float32) / np.float32(255)
        if image.dtype == np.uint8
        else np.asarray(image, np.float32)
    )


def _as_dtype(image: npt.NDArray[np.float32], dtype: np.dtype[Any]) -> Array:
    return np.rint(image * 255).astype(np.uint8) if dtype == np.uint8 else image


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
