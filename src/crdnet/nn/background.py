"""The W-Net: rain-invariant low-frequency background.

Two U-Nets in a row, W-shaped. The second sees the first's features: both its encoder and its decoder add the
features of the FIRST encoder at their scale. Beside the colours the W-Net is given a channel in which rain,
being nearly achromatic, mostly cancels.

Source: Peng et al., IEEE SPL 27, 2020; wiring as the published code computes it (`stage2`).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crdnet.density import LUMA_WEIGHTS
from crdnet.nn.blocks import DownBlock, UpBlock, down_path, up_path

RESIDUE_SHARE = 0.8
"""Share of the residue channel in the W-Net's fourth input; the rest is luma."""


def residue_channel(rgb: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Return the residue channel: each pixel's largest minus smallest colour component.

    Rain is nearly achromatic, so streaks mostly cancel while coloured structure stays.

    Args:
        rgb: Gamma-encoded colours in [0, 1].
    """
    return rgb.amax(1, keepdim=True) - rgb.amin(1, keepdim=True)


def luma_channel(rgb: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Return BT.601 luma of gamma-encoded colours, in their range."""
    red, green, blue = LUMA_WEIGHTS
    return red * rgb[:, 0:1] + green * rgb[:, 1:2] + blue * rgb[:, 2:3]


def _encode(encoder: nn.ModuleList, features: Tensor, skips: Sequence[Tensor] = ()) -> list[Tensor]:
    """Return an encoder's features at every scale, finest first, with the skips of another encoder added."""
    scales = []
    for level, down in enumerate(encoder):
        features = down(features)
        if skips:
            features = features + skips[level]
        scales.append(features)
    return scales


def _decode(decoder: nn.ModuleList, features: Tensor, skips: Sequence[Tensor]) -> Tensor:
    """Return a decoder's answer at full size, the skips (finest first) added on the way up."""
    deepest, *finer = decoder
    features = deepest(features)
    for up, skip in zip(finer, reversed(skips), strict=True):
        features = up(features + skip)
    return features


def _decoder_reach(decoder: nn.ModuleList, pixels: int) -> list[int]:
    """Return how far beyond a tile a decoder needs its inputs, finest skip first, the deepest features last."""
    reaches = []
    for up in reversed(decoder):
        assert isinstance(up, UpBlock)
        pixels = up.reach(pixels)
        reaches.append(pixels)
    return reaches


def _encoder_reach(encoder: nn.ModuleList, needed: Sequence[int]) -> tuple[int, list[int]]:
    """Return how far an encoder needs its input, and its features at every scale, for what is `needed` of these."""
    reach, at_scales = 0, []
    for down, wanted in zip(reversed(encoder), reversed(needed), strict=True):
        assert isinstance(down, DownBlock)
        at_scales.append(max(reach, wanted))
        reach = down.reach(at_scales[-1])
    return reach, at_scales[::-1]


class WNet(nn.Module):
    """Two U-Nets in a row with additive skips from the first encoder.

    Args:
        widths: Channels after each halving of the size; the sides must be multiples of 2 ** len(widths).
        channels: Channels in and out of each U-Net. The input is RGB and the residue channel, so it is 4 as
            published.
    """

    def __init__(self, widths: Sequence[int] = (8, 16, 32, 64, 128), channels: int = 4) -> None:
        super().__init__()
        self.channels = channels
        self.first_encoder = down_path(4, widths)
        self.first_decoder = up_path(widths, channels)
        self.second_encoder = down_path(channels, widths)
        self.second_decoder = up_path(widths, channels)

    def forward(self, rainy: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b background h w"]:
        """Return the background's features; unbounded.

        Args:
            rainy: Gamma-encoded colours in [0, 1].
        """
        residue = RESIDUE_SHARE * residue_channel(rainy) + (1 - RESIDUE_SHARE) * luma_channel(rainy)
        skips = _encode(self.first_encoder, torch.cat([rainy, residue], 1))
        first = _decode(self.first_decoder, skips[-1], skips[:-1])
        second = _encode(self.second_encoder, first, skips)
        return _decode(self.second_decoder, second[-1], skips[:-1])

    def reach(self, pixels: int) -> int:
        """Return how many pixels beyond a tile decide the background up to `pixels` beyond it."""
        wanted = _decoder_reach(self.second_decoder, pixels)
        between, added = _encoder_reach(self.second_encoder, wanted)
        first_wanted = _decoder_reach(self.first_decoder, between)
        # The first encoder's features are wanted by its own decoder and by both halves of the second U-Net.
        needed = [max(scale) for scale in zip(wanted, added, first_wanted, strict=True)]
        return _encoder_reach(self.first_encoder, needed)[0]
