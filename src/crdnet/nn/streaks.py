"""Streak extractor: high-frequency rain at several dilations.

Three encoders of equal shape have dilations 1, 2 and 3. Their growing receptive fields fit streaks
of growing length. ONE shared decoder processes the features of each encoder, and its three-channel
outputs are concatenated.

Source: Peng et al., IEEE SPL 27, 2020; wired like the published code (`stage1`).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crdnet.nn.blocks import DownBlock, UpBlock, build_down_path, build_up_path

STREAK_CHANNELS = 3
"""Output channels per encoder: one per colour."""


class StreakExtractor(nn.Module):
    """Rain streaks of an image at several dilations.

    Args:
        widths: Channels after each halving; sides must be multiples of 2 ** len(widths).
        dilations: Dilation of each encoder.
    """

    def __init__(
        self,
        widths: Sequence[int] = (4, 8, 16),
        dilations: Sequence[int] = (1, 2, 3),
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(
            build_down_path(
                3,
                widths,
                dilation,
            )
            for dilation in dilations
        )
        self.decoder = build_up_path(widths, STREAK_CHANNELS)
        self.channels = STREAK_CHANNELS * len(dilations)
        self.widths = tuple(widths)
        self.dilations = tuple(dilations)

    def forward(self, rainy: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b streaks h w"]:
        """Return three channels of streaks per dilation, in their order, unbounded."""
        return torch.cat([self._extract_streaks(encoder, rainy) for encoder in self.encoders], 1)

    def measure_reach(self, pixels: int) -> list[int]:
        """Return the reach of the input per dilation; see `DownBlock.measure_reach`."""
        reaches = []
        for encoder in self.encoders:
            reach = pixels
            # From output to input, since each block widens the reach of the next one.
            for block in reversed([*encoder.children(), *self.decoder]):
                assert isinstance(block, DownBlock | UpBlock)
                reach = block.measure_reach(reach)
            reaches.append(reach)
        return reaches

    def _extract_streaks(
        self, encoder: nn.Module, rainy: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b 3 h w"]:
        features = rainy
        for block in (*encoder.children(), *self.decoder):
            features = block(features)
        return features
