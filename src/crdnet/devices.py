"""Devices that run model files: their names, engines and requirements.

The command line, the server and the runtime share this list. It is cheap to import: engines are
named as text, and `crdnet.runtime.engines` imports an engine when it opens one.
"""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class Device(NamedTuple):
    """Engine of a device, and its requirements."""

    module: str
    engine: str
    """Name of the class in the module."""
    package: str
    """Name of the Python package that must be installed."""
    extra: str
    """Extra of crdnet that brings the package; "" for the base install."""
    works: Callable[[], bool] = lambda: True
    """Function that returns whether the machine has the hardware; cheap, but needs the package."""


def _has_cuda() -> bool:
    """Return whether there is an NVIDIA GPU and a PyTorch built for it.

    Only files are checked, because a query of PyTorch or the driver takes seconds.
    """
    # A CPU build has neither library, and a machine without the driver has none of these files.
    torch = find_spec("torch")
    assert torch is not None
    assert torch.origin is not None
    libraries = Path(torch.origin).parent / "lib"
    built = any((libraries / name).exists() for name in ("libtorch_cuda.so", "torch_cuda.dll"))
    windows = Path(os.environ.get("SYSTEMROOT", "/"), "System32", "nvcuda.dll")
    # Under WSL the GPU is /dev/dxg.
    linux = Path("/dev")
    has_driver = windows.exists() or (linux / "dxg").exists() or any(linux.glob("nvidia[0-9]*"))
    return built and has_driver


# CUDA is by far the fastest; OpenVINO computes in bfloat16 if the CPU supports it.
ENGINES = {
    "cuda": Device("crdnet.gpu", "TorchEngine", "torch", "torch", _has_cuda),
    "openvino": Device("crdnet.runtime.engines.openvino", "OpenVinoEngine", "openvino", "openvino"),
    "cpu": Device("crdnet.runtime.engines.onnxruntime", "OnnxRuntimeEngine", "onnxruntime", ""),
}
"""Engines by device, the fastest first."""
DEVICES = ("auto", *sorted(ENGINES))
"""Names that a device argument accepts; `auto` is the fastest that works on this machine."""


def list_installed_devices() -> tuple[str, ...]:
    """Return the devices that are installed and have their hardware, the fastest first.

    No engine is imported.
    """
    found = (
        name for name, device in ENGINES.items() if find_spec(device.package) and device.works()
    )
    return tuple(found)
