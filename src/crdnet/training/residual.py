"""Joint training of image and density of the residual CRDNet."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from crdnet.density import RainDensity
from crdnet.errors import CheckpointError, RecipeError
from crdnet.nn import (
    ResidualCRDNet,
    SensedEstimate,
    Sensing,
    build_residual_crdnet,
    read_stored,
    widen,
)
from crdnet.training.base import DerainingTraining, set_memory_format
from crdnet.training.batches import Batch
from crdnet.training.crdnet import compute_warm_cosine, convert_tuples
from crdnet.training.muon import KernelMuon
from crdnet.training.sensing import grade_density_map, map_intensity, sensing_loss

SENSING = "sensing."
"""Prefix of the names of the weights of the sensing head."""
CHARBONNIER_EPSILON = 1e-3
"""Difference at which the loss changes from square to absolute value, in colours of [0, 1]."""
# Noise on widened kernels, relative to their standard deviation; copies must differ to diverge.
_GROWTH_NOISE = 0.02
PSNR_FLOOR = 1e-4
"""Mean square (40 dB) at which the loss levels off, so that dry images do not outweigh the rest."""
PSNR_SCALE = 0.05
"""RMS error (26 dB) at which `psnr_loss` and `charbonnier` have equal gradients."""
CLEAR_RAIN = 0.04
"""Smallest change by rain, in colours of [0, 1], at which a pixel has the full weight of rain."""

ImageLoss = Literal["charbonnier", "psnr"]
Rule = Literal["adamw", "muon"]


@dataclass(frozen=True)
class ResidualSpec:
    """Widths and parts of the network; see `crdnet.nn.build_residual_crdnet`."""

    width: int = 32
    scale_widths: tuple[int, ...] = (32, 64, 96)
    streak_width: int = 16
    dilations: tuple[int, ...] = (1, 2, 3)
    second_pass: bool = True
    sensing: Sensing | None = "intensity"
    shrinkage: float = 0.0

    def build(self) -> ResidualCRDNet:
        """Build a new network."""
        return build_residual_crdnet(**asdict(self))


@dataclass(frozen=True)
class DescentSpec:
    """Optimizer with a linear warm-up and half a cosine to zero over the run.

    Attributes:
        rule: `adamw`, or `muon` for the kernels (`crdnet.training.muon`), which needs fewer steps.
        learning_rate: Learning rate at the end of the warm-up.
        weight_decay: Weight decay of the kernels; biases have none.
        warmup_steps: Number of steps of the warm-up.
    """

    rule: Rule = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 500

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and self.warmup_steps >= 0):
            raise RecipeError(
                "the learning rate is above 0, weight_decay and warmup_steps at least 0, got "
                f"{self.learning_rate}, {self.weight_decay} and {self.warmup_steps}"
            )


def charbonnier(
    derained: Float[Tensor, "b 3 h w"],
    clean: Float[Tensor, "b 3 h w"],
) -> Float[Tensor, ""]:
    """Return the mean of sqrt(difference^2 + epsilon^2), an absolute difference smooth at zero.

    Source: P. Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for
        computed imaging", ICIP 1994.
    """
    return ((derained - clean).square() + CHARBONNIER_EPSILON**2).sqrt().mean()


def weigh_rain(
    rainy: Float[Tensor, "b 3 h w"],
    clean: Float[Tensor, "b 3 h w"],
    weight: float,
) -> Float[Tensor, "b 1 h w"]:
    """Return a weight for each pixel: 1 without rain, up to `weight` in clear rain.

    A network that minimises the squared error removes a share of a streak equal to the probability
    that it is a streak: at a probability of one half, half of the streak stays. A weight k in rain
    turns a probability p into k p / (k p + 1 - p), and hardly changes probabilities near 0 and 1.
    """
    change = (rainy - clean).abs().amax(dim=1, keepdim=True)
    return 1 + (weight - 1) * (change / CLEAR_RAIN).clamp(max=1)


def psnr_loss(
    derained: Float[Tensor, "b 3 h w"],
    clean: Float[Tensor, "b 3 h w"],
    weights: Float[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, ""]:
    """Return the negative mean PSNR up to scale and offset, levelling off beyond 40 dB.

    Args:
        derained: Result, in [0, 1].
        clean: Ground truth, in [0, 1].
        weights: Weight of each pixel's squared error; `None` weighs all by 1.

    Source: L. Chen et al., "HINet: Half Instance Normalization Network for Image Restoration",
        CVPRW 2021, who train with PSNR itself.
    """
    square = (derained - clean).square()
    if weights is not None:
        square = weights * square
    mean_square = square.mean(dim=(1, 2, 3))
    return PSNR_SCALE / 2 * (mean_square / PSNR_FLOOR + 1).log().mean()


def frequency_loss(
    derained: Float[Tensor, "b 3 h w"],
    clean: Float[Tensor, "b 3 h w"],
) -> Float[Tensor, ""]:
    """Return the mean absolute difference of the orthonormal Fourier coefficients.

    A streak covers few coefficients but many pixels, and a tint is one coefficient. This loss
    weighs both more than a loss per pixel.

    Source: S. Cho et al., "Rethinking Coarse-to-Fine Approach in Single Image Deblurring", ICCV
        2021.
    """
    difference = torch.fft.rfft2((derained - clean).float(), norm="ortho")
    return torch.view_as_real(difference).abs().mean()


_IMAGE_LOSSES = {"charbonnier": charbonnier, "psnr": psnr_loss}


def read_weights(path: Path) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """Read widths and weights of a residual CRDNet, averaged if a checkpoint has averages.

    Args:
        path: Name or file, as of `crdnet.nn.load_network`.

    Raises:
        CheckpointError: The file is unreadable, or holds no residual CRDNet.
    """
    try:
        stored = read_stored(path)
    except CheckpointError as error:
        reason = str(error).replace(f"{path} is not a checkpoint", "it is not a checkpoint")
        raise CheckpointError(f"cannot start from {path}: {reason}") from error
    if stored.kind != "residual":
        raise CheckpointError(
            f"cannot start from {path}: it is not a checkpoint of `crdnet train` "
            "with a recipe of `kind: residual`",
        )
    return stored.arguments, dict(stored.state)


def load_teacher(path: Path) -> ResidualCRDNet:
    """Load the network of a checkpoint with frozen weights; see `read_weights` for errors."""
    widths, weights = read_weights(path)
    teacher = build_residual_crdnet(**widths)
    teacher.load_state_dict(weights)
    return teacher.eval().requires_grad_(False)


def transfer_weights(network: ResidualCRDNet, path: Path) -> None:
    """Set the weights of a network from a checkpoint, widened if the network is wider.

    Raises:
        CheckpointError: The checkpoint holds no residual CRDNet, or one that cannot be widened to
            this.
    """
    widths, weights = read_weights(path)
    source = build_residual_crdnet(**widths)
    source.load_state_dict(weights)
    try:
        widen(source, network, noise=_GROWTH_NOISE)
    except CheckpointError as error:
        raise CheckpointError(f"{path} does not fit the recipe's network: {error}") from error


class ResidualTraining(DerainingTraining):
    """Training with a loss on the image and a loss on the density.

    Args:
        network: Widths and parts of the network.
        optimizer: Rule, learning rate and weight decay.
        sensing_weight: Weight of the loss on the density.
        loss: Loss on the image: `charbonnier` weighs all pixels equally, `psnr` gives images with a
            smaller error a larger weight.
        rain_weight: Weight of an error in rain, against 1 elsewhere; for `psnr` only
            (`weigh_rain`).
        frequency_weight: Weight of `frequency_loss`.
        teacher: Checkpoint of a larger residual CRDNet for distillation; `None` learns from the
            ground truth alone.
        teacher_weight: Weight of the Charbonnier loss between the outputs of network and teacher.
        start_from: Name or file of a residual CRDNet with the initial weights. It is widened if
            this network is wider by integer multiples; `None` starts from random weights.
        sensing_alone: If True, train only the sensing head.
        channels_last: Memory layout; faster on CPUs, with equal results except for rounding.
    """

    def __init__(
        self,
        network: ResidualSpec = ResidualSpec(),
        optimizer: DescentSpec = DescentSpec(),
        sensing_weight: float = 0.01,
        loss: ImageLoss = "charbonnier",
        rain_weight: float = 1.0,
        frequency_weight: float = 0.0,
        teacher: Path | None = None,
        teacher_weight: float = 1.0,
        start_from: Path | None = None,
        sensing_alone: bool = False,
        channels_last: bool = False,
    ) -> None:
        super().__init__(channels_last=channels_last)
        self.network_spec = network
        self.optimizer_spec = optimizer
        self.sensing_weight = sensing_weight
        self.sensing_alone = sensing_alone
        if rain_weight < 1 or (rain_weight != 1 and loss != "psnr"):
            raise RecipeError(
                f"rain_weight is at least 1, and 1 for every loss but psnr, got {rain_weight} "
                f"with {loss}"
            )
        self.image_loss = _IMAGE_LOSSES[loss]
        self.rain_weight = rain_weight
        self.frequency_weight = frequency_weight
        self.network = network.build()
        if start_from is not None:
            transfer_weights(self.network, start_from)
        if sensing_alone:
            if network.sensing is None:
                raise RecipeError(
                    "sensing_alone trains a density head, and network.sensing is null; give it one"
                )
            for name, parameter in self.network.named_parameters():
                parameter.requires_grad_(name.startswith(SENSING))
        set_memory_format(self.network, self.memory_format)
        self.teacher_weight = teacher_weight
        # A tuple hides it from torch, so that the teacher is not trained, averaged or saved.
        self._teachers = () if teacher is None else (load_teacher(teacher),)
        # A teacher on another layout would convert every batch again.
        for each in self._teachers:
            set_memory_format(each, self.memory_format)
        if any(self.size_multiple % each.size_multiple for each in self._teachers):
            raise RecipeError(
                f"{teacher} cannot be the teacher: it needs sides in multiples of "
                f"{self._teachers[0].size_multiple}, this network in multiples of "
                f"{self.size_multiple}; give both as many scale_widths",
            )

    @property
    def size_multiple(self) -> int:
        """Number that divides both sides of the inputs of the network."""
        return self.network.size_multiple

    def forward(self, rainy: Tensor) -> SensedEstimate:
        """Estimate the rain-free images and the density of a batch."""
        return self.network.sense(self.convert_layout(rainy))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002 - of Lightning
        """Return the loss of a batch.

        Raises:
            TrainingError: The loss is not a finite number.
        """
        losses, total = self.compute_losses(batch)
        return self.log_losses(losses, total, batch)

    def compute_losses(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses of a batch by name, and the total to minimise."""
        estimate = self(batch.rainy)
        if self.rain_weight == 1:
            total = image = self.image_loss(estimate.derained, batch.clean)
        else:
            weights = weigh_rain(batch.rainy, batch.clean, self.rain_weight)
            total = image = psnr_loss(estimate.derained, batch.clean, weights)
        losses = {"image": image}
        if self.frequency_weight:
            losses["frequency"] = frequency_loss(estimate.derained, batch.clean)
            total = total + self.frequency_weight * losses["frequency"]
        says = self.network_spec.sensing
        if says is not None:
            truth = map_intensity(batch.rainy, batch.clean, self.size_multiple)
            losses["classifier"] = sensing_loss(estimate.density, truth, says)
            total = total + self.sensing_weight * losses["classifier"]
        for teacher in self._teachers:
            # The teacher is fixed, so its activations need no memory for gradients.
            with torch.no_grad():
                taught = teacher.to(batch.rainy.device)(self.convert_layout(batch.rainy))
            losses["teacher"] = charbonnier(estimate.derained, taught)
            total = total + self.teacher_weight * losses["teacher"]
        return losses, total

    def estimate(
        self,
        padded: Tensor,
        height: int,
        width: int,
    ) -> tuple[Tensor, list[RainDensity | None]]:
        """Return the derained images and their grades."""
        estimate, says = self(padded), self.network_spec.sensing
        if says is None:
            return estimate.derained, [None] * len(padded)
        cell = self.size_multiple
        return estimate.derained, [
            grade_density_map(density, says, height, width, cell) for density in estimate.density
        ]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer and its schedule."""
        spec = self.optimizer_spec
        trained = [each for each in self.network.parameters() if each.requires_grad]
        # Biases are a group of their own, since only kernels decay.
        kernels = [each for each in trained if each.ndim > 1]
        biases = [each for each in trained if each.ndim <= 1]
        optimizer: torch.optim.Optimizer
        if spec.rule == "muon":
            optimizer = KernelMuon(
                kernels,
                biases,
                lr=spec.learning_rate,
                weight_decay=spec.weight_decay,
            )
        else:
            groups = [
                {"params": kernels, "weight_decay": spec.weight_decay},
                {"params": biases, "weight_decay": 0.0},
            ]
            optimizer = torch.optim.AdamW(groups, lr=spec.learning_rate)
        total_steps = self.trainer.estimated_stepping_batches

        def compute_factor(step: int) -> float:
            return compute_warm_cosine(step, spec.warmup_steps, total_steps)

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, compute_factor), "interval": "step"},
        }

    def describe(self) -> dict[str, Any]:
        """Return the widths of the network, and the options that shape the optimizer state."""
        return {
            "kind": "residual",
            "network": convert_tuples(asdict(self.network_spec)),
            "optimizer": {"rule": self.optimizer_spec.rule},
            "sensing_alone": self.sensing_alone,
        }
