"""Training CRDNet and its density classifier together."""

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
from crdnet.training.base import DerainingTraining
from crdnet.training.losses import MultiTaskLoss
from crdnet.training.pairs import Batch


@dataclass(frozen=True)
class NetworkSpec:
    """Widths of CRDNet; the defaults are the published ones. See `crdnet.nn.build_crdnet`."""

    streak_widths: tuple[int, ...] = (4, 8, 16)
    dilations: tuple[int, ...] = (1, 2, 3)
    background_widths: tuple[int, ...] = (8, 16, 32, 64, 128)
    background_channels: int = 4
    refinement_width: int = 5

    def build(self) -> CRDNet:
        """Return a new network."""
        return build_crdnet(**asdict(self))


@dataclass(frozen=True)
class ClassifierSpec:
    """Widths of the density classifier; the defaults are the published ones. See `crdnet.nn.DensityClassifier`."""

    widths: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 1024)
    hidden: tuple[int, ...] = (4096, 1000)
    pooling: Literal["flatten", "global"] = "flatten"

    def join(self, network: CRDNet) -> CRDNetWithClassifier:
        """Return a network joined by a new classifier."""
        return build_classifier(network, **asdict(self))


@dataclass(frozen=True)
class OptimizerSpec:
    """Adam, and how its learning rates change.

    Attributes:
        learning_rate: Of the deraining path.
        classifier_learning_rate: Of the classifier.
        schedule: `constant`: what the published code does, since its decay never reaches the optimisers.
            `decay`: what its
            authors meant, a third of the rate from `decay_epochs[0]` on and a fifth of that from
            `decay_epochs[1]` on. `cosine`: a linear warm-up, then a half cosine to zero over the run.
        decay_epochs: Used by `decay`.
        warmup_steps: Used by `cosine`.
    """

    learning_rate: float = 1e-4
    classifier_learning_rate: float = 3e-6
    schedule: Literal["constant", "decay", "cosine"] = "constant"
    decay_epochs: tuple[int, int] = (100, 500)
    warmup_steps: int = 200

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not (self.learning_rate > 0 and self.classifier_learning_rate > 0 and self.warmup_steps >= 0):
            raise RecipeError(
                f"learning rates are above 0 and warmup_steps at least 0, got {self.learning_rate}, "
                f"{self.classifier_learning_rate} and {self.warmup_steps}"
            )

    def factor(self, step: int, epoch: int, total_steps: int | float) -> float:
        """Return what the learning rates are multiplied by at a step of a run."""
        if self.schedule == "decay":
            first, second = self.decay_epochs
            return (1 / 3 if epoch >= first else 1.0) * (1 / 5 if epoch >= second else 1.0)
        if self.schedule == "cosine":
            return warm_cosine(step, self.warmup_steps, total_steps)
        return 1.0


def warm_cosine(step: int, warmup_steps: int, total_steps: int | float) -> float:
    """Return a factor that rises to 1 over the first steps, then falls to 0 along half a cosine."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1.0, total_steps - warmup_steps)
    return 0.5 * (1 + cos(pi * min(1.0, progress)))


class CRDNetTraining(DerainingTraining):
    """The multi-task training of the paper.

    Args:
        network: Widths of the network.
        classifier: Widths of the classifier.
        optimizer: Learning rates and their schedule.
        density_weight: Weight of the classifier loss.
        structure_weight: Weight of 1 - SSIM.
        start_as_identity: Begin by handing the rainy picture through; see `RefinementHead.start_as_identity`.
        channels_last: Memory layout; faster on CPUs, the same result but for rounding.
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
        self.model.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.loss = MultiTaskLoss(density_weight, structure_weight)

    @property
    def size_multiple(self) -> int:
        """What both sides must be multiples of."""
        return self.model.network.size_multiple

    def forward(self, rainy: Tensor) -> Estimate:
        """Estimate the rain-free pictures and the scores of a batch."""
        estimate: Estimate = self.model(self.in_layout(rainy))
        return estimate

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Return the loss of a batch.

        Raises:
            TrainingError: The loss is not a finite number.
        """
        losses = self.loss(self(batch.rainy), batch.clean, batch.codes)
        named = {"image": losses.image, "classifier": losses.density, "structure": losses.structure}
        return self.logged(named, losses.total, batch)

    def estimate(
        self,
        padded: Tensor,
        height: int,  # noqa: ARG002 - the classifier sees the padding too
        width: int,  # noqa: ARG002
    ) -> tuple[Tensor, list[RainDensity | None]]:
        """Return the derained pictures and their grades."""
        estimate = self(padded)
        return estimate.derained, [
            RainDensity.from_scores(scores.float().cpu().numpy()) for scores in estimate.scores
        ]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return one Adam with the two learning rates, and its schedule."""
        spec = self.optimizer_spec
        optimizer = torch.optim.Adam(
            [
                {"params": list(self.model.network.parameters()), "lr": spec.learning_rate},
                {"params": list(self.model.classifier.parameters()), "lr": spec.classifier_learning_rate},
            ]
        )
        total_steps = self.trainer.estimated_stepping_batches
        steps_per_epoch = max(1, self.trainer.num_training_batches) if spec.schedule == "decay" else 1

        def factor(step: int) -> float:
            return spec.factor(step, int(step // steps_per_epoch), total_steps)

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"},
        }

    def description(self) -> dict[str, Any]:
        """Return the widths of the network and of its classifier."""
        return {
            "kind": "published",
            "network": plain(asdict(self.network_spec)),
            "classifier": plain(asdict(self.classifier_spec)),
        }


def plain(widths: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords with lists for tuples, so that a checkpoint reads without our classes."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in widths.items()}
