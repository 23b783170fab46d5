"""Labels and losses of the sensing head.

The intensity S of the rain is measured on every crop, since both of its images are known. There are
three losses. `intensity` fits a map of S: a regression on log(1 + S) of every cell, and a
cross-entropy of each cumulative probability of the crop. The other two are for comparison: `code`
is the squared error on the cumulative code, as published (Peng et al., IEEE SPL 27, 2020), and
`classes` is the cross-entropy on the grade, which ignores the order of grades.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import (
    avg_pool2d,
    binary_cross_entropy_with_logits,
    cross_entropy,
    mse_loss,
    relu,
    smooth_l1_loss,
)

from crdnet.density import INTENSITY_THRESHOLDS, TEMPERATURE, RainDensity, average_intensity
from crdnet.nn import Sensing, luma_channel


def map_intensity(
    rainy: Float[Tensor, "b 3 h w"], clean: Float[Tensor, "b 3 h w"], cell: int
) -> Float[Tensor, "b 1 h//{cell} w//{cell}"]:
    """Return the intensity S of every cell: its mean change of luma, in grey levels of 255.

    The change is averaged over 3x3 pixels before its sign is dropped. This keeps rain and removes
    half of the differences that JPEG makes between the two images.

    Args:
        rainy: Colours in [0, 1]; sides are multiples of `cell`.
        clean: Ground truth of the same shape.
        cell: Side of a cell, in pixels.
    """
    change = 255 * (luma_channel(rainy) - luma_channel(clean))
    return avg_pool2d(
        avg_pool2d(change, 3, stride=1, padding=1, count_include_pad=False).abs(),
        cell,
    )


def grade_intensities(intensities: Float[Tensor, " b"]) -> Int[Tensor, " b"]:
    """Return the grade of each intensity, like `RainDensity.from_intensity`."""
    return (intensities[:, None] >= intensities.new_tensor(INTENSITY_THRESHOLDS)).sum(1)


def encode_grades(grades: Int[Tensor, " b"]) -> Float[Tensor, "b 3"]:
    """Return the cumulative code of each grade, like `RainDensity.code`."""
    table = torch.tensor([grade.code for grade in RainDensity], device=grades.device)
    return table[grades]


def compute_cumulative_logits(intensities: Float[Tensor, " b"]) -> Float[Tensor, "b 3"]:
    """Return the logits of `compute_cumulative_probabilities`, LIGHT first."""
    thresholds = torch.log1p(intensities.new_tensor(INTENSITY_THRESHOLDS))
    return (torch.log1p(intensities)[:, None] - thresholds) / TEMPERATURE


def sensing_loss(
    density: Float[Tensor, "b k i j"], truth: Float[Tensor, "b 1 i j"], says: Sensing
) -> Float[Tensor, ""]:
    """Return the loss of a sensing head.

    Args:
        density: Output of the head.
        truth: Intensity of every cell; see `map_intensity`.
        says: Meaning of `density`.
    """
    density = density.float()
    grades = grade_intensities(truth.mean((1, 2, 3)))
    if says == "code":
        return mse_loss(relu(density.mean((2, 3))), encode_grades(grades))
    if says == "classes":
        return cross_entropy(density.mean((2, 3)), grades)
    per_cell = smooth_l1_loss(torch.log1p(density), torch.log1p(truth))
    passed = encode_grades(grades).flip(1)
    return per_cell + binary_cross_entropy_with_logits(
        compute_cumulative_logits(density.mean((1, 2, 3))), passed
    )


def grade_density_map(
    density: Float[Tensor, "k i j"], says: Sensing, height: int, width: int, cell: int
) -> RainDensity:
    """Return the grade of an image from the output of a sensing head.

    Args:
        density: Output of the head for the padded image.
        says: Meaning of `density`.
        height: Height of the image without padding, in pixels.
        width: Width of the image without padding, in pixels.
        cell: Side of a cell, in pixels.
    """
    maps = density.float().cpu().numpy()
    means = [average_intensity(each, height, width, cell) for each in maps]
    if says == "code":
        return RainDensity.from_scores([max(0.0, mean) for mean in means])
    if says == "classes":
        return RainDensity(means.index(max(means)))
    return RainDensity.from_intensity(means[0])
