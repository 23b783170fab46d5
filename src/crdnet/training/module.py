"""Training CRDNet and its density classifier together."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import cos, isfinite, pi
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn.functional import pad
from torch.optim.lr_scheduler import LambdaLR

from crdnet.density import RainDensity
from crdnet.errors import RecipeError, TrainingError
from crdnet.metrics import score
from crdnet.nn import CRDNet, CRDNetWithClassifier, Estimate, build_classifier, build_crdnet
from crdnet.sizes import padded_size
from crdnet.training.losses import MultiTaskLoss
from crdnet.training.pairs import Batch

CHECKPOINT_KEY = "crdnet"
"""Entry of our checkpoints that tells how to build the network again."""


MONITOR = "validation/psnr_y"
"""The figure by which the best checkpoint is chosen: PSNR under the protocol `restormer-y`."""


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
            if step < self.warmup_steps:
                return (step + 1) / self.warmup_steps
            progress = (step - self.warmup_steps) / max(1.0, total_steps - self.warmup_steps)
            return 0.5 * (1 + cos(pi * min(1.0, progress)))
        return 1.0


class CRDNetTraining(pl.LightningModule):
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
        super().__init__()
        self.network_spec = network
        self.optimizer_spec = optimizer
        self.model = classifier.join(network.build())
        if start_as_identity:
            self.model.network.refinement.start_as_identity()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.loss = MultiTaskLoss(density_weight, structure_weight)
        self.validation_scores: list[dict[str, float]] = []

    def forward(self, rainy: Tensor) -> Estimate:
        """Estimate the rain-free pictures and the scores of a batch."""
        estimate: Estimate = self.model(rainy.contiguous(memory_format=self.memory_format))
        return estimate

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Return the loss of a batch.

        Raises:
            TrainingError: The loss is not a finite number.
        """
        losses = self.loss(self(batch.rainy), batch.clean, batch.codes)
        if not isfinite(losses.total.item()):
            raise TrainingError(
                f"the loss became {losses.total.item()} at step {self.global_step}, epoch {self.current_epoch}, on "
                f"{', '.join(batch.names)}; look at these files, or lower model.optimizer.learning_rate and resume"
            )
        self.log_dict(
            {
                "loss/image": losses.image,
                "loss/classifier": losses.density,
                "loss/structure": losses.structure,
            },
            on_epoch=True,
            on_step=False,
            batch_size=len(batch.names),
        )
        self.log("loss", losses.total, prog_bar=True, logger=False, batch_size=len(batch.names))
        return losses.total

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Score whole pictures and return the derained ones.

        Each picture is padded as the runtime pads it, scored under the protocols `crdnet` and `restormer-y`,
        and its density compared with its label.
        """
        height, width = batch.rainy.shape[-2:]
        padded_height, padded_width = padded_size(height, width, self.model.network.size_multiple)
        padded = pad(batch.rainy, (0, padded_width - width, 0, padded_height - height), mode="reflect")
        estimate = self(padded)
        derained = estimate.derained[..., :height, :width]
        for one, clean, scores, code in zip(derained, batch.clean, estimate.scores, batch.codes, strict=True):
            self.validation_scores.append(self._scores(one, clean, scores, code))
        return {"derained": derained}

    def _scores(self, derained: Tensor, clean: Tensor, scores: Tensor, code: Tensor) -> dict[str, float]:
        ours, truth = (picture.permute(1, 2, 0).float().cpu().numpy() for picture in (derained, clean))
        as_published, luma = score(ours, truth, "crdnet"), score(ours, truth, "restormer-y")
        grade, label = (RainDensity.from_scores(values.float().cpu().numpy()) for values in (scores, code))
        return {
            "psnr": as_published.psnr,
            "ssim": as_published.ssim,
            "psnr_y": luma.psnr,
            "ssim_y": luma.ssim,
            "density_accuracy": float(grade == label),
        }

    def on_validation_epoch_end(self) -> None:
        """Log the means over the pictures."""
        if self.validation_scores:
            means = {
                f"validation/{name}": float(np.mean([scores[name] for scores in self.validation_scores]))
                for name in self.validation_scores[0]
            }
            for name, mean in means.items():
                self.log(name, mean, prog_bar=name == MONITOR)
            self.validation_scores.clear()

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

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to build the network again, in plain types, so that no class is ever unpickled."""
        checkpoint[CHECKPOINT_KEY] = {
            "network": {name: _plain(value) for name, value in asdict(self.network_spec).items()},
            "steps": self.global_step,
            "epochs": self.current_epoch,
        }


def _plain(value: int | Sequence[int]) -> int | list[int]:
    return value if isinstance(value, int) else list(value)
