"""Running a model: onnxruntime and numpy, no torch.

from crdnet.runtime import Derainer
"""

from crdnet.runtime.derainer import Derainer, DerainResult, derain
from crdnet.runtime.files import FileRecord, derain_file
from crdnet.runtime.model import ModelInfo
from crdnet.runtime.store import StoredModel, find_model, register_model, stored_models

__all__ = [
    "DerainResult",
    "Derainer",
    "FileRecord",
    "ModelInfo",
    "StoredModel",
    "derain",
    "derain_file",
    "find_model",
    "register_model",
    "stored_models",
]
