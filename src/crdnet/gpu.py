"""PyTorch on an NVIDIA GPU, in float16 (extra: torch).

The runtime imports this engine by name and only for CUDA, because programs that run on the CPU must
not import torch. Like every engine, it needs only the model file, not the code of the network.

Convolutions run in float16, which is finer than bfloat16 for values of the size that images give;
the colours that they correct stay in float32. Values beyond the range of float16 become infinite or
NaN: such an image is run again in float32.
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
from crdnet.runtime.engines import Answer, Engine, Floats, Run, check_info, keep_for_ever
from crdnet.runtime.model import DENSITY_NAME, INPUT_NAME, OUTPUT_NAME
from crdnet.runtime.store import StoredModel

# Number of sizes whose runs are kept as CUDA graphs: scales of images of one size, or tiles.
_MOST_GRAPHS = 4

# Operations whose inputs after the first are constants: axes, positions and scales.
_BY_VALUE = ("Resize", "Slice", "ReduceMax", "ReduceMin")

# Makes a function of tensors from the attributes and the constant inputs of an operation.
_Factory = Callable[[Mapping[str, Any], Sequence[Any]], Callable[..., Tensor]]


class _Node(NamedTuple):
    """Operation of the graph, with the names of its inputs and its output."""

    compute: Callable[..., Tensor]
    """Function of the input tensors."""
    inputs: Sequence[str]
    output: str


class _Recorded(NamedTuple):
    """Run for images of one size, recorded on the GPU, with the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    rainy: Tensor
    answers: tuple[Tensor, ...]


class TorchEngine(Engine):
    """Model that PyTorch runs; see `Engine`.

    Args:
        model: Stored model.
        threads: Ignored; a GPU has its own.
        runs: Ignored; a GPU takes one image after the other.
        device: Device of PyTorch; tests use "cpu".
    """

    def __init__(
        self,
        model: StoredModel,
        threads: int,  # noqa: ARG002 - see above
        runs: int,  # noqa: ARG002 - see above
        device: str = "cuda",
    ) -> None:
        self._device = torch.device(device)
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise DeviceError(
                "PyTorch finds no working GPU; check the driver with nvidia-smi, "
                "or use device 'cpu'"
            )
        file = onnx.load_model_from_string(model.read())
        outputs = [each.name for each in file.graph.output]
        self.info = check_info(
            model,
            {each.key: each.value for each in file.metadata_props},
            [each.name for each in file.graph.input],
            outputs,
        )
        self.senses = DENSITY_NAME in outputs
        self._answer_names = (OUTPUT_NAME, *[DENSITY_NAME] * self.senses)
        constants = {each.name: onnx.numpy_helper.to_array(each) for each in file.graph.initializer}
        self._nodes = [_convert_node(each, constants) for each in file.graph.node]
        self._constants = {name: self._place_constant(value) for name, value in constants.items()}
        chip = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else device
        self.name = f"PyTorch {torch.__version__}, float16 on {chip}"
        # None marks a size that has occurred once; its second run is recorded.
        self._recorded: OrderedDict[tuple[int, ...], _Recorded | None] = OrderedDict()
        self._lock = Lock()

    def begin(self) -> "_Run":
        """Return a run that has not started."""
        return _Run(self)

    def abandon(self) -> None:
        """Never free the memory on the GPU."""
        keep_for_ever(self)

    @torch.inference_mode()
    def answer(self, rainy: Floats) -> Answer:
        """Run the network on colours (h, w, 3)."""
        # A view: channels last is the memory layout that suits tensor cores.
        batch = torch.from_numpy(np.ascontiguousarray(rainy)).permute(2, 0, 1)[None]
        # A recorded run always writes to the same memory, so runs must not overlap.
        with self._lock:
            answers = self._run_in_half(batch)
            if not all(bool(torch.isfinite(each).all()) for each in answers):
                # TF32 has the range of float32, but no more digits than float16.
                with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                    answers = self._compute(batch.to(self._device))
            derained, *density = (each[0].permute(1, 2, 0).cpu().numpy() for each in answers)
        return Answer(derained, density[0][..., 0] if density else None)

    def _run_in_half(self, batch: Tensor) -> tuple[Tensor, ...]:
        """Run in float16, from the second run of a size on as a CUDA graph.

        A graph saves the time to launch each operation.
        """
        if self._device.type != "cuda":
            with self._use_half():
                return self._compute(batch.to(self._device))
        size = tuple(batch.shape)
        seen = size in self._recorded
        recorded = self._recorded.pop(size, None)
        if seen and recorded is None:
            recorded = self._record(batch)
        # Inserted again, so that the least recently used size comes first and is dropped first.
        self._recorded[size] = recorded
        while len(self._recorded) > _MOST_GRAPHS:
            self._recorded.popitem(last=False)
        if recorded is None:
            with self._use_half():
                return self._compute(batch.to(self._device))
        recorded.rainy.copy_(batch)
        recorded.graph.replay()
        return recorded.answers

    def _record(self, batch: Tensor) -> _Recorded:
        rainy = batch.to(self._device)
        # Recording computes nothing; the caller replays the graph.
        graph = torch.cuda.CUDAGraph()
        with ExitStack() as stack:
            stack.enter_context(torch.cuda.graph(graph))
            stack.enter_context(self._use_half())
            answers = self._compute(rainy)
        return _Recorded(graph, rainy, answers)

    def _use_half(self) -> AbstractContextManager[Any]:
        # Recorded runs must not read weights that an earlier run has converted and freed.
        return torch.autocast(self._device.type, torch.float16, cache_enabled=False)

    def _compute(self, rainy: Tensor) -> tuple[Tensor, ...]:
        values = {**self._constants, INPUT_NAME: rainy}
        for node in self._nodes:
            values[node.output] = node.compute(*(values[name] for name in node.inputs))
        # Autocast leaves some outputs in float16.
        return tuple(values[name].float() for name in self._answer_names)

    def _place_constant(self, value: npt.NDArray[Any]) -> Tensor:
        # Arrays from the file are read-only, which PyTorch warns about; a copy is not.
        tensor = torch.from_numpy(value.copy()).to(self._device)
        # Four axes belong to the weights of convolutions, in the layout of the image.
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


class _Run(Run):
    """Run on a GPU, which takes milliseconds, so a run that has started is not stopped."""

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


def _convert_node(stored: onnx.NodeProto, constants: Mapping[str, npt.NDArray[Any]]) -> _Node:
    """Convert an operation to PyTorch.

    Raises:
        NotImplementedError: The networks of crdnet do not contain this operation.
    """
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in stored.attribute}
    inputs = list(stored.input)
    values: list[list[Any]] = []
    if stored.op_type in _BY_VALUE:
        # An omitted optional input has an empty name.
        values = [constants[name].tolist() for name in inputs[1:] if name]
        inputs = inputs[:1]
    if stored.op_type not in _FACTORIES:
        raise NotImplementedError(
            f"the operation {stored.op_type} is not among {', '.join(_FACTORIES)}"
        )
    return _Node(_FACTORIES[stored.op_type](attributes, values), inputs, stored.output[0])


def _make_convolution(attributes: Mapping[str, Any], _: Sequence[Any]) -> Callable[..., Tensor]:
    strides, dilations, groups = (
        attributes.get("strides", [1, 1]),
        attributes.get("dilations", [1, 1]),
        attributes.get("group", 1),
    )
    padding = _read_padding(attributes)

    def convolve(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return functional.conv2d(features, weight, bias, strides, padding, dilations, groups)

    return convolve


def _wrap_pooling(pool: Callable[..., Tensor]) -> _Factory:
    def make(attributes: Mapping[str, Any], _: Sequence[Any]) -> Callable[..., Tensor]:
        kernel, strides = attributes["kernel_shape"], attributes.get("strides", [1, 1])
        padding = _read_padding(attributes)
        return partial(pool, kernel_size=kernel, stride=strides, padding=padding)

    return make


def _read_padding(attributes: Mapping[str, Any]) -> list[int]:
    """Return the padding of height and width; both ends of a side must have the same."""
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    if (top, left) != (bottom, right):
        raise NotImplementedError("padding that differs from side to side")
    return [top, left]


def _make_enlargement(
    attributes: Mapping[str, Any], values: Sequence[Sequence[float]]
) -> Callable[..., Tensor]:
    transformation = attributes.get("coordinate_transformation_mode")
    if attributes["mode"] != b"nearest" or transformation != b"asymmetric":
        raise NotImplementedError("a Resize other than by repeating pixels")
    # The last input holds the scales of all four axes, of which the first two are 1.
    return partial(functional.interpolate, scale_factor=tuple(values[-1][2:]), mode="nearest")


def _make_pixel_shuffle(attributes: Mapping[str, Any], _: Sequence[Any]) -> Callable[..., Tensor]:
    # CRD and DCR are two orders of the channels; PyTorch has CRD.
    if attributes.get("mode") != b"CRD":
        raise NotImplementedError("a DepthToSpace other than pixel_shuffle")
    return partial(functional.pixel_shuffle, upscale_factor=attributes["blocksize"])


def _make_slice(_: Mapping[str, Any], values: Sequence[Sequence[int]]) -> Callable[..., Tensor]:
    (start,), (stop,), (axis,) = values[:3]

    def cut(features: Tensor) -> Tensor:
        # ONNX writes "to the end" as the largest integer.
        return features.narrow(axis, start, min(stop, features.shape[axis]) - start)

    return cut


def _wrap_reduction(reduce: Callable[..., Tensor]) -> _Factory:
    return lambda attributes, values: partial(
        reduce, dim=values[0], keepdim=bool(attributes.get("keepdims", 1))
    )


def _wrap_function(function: Callable[..., Tensor]) -> _Factory:
    """Return a factory for an operation without attributes."""
    return lambda _attributes, _values: function


# Factories of the operations that the networks of crdnet consist of, by name in ONNX.
_FACTORIES: dict[str, _Factory] = {
    "Abs": _wrap_function(torch.abs),
    "Add": _wrap_function(torch.add),
    "AveragePool": _wrap_pooling(functional.avg_pool2d),
    "Concat": lambda attributes, _: lambda *features: torch.cat(features, attributes["axis"]),
    "Conv": _make_convolution,
    "DepthToSpace": _make_pixel_shuffle,
    "Greater": _wrap_function(torch.gt),
    "MaxPool": _wrap_pooling(functional.max_pool2d),
    "Min": _wrap_function(torch.minimum),
    "Mul": _wrap_function(torch.mul),
    "ReduceMax": _wrap_reduction(torch.amax),
    "ReduceMin": _wrap_reduction(torch.amin),
    "Relu": _wrap_function(torch.relu),
    "Resize": _make_enlargement,
    "Slice": _make_slice,
    "Softplus": _wrap_function(functional.softplus),
    "Sub": _wrap_function(torch.sub),
    "Where": _wrap_function(torch.where),
}
