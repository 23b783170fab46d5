"""The blocks that the published network repeats.

A block is conv - BN - ReLU - conv - (max-pool | nearest upsampling), with nothing after the second
convolution. The published code registers a second pair of norm and activation under the names of the first,
which replaces that pair instead of adding another; weights trained with it depend on there being one.
"""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, relu


class DownBlock(nn.Module):
    """Two 3x3 convolutions, then a 2x2 max-pool: half the sides, `width` channels.

    Args:
        channels: Channels that come in.
        width: Channels that go out.
        dilation: Of both convolutions.
    """

    def __init__(self, channels: int, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation)
        self.norm = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.dilation = dilation

    def reach(self, pixels: int) -> int:
        """Return how far beyond a tile's border the input decides what the output does up to `pixels` beyond it."""
        return 2 * pixels + 2 * self.dilation

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h//2 w//2"]:
        """Return features at half the size; sides must be even."""
        return max_pool2d(self.conv2(relu(self.norm(self.conv1(features)))), 2)


class UpBlock(nn.Module):
    """Two 3x3 transposed convolutions of stride 1, then nearest upsampling: twice the sides, `width` channels.

    Args:
        channels: Channels that come in.
        width: Channels that go out.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        # At stride 1 a transposed convolution is a convolution with its kernel turned round. It stays one
        # here so that published weights load unchanged.
        self.conv1 = nn.ConvTranspose2d(channels, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.conv2 = nn.ConvTranspose2d(width, width, 3, padding=1)

    def reach(self, pixels: int) -> int:
        """Return how far beyond a tile's border the input decides what the output does up to `pixels` beyond it."""
        return (pixels + 1) // 2 + 2

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d 2*h 2*w"]:
        """Return features at twice the size."""
        return interpolate(
            self.conv2(relu(self.norm(self.conv1(features)))), scale_factor=2.0, mode="nearest"
        )


class PlainBlock(nn.Module):
    """Two 3x3 convolutions with a ReLU between them, without norm: the block of the refinement head.

    Args:
        channels: Channels that come in.
        width: Channels that go out.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Return features at the same size."""
        return self.conv2(relu(self.conv1(features)))


def down_path(channels: int, widths: Sequence[int], dilation: int = 1) -> nn.ModuleList:
    """Return one `DownBlock` per width, each fed by the one before it, the first by `channels`."""
    return nn.ModuleList(
        DownBlock(before, width, dilation) for before, width in pairwise((channels, *widths))
    )


def up_path(widths: Sequence[int], channels: int) -> nn.ModuleList:
    """Return one `UpBlock` per width of a down path, walked from its deepest width up to `channels`."""
    return nn.ModuleList(UpBlock(width, after) for width, after in pairwise((*reversed(widths), channels)))
