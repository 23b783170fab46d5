"""Training of the networks (extra: train).

from crdnet.training import train

train(["--config", "configs/paper-cpu.yaml", "--data.root", "pairs/"])
"""

from crdnet.errors import MissingExtraError

try:
    import jsonargparse as _jsonargparse  # noqa: F401 - tests whether the extra is installed
    import pytorch_lightning as _pytorch_lightning  # noqa: F401 - as above
except ModuleNotFoundError as error:
    raise MissingExtraError("training", "train") from error

from crdnet.training.batches import Batch, CropSpec, PairsData
from crdnet.training.crdnet import ClassifierSpec, CRDNetTraining, NetworkSpec, OptimizerSpec
from crdnet.training.losses import Losses, MultiTaskLoss, ssim
from crdnet.training.mixture import BankSpec, MixedData, MixtureSpec
from crdnet.training.named_losses import NAMED_LOSSES, WeightedLosses
from crdnet.training.network import AdamSpec, NetworkTraining
from crdnet.training.pair_sets import AugmentSpec, PairSetsData
from crdnet.training.residual import DescentSpec, ResidualSpec, ResidualTraining
from crdnet.training.run import KINDS, train
from crdnet.training.schedules import ScheduleSpec

__all__ = [
    "KINDS",
    "NAMED_LOSSES",
    "AdamSpec",
    "AugmentSpec",
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
    "NetworkTraining",
    "OptimizerSpec",
    "PairSetsData",
    "PairsData",
    "ResidualSpec",
    "ResidualTraining",
    "ScheduleSpec",
    "WeightedLosses",
    "ssim",
    "train",
]
