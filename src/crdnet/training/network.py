"""Training of any network on pairs: fine-tuning of existing networks, and networks of users."""

from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from crdnet.density import RainDensity
from crdnet.errors import CheckpointError, RecipeError
from crdnet.nn import Network, OwnNetwork, ResidualCRDNet, SensedEstimate, load_network, read_stored
from crdnet.training.base import DerainingTraining, set_memory_format
from crdnet.training.batches import Batch
from crdnet.training.named_losses import WeightedLosses
from crdnet.training.schedules import ScheduleSpec
from crdnet.training.sensing import grade_density_map, map_intensity, sensing_loss


@dataclass(frozen=True)
class AdamSpec:
    """Options of AdamW.

    Attributes:
        learning_rate: Learning rate at the end of the warm-up.
        weight_decay: Weight decay of the kernels; biases and norms have none.
    """

    learning_rate: float = 3e-4
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not (self.learning_rate > 0 and self.weight_decay >= 0):
            raise RecipeError(
                "the learning rate is above 0 and weight_decay at least 0, got "
                f"{self.learning_rate} and {self.weight_decay}"
            )


class NetworkTraining(DerainingTraining):
    """Training of an existing network, or of a user's class.

    Before the first step, a loaded network computes exactly the same as its source. Batch norms of
    loaded weights keep their statistics, because a few pairs are not enough to estimate new ones.

    Args:
        network: Class of a user's network, `class_path` (`package.module.Name`) and `init_args`;
            see `crdnet.nn.OwnNetwork`. `None` takes the network of `start_from`.
        start_from: Weights to begin with: a model's name (`default`, `paper`), a `.safetensors`,
            `.ckpt` or `.onnx` file, a folder of `save_pretrained`, or OWNER/NAME on the hub.
        losses: Weight of each loss on the image: charbonnier, fft, l1, mse, psnr, ssim.
        sensing_weight: Weight of the loss on the density, of networks with a density head.
        optimizer: Learning rate and weight decay of AdamW.
        schedule: Schedule of the learning rate.
        channels_last: Memory layout; faster on CPUs, with equal results except for rounding.
    """

    def __init__(
        self,
        network: dict[str, Any] | None = None,
        start_from: str | None = None,
        losses: dict[str, float] = {"charbonnier": 1.0},  # noqa: B006 - never changed
        sensing_weight: float = 0.01,
        optimizer: AdamSpec = AdamSpec(),
        schedule: ScheduleSpec = ScheduleSpec(),  # noqa: B008 - frozen
        channels_last: bool = False,
    ) -> None:
        super().__init__(channels_last=channels_last)
        self.network = _build_network(network, start_from)
        set_memory_format(self.network, self.memory_format)
        self.losses = WeightedLosses(losses)
        self.sensing_weight = sensing_weight
        self.optimizer_spec = optimizer
        self.schedule = schedule
        self._keeps_norms = start_from is not None
        self.train()

    @property
    def size_multiple(self) -> int:
        """Number that divides both sides of the inputs of the network."""
        return self.network.size_multiple

    @property
    def tile_margin(self) -> int:
        """Pixels around a tile that affect its result."""
        return self.network.tile_margin

    def train(self, mode: bool = True) -> "NetworkTraining":
        """Switch to training or evaluation; norms of loaded weights stay in evaluation."""
        super().train(mode)
        if self._keeps_norms:
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def forward(self, rainy: Tensor) -> SensedEstimate:
        """Estimate the rain-free images and, with a density head, the density of a batch."""
        rainy = self.convert_layout(rainy)
        if isinstance(self.network, ResidualCRDNet):
            return self.network.sense(rainy)
        return SensedEstimate(self.network(rainy), None)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002 - of Lightning
        """Return the loss of a batch.

        Raises:
            TrainingError: The loss is not a finite number.
        """
        estimate = self(batch.rainy)
        losses, total = self.losses(estimate.derained, batch.clean)
        says = self._says
        if says is not None and self.sensing_weight:
            truth = map_intensity(batch.rainy, batch.clean, self.size_multiple)
            losses["classifier"] = sensing_loss(estimate.density, truth, says)
            total = total + self.sensing_weight * losses["classifier"]
        return self.log_losses(losses, total, batch)

    def estimate(
        self, padded: Tensor, height: int, width: int
    ) -> tuple[Tensor, list[RainDensity | None]]:
        """Return the derained images and their grades, None without a density head."""
        estimate, says = self(padded), self._says
        if says is None:
            return estimate.derained, [None] * len(padded)
        cell = self.size_multiple
        return estimate.derained, [
            grade_density_map(density, says, height, width, cell) for density in estimate.density
        ]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW and its schedule."""
        spec = self.optimizer_spec
        trained = [each for each in self.network.parameters() if each.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": spec.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=spec.learning_rate)
        total_steps = self.trainer.estimated_stepping_batches

        def compute_factor(step: int) -> float:
            return self.schedule.compute_factor(step, total_steps)

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, compute_factor), "interval": "step"},
        }

    def describe(self) -> dict[str, Any]:
        """Return the kind of the network and the arguments that build it."""
        return {"kind": self.network.kind, "network": self.network.describe()}

    @property
    def _says(self) -> Any:
        """Meaning of the density head, None without one."""
        network = self.network
        if not isinstance(network, ResidualCRDNet) or network.sensing is None:
            return None
        return network.sensing.says


def _build_network(spec: dict[str, Any] | None, start_from: str | None) -> Network:
    if spec is None:
        if start_from is None:
            raise RecipeError(
                "nothing to train: give --model.start_from (a model's name or a file of weights) "
                "or --model.network.class_path (a class of yours)"
            )
        return load_network(start_from)
    if "class_path" not in spec or spec.keys() - {"class_path", "init_args"}:
        raise RecipeError(
            f"model.network has class_path and init_args, got {', '.join(spec) or 'nothing'}"
        )
    network = OwnNetwork(**spec)
    if start_from is not None:
        stored = read_stored(start_from)
        try:
            network.load_state_dict(dict(stored.state))
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(
                f"{start_from} does not fit {network.class_path}: {reason}"
            ) from error
    return network
