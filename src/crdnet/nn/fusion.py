"""Network of three frames, which improves a frame that was fused with its aligned neighbours.

Its design follows `default`: features at half size, a pass over coarser scales, and a correction as
the colours of 2x2 pixels. It is small, because `default` has processed each frame before: 5.1 kMAC
per pixel, 19.9 together with `default`.

Besides the correction, the head returns a weight for every image and pixel. The weighted difference
of the image from the fused one is added, so that detail of an image passes at full size.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, relu

from crdnet.nn.residual import COLOURS_FOUND, ResidualBlock, enlarge

IMAGES = 7
"""Number of input images: fused, then derained and rainy of the frame and two neighbours."""
# Factor from differences of images to inputs, which brings them to the range of colours.
_CHANGE_UNIT = 5.0


class FusionNetwork(nn.Module):
    """Network of three frames that starts as the identity on the fused image.

    Args:
        width: Channels at half size.
        coarse_width: Channels at a quarter and an eighth of the size.
    """

    kind = "fusion"
    size_multiple = 8
    """Number that divides both sides of the images."""
    tile_margin = 24
    """Pixels around a tile that affect its result."""

    def __init__(self, width: int = 32, coarse_width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3 * IMAGES, width, 2, stride=2)
        self.entry = nn.Conv2d(width, coarse_width, 2, stride=2)
        self.encoder = ResidualBlock(coarse_width, second_kernel=1)
        self.down = nn.Conv2d(coarse_width, coarse_width, 2, stride=2)
        self.coarsest = ResidualBlock(coarse_width, second_kernel=1)
        self.up = nn.Conv2d(coarse_width, coarse_width, 1)
        self.decoder = ResidualBlock(coarse_width, second_kernel=1)
        self.way_out = nn.Conv2d(coarse_width, width, 1)
        self.merge = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Conv2d(width, COLOURS_FOUND + 4 * (IMAGES - 1), 1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def describe(self) -> dict[str, Any]:
        """Return the arguments that build this network."""
        return {"width": self.stem.out_channels, "coarse_width": self.entry.out_channels}

    def forward(self, images: Float[Tensor, "b 21 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Return the improved frame.

        Args:
            images: Seven aligned images in [0, 1]: the frame fused by variances, its derained and
                rainy image, those of the previous frame and those of the next one; sides must be
                multiples of `size_multiple`.
        """
        fused, *others = images.chunk(IMAGES, 1)
        changes = [other - fused for other in others]
        seen = torch.cat([fused, *(_CHANGE_UNIT * change for change in changes)], 1)
        features = relu(self.stem(seen))
        fine = self.encoder(relu(self.entry(features)))
        coarse = self.coarsest(self.down(fine))
        fine = self.decoder(fine + enlarge(self.up(coarse)))
        features = relu(self.merge(features + enlarge(self.way_out(fine))))
        found = pixel_shuffle(self.head(features), 2)
        correction, weights = found[:, :3], found[:, 3:]
        improved = fused + correction
        for change, weight in zip(changes, weights.chunk(len(others), 1), strict=True):
            improved = improved + weight * change
        return improved
