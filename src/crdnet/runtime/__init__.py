"""Inference with engines and numpy, without torch.

`find_model` finds a model file, a `Session` opens it on an engine, and a `Network` runs it on
images of any size.
"""

from crdnet.devices import DEVICES, list_installed_devices
from crdnet.runtime.cpus import count_cpus
from crdnet.runtime.engines import Answer, read_info
from crdnet.runtime.model import (
    DENSITY_NAME,
    FUSED_IMAGES,
    FUSED_NAME,
    IMAGES_NAME,
    INPUT_NAME,
    OPSET,
    OUTPUT_NAME,
    ModelInfo,
)
from crdnet.runtime.network import Bands, Network, OnTile
from crdnet.runtime.pixels import Array, Colours, as_colours, check_pixels, drop_alpha
from crdnet.runtime.scales import REDUCTIONS
from crdnet.runtime.sensing import UNKNOWN, HasReport, SenseReport
from crdnet.runtime.session import Session
from crdnet.runtime.store import (
    DERAIN,
    FUSE,
    StoredModel,
    find_model,
    list_models,
    register_model,
)
from crdnet.runtime.summary import ModelSummary

__all__ = [
    "DENSITY_NAME",
    "DERAIN",
    "DEVICES",
    "FUSE",
    "FUSED_IMAGES",
    "FUSED_NAME",
    "IMAGES_NAME",
    "INPUT_NAME",
    "OPSET",
    "OUTPUT_NAME",
    "REDUCTIONS",
    "UNKNOWN",
    "Answer",
    "Array",
    "Bands",
    "Colours",
    "HasReport",
    "ModelInfo",
    "ModelSummary",
    "Network",
    "OnTile",
    "SenseReport",
    "Session",
    "StoredModel",
    "as_colours",
    "check_pixels",
    "count_cpus",
    "drop_alpha",
    "find_model",
    "list_installed_devices",
    "list_models",
    "read_info",
    "register_model",
]
