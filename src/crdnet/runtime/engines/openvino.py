"""OpenVINO on the processor, in bfloat16 where the processor has it and it is exact enough, else in float32."""

import sys
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np

from crdnet.runtime.engines.engine import Answer, Engine, Floats, Run, checked_info, keep_for_ever
from crdnet.runtime.model import DENSITY_NAME, INPUT_NAME, OUTPUT_NAME
from crdnet.runtime.store import StoredModel

_PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
_CONVERTER = "openvino.tools.ovc"


class OpenVinoEngine(Engine):
    """A model compiled by OpenVINO; see `Engine`.

    The sides stay dynamic: a new size costs 10 ms when it first comes, and compiling for it would cost 90.
    """

    def __init__(self, model: StoredModel, threads: int, runs: int) -> None:
        openvino = _openvino()
        self._core = openvino.Core()
        graph = self._core.read_model(model.read())
        about = ["framework"]
        metadata = dict(graph.get_rt_info(about).value) if graph.has_rt_info(about) else {}
        outputs = [port.get_any_name() for port in graph.outputs]
        self.info = checked_info(model, metadata, [port.get_any_name() for port in graph.inputs], outputs)
        self.senses = DENSITY_NAME in outputs
        settings: dict[str, Any] = {
            "NUM_STREAMS": runs,
            "INFERENCE_NUM_THREADS": threads * runs,
            # Pinned threads would wait for their processor when another program has it.
            "ENABLE_CPU_PINNING": False,
        }
        if not _corrects(graph):
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        self._compiled = _compiled(self._core, _with_channels_last(openvino, graph), settings)
        precision = _precision(self._compiled)
        version = openvino.__version__.partition("-")[0]
        self.name = f"OpenVINO {version}, {_PRECISIONS.get(precision, precision)}"
        # A processor that an operation cannot use shows only when it runs.
        self.begin()(np.zeros((self.info.size_multiple, self.info.size_multiple, 3), np.float32))

    def begin(self) -> "_Run":
        """Return a run that is still to be called."""
        # A request of its own costs 10 microseconds, and its outputs are never overwritten by another.
        return _Run(self._compiled.create_infer_request(), self.senses)

    def abandon(self) -> None:
        """Never free what was compiled."""
        keep_for_ever(self._core, self._compiled)


class _Run(Run):
    def __init__(self, request: Any, senses: bool) -> None:
        self._request = request
        self._senses = senses
        self._lock = Lock()
        self._stopped = False

    @property
    def stopped(self) -> bool:
        return self._stopped

    def __call__(self, rainy: Floats) -> Answer:
        batch = np.ascontiguousarray(rainy[None])
        with self._lock:
            if self._stopped:
                raise RuntimeError("stopped before it began")
            self._request.start_async({INPUT_NAME: batch}, share_inputs=True)
        self._request.wait()
        density = self._request.get_tensor(DENSITY_NAME).data[0, 0] if self._senses else None
        return Answer(self._request.get_tensor(OUTPUT_NAME).data[0], density)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            self._request.cancel()


def _openvino() -> ModuleType:
    """Import OpenVINO without its converter of models, which reports every import to its maker and takes 0.2 s."""
    absent = _CONVERTER not in sys.modules
    if absent:
        sys.modules[_CONVERTER] = None  # type: ignore[assignment] # Python's way to make an import fail
    try:
        return import_module("openvino")
    finally:
        if absent:
            del sys.modules[_CONVERTER]


def _corrects(graph: Any) -> bool:
    """Tell whether a graph's last step adds what it found to the rainy colours, or subtracts it.

    OpenVINO takes that step in float32. Colours that come out of a convolution have the eight bits of bfloat16, which
    is not enough for 255 levels.
    """
    last = graph.output(OUTPUT_NAME).get_node().input_value(0).get_node()
    return any(INPUT_NAME in each.get_source_output().names for each in last.inputs())


def _compiled(core: Any, graph: Any, settings: dict[str, Any]) -> Any:
    """Compile in bfloat16 if the processor computes in it, else in float32.

    OpenVINO asks the processor; oneDNN below it may have been told to leave instructions out (ONEDNN_MAX_CPU_ISA) and
    would then emulate them, or fail.
    """
    try:
        compiled = core.compile_model(graph, "CPU", settings)
        if _precision(compiled) == "f32" or "bfloat16" in compiled.get_property("RUNTIME_REQUIREMENTS"):
            return compiled
    except RuntimeError:  # what is wrong with the model itself fails again
        pass
    return core.compile_model(graph, "CPU", {**settings, "INFERENCE_PRECISION_HINT": "f32"})


def _precision(compiled: Any) -> str:
    precision: str = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return precision


def _with_channels_last(openvino: ModuleType, graph: Any) -> Any:
    """Return the graph that takes and gives colours as pictures hold them, which is how OpenVINO computes too."""
    wrapped = openvino.preprocess.PrePostProcessor(graph)
    for port in (wrapped.input(INPUT_NAME), wrapped.output(OUTPUT_NAME)):
        port.model().set_layout(openvino.Layout("NCHW"))
        port.tensor().set_layout(openvino.Layout("NHWC"))
    return wrapped.build()
