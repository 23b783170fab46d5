"""W-Net: rain-invariant low-frequency background.

The W-Net is two U-Nets in a row. Both the encoder and the decoder of the second U-Net add the
features of the FIRST encoder at their scale. A fourth input channel is the residue channel, in
which rain mostly cancels because it is nearly achromatic.

Source: Peng et al., IEEE SPL 27, 2020; wired like the published code (`stage2`).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crdnet.density import LUMA_WEIGHTS
from crdnet.nn.blocks import DownBlock, UpBlock, build_down_path, build_up_path

RESIDUE_SHARE = 0.8
"""Share of the residue channel in the fourth input channel; the rest is luma."""


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
    """Return features at every scale, finest first, plus the skips of another encoder."""
    scales = []
    for level, down in enumerate(encoder):
        features = down(features)
        if skips:
            features = features + skips[level]
        scales.append(features)
    return scales


def _decode(decoder: nn.ModuleList, features: Tensor, skips: Sequence[Tensor]) -> Tensor:
    """Return features at full size; the skips (finest first) are added on the way up."""
    deepest, *finer = decoder
    features = deepest(features)
    # The deepest decoder block has no skip of its own.
    for up, skip in zip(finer, reversed(skips), strict=True):
        features = up(features + skip)
    return features


def _measure_decoder_reach(decoder: nn.ModuleList, pixels: int) -> list[int]:
    """Return the reach of each input of a decoder, in pixels of its scale.

    The finest skip comes first and the deepest features last.
    """
    reaches = []
    for up in reversed(decoder):
        assert isinstance(up, UpBlock)
        pixels = up.measure_reach(pixels)
        reaches.append(pixels)
    return reaches


def _measure_encoder_reach(encoder: nn.ModuleList, needed: Sequence[int]) -> tuple[int, list[int]]:
    """Return the reach of the input of an encoder and of its features at every scale.

    Args:
        encoder: Down blocks, finest first.
        needed: Reach that others need of the features at each scale, finest first.
    """
    reach, at_scales = 0, []
    for down, wanted in zip(reversed(encoder), reversed(needed), strict=True):
        assert isinstance(down, DownBlock)
        at_scales.append(max(reach, wanted))
        reach = down.measure_reach(at_scales[-1])
    return reach, at_scales[::-1]


class WNet(nn.Module):
    """Two U-Nets in a row with additive skips from the first encoder.

    Args:
        widths: Channels after each halving; sides must be multiples of 2 ** len(widths).
        channels: Output channels of each U-Net, 4 as published. The input always has 4: RGB and the
            residue channel.
    """

    def __init__(self, widths: Sequence[int] = (8, 16, 32, 64, 128), channels: int = 4) -> None:
        super().__init__()
        self.channels = channels
        self.widths = tuple(widths)
        self.first_encoder = build_down_path(4, widths)
        self.first_decoder = build_up_path(widths, channels)
        self.second_encoder = build_down_path(channels, widths)
        self.second_decoder = build_up_path(widths, channels)

    def forward(self, rainy: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b background h w"]:
        """Return the features of the background, unbounded.

        Args:
            rainy: Gamma-encoded colours in [0, 1].
        """
        residue = RESIDUE_SHARE * residue_channel(rainy) + (1 - RESIDUE_SHARE) * luma_channel(rainy)
        skips = _encode(self.first_encoder, torch.cat([rainy, residue], 1))
        # The deepest features start the way up; only the finer ones are skips.
        first = _decode(self.first_decoder, skips[-1], skips[:-1])
        second = _encode(self.second_encoder, first, skips)
        return _decode(self.second_decoder, second[-1], skips[:-1])

    def measure_reach(self, pixels: int) -> int:
        """Return the reach of the input for a reach of the output; see `DownBlock`."""
        wanted = _measure_decoder_reach(self.second_decoder, pixels)
        between, added = _measure_encoder_reach(self.second_encoder, wanted)
        first_wanted = _measure_decoder_reach(self.first_decoder, between)
        # The features of the first encoder feed its own decoder and both halves of the second
        # U-Net.
        needed = [max(scale) for scale in zip(wanted, added, first_wanted, strict=True)]
        return _measure_encoder_reach(self.first_encoder, needed)[0]
