"""The devices that run model files: their names, and what each needs.

The only list of them, for the command line, the server and the runtime. Importing it costs next to
nothing: an engine is named here as text, and `crdnet.runtime.engines` imports it to open it.
"""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class Device(NamedTuple):
    """Engine of a device, and what must be installed for it."""

    module: str
    engine: str
    """Name of the class in the module."""
    package: str
    """Name of the Python package that must be installed."""
    extra: str
    """Extra of crdnet that brings the package; "" for the base install."""
    works: Callable[[], bool] = lambda: True
    """Tells whether the machine has the hardware; must be cheap, and needs the package."""


def _has_cuda() -> bool:
    """Tell whether there is an NVIDIA GPU and a PyTorch built for it.

    Looks at files alone: asking PyTorch or the driver takes seconds.
    """
    # A build for the CPU has neither library, a machine without the driver none of these files.
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


# CUDA is fastest by far; OpenVINO computes in bfloat16 where the processor has it.
ENGINES = {
    "cuda": Device("crdnet.gpu", "TorchEngine", "torch", "torch", _has_cuda),
    "openvino": Device("crdnet.runtime.engines.openvino", "OpenVinoEngine", "openvino", "openvino"),
    "cpu": Device("crdnet.runtime.engines.onnxruntime", "OnnxRuntimeEngine", "onnxruntime", ""),
}
"""Engines by device, the fastest first."""
DEVICES = ("auto", *sorted(ENGINES))
"""Names that a device argument accepts; `auto` is the fastest that works here."""


def list_installed_devices() -> tuple[str, ...]:
    """Return the devices that are installed and that this machine has, the fastest first.

    Imports none of them.
    """
    found = (
        name for name, device in ENGINES.items() if find_spec(device.package) and device.works()
    )
    return tuple(found)
