"""Blocks of the published network.

A block is conv - BN - ReLU - conv - (max-pool | nearest upsampling), with nothing after the second
convolution. The published code registers a second norm and activation under the names of the first,
so they replace the first pair. Published weights depend on there being one pair.
"""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, relu


class DownBlock(nn.Module):
    """Two 3x3 convolutions, then a 2x2 max-pool: half the sides, `width` channels.

    Args:
        channels: Input channels.
        width: Output channels.
        dilation: Dilation of both convolutions.
    """

    def __init__(self, channels: int, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation)
        self.norm = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.dilation = dilation

    def measure_reach(self, pixels: int) -> int:
        """Return the reach of the input for a reach of the output.

        Args:
            pixels: Distance beyond a tile up to which the output must be exact, in its pixels.

        Returns:
            Distance beyond the tile up to which the input matters, in its pixels.
        """
        return 2 * pixels + 2 * self.dilation

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h//2 w//2"]:
        """Return features at half the size; sides must be even."""
        return max_pool2d(self.conv2(relu(self.norm(self.conv1(features)))), 2)


class UpBlock(nn.Module):
    """Two 3x3 transposed convolutions of stride 1, then nearest upsampling to twice the sides.

    Args:
        channels: Input channels.
        width: Output channels.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        # At stride 1 a convolution with a flipped kernel computes the same. The transposed
        # convolution stays so that published weights load unchanged.
        self.conv1 = nn.ConvTranspose2d(channels, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.conv2 = nn.ConvTranspose2d(width, width, 3, padding=1)

    def measure_reach(self, pixels: int) -> int:
        """Return the reach of the input for a reach of the output; see `DownBlock`."""
        # Upsampling halves a distance, rounded up, and two 3x3 convolutions add a pixel each.
        return (pixels + 1) // 2 + 2

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d 2*h 2*w"]:
        """Return features at twice the size."""
        return interpolate(
            self.conv2(relu(self.norm(self.conv1(features)))), scale_factor=2.0, mode="nearest"
        )


class PlainBlock(nn.Module):
    """Two 3x3 convolutions with a ReLU between them and no norm: block of the refinement head.

    Args:
        channels: Input channels.
        width: Output channels.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Return features at the same size."""
        return self.conv2(relu(self.conv1(features)))


def build_down_path(channels: int, widths: Sequence[int], dilation: int = 1) -> nn.ModuleList:
    """Build a chain of `DownBlock`s with `channels` inputs and one block per width."""
    return nn.ModuleList(
        DownBlock(before, width, dilation) for before, width in pairwise((channels, *widths))
    )


def build_up_path(widths: Sequence[int], channels: int) -> nn.ModuleList:
    """Build a chain of `UpBlock`s from the deepest width of a down path to `channels` outputs."""
    return nn.ModuleList(
        UpBlock(width, after)
        for width, after in pairwise(
            (*reversed(widths), channels),
        )
    )
