"""The cumulative rain-density classifier: an auxiliary task that is used in training and never shipped.

From the streaks alone it must tell how heavy the rain is, which makes the streaks say it. Its targets are the
cost-sensitive codes of `crdnet.density`.

Source: Peng et al., IEEE SPL 27, 2020; as the published code computes it (`classfy`).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu

from crdnet.errors import SizeError

SCORES = 3
"""Bits of the cumulative code."""


class DensityClassifier(nn.Module):
    """Scores of the cumulative code, from streaks.

    Args:
        channels: Channels of the streak extractor.
        widths: Channels after each halving of the size.
        hidden: Widths of the linear layers between the features and the scores.
        pooling: `flatten` as published: the picture must have sides of exactly
            `flattened_side * 2 ** len(widths)`, 512 with the published widths. `global`: mean over the
            picture, for crops of any size; with far fewer parameters.
        flattened_side: Side of the last feature map that `flatten` expects.
    """

    def __init__(
        self,
        channels: int = 9,
        widths: Sequence[int] = (16, 32, 64, 128, 256, 512, 1024),
        hidden: Sequence[int] = (4096, 1000),
        pooling: Literal["flatten", "global"] = "flatten",
        flattened_side: int = 4,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width in pairwise((channels, *widths)):
            layers += [
                nn.Conv2d(before, width, 3, padding=1),
                nn.ReLU(),
                nn.BatchNorm2d(width),
                nn.MaxPool2d(2),
            ]
        self.features = nn.Sequential(*layers)
        self.exact_side = flattened_side * 2 ** len(widths) if pooling == "flatten" else None
        self.pool: nn.Module = nn.Identity() if pooling == "flatten" else nn.AdaptiveAvgPool2d(1)
        flat = widths[-1] * (flattened_side**2 if pooling == "flatten" else 1)
        self.linears = nn.ModuleList(
            nn.Linear(before, after) for before, after in pairwise((flat, *hidden, SCORES))
        )

    def forward(self, streaks: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3"]:
        """Return the scores, from 0 up, most significant bit first."""
        # The published code ends in a ReLU, so a score below zero is lost and its unit can die; it is kept
        # for fidelity.
        return relu(self.scores_before_relu(streaks))

    def scores_before_relu(self, streaks: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3"]:
        """Return the scores before the last activation.

        Raises:
            SizeError: The classifier flattens its features and the sides are not the only ones it can take.
        """
        height, width = streaks.shape[-2:]
        if self.exact_side is not None and (height, width) != (self.exact_side, self.exact_side):
            raise SizeError(
                f"the density classifier with pooling 'flatten' takes sides of exactly {self.exact_side}, got "
                f"{height} x {width}; use pooling 'global' for pictures and crops of other sizes"
            )
        features = self.pool(self.features(relu(streaks))).flatten(1)
        *hidden, last = self.linears
        for linear in hidden:
            features = relu(linear(features))
        return last(features)
