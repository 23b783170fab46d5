"""Removal of rain from images and clips, and measurement of the rain.

    import crdnet

    clean = crdnet.derain(image)

Nothing here imports torch. Names are imported at their first use, so that `import crdnet` is fast.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from crdnet._version import __version__

if TYPE_CHECKING:
    from crdnet.batch import BatchOptions, derain_folder, sense_folder
    from crdnet.density import RainDensity
    from crdnet.errors import CRDNetError
    from crdnet.pipeline import (
        Derainer,
        DerainOptions,
        DerainResult,
        Outcome,
        derain,
        derain_file,
        sense,
    )
    from crdnet.runtime import SenseReport
    from crdnet.video import derain_video, sense_video

# onnxruntime 1.29 and later send telemetry from a thread that also makes forked children hang at
# exit. crdnet promises to work offline, so this is set before anything can import onnxruntime;
# set 0 to allow telemetry.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOME_OF_NAME = {
    "BatchOptions": "crdnet.batch",
    "CRDNetError": "crdnet.errors",
    "DerainOptions": "crdnet.pipeline",
    "DerainResult": "crdnet.pipeline",
    "Derainer": "crdnet.pipeline",
    "Outcome": "crdnet.pipeline",
    "RainDensity": "crdnet.density",
    "SenseReport": "crdnet.runtime",
    "derain": "crdnet.pipeline",
    "derain_file": "crdnet.pipeline",
    "derain_folder": "crdnet.batch",
    "derain_video": "crdnet.video",
    "sense": "crdnet.pipeline",
    "sense_folder": "crdnet.batch",
    "sense_video": "crdnet.video",
}

__all__ = [
    "BatchOptions",
    "CRDNetError",
    "DerainOptions",
    "DerainResult",
    "Derainer",
    "Outcome",
    "RainDensity",
    "SenseReport",
    "__version__",
    "derain",
    "derain_file",
    "derain_folder",
    "derain_video",
    "sense",
    "sense_folder",
    "sense_video",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module (PEP 562)."""
    if name not in _HOME_OF_NAME:
        raise AttributeError(f"module 'crdnet' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF_NAME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
