"""onnxruntime on the CPU, in float32.

It is always installed and starts quickly. The other engines must agree with it.
"""

import numpy as np
import onnxruntime as ort

from crdnet.runtime.engines.engine import Answer, Engine, Floats, Run, check_info, keep_for_ever
from crdnet.runtime.model import DENSITY_NAME, INPUT_NAME, OUTPUT_NAME, ModelInfo
from crdnet.runtime.store import StoredModel

# Severity of onnxruntime's logger, which leaves out warnings.
_ERRORS_ONLY = 3


class OnnxRuntimeEngine(Engine):
    """Model opened by onnxruntime; see `Engine`."""

    # All runs share the threads, so `runs` is not used.
    def __init__(self, model: StoredModel, threads: int, runs: int) -> None:  # noqa: ARG002
        options = _make_quiet_options()
        options.intra_op_num_threads = threads
        # Memory patterns almost double the memory (426 instead of 243 bytes per pixel for `paper`)
        # and save no time.
        options.enable_mem_pattern = False
        # Spinning between two layers saves 10 % of the time. Spinning after a run takes CPU time
        # from the decoder of the next image and from other processes.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._session = _open(model, options)
        self.name = f"onnxruntime {ort.__version__}, float32"
        self.info = _read_info(model, self._session)
        self.senses = DENSITY_NAME in _list_names(self._session.get_outputs())

    def begin(self) -> "_Run":
        """Return a run that has not started."""
        return _Run(self._session, [OUTPUT_NAME, *[DENSITY_NAME] * self.senses])

    def shrink(self) -> None:
        """Free the memory arena, which for `default` holds 1.3 GB after 8 megapixels.

        Freeing it after every run would cost 20 % of a run at 1 megapixel, in page faults.
        """
        options = ort.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        side = self.info.size_multiple
        smallest = np.zeros((1, 3, side, side), np.float32)  # the arena shrinks at the end of a run
        self._session.run([OUTPUT_NAME], {INPUT_NAME: smallest}, options)

    def abandon(self) -> None:
        """Never free the session."""
        keep_for_ever(self._session, self._session._sess)


class _Run(Run):
    def __init__(self, session: ort.InferenceSession, wanted: list[str]) -> None:
        self._session = session
        self._wanted = wanted
        self._options = ort.RunOptions()

    @property
    def stopped(self) -> bool:
        terminated: bool = self._options.terminate
        return terminated

    def __call__(self, rainy: Floats) -> Answer:
        batch = np.ascontiguousarray(rainy.transpose(2, 0, 1)[None])
        derained, *density = self._session.run(self._wanted, {INPUT_NAME: batch}, self._options)
        return Answer(derained[0].transpose(1, 2, 0), density[0][0, 0] if density else None)

    def stop(self) -> None:
        self._options.terminate = True


def read_model_info(model: StoredModel) -> ModelInfo:
    """Return the metadata of a model file without optimising its graph."""
    options = _make_quiet_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _read_info(model, _open(model, options))


def _make_quiet_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    return options


def _open(model: StoredModel, options: ort.SessionOptions) -> ort.InferenceSession:
    return ort.InferenceSession(model.read(), options, providers=["CPUExecutionProvider"])


def _read_info(model: StoredModel, session: ort.InferenceSession) -> ModelInfo:
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    return check_info(
        model, metadata, _list_names(session.get_inputs()), _list_names(session.get_outputs())
    )


def _list_names(arguments: list[ort.NodeArg]) -> set[str]:
    return {each.name for each in arguments}
