"""Torch networks of the models `paper`, `default` and `best` (extra: train).

from crdnet.nn import build_crdnet, load_published
"""

from crdnet.errors import MissingExtraError

try:
    import jaxtyping as _jaxtyping  # noqa: F401 - tests whether the extra is installed
    import safetensors as _safetensors  # noqa: F401 - as above
    import torch as _torch  # noqa: F401 - as above
except ModuleNotFoundError as error:
    raise MissingExtraError("crdnet.nn", "train") from error

from crdnet.nn.background import WNet, luma_channel, residue_channel
from crdnet.nn.checkpoints import load_weights, read_checkpoint, save_weights
from crdnet.nn.cost import count_kilo_macs
from crdnet.nn.crdnet import CRDNet, CRDNetWithClassifier, Estimate, build_classifier, build_crdnet
from crdnet.nn.density import DensityClassifier
from crdnet.nn.own import OwnNetwork, measure_margin, measure_size_multiple
from crdnet.nn.pretrained import Network, build_stored, load_network
from crdnet.nn.refinement import RefinementHead
from crdnet.nn.residual import ResidualCRDNet, SensedEstimate, Sensing, build_residual_crdnet
from crdnet.nn.sharing import SharedNetwork
from crdnet.nn.stored import StoredNetwork, read_stored
from crdnet.nn.streaks import StreakExtractor
from crdnet.nn.weights import (
    load_published,
    load_published_with_classifier,
    translate_name,
)
from crdnet.nn.widening import widen

__all__ = [
    "CRDNet",
    "CRDNetWithClassifier",
    "DensityClassifier",
    "Estimate",
    "Network",
    "OwnNetwork",
    "RefinementHead",
    "ResidualCRDNet",
    "SensedEstimate",
    "Sensing",
    "SharedNetwork",
    "StoredNetwork",
    "StreakExtractor",
    "WNet",
    "build_classifier",
    "build_crdnet",
    "build_residual_crdnet",
    "build_stored",
    "count_kilo_macs",
    "load_network",
    "load_published",
    "load_published_with_classifier",
    "load_weights",
    "luma_channel",
    "measure_margin",
    "measure_size_multiple",
    "read_checkpoint",
    "read_stored",
    "residue_channel",
    "save_weights",
    "translate_name",
    "widen",
]
