"""Joint training of the published CRDNet and its density classifier."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import cos, pi
from typing import Any, Literal

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from crdnet.density import RainDensity
from crdnet.errors import RecipeError
from crdnet.nn import CRDNet, CRDNetWithClassifier, Estimate, build_classifier, build_crdnet
from crdnet.training.base import DerainingTraining, set_memory_format
from crdnet.training.batches import Batch
from crdnet.training.losses import MultiTaskLoss


@dataclass(frozen=True)
class NetworkSpec:
    """Widths of CRDNet, by default as published; see `crdnet.nn.build_crdnet`."""

    streak_widths: tuple[int, ...] = (4, 8, 16)
    dilations: tuple[int, ...] = (1, 2, 3)
    background_widths: tuple[int, ...] = (8, 16, 32, 64, 128)
    background_channels: int = 4
    refinement_width: int = 5

    def build(self) -> CRDNet:
        """Build a new network."""
        return build_crdnet(**asdict(self))


@dataclass(frozen=True)
class ClassifierSpec:
    """Widths of the density classifier, by default as published; see `DensityClassifier`."""

    widths: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 1024)
    hidden: tuple[int, ...] = (4096, 1000)
    pooling: Literal["flatten", "global"] = "flatten"

    def join(self, network: CRDNet) -> CRDNetWithClassifier:
        """Join a network and a new classifier."""
        return build_classifier(network, **asdict(self))


@dataclass(frozen=True)
class OptimizerSpec:
    """Learning rates of Adam and their schedule.

    Attributes:
        learning_rate: Learning rate of the deraining path.
        classifier_learning_rate: Learning rate of the classifier.
        schedule: `constant` is what the published code does, since its decay never reaches the
            optimisers. `decay` is what its authors intended: a third of the rate from
            `decay_epochs[0]` on, and a fifth of that from `decay_epochs[1]` on. `cosine` is a
            linear warm-up, then half a cosine to zero over the run.
        decay_epochs: Epochs of `decay`.
        warmup_steps: Steps of the warm-up of `cosine`.
    """

    learning_rate: float = 1e-4
    classifier_learning_rate: float = 3e-6
    schedule: Literal["constant", "decay", "cosine"] = "constant"
    decay_epochs: tuple[int, int] = (100, 500)
    warmup_steps: int = 200

    def __post_init__(self) -> None:
        """Check the numbers."""
        rates = (self.learning_rate, self.classifier_learning_rate)
        if not (all(rate > 0 for rate in rates) and self.warmup_steps >= 0):
            raise RecipeError(
                "learning rates are above 0 and warmup_steps at least 0, "
                f"got {rates[0]}, {rates[1]} and {self.warmup_steps}",
            )

    def compute_factor(self, step: int, epoch: int, total_steps: int | float) -> float:
        """Return the factor of the learning rates at a step of a run."""
        if self.schedule == "decay":
            first, second = self.decay_epochs
            # The factors multiply: 1/15 after the second epoch.
            return (1 / 3 if epoch >= first else 1.0) * (1 / 5 if epoch >= second else 1.0)
        if self.schedule == "cosine":
            return compute_warm_cosine(step, self.warmup_steps, total_steps)
        return 1.0


def compute_warm_cosine(step: int, warmup_steps: int, total_steps: int | float) -> float:
    """Return a factor that rises to 1 over the first steps, then falls to 0 along half a cosine."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    # max() avoids a division by zero for runs that end with the warm-up.
    progress = (step - warmup_steps) / max(1.0, total_steps - warmup_steps)
    return 0.5 * (1 + cos(pi * min(1.0, progress)))


class CRDNetTraining(DerainingTraining):
    """Multi-task training of the paper.

    Args:
        network: Widths of the network.
        classifier: Widths of the classifier.
        optimizer: Learning rates and their schedule.
        density_weight: Weight of the classifier loss.
        structure_weight: Weight of 1 - SSIM.
        start_as_identity: Whether the network initially returns the rainy image; see
            `RefinementHead.start_as_identity`.
        channels_last: Memory layout; faster on CPUs, with equal results except for rounding.
    """

    def __init__(
        self,
        network: NetworkSpec = NetworkSpec(),
        classifier: ClassifierSpec = ClassifierSpec(),
        optimizer: OptimizerSpec = OptimizerSpec(),
        density_weight: float = 1.0,
        structure_weight: float = 0.005,
        start_as_identity: bool = False,
        channels_last: bool = False,
    ) -> None:
        super().__init__(channels_last=channels_last)
        self.network_spec = network
        self.classifier_spec = classifier
        self.optimizer_spec = optimizer
        self.model = classifier.join(network.build())
        if start_as_identity:
            self.model.network.refinement.start_as_identity()
        set_memory_format(self.model, self.memory_format)
        self.loss = MultiTaskLoss(density_weight, structure_weight)

    @property
    def size_multiple(self) -> int:
        """Number that divides both sides of the inputs of the network."""
        return self.model.network.size_multiple

    def forward(self, rainy: Tensor) -> Estimate:
        """Estimate the rain-free images and the scores of a batch."""
        estimate: Estimate = self.model(self.convert_layout(rainy))
        return estimate

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002 - of Lightning
        """Return the loss of a batch.

        Raises:
            TrainingError: The loss is not a finite number.
        """
        losses = self.loss(self(batch.rainy), batch.clean, batch.codes)
        named = {"image": losses.image, "classifier": losses.density, "structure": losses.structure}
        return self.log_losses(named, losses.total, batch)

    def estimate(
        self,
        padded: Tensor,
        height: int,  # noqa: ARG002 - the classifier sees the padding too
        width: int,  # noqa: ARG002 - likewise
    ) -> tuple[Tensor, list[RainDensity | None]]:
        """Return the derained images and their grades."""
        estimate = self(padded)
        return estimate.derained, [
            RainDensity.from_scores(scores.float().cpu().numpy()) for scores in estimate.scores
        ]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return Adam with the two learning rates, and its schedule."""
        spec = self.optimizer_spec
        optimizer = torch.optim.Adam(
            [
                {"params": list(self.model.network.parameters()), "lr": spec.learning_rate},
                {
                    "params": list(self.model.classifier.parameters()),
                    "lr": spec.classifier_learning_rate,
                },
            ]
        )
        total_steps = self.trainer.estimated_stepping_batches
        steps_per_epoch = (
            max(
                1,
                self.trainer.num_training_batches,
            )
            if spec.schedule == "decay"
            else 1
        )

        def compute_factor(step: int) -> float:
            return spec.compute_factor(step, int(step // steps_per_epoch), total_steps)

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, compute_factor), "interval": "step"},
        }

    def describe(self) -> dict[str, Any]:
        """Return the widths of the network and of its classifier."""
        return {
            "kind": "published",
            "network": convert_tuples(asdict(self.network_spec)),
            "classifier": convert_tuples(asdict(self.classifier_spec)),
        }


def convert_tuples(widths: Mapping[str, Any]) -> dict[str, Any]:
    """Convert tuples to lists, so that a checkpoint holds only plain types."""
    return {
        name: list(value)
        if isinstance(
            value,
            tuple,
        )
        else value
        for name, value in widths.items()
    }
