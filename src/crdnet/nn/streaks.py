"""The streak extractor: high-frequency rain, seen at several dilations.

Three encoders of one shape look at the picture with dilations 1, 2 and 3, so with growing fields of view, for
rain streaks of growing length. All of them go through ONE shared decoder, and their three-channel answers lie
side by side.

Source: Peng et al., IEEE SPL 27, 2020; wiring as the published code computes it (`stage1`).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crdnet.nn.blocks import DownBlock, UpBlock, down_path, up_path

STREAK_CHANNELS = 3
"""Channels of one encoder's answer: one per colour."""


class StreakExtractor(nn.Module):
    """Rain streaks of a picture at several dilations.

    Args:
        widths: Channels after each halving of the size; the sides must be multiples of 2 ** len(widths).
        dilations: One encoder each.
    """

    def __init__(self, widths: Sequence[int] = (4, 8, 16), dilations: Sequence[int] = (1, 2, 3)) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(down_path(3, widths, dilation) for dilation in dilations)
        self.decoder = up_path(widths, STREAK_CHANNELS)
        self.channels = STREAK_CHANNELS * len(dilations)

    def forward(self, rainy: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b streaks h w"]:
        """Return three channels of streaks per dilation, in the order of the dilations; unbounded."""
        return torch.cat([self._streaks_of(encoder, rainy) for encoder in self.encoders], 1)

    def reach(self, pixels: int) -> list[int]:
        """Return, for each dilation, how many pixels beyond a tile decide the streaks up to `pixels` beyond it."""
        reaches = []
        for encoder in self.encoders:
            reach = pixels
            for block in reversed([*encoder.children(), *self.decoder]):
                assert isinstance(block, DownBlock | UpBlock)
                reach = block.reach(reach)
            reaches.append(reach)
        return reaches

    def _streaks_of(self, encoder: nn.Module, rainy: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        features = rainy
        for block in (*encoder.children(), *self.decoder):
            features = block(features)
        return features
