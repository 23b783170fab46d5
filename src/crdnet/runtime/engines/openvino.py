"""OpenVINO on the CPU, in bfloat16 or float32.

bfloat16 is used if the CPU supports it and the graph keeps enough precision, see `_corrects`.
"""

import sys
from collections import Counter, OrderedDict
from contextlib import suppress
from importlib import import_module
from math import prod
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np

from crdnet.runtime.engines.engine import Answer, Engine, Floats, Run, check_info, keep_for_ever
from crdnet.runtime.model import DENSITY_NAME, INPUT_NAME, OUTPUT_NAME
from crdnet.runtime.store import StoredModel

REST_NAME = "rest"
"""Second input of a graph whose colours are split into two parts, see `add_rest`."""
_CONVERTER = "openvino.tools.ovc"
WORTH_PIXELS = 2**21
"""Total pixels of one size after which, in bfloat16, a graph is compiled for that size.

Such a graph gives identical answers in 12 % less time, so that the 90 ms for compiling it pay off
within a few megapixels. In float32 it would gain little."""
LARGEST_PIXELS = 2**20
"""Pixels of the largest size for which a graph is compiled.

For tiles, which are twice as large, such a graph took 300 MB and saved no time."""
KEPT_SIZES = 8
"""Maximum number of sizes with a graph: enough for images of two sizes at all scales."""
KEPT_PIXELS = 2**23
"""Maximum total pixels of those sizes, because each graph has its own memory."""


class OpenVinoEngine(Engine):
    """Model compiled by OpenVINO; see `Engine`.

    The sides are dynamic: the first run of a size takes 10 ms longer, whereas compiling a graph for
    that size takes 90 ms. Frequent sizes get their own graph, see `WORTH_PIXELS`.
    """

    def __init__(self, model: StoredModel, threads: int, runs: int) -> None:
        openvino = import_openvino()
        self._core = openvino.Core()
        graph = self._core.read_model(model.read())
        about = ["framework"]
        metadata = dict(graph.get_rt_info(about).value) if graph.has_rt_info(about) else {}
        outputs = [port.get_any_name() for port in graph.outputs]
        self.info = check_info(
            model, metadata, [port.get_any_name() for port in graph.inputs], outputs
        )
        self.senses = DENSITY_NAME in outputs
        self._settings: dict[str, Any] = {
            "NUM_STREAMS": runs,
            "INFERENCE_NUM_THREADS": threads * runs,
            # A pinned thread waits while another program uses its core.
            "ENABLE_CPU_PINNING": False,
            # OpenVINO caches preparations for each size, by default for thousands of sizes. A
            # folder of mixed sizes would then use gigabytes.
            "CPU_RUNTIME_CACHE_CAPACITY": 128,
        }
        compiled = None
        if "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") and _corrects(
            graph
        ):
            self._settings["INFERENCE_PRECISION_HINT"] = "bf16"
            self._graph = put_channels_last(openvino, add_rest(graph.clone()))
            compiled = _compile_in_bfloat16(self._core, self._graph, self._settings)
        self.in_bfloat16 = compiled is not None
        if compiled is None:
            self._settings["INFERENCE_PRECISION_HINT"] = "f32"
            self._graph = put_channels_last(openvino, graph)
            compiled = self._core.compile_model(self._graph, "CPU", self._settings)
        self._compiled = compiled
        self._run_pixels: Counter[tuple[int, int]] = Counter()
        self._of_size: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._lock = Lock()
        version = openvino.__version__.partition("-")[0]
        self.name = f"OpenVINO {version}, {'bfloat16' if self.in_bfloat16 else 'float32'}"
        # An operation that the CPU does not support fails only at run time.
        self.begin()(np.zeros((self.info.size_multiple, self.info.size_multiple, 3), np.float32))

    def begin(self) -> "_Run":
        """Return a run that has not started."""
        return _Run(self)

    def request(self, height: int, width: int) -> Any:
        """Return a new request for an image size, on the graph for that size if there is one.

        A new request costs 10 microseconds, and no other request overwrites its outputs.
        """
        size = height, width
        with self._lock:
            if size in self._of_size:
                self._of_size.move_to_end(size)
            else:
                self._run_pixels[size] += height * width
                if (
                    self.in_bfloat16
                    and self._run_pixels[size] > WORTH_PIXELS
                    and height * width <= LARGEST_PIXELS
                ):
                    self._compile_for(size)
            return self._of_size.get(size, self._compiled).create_infer_request()

    def _compile_for(self, size: tuple[int, int]) -> None:
        graph = self._graph.clone()
        graph.reshape({port.get_any_name(): [1, *size, 3] for port in graph.inputs})
        self._of_size[size] = self._core.compile_model(graph, "CPU", self._settings)
        while len(self._of_size) > KEPT_SIZES or sum(map(prod, self._of_size)) > KEPT_PIXELS:
            forgotten, _ = self._of_size.popitem(last=False)
            del self._run_pixels[forgotten]
        self._release()

    def shrink(self) -> None:
        """Return cached memory to the system."""
        with self._lock:
            self._of_size.clear()
            self._run_pixels.clear()
            self._release()

    def _release(self) -> None:
        with suppress(RuntimeError):  # another thread is using it
            self._compiled.release_memory()

    def abandon(self) -> None:
        """Never free the compiled graphs."""
        keep_for_ever(self)


class _Run(Run):
    def __init__(self, engine: OpenVinoEngine) -> None:
        self._engine = engine
        self._request: Any = None
        self._lock = Lock()
        self._stopped = False

    @property
    def stopped(self) -> bool:
        return self._stopped

    def __call__(self, rainy: Floats) -> Answer:
        batch = np.ascontiguousarray(rainy[None])
        inputs = {INPUT_NAME: batch}
        if self._engine.in_bfloat16:
            inputs[REST_NAME] = compute_rest(batch)
        request = self._engine.request(*rainy.shape[:2])
        with self._lock:
            if self._stopped:
                raise RuntimeError("stopped before it began")
            self._request = request
            request.start_async(inputs, share_inputs=True)
        request.wait()
        density = request.get_tensor(DENSITY_NAME).data[0, 0] if self._engine.senses else None
        return Answer(request.get_tensor(OUTPUT_NAME).data[0], density)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._request is not None:
                self._request.cancel()


def import_openvino() -> ModuleType:
    """Import OpenVINO without its model converter.

    The converter sends telemetry at every import and takes 0.2 s to load.
    """
    absent = _CONVERTER not in sys.modules
    if absent:
        # None makes the import fail.
        sys.modules[_CONVERTER] = None  # type: ignore[assignment]
    try:
        return import_module("openvino")
    finally:
        if absent:
            del sys.modules[_CONVERTER]


def _corrects(graph: Any) -> bool:
    """Return whether a graph adds a correction to the rainy colours as its last step.

    All other readers of the rainy colours must be convolutions with constant weights. OpenVINO
    computes the last step in float32. The output of a convolution has the eight bits of bfloat16,
    which is too coarse for 255 levels. The same holds for its input, see `add_rest`.
    """
    last = graph.output(OUTPUT_NAME).get_node().input_value(0).get_node()
    readers = [each.get_node() for each in graph.input(INPUT_NAME).get_target_inputs()]
    others = [each for each in readers if each.get_friendly_name() != last.get_friendly_name()]
    return len(others) < len(readers) and all(
        each.get_type_name() == "Convolution"
        and each.input(1).get_source_output().get_node().get_type_name() == "Constant"
        for each in others
    )


def _compile_in_bfloat16(core: Any, graph: Any, settings: dict[str, Any]) -> Any | None:
    """Compile a graph in bfloat16; return None if the CPU does not compute in bfloat16.

    OpenVINO queries the CPU, but its library oneDNN can be told to ignore instructions
    (ONEDNN_MAX_CPU_ISA) and then emulates them or fails.
    """
    try:
        compiled = core.compile_model(graph, "CPU", settings)
    except RuntimeError:  # an error in the model itself comes up again in float32
        return None
    return compiled if "bfloat16" in compiled.get_property("RUNTIME_REQUIREMENTS") else None


def put_channels_last(openvino: ModuleType, graph: Any) -> Any:
    """Return the graph with inputs and output in (b, h, w, c), the layout that OpenVINO uses."""
    wrapped = openvino.preprocess.PrePostProcessor(graph)
    inputs = [wrapped.input(port.get_any_name()) for port in graph.inputs]
    for port in (*inputs, wrapped.output(OUTPUT_NAME)):
        port.model().set_layout(openvino.Layout("NCHW"))
        port.tensor().set_layout(openvino.Layout("NHWC"))
    return wrapped.build()


def add_rest(graph: Any) -> Any:
    """Add a second input with the rounding error of the colours in bfloat16; return the graph.

    Rounding to bfloat16 changes bright colours by up to half a level of 255, and faint streaks are
    only a few levels. The first convolutions read both inputs with the same weights and thus see
    the exact colours. The rest of the graph does not change.
    """
    ops = import_module("openvino.opset13")
    rainy = graph.input(INPUT_NAME)
    rest = ops.parameter(rainy.get_partial_shape(), np.float32, name=REST_NAME)
    rest.output(0).set_names({REST_NAME})
    both = ops.concat([rainy, rest.output(0)], 1)
    for target in rainy.get_target_inputs():
        node = target.get_node()
        if node.get_type_name() == "Convolution":
            weights = node.input(1).get_source_output().get_node().get_data()
            node.input(1).replace_source_output(
                ops.constant(np.concatenate([weights, weights], 1)).output(0)
            )
            node.input(0).replace_source_output(both.output(0))
    graph.add_parameters([rest])
    graph.validate_nodes_and_infer_types()
    return graph


def compute_rest(colours: Floats) -> Floats:
    """Return the error of rounding colours to the eight bits of bfloat16 (Veltkamp's splitting)."""
    scaled = colours * np.float32(2**16 + 1)
    rest: Floats = colours - (scaled - (scaled - colours))
    return rest
