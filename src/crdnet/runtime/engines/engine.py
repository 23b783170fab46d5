"""What an engine is: a program that runs the graph of a model file.

Engines are interchangeable: each agrees with onnxruntime in float32 to one level of 255 in 99.9 % of all samples. A
`Session` opens one, takes turns on it and checks what it says.
"""

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crdnet.errors import ModelError
from crdnet.runtime.model import INPUT_NAME, OUTPUT_NAME, ModelInfo
from crdnet.runtime.store import StoredModel

Floats = npt.NDArray[np.float32]


class Answer(NamedTuple):
    """What a network says of a picture."""

    derained: Floats
    """Colours (h, w, 3), not clipped."""
    density: Floats | None
    """Intensity of the rain (rows, columns) in grey levels of 255.

    A cell covers `size_multiple` squared pixels. None for a model that does not sense rain."""


class Run(ABC):
    """One run of a network, which another thread may stop."""

    @property
    @abstractmethod
    def stopped(self) -> bool:
        """Whether `stop` was called; the run then ends with some error."""

    @abstractmethod
    def __call__(self, rainy: Floats) -> Answer:
        """Run the network on colours (h, w, 3) in [0, 1]; to be called once."""

    @abstractmethod
    def stop(self) -> None:
        """Make the run end at the next layer, or not begin."""


class Engine(ABC):
    """A model file that is ready to run."""

    @abstractmethod
    def __init__(self, model: StoredModel, threads: int, runs: int) -> None:
        """Open a model.

        Args:
            model: The file.
            threads: Processors for one run.
            runs: How many runs there may be at once.

        Raises:
            ModelError: The file is damaged or is not ours.
            Exception: The engine cannot open it, in whatever class it says so.
        """

    name: str
    """With version and precision, such as "onnxruntime 1.31.1, float32"."""
    info: ModelInfo
    """What the file says of itself."""
    senses: bool
    """Whether the model says how heavy the rain is."""

    @abstractmethod
    def begin(self) -> Run:
        """Return a run that is still to be called."""

    def shrink(self) -> None:  # noqa: B027 - not every engine keeps memory
        """Give the memory that a large picture took back to the system, where the engine keeps it."""

    @abstractmethod
    def abandon(self) -> None:
        """Never free what the engine holds: in the child of a fork that would wait for threads that are not there."""


def checked_info(
    model: StoredModel,
    metadata: Mapping[str, str],
    inputs: Collection[str],
    outputs: Collection[str],
) -> ModelInfo:
    """Return what a file says of itself, if it is one of ours.

    Args:
        model: The file.
        metadata: Its key-value strings.
        inputs: Names of what its graph takes.
        outputs: Names of what it gives.

    Raises:
        ModelError: It is not ours.
    """
    info = ModelInfo.from_metadata(metadata, source=str(model.path))
    if set(inputs) != {INPUT_NAME} or OUTPUT_NAME not in outputs:
        raise ModelError(
            f"{model.path} takes {sorted(inputs)} and gives {sorted(outputs)}; a crdnet model takes "
            f"{INPUT_NAME!r} and gives {OUTPUT_NAME!r}"
        )
    return info


def keep_for_ever(*held: object) -> None:
    """Keep objects from ever being freed, also when the interpreter ends."""
    for each in held:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))
