"""Cost of one model file: parameters, operations, margin, and memory and time at a size."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from crdnet.bench.cost import count_cost
from crdnet.bench.measurement import draw_rainy_image
from crdnet.bench.process import MEMORY, NETWORK, WorkerProcess
from crdnet.errors import ModelError
from crdnet.runtime import StoredModel, read_info

ROUNDS = 3
# Data types of ONNX that hold weights: float32, float16, float64, bfloat16.
_FLOATING = frozenset({1, 10, 11, 16})
# Dimensionless constants of the graph are no parameters.
_SMALLEST_WEIGHT = 2


@dataclass(frozen=True)
class ModelCost:
    """Cost of a model file.

    Attributes:
        model: Name of the model.
        parameters: Number of weights in the file.
        kilo_macs: Thousands of multiply-accumulate operations per pixel.
        size_multiple: Both sides of the input must be multiples of this, in pixels.
        margin: Pixels around a tile that affect its result.
        height: Height of the timed image, in pixels.
        width: Width of the timed image, in pixels.
        seconds: Median time of the network on the image.
        peak_bytes: Peak resident memory of a process that derains the image; None if unknown.
        engine: Engine and precision.
        threads: Threads of the engine.
    """

    model: str
    parameters: int
    kilo_macs: float
    size_multiple: int
    margin: int
    height: int
    width: int
    seconds: float
    peak_bytes: int | None
    engine: str
    threads: int

    def as_dict(self) -> dict[str, Any]:
        """Return the cost as JSON values."""
        return asdict(self)

    def as_text(self) -> str:
        """Return the cost as two lines."""
        memory = "" if self.peak_bytes is None else f", {self.peak_bytes / 1e6:.0f} MB"
        return (
            f"{self.model}: {self.parameters:,} parameters, {self.kilo_macs:.2f} kMAC per pixel, "
            f"sides in multiples of {self.size_multiple}, margin {self.margin} px\n"
            f"    {self.width} x {self.height}: {self.seconds:.3f} s{memory} "
            f"({self.engine}, {self.threads} threads)"
        )


def measure_model_cost(
    model: StoredModel, height: int, width: int, *, device: str, threads: int
) -> ModelCost:
    """Measure a model file in a separate process.

    Args:
        model: Model of `crdnet.runtime.find_model`.
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        device: Device, as of `crdnet derain --device`.
        threads: Threads of the engine.

    Raises:
        ModelError: The file is damaged or is not a crdnet model.
    """
    info = read_info(model)
    with TemporaryDirectory() as folder:
        rainy = Path(folder) / "rainy.npy"
        np.save(rainy, draw_rainy_image(height, width))
        task = {
            "model": str(model.path),
            "device": device,
            "threads": threads,
            "rainy": str(rainy),
            "task": model.task,
        }
        with WorkerProcess(task) as worker:
            worker.ask(NETWORK)
            seconds = [_time(worker) for _ in range(ROUNDS)]
            peak, engine = worker.ask(MEMORY), worker.description["engine"]
    return ModelCost(
        model.name,
        count_parameters(model.read()),
        count_cost(model).macs / 1000,
        info.size_multiple,
        info.margin,
        height,
        width,
        median(seconds),
        peak,
        engine,
        threads,
    )


def _time(worker: WorkerProcess) -> float:
    began = perf_counter()
    worker.ask(NETWORK)
    return perf_counter() - began


def count_parameters(content: bytes) -> int:
    """Return the number of weights in an ONNX file, without the package for ONNX.

    Raises:
        ModelError: The bytes are no ONNX file.
    """
    try:
        graphs = [value for number, value in _read_fields(content) if number == 7]
        return sum(
            _count_values(tensor)
            for graph in graphs
            for number, tensor in _read_fields(graph)
            if number == 5  # GraphProto.initializer
        )
    except (IndexError, KeyError, TypeError) as error:
        raise ModelError("the file is damaged: it is not an ONNX model") from error


def _count_values(tensor: bytes) -> int:
    """Return the number of values of a TensorProto of weights, 0 of other constants."""
    dimensions: list[int] = []
    kind = 0
    for number, value in _read_fields(tensor):
        if number == 1:
            dimensions += [value] if isinstance(value, int) else _read_integers(value)
        elif number == 2:
            kind = value
    is_weight = kind in _FLOATING and len(dimensions) > 0
    count = prod(dimensions)
    return count if is_weight and (len(dimensions) != 1 or count >= _SMALLEST_WEIGHT) else 0


def _read_fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of the fields of a protobuf message."""
    at = 0
    while at < len(message):
        key, at = _read_integer(message, at)
        number, kind = divmod(key, 8)
        if kind == 0:
            value, at = _read_integer(message, at)
            yield number, value
            continue
        size, at = _read_integer(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        yield number, message[at : at + size]
        at += size


def _read_integer(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at


def _read_integers(packed: bytes) -> list[int]:
    values, at = [], 0
    while at < len(packed):
        value, at = _read_integer(packed, at)
        values.append(value)
    return values
