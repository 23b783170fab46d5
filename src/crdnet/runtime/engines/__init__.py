"""The engines that run model files, each under the name of its device (`crdnet.devices`).

from crdnet.runtime.engines import open_engine

An engine's module is imported only when it is opened, so unused engines cost nothing. The engine
for CUDA lies outside this package, since nothing here may import torch.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

from crdnet.devices import DEVICES, ENGINES, list_installed_devices
from crdnet.errors import CRDNetError, DeviceError, ModelError
from crdnet.runtime.engines.engine import Answer, Engine, Floats, Run, check_info, keep_for_ever
from crdnet.runtime.model import ModelInfo
from crdnet.runtime.store import StoredModel

__all__ = [
    "Answer",
    "Engine",
    "Floats",
    "Run",
    "check_info",
    "keep_for_ever",
    "open_engine",
    "read_info",
    "take_first_line",
]

_log = logging.getLogger(__name__)


DEVICE_VARIABLE = "CRDNET_DEVICE"
"""Environment variable that sets the device of `auto`."""


def open_engine(model: StoredModel, device: str, threads: int, runs: int) -> tuple[str, Engine]:
    """Return the device that was opened, and its engine.

    Args:
        model: The file.
        device: One of `DEVICES`. With `auto`, a device that fails causes a warning, and the next
            one is opened.
        threads: Number of threads for one run.
        runs: Maximum number of simultaneous runs.

    Raises:
        ModelError: The file is damaged or is not a crdnet model.
        DeviceError: The device is not available.
    """
    device = os.environ.get(DEVICE_VARIABLE, device) if device == "auto" else device
    if device not in DEVICES:
        raise DeviceError(f"there is no device {device!r}; use one of {', '.join(DEVICES)}")
    if device != "auto":
        return device, _open(model, device, threads, runs)
    *faster, last = list_installed_devices()
    failures = []
    for name in faster:
        try:
            return name, _open(model, name, threads, runs)
        except (DeviceError, _CannotOpenError) as error:
            failures.append(f"device {name!r} does not work: {error}")
    engine = _open(model, last, threads, runs)
    for failure in failures:  # only now, since a file that no engine opens is no fault of a device
        _log.warning("%s; using %r", failure, last)
    return last, engine


def read_info(model: StoredModel) -> ModelInfo:
    """Return the metadata of a model file, at a fraction of the cost of opening it to run.

    Raises:
        ModelError: The file is damaged or is not a crdnet model.
    """
    from crdnet.runtime.engines.onnxruntime import read_model_info  # noqa: PLC0415 - as others

    with _explain_failure(model, "onnxruntime"):
        return read_model_info(model)


class _CannotOpenError(ModelError):
    """An engine cannot open a file that another engine may open."""


def _open(model: StoredModel, name: str, threads: int, runs: int) -> Engine:
    device = ENGINES[name]
    if not find_spec(device.package):
        raise DeviceError(
            f"device {name!r} needs {device.package}, which is not installed; run: "
            f"pip install \"crdnet[{device.extra}]\", or use device 'cpu'"
        )
    if not device.works():
        raise DeviceError(
            f"device {name!r} needs an NVIDIA GPU and a {device.package} that is built for it; "
            "check nvidia-smi, run: "
            f"pip install \"crdnet[{device.extra}]\", or use device 'cpu'"
        )
    try:
        engine: type[Engine] = getattr(import_module(device.module), device.engine)
    except (ImportError, OSError) as error:
        raise DeviceError(
            f"device {name!r} does not load ({take_first_line(error)}); run: "
            f"pip install --force-reinstall \"crdnet[{device.extra}]\", or use device 'cpu'"
        ) from error
    with _explain_failure(model, device.package):
        return engine(model, threads, runs)


@contextmanager
def _explain_failure(model: StoredModel, package: str) -> Iterator[None]:
    try:
        yield
    except CRDNetError:
        raise
    except Exception as error:  # engines' errors have no base class of their own
        # The message of the engine names the operation or opset that it lacks.
        raise _CannotOpenError(
            f"{model.path} is not a model that {package} can open ({take_first_line(error)}); "
            "give an .onnx file made by `crdnet export` of this version"
        ) from error


def take_first_line(error: Exception) -> str:
    """Return the message of an error in one line."""
    lines = [line for line in str(error).splitlines() if line]
    # OpenVINO's messages begin with a trace of its source files.
    told = [
        line for line in lines if "Exception from " not in line and not line.startswith("Check '")
    ]
    return (told or lines or [type(error).__name__])[0]
