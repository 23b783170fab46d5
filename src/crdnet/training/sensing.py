"""What a density head is taught: labels from the rain itself, and three losses to compare.

The strength S of the rain is known of every crop, as both of its pictures are. Ours teaches a map of S: a
regression on log(1 + S) of every cell, and a cross-entropy of each cumulative probability of the crop. The other
two are those that the field would use on grades: the squared error on the cumulative code, as published
(Peng et al., IEEE SPL 27, 2020), and the cross-entropy on the grade, which does not know their order.
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

from crdnet.density import STRENGTH_THRESHOLDS, TEMPERATURE, RainDensity, average_intensity
from crdnet.nn import Sensing, luma_channel


def strength_map(
    rainy: Float[Tensor, "b 3 h w"], clean: Float[Tensor, "b 3 h w"], cell: int
) -> Float[Tensor, "b 1 h//{cell} w//{cell}"]:
    """Return the strength S of every cell: its mean change of luma, in grey levels of 255.

    The change is averaged over 3x3 pixels before its sign is dropped, which leaves rain as it is and takes out half
    of what JPEG does differently to the two pictures.

    Args:
        rainy: Colours in [0, 1]; sides are multiples of `cell`.
        clean: The same without rain.
        cell: Side of a cell, in pixels.
    """
    change = 255 * (luma_channel(rainy) - luma_channel(clean))
    return avg_pool2d(avg_pool2d(change, 3, stride=1, padding=1, count_include_pad=False).abs(), cell)


def grades_of(strengths: Float[Tensor, " b"]) -> Int[Tensor, " b"]:
    """Return the grade of each strength, as `RainDensity.from_strength`."""
    return (strengths[:, None] >= strengths.new_tensor(STRENGTH_THRESHOLDS)).sum(1)


def codes_of(grades: Int[Tensor, " b"]) -> Float[Tensor, "b 3"]:
    """Return the cumulative code of each grade, most significant bit first, as `RainDensity.code`."""
    table = torch.tensor([grade.code for grade in RainDensity], device=grades.device)
    return table[grades]


def cumulative_logits(strengths: Float[Tensor, " b"]) -> Float[Tensor, "b 3"]:
    """Return the logits of `crdnet.density.compute_cumulative_probabilities`, at least LIGHT first."""
    thresholds = torch.log1p(strengths.new_tensor(STRENGTH_THRESHOLDS))
    return (torch.log1p(strengths)[:, None] - thresholds) / TEMPERATURE


def sensing_loss(
    density: Float[Tensor, "b k i j"], truth: Float[Tensor, "b 1 i j"], says: Sensing
) -> Float[Tensor, ""]:
    """Return how wrong a density head is.

    Args:
        density: What the head says.
        truth: The strength of every cell, see `strength_map`.
        says: What `density` means.
    """
    density = density.float()
    grades = grades_of(truth.mean((1, 2, 3)))
    if says == "code":
        return mse_loss(relu(density.mean((2, 3))), codes_of(grades))
    if says == "classes":
        return cross_entropy(density.mean((2, 3)), grades)
    per_cell = smooth_l1_loss(torch.log1p(density), torch.log1p(truth))
    passed = codes_of(grades).flip(1)
    return per_cell + binary_cross_entropy_with_logits(cumulative_logits(density.mean((1, 2, 3))), passed)


def sensed_grade(
    density: Float[Tensor, "k i j"], says: Sensing, height: int, width: int, cell: int
) -> RainDensity:
    """Return the grade that a density head gives a picture.

    Args:
        density: What the head says of the padded picture.
        says: What `density` means.
        height: Of the picture without its padding.
        width: Of the picture without its padding.
        cell: Side of a cell, in pixels.
    """
    maps = density.float().cpu().numpy()
    means = [average_intensity(each, height, width, cell) for each in maps]
    if says == "code":
        return RainDensity.from_scores([max(0.0, mean) for mean in means])
    if says == "classes":
        return RainDensity(means.index(max(means)))
    return RainDensity.from_strength(means[0])
