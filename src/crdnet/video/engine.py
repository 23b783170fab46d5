"""Deraining of single frames; the only module of `crdnet.video` that calls the network."""

from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crdnet.pipeline import Derainer
from crdnet.runtime import DERAIN, SenseReport, find_model

Frame = npt.NDArray[Any]
"""RGB (h, w, 3), uint8 or uint16."""
Colours = npt.NDArray[np.float32]
"""RGB (h, w, 3) in grey levels of 255."""


__all__ = [
    "Colours",
    "Estimate",
    "Frame",
    "FrameNetwork",
    "SenseReport",
    "as_levels",
    "as_pixels",
    "get_intensity",
    "identify_model",
    "open_network",
]


class Estimate(NamedTuple):
    """Answer of the network for one frame."""

    rainy: Colours
    """The frame as it came."""
    derained: Colours
    """The frame without the rain that the network sees in it."""
    report: SenseReport


class FrameNetwork:
    """Derains and senses single frames.

    Args:
        derainer: Runs the model.
    """

    def __init__(self, derainer: Derainer) -> None:
        self._derainer = derainer

    def derain(self, frame: Frame) -> Estimate:
        """Derain a frame by itself."""
        result = self._derainer.run(frame, always=True)
        return Estimate(as_levels(frame), as_levels(result.image), result.sensed)

    def sense(self, frame: Frame) -> SenseReport:
        """Report how heavy the rain in a frame is."""
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


def as_levels(frame: Frame) -> Colours:
    """Return pixels as float32 in grey levels of 255."""
    scale = np.float32(255 / np.iinfo(frame.dtype).max)
    return np.multiply(frame, scale, dtype=np.float32)


def as_pixels(colours: Colours, dtype: np.dtype[Any]) -> Frame:
    """Return grey levels of 255 as pixels of an integer dtype, rounded and clipped."""
    top = np.iinfo(dtype).max
    pixels: Frame = np.rint(np.clip(colours * np.float32(top / 255), 0, top)).astype(dtype)
    return pixels
