"""Multi-task loss of the paper.

MSE(derained, clean) + MSE(scores, code) + 0.005 * (1 - SSIM), computed like the published code.

SSIM: Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image Quality Assessment: From Error
    Visibility to Structural Similarity", IEEE Trans. Image Processing 13(4), 2004. Unlike the
    metric, the loss pads with zeros, so that every pixel has a gradient.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, mse_loss

from crdnet.nn import Estimate

# Window and constants of SSIM, from Wang et al., IEEE TIP 13, 2004, for values in [0, 1].
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_C1 = 0.01**2
SSIM_C2 = 0.03**2


def make_gaussian_window(
    side: int = SSIM_WINDOW,
    sigma: float = SSIM_SIGMA,
) -> Float[Tensor, " side"]:
    """Return samples of a centred Gaussian that sum to 1."""
    distance = torch.arange(side, dtype=torch.float32) - side // 2
    weights = torch.exp(-(distance**2) / (2 * sigma**2))
    return weights / weights.sum()


def ssim(derained: Float[Tensor, "b c h w"], clean: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Return the mean SSIM of two batches over all channels, with zero padding.

    Args:
        derained: Colours in [0, 1], not clipped.
        clean: Colours in [0, 1].
    """
    # Variances are small differences of large means: in bfloat16 they would be noise.
    with torch.autocast(clean.device.type, enabled=False):
        # A mixed-precision network returns half precision.
        derained = derained.to(clean.dtype)
        batch, channels = clean.shape[:2]
        window = make_gaussian_window().to(clean)

        def blur(images: Tensor) -> Tensor:
            # The Gaussian is separable: 11 taps down and 11 across replace 121.
            flat = images.flatten(0, 1).unsqueeze(1)
            down = conv2d(flat, window.view(1, 1, -1, 1), padding=(SSIM_WINDOW // 2, 0))
            across = conv2d(down, window.view(1, 1, 1, -1), padding=(0, SSIM_WINDOW // 2))
            return across.view(batch, channels, *images.shape[2:])

        mean_derained, mean_clean = blur(derained), blur(clean)
        variance_derained = blur(derained * derained) - mean_derained**2
        variance_clean = blur(clean * clean) - mean_clean**2
        covariance = blur(derained * clean) - mean_derained * mean_clean
        likeness = (2 * mean_derained * mean_clean + SSIM_C1) * (2 * covariance + SSIM_C2)
        energy = mean_derained**2 + mean_clean**2 + SSIM_C1
        energy = energy * (variance_derained + variance_clean + SSIM_C2)
        return (likeness / energy).mean()


class Losses(NamedTuple):
    """Scalar losses of one batch; `total` is minimised."""

    image: Float[Tensor, ""]
    """MSE between derained and clean."""
    density: Float[Tensor, ""]
    """MSE between scores and code: the classifier loss."""
    structure: Float[Tensor, ""]
    """1 - SSIM."""
    total: Float[Tensor, ""]


class MultiTaskLoss(nn.Module):
    """Weighted sum of the image, density and structure losses.

    Args:
        density_weight: 1 as published.
        structure_weight: 0.005 as published.
    """

    def __init__(self, density_weight: float = 1.0, structure_weight: float = 0.005) -> None:
        super().__init__()
        self.density_weight = density_weight
        self.structure_weight = structure_weight

    def forward(
        self, estimate: Estimate, clean: Float[Tensor, "b 3 h w"], codes: Float[Tensor, "b 3"]
    ) -> Losses:
        """Return the losses of a batch.

        Args:
            estimate: Output of the network for the rainy batch.
            clean: Ground truth in [0, 1].
            codes: Cumulative code of the density of each image (`RainDensity.code`).
        """
        image = mse_loss(estimate.derained, clean)
        density = mse_loss(estimate.scores, codes)
        structure = 1 - ssim(estimate.derained, clean)
        total = image + self.density_weight * density + self.structure_weight * structure
        return Losses(image, density, structure, total)
