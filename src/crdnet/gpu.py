"""PyTorch on an NVIDIA GPU, in float16 (extra: torch).

The runtime opens this engine by its name and never imports it, since what runs on a processor must not import torch. It
reads the model file like every other engine, so that the file alone is enough; the network's code is not needed.

Convolutions run in float16, which is finer than bfloat16 where numbers are of a picture's size; the colours that
they correct stay in float32. A network whose numbers leave float16's range gives infinities or NaN: such a picture is
run once more in float32.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor
from torch.nn import functional

from crdnet.errors import CRDNetError, DeviceError
from crdnet.runtime.engines import Answer, Engine, Floats, Run, checked_info, keep_for_ever
from crdnet.runtime.model import DENSITY_NAME, INPUT_NAME, OUTPUT_NAME
from crdnet.runtime.store import StoredModel

_GRAPHS = 4
"""Sizes whose runs are kept as CUDA graphs: the looks at a picture of one size, or tiles."""

_BY_VALUE = ("Resize", "Slice", "ReduceMax", "ReduceMin")
"""Operations whose inputs but the first are axes, places and scales, known before the network runs."""


class _Node(NamedTuple):
    """An operation of the graph, with the names of what it takes and gives."""

    compute: Callable[..., Tensor]
    """Called with the tensors."""
    inputs: Sequence[str]
    output: str


class _Recorded(NamedTuple):
    """A run for pictures of one size, recorded on the GPU, and the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    rainy: Tensor
    answers: tuple[Tensor, ...]


class TorchEngine(Engine):
    """A model that PyTorch runs; see `Engine`.

    Args:
        model: The file.
        threads: Ignored; a GPU has its own.
        runs: Ignored; a GPU takes one picture after the other.
        device: Of PyTorch; another one than "cuda" is for tests.
    """

    def __init__(self, model: StoredModel, threads: int, runs: int, device: str = "cuda") -> None:  # noqa: ARG002
        self._device = torch.device(device)
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise DeviceError(
                "PyTorch finds no working GPU; check the driver with nvidia-smi, or use device 'cpu'"
            )
        file = onnx.load_model_from_string(model.read())
        outputs = [each.name for each in file.graph.output]
        self.info = checked_info(
            model,
            {each.key: each.value for each in file.metadata_props},
            [each.name for each in file.graph.input],
            outputs,
        )
        self.senses = DENSITY_NAME in outputs
        self._wanted = (OUTPUT_NAME, *[DENSITY_NAME] * self.senses)
        constants = {each.name: onnx.numpy_helper.to_array(each) for each in file.graph.initializer}
        self._nodes = [_node(each, constants) for each in file.graph.node]
        self._constants = {name: self._constant(value) for name, value in constants.items()}
        where = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else device
        self.name = f"PyTorch {torch.__version__}, float16 on {where}"
        self._recorded: OrderedDict[tuple[int, ...], _Recorded | None] = OrderedDict()
        self._lock = Lock()

    def begin(self) -> "_Run":
        """Return a run that is still to be called."""
        return _Run(self)

    def abandon(self) -> None:
        """Never free what lies on the GPU."""
        keep_for_ever(self)

    @torch.inference_mode()
    def answer(self, rainy: Floats) -> Answer:
        """Run the network on colours (h, w, 3)."""
        # A view: pixels with their channels side by side are the memory layout that tensor cores like.
        batch = torch.from_numpy(np.ascontiguousarray(rainy)).permute(2, 0, 1)[None]
        with self._lock:
            answers = self._in_half(batch)
            if not all(bool(torch.isfinite(each).all()) for each in answers):
                with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                    answers = self._compute(batch.to(self._device))
            derained, *density = (each[0].permute(1, 2, 0).cpu().numpy() for each in answers)
        return Answer(derained, density[0][..., 0] if density else None)

    def _in_half(self, batch: Tensor) -> tuple[Tensor, ...]:
        """Run in float16; sizes that come again are recorded, which spares the time to start each operation."""
        if self._device.type != "cuda":
            with self._half():
                return self._compute(batch.to(self._device))
        size = tuple(batch.shape)
        seen = size in self._recorded
        recorded = self._recorded.pop(size, None)
        if seen and recorded is None:
            recorded = self._record(batch)
        self._recorded[size] = recorded
        while len(self._recorded) > _GRAPHS:
            self._recorded.popitem(last=False)
        if recorded is None:
            with self._half():
                return self._compute(batch.to(self._device))
        recorded.rainy.copy_(batch)
        recorded.graph.replay()
        return recorded.answers

    def _record(self, batch: Tensor) -> _Recorded:
        rainy = batch.to(self._device)
        graph = torch.cuda.CUDAGraph()
        with ExitStack() as stack:
            stack.enter_context(torch.cuda.graph(graph))
            stack.enter_context(self._half())
            answers = self._compute(rainy)
        return _Recorded(graph, rainy, answers)

    def _half(self) -> AbstractContextManager[Any]:
        # Recorded runs must not read weights that an earlier run has converted and freed.
        return torch.autocast(self._device.type, torch.float16, cache_enabled=False)

    def _compute(self, rainy: Tensor) -> tuple[Tensor, ...]:
        values = {**self._constants, INPUT_NAME: rainy}
        for node in self._nodes:
            values[node.output] = node.compute(*(values[name] for name in node.inputs))
        return tuple(values[name].float() for name in self._wanted)

    def _constant(self, value: npt.NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(value.copy()).to(self._device)
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


class _Run(Run):
    """A GPU needs milliseconds for a run, so that one that has begun is not stopped."""

    def __init__(self, engine: TorchEngine) -> None:
        self._engine = engine
        self._stopped = False

    @property
    def stopped(self) -> bool:
        return self._stopped

    def __call__(self, rainy: Floats) -> Answer:
        if self._stopped:
            raise CRDNetError("stopped before it began")
        return self._engine.answer(rainy)

    def stop(self) -> None:
        self._stopped = True


def _node(stored: onnx.NodeProto, constants: Mapping[str, npt.NDArray[Any]]) -> _Node:
    """Return an operation as PyTorch does it, if it is one that crdnet's networks are made of."""
    has = {each.name: onnx.helper.get_attribute_value(each) for each in stored.attribute}
    inputs = list(stored.input)
    values: list[list[Any]] = []
    if stored.op_type in _BY_VALUE:
        values = [constants[name].tolist() for name in inputs[1:] if name]
        inputs = inputs[:1]
    if stored.op_type not in _OPERATIONS:
        raise NotImplementedError(
            f"the operation {stored.op_type} is not among {', '.join(_OPERATIONS)}"
        )
    return _Node(_OPERATIONS[stored.op_type](has, values), inputs, stored.output[0])


def _convolution(has: Mapping[str, Any], _: Sequence[Any]) -> Callable[..., Tensor]:
    strides, dilations, groups = (
        has.get("strides", [1, 1]),
        has.get("dilations", [1, 1]),
        has.get("group", 1),
    )
    padding = _symmetric(has)

    def convolution(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return functional.conv2d(features, weight, bias, strides, padding, dilations, groups)

    return convolution


def _pooling(
    pool: Callable[..., Tensor],
) -> Callable[[Mapping[str, Any], Sequence[Any]], Callable[..., Tensor]]:
    def made(has: Mapping[str, Any], _: Sequence[Any]) -> Callable[..., Tensor]:
        kernel, strides = has["kernel_shape"], has.get("strides", [1, 1])
        return partial(pool, kernel_size=kernel, stride=strides, padding=_symmetric(has))

    return made


def _symmetric(has: Mapping[str, Any]) -> list[int]:
    """Return the padding of height and width."""
    top, left, bottom, right = has.get("pads", [0, 0, 0, 0])
    if (top, left) != (bottom, right):
        raise NotImplementedError("padding that differs from side to side")
    return [top, left]


def _enlarging(has: Mapping[str, Any], values: Sequence[Sequence[float]]) -> Callable[..., Tensor]:
    if has["mode"] != b"nearest" or has.get("coordinate_transformation_mode") != b"asymmetric":
        raise NotImplementedError("a Resize other than by repeating pixels")
    return partial(functional.interpolate, scale_factor=tuple(values[-1][2:]), mode="nearest")


def _shuffling(has: Mapping[str, Any], _: Sequence[Any]) -> Callable[..., Tensor]:
    if has.get("mode") != b"CRD":
        raise NotImplementedError("a DepthToSpace other than pixel_shuffle")
    return partial(functional.pixel_shuffle, upscale_factor=has["blocksize"])


def _slicing(_: Mapping[str, Any], values: Sequence[Sequence[int]]) -> Callable[..., Tensor]:
    (start,), (stop,), (axis,) = values[:3]

    def sliced(features: Tensor) -> Tensor:
        return features.narrow(axis, start, min(stop, features.shape[axis]) - start)

    return sliced


def _reducing(
    reduce: Callable[..., Tensor],
) -> Callable[[Mapping[str, Any], Sequence[Any]], Callable[..., Tensor]]:
    return lambda has, values: partial(reduce, dim=values[0], keepdim=bool(has.get("keepdims", 1)))


def _plain(
    operation: Callable[..., Tensor],
) -> Callable[[Mapping[str, Any], Sequence[Any]], Callable[..., Tensor]]:
    return lambda _has, _values: operation


_OPERATIONS: dict[str, Callable[[Mapping[str, Any], Sequence[Any]], Callable[..., Tensor]]] = {
    "Abs": _plain(torch.abs),
    "Add": _plain(torch.add),
    "AveragePool": _pooling(functional.avg_pool2d),
    "Concat": lambda has, _: lambda *features: torch.cat(features, has["axis"]),
    "Conv": _convolution,
    "DepthToSpace": _shuffling,
    "Greater": _plain(torch.gt),
    "MaxPool": _pooling(functional.max_pool2d),
    "Mul": _plain(torch.mul),
    "ReduceMax": _reducing(torch.amax),
    "ReduceMin": _reducing(torch.amin),
    "Relu": _plain(torch.relu),
    "Resize": _enlarging,
    "Slice": _slicing,
    "Softplus": _plain(functional.softplus),
    "Sub": _plain(torch.sub),
    "Where": _plain(torch.where),
}
"""What an operation's attributes and known inputs make of it."""
