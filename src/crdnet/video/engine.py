"""Deraining of single frames; the only module of `crdnet.video` that calls the network."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crdnet.pipeline import Derainer
from crdnet.runtime import DERAIN, Network, SenseReport, find_model

Frame = npt.NDArray[Any]
"""RGB (h, w, 3), uint8 or uint16."""
Colours = npt.NDArray[np.float32]
"""RGB (h, w, 3) in grey levels of 255."""
LARGE_PIXELS = 4_000_000
"""Largest frame, in pixels, for which more memory is used to save time."""
# Side of a tile of a larger frame, in pixels: 18 % more time than "auto", half of its memory.
_TILE_PIXELS = 640
# A multiple of the rows that share a sample of chroma.
_BAND_ROWS = 128

__all__ = [
    "Colours",
    "Estimate",
    "Frame",
    "FrameNetwork",
    "SenseReport",
    "as_levels",
    "as_pixels",
    "cut_bands",
    "get_intensity",
    "identify_model",
    "open_network",
]


class Estimate(NamedTuple):
    """Estimate of the network for one frame."""

    rainy: Frame
    """The input frame."""
    derained: Frame
    """The frame as derained by the network alone, in the same form."""
    report: SenseReport


class FrameNetwork:
    """Network that derains and senses single frames.

    Args:
        derainer: Derainer with the model.
    """

    def __init__(self, derainer: Derainer) -> None:
        self._derainer = derainer

    def derain(self, frame: Frame) -> Estimate:
        """Derain a frame by itself."""
        if frame.shape[0] * frame.shape[1] <= LARGE_PIXELS:
            result = self._derainer.run(frame, always=True)
            return Estimate(frame, result.image, result.sensed)
        network = Network(self._derainer.session, _TILE_PIXELS)
        sensed = network.sense(frame)
        derained = network.derain(frame, sensed, 1.0)
        self._derainer.session.shrink()  # the fusion needs the memory that the session caches
        return Estimate(frame, derained, sensed.drop_look())

    def sense(self, frame: Frame) -> SenseReport:
        """Return the report on the rain in a frame."""
        return self._derainer.sense(frame)

    @property
    def senses(self) -> bool:
        """True if the model senses rain."""
        return bool(self._derainer.session.senses)

    @property
    def engine(self) -> str:
        """Name of the engine, with its version and precision."""
        return str(self._derainer.session.engine)


def open_network(model: str, device: str, threads: int | None) -> FrameNetwork:
    """Open a model for frames; arguments and errors are those of `crdnet.Derainer`."""
    return FrameNetwork(Derainer(model, device=device, threads=threads))


def identify_model(model: str, task: str = DERAIN) -> str:
    """Return the SHA-256 of a model file, as hexadecimal digits."""
    return sha256(find_model(model, task=task).read()).hexdigest()


def get_intensity(report: SenseReport) -> float | None:
    """Return the intensity of the rain in a report, in grey levels; None if it was not sensed."""
    return report.intensity


def cut_bands(height: int) -> Iterator[slice]:
    """Yield the rows of a frame in bands, because floats of a whole frame need much memory."""
    for start in range(0, height, _BAND_ROWS):
        yield slice(start, min(start + _BAND_ROWS, height))


def as_levels(frame: Frame) -> Colours:
    """Return pixels as float32 in grey levels of 255."""
    scale = np.float32(255 / np.iinfo(frame.dtype).max)
    return np.multiply(frame, scale, dtype=np.float32)


def as_pixels(colours: Colours, dtype: np.dtype[Any]) -> Frame:
    """Return grey levels of 255 as pixels of an integer dtype, rounded and clipped."""
    top = np.iinfo(dtype).max
    pixels: Frame = np.rint(np.clip(colours * np.float32(top / 255), 0, top)).astype(dtype)
    return pixels
