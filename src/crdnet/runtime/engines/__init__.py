"""Engines that run model files, selected by device name (`crdnet.devices`).

An engine's module is imported only when the engine is opened, so that an unused engine costs
nothing. The CUDA engine lives outside this package, because this package never imports torch.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

from crdnet.devices import DEVICES, ENGINES, installed_devices
from crdnet.errors import CRDNetError, DeviceError, ModelError
from crdnet.runtime.engines.engine import Answer, Engine, Floats, Run, checked_info, keep_for_ever
from crdnet.runtime.model import OPSET, ModelInfo, opset_of
from crdnet.runtime.store import StoredModel

__all__ = [
    "Answer",
    "Engine",
    "Floats",
    "Run",
    "checked_info",
    "first_line",
    "keep_for_ever",
    "open_engine",
    "read_info",
]

_log = logging.getLogger(__name__)


DEVICE_VARIABLE = "CRDNET_DEVICE"
"""Environment variable that names the device to use for `auto`."""


def open_engine(model: StoredModel, device: str, threads: int, runs: int) -> tuple[str, Engine]:
    """Open a model on a device; return the name of the device and the engine.

    Args:
        model: The model file.
        device: One of `DEVICES`. With `auto`, a device that fails is named in a warning and the
            next one is tried.
        threads: Number of threads for one run.
        runs: Maximum number of simultaneous runs.

    Raises:
        ModelError: The file is damaged or is not a crdnet model.
        DeviceError: The device is unknown or not available.
    """
    device = os.environ.get(DEVICE_VARIABLE, device) if device == "auto" else device
    if device not in DEVICES:
        raise DeviceError(f"there is no device {device!r}; use one of {', '.join(DEVICES)}")
    if device != "auto":
        return device, _open(model, device, threads, runs)
    *faster, last = installed_devices()
    failures = []
    for name in faster:
        try:
            return name, _open(model, name, threads, runs)
        except (DeviceError, _CannotOpenError) as error:
            failures.append(f"device {name!r} does not work: {error}")
    engine = _open(model, last, threads, runs)
    for failure in failures:  # only now: if no engine opens the file, the devices are not at fault
        _log.warning("%s; using %r", failure, last)
    return last, engine


def read_info(model: StoredModel) -> ModelInfo:
    """Return the metadata of a model file without preparing the model to run.

    Raises:
        ModelError: The file is damaged or is not a crdnet model.
    """
    # Imported here for the same reason as the engines.
    from crdnet.runtime.engines.onnxruntime import info_of  # noqa: PLC0415

    with _telling_what_fails(model, "onnxruntime"):
        return info_of(model)


class _CannotOpenError(ModelError):
    """The engine cannot open the file; another engine may."""


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
            f"check nvidia-smi, run: pip install \"crdnet[{device.extra}]\", or use device 'cpu'"
        )
    try:
        engine: type[Engine] = getattr(import_module(device.module), device.engine)
    except (ImportError, OSError) as error:
        raise DeviceError(
            f"device {name!r} does not load ({first_line(error)}); run: "
            f"pip install --force-reinstall \"crdnet[{device.extra}]\", or use device 'cpu'"
        ) from error
    with _telling_what_fails(model, device.package):
        return engine(model, threads, runs)


@contextmanager
def _telling_what_fails(model: StoredModel, package: str) -> Iterator[None]:
    try:
        yield
    except CRDNetError:
        raise
    except Exception as error:  # the errors of engines have no common base class
        opset = opset_of(model.read())
        reason = (
            first_line(error)
            if opset in (None, OPSET)
            else f"ONNX opset {opset}, where {OPSET} is expected"
        )
        raise _CannotOpenError(
            f"{model.path} is not a model that {package} can open ({reason}); "
            "give an .onnx file made by `crdnet export`"
        ) from error


def first_line(error: Exception) -> str:
    """Return the first informative line of an error message, or the name of the error's class."""
    lines = [line for line in str(error).splitlines() if line]
    # Errors of OpenVINO begin with locations in its source code.
    told = [
        line for line in lines if "Exception from " not in line and not line.startswith("Check '")
    ]
    return (told or lines or [type(error).__name__])[0]
