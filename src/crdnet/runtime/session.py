"""One model, opened by onnxruntime and checked against what its metadata says."""

import ctypes
from threading import Lock, Semaphore
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from crdnet.errors import CRDNetError, DeviceError, ModelError
from crdnet.runtime.cpus import usable_cpus
from crdnet.runtime.model import DENSITY_NAME, INPUT_NAME, OUTPUT_NAME, ModelInfo
from crdnet.runtime.store import StoredModel

DEVICES = ("auto", "cpu", "cuda")
_ERRORS_ONLY = 3


class Answer(NamedTuple):
    """What a network says of a picture."""

    derained: npt.NDArray[np.float32]
    """Colours (h, w, 3), not clipped."""
    density: npt.NDArray[np.float32] | None
    """Strength of the rain (rows, columns) in cells of `size_multiple` squared pixels, in grey levels of 255; None of a
    model that does not sense it."""


class Session:
    """A model that is ready to run; may be called from many threads at once, which take turns.

    Args:
        model: The file.
        device: One of `DEVICES`; `auto` is CUDA where this onnxruntime has it and it works.
        threads: Processors for one call.

    Raises:
        ModelError: The file is damaged or is not ours.
        DeviceError: The device is not there.
    """

    def __init__(self, model: StoredModel, device: str, threads: int) -> None:
        self._source = str(model.path)
        self._session = _open(model, device, threads)
        self.info = ModelInfo.from_metadata(
            dict(self._session.get_modelmeta().custom_metadata_map), source=self._source
        )
        self.device = "cuda" if "CUDAExecutionProvider" in self._session.get_providers() else "cpu"
        inputs = {each.name for each in self._session.get_inputs()}
        outputs = {each.name for each in self._session.get_outputs()}
        if inputs != {INPUT_NAME} or OUTPUT_NAME not in outputs:
            raise ModelError(
                f"{self._source} takes {sorted(inputs)} and gives {sorted(outputs)}; a crdnet model takes "
                f"{INPUT_NAME!r} and gives {OUTPUT_NAME!r}"
            )
        self.senses = DENSITY_NAME in outputs
        """Whether the model says how heavy the rain is."""
        self._wanted = [OUTPUT_NAME, *[DENSITY_NAME] * self.senses]
        self._running: set[ort.RunOptions] = set()
        self._lock = Lock()
        # More networks at once than there are processors for would take longer, and each takes its own memory.
        self._turn = Semaphore(max(1, usable_cpus() // threads))

    def __call__(self, rainy: npt.NDArray[np.float32]) -> Answer:
        """Run the network.

        Args:
            rainy: Colours (h, w, 3) in [0, 1]; sides are multiples of the model's.
        """
        batch = np.ascontiguousarray(rainy.transpose(2, 0, 1)[None])
        options = ort.RunOptions()
        with self._lock:
            self._running.add(options)
        try:
            with self._turn:
                derained, *density = self._session.run(self._wanted, {INPUT_NAME: batch}, options)
        except Exception as error:  # onnxruntime's errors have no base class of their own
            if options.terminate:
                raise CRDNetError("stopped before the picture was done") from error
            raise ModelError(f"{self._source} failed on {_size(rainy)}: {_first_line(error)}") from error
        finally:
            with self._lock:
                self._running.discard(options)
        if derained.shape != batch.shape:
            raise ModelError(
                f"{self._source} gives shape {derained.shape} for {batch.shape}; a crdnet model keeps the "
                "shape"
            )
        multiple = self.info.size_multiple
        cells = (1, 1, batch.shape[2] // multiple, batch.shape[3] // multiple)
        if density and density[0].shape != cells:
            raise ModelError(
                f"{self._source} gives a density of shape {density[0].shape} for {batch.shape}; a crdnet model "
                f"gives one number per cell of {multiple} pixels"
            )
        return Answer(np.asarray(derained[0].transpose(1, 2, 0)), density[0][0, 0] if density else None)

    def abandon(self) -> None:
        """Never free this session: in the child of a fork that would wait for threads that are not there."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session._sess))

    def shrink(self) -> None:
        """Give the memory that a large picture took back to the system; the next large one takes it anew.

        onnxruntime keeps what it once took: for `default` 1.3 GB after 8 megapixels. Giving it back after every
        run would cost a fifth of a run at 1 megapixel, in page faults.
        """
        options = ort.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        side = self.info.size_multiple
        smallest = np.zeros((1, 3, side, side), np.float32)  # it is given back at the end of a run
        self._session.run(self._wanted, {INPUT_NAME: smallest}, options)

    def stop(self) -> None:
        """Make the calls that are running now end with an error, at the next layer."""
        with self._lock:
            for options in self._running:
                options.terminate = True


def _open(model: StoredModel, device: str, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads
    # Planning memory by pattern costs twice the memory (426 against 243 bytes per pixel for `paper`) and
    # saves no time.
    options.enable_mem_pattern = False
    # Threads that spin between two layers save a tenth of the time; threads that spin when the network is done
    # take the processor from whoever decodes the next picture, and from the machine's other users.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    providers = _providers(device)
    session = _load(model, options, providers)
    if device == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise DeviceError(
            "onnxruntime has CUDA support but found no working GPU; check the driver with nvidia-smi, or use "
            "--device cpu"
        )
    return session


def _load(model: StoredModel, options: ort.SessionOptions, providers: list[Any]) -> ort.InferenceSession:
    content = model.read()
    try:
        return ort.InferenceSession(content, options, providers=providers)
    except Exception as error:  # onnxruntime's errors have no base class of their own
        raise ModelError(
            f"{model.path} is not a model that onnxruntime can open ({_first_line(error)}); "
            "give an .onnx file made by `crdnet export`"
        ) from error


def _providers(device: str) -> list[str | tuple[str, dict[str, str]]]:
    has_cuda = "CUDAExecutionProvider" in ort.get_available_providers()
    if device == "cuda" and not has_cuda:
        raise DeviceError(
            "device 'cuda' needs an onnxruntime with CUDA, and this one has none; run: pip uninstall "
            "onnxruntime && "
            "pip install onnxruntime-gpu, or use device 'cpu'"
        )
    # TF32 would round away what makes tiles agree with the whole.
    cuda: list[str | tuple[str, dict[str, str]]] = [("CUDAExecutionProvider", {"use_tf32": "0"})]
    return [*(cuda if has_cuda and device != "cpu" else []), "CPUExecutionProvider"]


def _size(image: npt.NDArray[np.float32]) -> str:
    return f"{image.shape[1]} x {image.shape[0]} pixels"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def read_info(model: StoredModel) -> ModelInfo:
    """Return what a model file says of itself, at a fraction of the cost of opening it for work."""
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = _load(model, options, ["CPUExecutionProvider"])
    return ModelInfo.from_metadata(dict(session.get_modelmeta().custom_metadata_map), source=str(model.path))
