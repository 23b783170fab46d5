"""Losses on the image by name, for recipes that weigh several."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from crdnet.errors import RecipeError
from crdnet.training.losses import ssim
from crdnet.training.residual import charbonnier, frequency_loss, psnr_loss


def structure_loss(
    derained: Float[Tensor, "b 3 h w"], clean: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, ""]:
    """Return 1 - SSIM."""
    return 1 - ssim(derained, clean)


NAMED_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "charbonnier": charbonnier,
    "fft": frequency_loss,
    "l1": l1_loss,
    "mse": mse_loss,
    "psnr": psnr_loss,
    "ssim": structure_loss,
}
"""Losses of `model.losses`; each maps derained and clean colours to a scalar, 0 if equal."""


class WeightedLosses(nn.Module):
    """Weighted sum of named losses.

    Args:
        weights: Weight of each loss by its name in `NAMED_LOSSES`.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        unknown = sorted(weights.keys() - NAMED_LOSSES.keys())
        if unknown or not weights or min(weights.values()) < 0 or not any(weights.values()):
            raise RecipeError(
                f"losses are weights of at least 0, one above 0, of {', '.join(NAMED_LOSSES)}; "
                f"got {dict(weights)}"
            )
        self.weights = dict(weights)

    def forward(
        self, derained: Float[Tensor, "b 3 h w"], clean: Float[Tensor, "b 3 h w"]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses by name and their weighted sum."""
        losses = {name: NAMED_LOSSES[name](derained, clean) for name in self.weights}
        weighted = [self.weights[name] * loss for name, loss in losses.items()]
        return losses, torch.stack(weighted).sum()
