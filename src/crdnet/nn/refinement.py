"""The refinement head: streaks, background and the rainy picture become the rain-free estimate.

Source: Peng et al., IEEE SPL 27, 2020; as the published code computes it (`refine`): no batch norm, no final
    activation, no global residual.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.init import dirac_

from crdnet.nn.blocks import PlainBlock


class RefinementHead(nn.Module):
    """Estimate the rain-free picture from what the two paths found.

    Args:
        streak_channels: Channels of the streak extractor.
        background_channels: Channels of the W-Net.
        width: Channels between the two blocks of the fusion.
    """

    def __init__(self, streak_channels: int = 9, background_channels: int = 4, width: int = 5) -> None:
        super().__init__()
        self.merge_streaks = PlainBlock(streak_channels, 3)
        self.fuse1 = PlainBlock(background_channels + 3 + 3, width)
        self.fuse2 = PlainBlock(width, 3)

    def forward(
        self,
        streaks: Float[Tensor, "b streaks h w"],
        background: Float[Tensor, "b background h w"],
        rainy: Float[Tensor, "b 3 h w"],
    ) -> Float[Tensor, "b 3 h w"]:
        """Return the rain-free estimate; not clipped."""
        found = torch.cat([background, self.merge_streaks(streaks), rainy], 1)
        return self.fuse2(self.fuse1(found))

    def start_as_identity(self) -> None:
        """Set weights so that the head begins by handing the rainy picture through.

        The published head has no residual connection and starts from noise, far from the picture it was given.
        Copying is within its means (colours are not negative, so they pass its ReLUs), hence it can be where
        training begins (measured in docs/log.md). What comes from the two paths starts with small weights, so
        that gradients reach them from the first step.
        """
        with torch.no_grad():
            for conv in (self.fuse1.conv1, self.fuse1.conv2, self.fuse2.conv1, self.fuse2.conv2):
                conv.weight.mul_(0.1)
                assert conv.bias is not None
                conv.bias.zero_()
            dirac_(self.fuse1.conv1.weight[:3, -3:])
            for conv in (self.fuse1.conv2, self.fuse2.conv1, self.fuse2.conv2):
                dirac_(conv.weight[:3, :3])
