"""Refinement head: fusion of streaks, background and rainy image to the rain-free estimate.

Source: Peng et al., IEEE SPL 27, 2020; computed like the published code (`refine`), without batch
    norm, final activation or global residual.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.init import dirac_

from crdnet.nn.blocks import PlainBlock


class RefinementHead(nn.Module):
    """Fusion of the two paths and the rainy image.

    Args:
        streak_channels: Output channels of the streak extractor.
        background_channels: Output channels of the W-Net.
        width: Channels between the two blocks of the fusion.
    """

    def __init__(
        self,
        streak_channels: int = 9,
        background_channels: int = 4,
        width: int = 5,
    ) -> None:
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
        """Return the rain-free estimate, not clipped."""
        found = torch.cat([background, self.merge_streaks(streaks), rainy], 1)
        return self.fuse2(self.fuse1(found))

    def start_as_identity(self) -> None:
        """Set weights so that the head initially returns the rainy image.

        The published head has no residual connection, so with random weights it starts far from the
        rainy image. Copying is possible since colours are not negative and pass the ReLUs;
        docs/log.md has the measurements. The inputs from the two paths get small weights, so that
        gradients reach them from the first step.
        """
        with torch.no_grad():
            for conv in (self.fuse1.conv1, self.fuse1.conv2, self.fuse2.conv1, self.fuse2.conv2):
                # Small, not zero: gradients through zero weights would vanish.
                conv.weight.mul_(0.1)
                assert conv.bias is not None
                conv.bias.zero_()
            # The rainy image is last in the input of the fusion.
            dirac_(self.fuse1.conv1.weight[:3, -3:])
            for conv in (self.fuse1.conv2, self.fuse2.conv1, self.fuse2.conv2):
                dirac_(conv.weight[:3, :3])
