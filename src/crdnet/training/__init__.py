"""Training of the networks (extra: train).

from crdnet.training import train

train(["--config", "configs/paper-cpu.yaml", "--data.root", "pairs/"])
"""

from crdnet.errors import MissingExtraError

try:
    import jsonargparse as _jsonargparse  # noqa: F401
    import pytorch_lightning as _pytorch_lightning  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError("training", "train") from error

from crdnet.training.batches import Batch, CropSpec, PairsData
from crdnet.training.crdnet import ClassifierSpec, CRDNetTraining, NetworkSpec, OptimizerSpec
from crdnet.training.losses import Losses, MultiTaskLoss, ssim
from crdnet.training.mixture import BankSpec, MixedData, MixtureSpec
from crdnet.training.residual import DescentSpec, ResidualSpec, ResidualTraining
from crdnet.training.run import train

__all__ = [
    "BankSpec",
    "Batch",
    "CRDNetTraining",
    "ClassifierSpec",
    "CropSpec",
    "DescentSpec",
    "Losses",
    "MixedData",
    "MixtureSpec",
    "MultiTaskLoss",
    "NetworkSpec",
    "OptimizerSpec",
    "PairsData",
    "ResidualSpec",
    "ResidualTraining",
    "ssim",
    "train",
]
