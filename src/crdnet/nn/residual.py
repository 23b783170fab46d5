"""Our network: the three ideas of CRDNet on a residual body that processors like.

1. Streaks at several dilations: beside the stem, convolutions of dilation 1, 2 and 3 look for rain at half size.
2. A W-shaped background: a second pass down and up adds the features of the first at every scale.
3. Density sensing, trained together with the rest: a coarse map of how strong the rain is, from the streaks, the
   deepest features and how much is about to be taken out.

What comes out is a correction of the rainy picture. No layer depends on the batch or pools over the picture, so
a tile with `tile_margin` pixels around it is computed exactly as in the whole picture.

The shape follows the clock, not only the count of multiplications: channels are multiples of 16, which is what
vector units hold, and no convolution runs at full size. The stem is a 6x6 convolution of stride 2, which computes
what a 3x3 convolution of 2x2 blocks of pixels would, without moving them first.

Source of the ideas: Peng et al., IEEE SPL 27, 2020. The body is our own.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pixel_shuffle, relu, softplus

from crdnet.nn.sides import check_sides

Sensing = Literal["strength", "code", "classes"]
"""What a density head says: the strength S, the published code of three scores, or a score per grade.

The last two exist to be compared with the first; only `strength` is exported.
"""

SENSING_OUTPUTS: dict[Sensing, int] = {"strength": 1, "code": 3, "classes": 4}
STRENGTH_UNIT = 10.0
"""Grey levels that the head's numbers are multiplied by, so that weights near zero mean middling rain."""
CHANGE_UNIT = 25.5
"""What changes are multiplied by for the head: ten grey levels are one, as in `STRENGTH_UNIT`."""
COLOURS_FOUND = 12
"""The three colours of 2x2 pixels."""


class ResidualBlock(nn.Module):
    """Two convolutions with a ReLU between them, added to what came in.

    Args:
        channels: In and out.
        second_kernel: Side of the second convolution; 1 keeps the field of view small where a pixel is large.
    """

    def __init__(self, channels: int, second_kernel: Literal[1, 3] = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, second_kernel, padding=second_kernel // 2)
        self.seen = 1 + second_kernel // 2

    def reach(self, pixels: int) -> int:
        """Return how far beyond a tile the input decides what the output does up to `pixels` beyond it."""
        return pixels + self.seen

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return features of the same shape."""
        return features + self.conv2(relu(self.conv1(features)))


class DilatedStreaks(nn.Module):
    """Rain streaks of several lengths, found by convolutions of several dilations.

    Args:
        channels: Of the features looked at, and of what is added to them.
        width: Channels per dilation.
        dilations: One convolution each.
    """

    def __init__(self, channels: int, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, width, 1)
        self.dilated = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation) for dilation in dilations
        )
        self.merge = nn.Conv2d(width * len(dilations), channels, 1)
        self.channels = width * len(dilations)
        self.seen = max(dilations)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b streaks h w"]:
        """Return the streaks of every dilation side by side, from 0 up."""
        reduced = relu(self.reduce(features))
        return torch.cat([relu(dilated(reduced)) for dilated in self.dilated], 1)


class Pass(nn.Module):
    """One U of the W: down to the smallest scale and up again, with additive skips.

    Args:
        widths: Channels at each scale, the finest first; each scale has half the sides of the one before.
        encodes_every_scale: Whether there is a block at every scale on the way down; else at the smallest alone,
            since what comes in has been through a pass already.
    """

    def __init__(self, widths: Sequence[int], *, encodes_every_scale: bool) -> None:
        super().__init__()
        self.downs = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairwise(widths))
        # At the smallest scale a pixel is many pixels of the picture; a 3x3 there costs 16 of the tiles' margin.
        self.encoder = nn.ModuleList(
            [ResidualBlock(width) if encodes_every_scale else nn.Identity() for width in widths[:-1]]
            + [ResidualBlock(widths[-1], second_kernel=1)]
        )
        self.ups = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.decoder = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])

    def forward(self, features: Tensor, seen: Sequence[Tensor] = ()) -> list[Tensor]:
        """Return the features of the way up at every scale, the finest first.

        Args:
            features: At the finest scale.
            seen: What another pass returned; added on the way down.
        """
        encoded = [self.encoder[0](features)]
        for scale, (down, stage) in enumerate(zip(self.downs, self.encoder[1:], strict=True), 1):
            coarse = down(encoded[-1])
            encoded.append(stage(coarse + seen[scale] if seen else coarse))
        decoded = encoded[-1:]
        for skip, up, stage in zip(encoded[-2::-1], reversed(self.ups), reversed(self.decoder), strict=True):
            decoded.append(stage(enlarged(up(decoded[-1])) + skip))
        return decoded[::-1]

    def reach(self, wanted: Sequence[int]) -> list[int]:
        """Return how far beyond a tile the inputs decide what is `wanted` of the features returned.

        Each number is in pixels of its scale, the finest first; the first is for `features`, the others for `seen`.
        """
        reaches = list(wanted)
        for scale, stage in enumerate(self.decoder):
            reaches[scale] = _reach_of(stage, reaches[scale])
            reaches[scale + 1] = max(reaches[scale + 1], _halved(reaches[scale]))
        for scale in range(len(reaches) - 1, -1, -1):
            reaches[scale] = _reach_of(self.encoder[scale], reaches[scale])
            if scale:
                reaches[scale - 1] = max(reaches[scale - 1], 2 * reaches[scale])
        return reaches


class SensingHead(nn.Module):
    """How heavy the rain is in each cell of the smallest scale.

    Args:
        channels: Of the streaks (0 if there are none), the deepest features and what was found, together.
        says: See `Sensing`.
        cell: Side of a cell of the map, in pixels of the streaks.
        width: Channels in between.
    """

    def __init__(self, channels: int, says: Sensing, cell: int, width: int = 32) -> None:
        super().__init__()
        self.says = says
        self.cell = cell
        self.conv1 = nn.Conv2d(channels, width, 1)
        self.conv2 = nn.Conv2d(width, SENSING_OUTPUTS[says], 1)

    def forward(
        self,
        streaks: Float[Tensor, "b s h w"] | None,
        deepest: Float[Tensor, "b d i j"],
        found: Float[Tensor, "b 12 h w"],
    ) -> Float[Tensor, "b k i j"]:
        """Return a map of the strength in grey levels of 255, from 0 up, or maps of scores.

        Args:
            streaks: From 0 up, so that their mean over a cell says how much rain was found there.
            deepest: Features at the scale of the map.
            found: What is to be changed, the colours of 2x2 pixels.
        """
        # Evidence for the head, which must not bend the picture to make its own work easier.
        changes = CHANGE_UNIT * found.detach().abs()
        seen = [avg_pool2d(changes, self.cell), deepest]
        if streaks is not None:
            seen.append(avg_pool2d(streaks, self.cell))
        scores = self.conv2(relu(self.conv1(torch.cat(seen, 1))))
        return STRENGTH_UNIT * softplus(scores) if self.says == "strength" else scores


class SensedEstimate(NamedTuple):
    """What the network says of a batch."""

    derained: Float[Tensor, "b 3 h w"]
    """Rain-free estimate, not clipped."""
    density: Float[Tensor, "b k i j"] | None
    """See `SensingHead`; None of a network that senses none."""


class ResidualCRDNet(nn.Module):
    """Residual CRDNet; see the head of this module.

    Args:
        stem: From colours to features at half size.
        streaks: None leaves out the first idea.
        entry: From half size to the finest scale of the passes.
        first: Pass that sees the features.
        second: Pass that sees what the first one found; None leaves out the second idea.
        way_out: From the passes back to the channels at half size.
        head: From features at half size to twelve channels, the colours of 2x2 pixels.
        sensing: None leaves out the third idea.
    """

    def __init__(
        self,
        stem: nn.Conv2d,
        streaks: DilatedStreaks | None,
        entry: nn.Conv2d,
        first: Pass,
        second: Pass | None,
        way_out: nn.Conv2d,
        head: nn.Sequential,
        sensing: SensingHead | None,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.streaks = streaks
        self.entry = entry
        self.first = first
        self.second = second
        self.way_out = way_out
        self.head = head
        self.sensing = sensing

    @property
    def size_multiple(self) -> int:
        """What both sides of a picture must be multiples of; also the side of a cell of the density map."""
        halvings: int = len(self.first.encoder) + 1
        return 2**halvings

    @property
    def tile_margin(self) -> int:
        """Pixels around a tile that decide its answer, brought to the grid of `size_multiple`.

        Holds for tiles that begin and end on that grid.
        """
        half = sum(layer.kernel_size[0] // 2 for layer in self.head if isinstance(layer, nn.Conv2d))
        reaches = [_halved(half), *[0] * (len(self.first.encoder) - 1)]
        for each in (self.second, self.first):
            if each is not None:
                reaches = each.reach(reaches)
        half = max(half, 2 * reaches[0])
        if self.streaks is not None:
            half += self.streaks.seen
        reach = 2 * half + int(self.stem.padding[0])
        return -(-reach // self.size_multiple) * self.size_multiple

    def forward(self, rainy: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Estimate the rain-free picture.

        Args:
            rainy: Gamma-encoded colours in [0, 1]; sides must be multiples of `size_multiple`.

        Returns:
            Colours, not clipped.

        Raises:
            SizeError: A side is not a multiple of `size_multiple`.
        """
        return self.sense(rainy).derained

    def sense(self, rainy: Float[Tensor, "b 3 h w"]) -> SensedEstimate:
        """Estimate the rain-free picture and the map of its density (see `forward`)."""
        check_sides(rainy, self.size_multiple)
        return self.computed(rainy)

    def computed(self, rainy: Float[Tensor, "b 3 h w"]) -> SensedEstimate:
        """Do what `sense` does, without a look at the sides."""
        features = self.stem(rainy)
        streaks = None
        if self.streaks is not None:
            streaks = self.streaks(features)
            features = features + self.streaks.merge(streaks)
        scales = self.first(self.entry(features))
        if self.second is not None:
            scales = self.second(scales[0], scales)
        found = self.head(features + enlarged(self.way_out(scales[0])))
        density = None if self.sensing is None else self.sensing(streaks, scales[-1], found)
        return SensedEstimate(rainy + pixel_shuffle(found, 2), density)


def build_residual_crdnet(
    width: int = 32,
    scale_widths: Sequence[int] = (32, 64, 96),
    streak_width: int = 16,
    dilations: Sequence[int] = (1, 2, 3),
    second_pass: bool = True,
    sensing: Sensing | None = "strength",
) -> ResidualCRDNet:
    """Return our network; it begins as the identity: the last weights are zero.

    By default: 579,693 parameters, 14.80 kMAC per pixel, sides that are multiples of 16, a margin of 128 pixels.

    Args:
        width: Channels at half size.
        scale_widths: Channels at a quarter of the size, an eighth, and so on.
        streak_width: Channels per dilation.
        dilations: Of the streak branch; none at all leaves it out.
        second_pass: Whether the background path is a W or a U.
        sensing: What the density head says; None leaves it out.
    """
    streaks = DilatedStreaks(width, streak_width, dilations) if dilations else None
    last = nn.Conv2d(width, COLOURS_FOUND, 3, padding=1)
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    nn.init.zeros_(last.bias)
    sensed_channels = COLOURS_FOUND + scale_widths[-1] + (streaks.channels if streaks else 0)
    return ResidualCRDNet(
        stem=nn.Conv2d(3, width, 6, stride=2, padding=2),
        streaks=streaks,
        entry=nn.Conv2d(width, scale_widths[0], 2, stride=2),
        first=Pass(scale_widths, encodes_every_scale=True),
        second=Pass(scale_widths, encodes_every_scale=False) if second_pass else None,
        way_out=nn.Conv2d(scale_widths[0], width, 1),
        head=nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), last),
        sensing=SensingHead(sensed_channels, sensing, cell=2 ** len(scale_widths)) if sensing else None,
    )


def enlarged(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 2*h 2*w"]:
    """Return features at twice the size, each pixel repeated."""
    return interpolate(features, scale_factor=2.0, mode="nearest")


def _halved(pixels: int) -> int:
    """Return how many pixels of half the size hold so many pixels beyond a tile."""
    return (pixels + 1) // 2


def _reach_of(stage: nn.Module, pixels: int) -> int:
    return stage.reach(pixels) if isinstance(stage, ResidualBlock) else pixels
