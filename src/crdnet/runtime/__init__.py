"""Running a model: an engine and numpy, no torch.

from crdnet.runtime import Derainer
"""

from crdnet.devices import DEVICES, installed_devices
from crdnet.runtime.cpus import usable_cpus
from crdnet.runtime.derainer import Derainer, DerainResult, derain, sense
from crdnet.runtime.engines import Answer, read_info
from crdnet.runtime.files import (
    SUFFIX,
    Derained,
    FileOptions,
    FileRecord,
    check_output,
    default_output,
    derain_content,
    derain_file,
    derain_source,
    output_format,
    read_file,
    sense_content,
    sense_source,
    suffix_for,
)
from crdnet.runtime.journal import Journal, Origin
from crdnet.runtime.model import DENSITY_NAME, INPUT_NAME, OPSET, OUTPUT_NAME, ModelInfo
from crdnet.runtime.sensing import SenseReport
from crdnet.runtime.session import Session
from crdnet.runtime.store import StoredModel, find_model, register_model, stored_models

__all__ = [
    "DENSITY_NAME",
    "DEVICES",
    "INPUT_NAME",
    "OPSET",
    "OUTPUT_NAME",
    "SUFFIX",
    "Answer",
    "DerainResult",
    "Derained",
    "Derainer",
    "FileOptions",
    "FileRecord",
    "Journal",
    "ModelInfo",
    "Origin",
    "SenseReport",
    "Session",
    "StoredModel",
    "check_output",
    "default_output",
    "derain",
    "derain_content",
    "derain_file",
    "derain_source",
    "find_model",
    "installed_devices",
    "output_format",
    "read_file",
    "read_info",
    "register_model",
    "sense",
    "sense_content",
    "sense_source",
    "stored_models",
    "suffix_for",
    "usable_cpus",
]
