"""Interface of the engines, which run the graph of a model file.

Engines are interchangeable: each agrees with onnxruntime in float32 to one level of 255 in 99.9 %
of all samples. A `Session` opens an engine, schedules runs on it and checks its answers.
"""

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crdnet.errors import ModelError
from crdnet.runtime.model import FUSED_NAME, IMAGES_NAME, INPUT_NAME, OUTPUT_NAME, ModelInfo
from crdnet.runtime.store import FUSE, StoredModel

Floats = npt.NDArray[np.float32]


class Answer(NamedTuple):
    """Output of a network for one image."""

    derained: Floats
    """Colours (h, w, 3), not clipped."""
    density: Floats | None
    """Intensity of the rain (rows, columns) in grey levels of 255.

    A cell covers `size_multiple` x `size_multiple` pixels. None for a model that does not sense
    rain."""


class Run(ABC):
    """One run of a network, which another thread can stop."""

    @property
    @abstractmethod
    def stopped(self) -> bool:
        """True if `stop` was called, after which the run raises an error of any class."""

    @abstractmethod
    def __call__(self, rainy: Floats) -> Answer:
        """Run the network on colours (h, w, 3) in [0, 1]; call it at most once."""

    @abstractmethod
    def stop(self) -> None:
        """Abort the run at the next layer, or before it begins."""


class Engine(ABC):
    """Model file opened for running."""

    @abstractmethod
    def __init__(self, model: StoredModel, threads: int, runs: int) -> None:
        """Open a model.

        Args:
            model: The model file.
            threads: Number of threads for one run.
            runs: Maximum number of simultaneous runs.

        Raises:
            ModelError: The file is damaged or is not a crdnet model.
            Exception: The engine cannot open the file; the class depends on the engine.
        """

    name: str
    """Name with version and precision, such as "onnxruntime 1.31.1, float32"."""
    info: ModelInfo
    """Metadata of the file."""
    senses: bool
    """True if the model senses the intensity of the rain."""

    @abstractmethod
    def begin(self) -> Run:
        """Return a run that has not started."""

    def shrink(self) -> None:  # noqa: B027 - not every engine keeps memory
        """Return cached memory to the system, for example after a large image."""

    @abstractmethod
    def abandon(self) -> None:
        """Never free the engine's resources.

        In a forked child, freeing them would wait for threads that exist only in the parent.
        """


def check_info(
    model: StoredModel,
    metadata: Mapping[str, str],
    inputs: Collection[str],
    outputs: Collection[str],
) -> ModelInfo:
    """Check that a file is a crdnet model; return its metadata.

    Args:
        model: The model file.
        metadata: Its key-value strings.
        inputs: Names of the inputs of its graph.
        outputs: Names of the outputs of its graph.

    Raises:
        ModelError: The file is not a crdnet model.
    """
    info = ModelInfo.from_metadata(metadata, str(model.path), model.task)
    takes, gives = (IMAGES_NAME, FUSED_NAME) if model.task == FUSE else (INPUT_NAME, OUTPUT_NAME)
    if set(inputs) != {takes} or gives not in outputs:
        raise ModelError(
            f"{model.path} takes {sorted(inputs)} and gives {sorted(outputs)}; "
            f"a crdnet model takes {takes!r} and gives {gives!r}"
        )
    return info


def keep_for_ever(*held: object) -> None:
    """Keep objects from being freed, even when the interpreter exits."""
    for each in held:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))
