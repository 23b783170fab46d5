"""Cumulative rain-density classifier, an auxiliary task for training that is never shipped.

The classifier sees only the streaks, so that the streaks learn to represent the density. Its
targets are the cost-sensitive codes of `crdnet.density`.

Source: Peng et al., IEEE SPL 27, 2020; computed like the published code (`classfy`).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu

from crdnet.errors import SizeError

SCORES = 3
"""Number of bits of the cumulative code."""


class DensityClassifier(nn.Module):
    """Scores of the cumulative code, from streaks.

    Args:
        channels: Output channels of the streak extractor.
        widths: Channels after each halving.
        hidden: Widths of the linear layers between features and scores.
        pooling: `flatten`, as published, needs sides of exactly `flattened_side * 2 **
            len(widths)`, 512 with the published widths. `global` averages over an image of any size
            and has far fewer parameters.
        flattened_side: Side of the last feature map for `flatten`, in pixels.
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
        # The norm follows the ReLU, as in the published code.
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
        """Return the scores, at least 0, most significant bit first."""
        # The ReLU loses scores below zero, and their units can die. The published code has it, so
        # it stays.
        return relu(self.compute_raw_scores(streaks))

    def compute_raw_scores(self, streaks: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3"]:
        """Return the scores before the last activation.

        Raises:
            SizeError: The classifier uses `flatten` and the sides do not fit.
        """
        height, width = streaks.shape[-2:]
        if self.exact_side is not None and (height, width) != (self.exact_side, self.exact_side):
            raise SizeError(
                f"the density classifier with pooling 'flatten' takes sides of exactly "
                f"{self.exact_side}, got {height} x {width}; use pooling 'global' "
                "for images and crops of other sizes",
            )
        # The published classifier sees only positive streaks.
        features = self.pool(self.features(relu(streaks))).flatten(1)
        *hidden, last = self.linears
        for linear in hidden:
            features = relu(linear(features))
        return last(features)
