"""Inference with engines and numpy, without torch.

`find_model` finds a model file, a `Session` opens it on an engine, and a `Network` runs it on
images of any size.
"""

from crdnet.devices import DEVICES, installed_devices
from crdnet.runtime.cpus import usable_cpus
from crdnet.runtime.engines import Answer, read_info
from crdnet.runtime.model import DENSITY_NAME, INPUT_NAME, OPSET, OUTPUT_NAME, ModelInfo
from crdnet.runtime.network import Bands, Network, OnTile
from crdnet.runtime.pixels import Array, Colours, as_colours, check_pixels, without_alpha
from crdnet.runtime.scales import REDUCTIONS
from crdnet.runtime.sensing import UNKNOWN, HasReport, SenseReport
from crdnet.runtime.session import Session
from crdnet.runtime.store import StoredModel, find_model, register_model, stored_models

__all__ = [
    "DENSITY_NAME",
    "DEVICES",
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
    "Network",
    "OnTile",
    "SenseReport",
    "Session",
    "StoredModel",
    "as_colours",
    "check_pixels",
    "find_model",
    "installed_devices",
    "read_info",
    "register_model",
    "stored_models",
    "usable_cpus",
    "without_alpha",
]
