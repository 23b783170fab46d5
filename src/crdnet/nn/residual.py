"""Network of the models `default` and `best`: the three ideas of CRDNet on a residual body.

1. Streaks at several dilations: convolutions of dilation 1, 2 and 3 detect rain at half size.
2. W-shaped background: a second pass down and up adds the features of the first at every scale.
3. Density sensing, trained jointly: a coarse map of the intensity of the rain, from the streaks,
   the deepest features and the correction.

The output is the rainy image plus a correction. No layer depends on the batch or pools over the
image, so a tile with `tile_margin` pixels around it gets exactly the values of the whole image.

The design minimises time, not only multiplications. Channels are multiples of 16, the width of
vector units, and no convolution runs at full size. The stem is a 6x6 convolution of stride 2; it
replaces a 3x3 convolution of 2x2 blocks of pixels and needs no rearrangement.

Source of the ideas: Peng et al., IEEE SPL 27, 2020. The residual body is new.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pixel_shuffle, relu, softplus

from crdnet.nn.sharing import SharedNetwork
from crdnet.nn.sides import check_sides

Sensing = Literal["intensity", "code", "classes"]
"""Output of the sensing head: intensity S, three scores of the published code, or one per grade.

The last two exist for comparison; only `intensity` is exported.
"""

SENSING_OUTPUTS: dict[Sensing, int] = {"intensity": 1, "code": 3, "classes": 4}
INTENSITY_UNIT = 10.0
"""Factor from head outputs to grey levels; outputs of initial weights then mean medium rain."""
CHANGE_UNIT = 25.5
"""Factor from changes to head inputs: ten grey levels become 1, as for `INTENSITY_UNIT`."""
COLOURS_FOUND = 12
"""Channels of a correction at half size: three colours of 2x2 pixels."""


class ResidualBlock(nn.Module):
    """Two convolutions with a ReLU between them, added to the input.

    Args:
        channels: Input and output channels.
        second_kernel: Side of the second kernel; 1 keeps the receptive field small at coarse
            scales.
    """

    def __init__(self, channels: int, second_kernel: Literal[1, 3] = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, second_kernel, padding=second_kernel // 2)
        self.seen = 1 + second_kernel // 2

    def measure_reach(self, pixels: int) -> int:
        """Return the reach of the input for a reach of the output, both in pixels beyond a tile."""
        return pixels + self.seen

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return features of the same shape."""
        return features + self.conv2(relu(self.conv1(features)))


class DilatedStreaks(nn.Module):
    """Detection of streaks of several lengths by convolutions of several dilations.

    Args:
        channels: Channels of the input features and of the merged streaks.
        width: Channels per dilation.
        dilations: Dilation of each convolution.
    """

    def __init__(self, channels: int, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, width, 1)
        self.dilated = nn.ModuleList(
            nn.Conv2d(
                width,
                width,
                3,
                padding=dilation,
                dilation=dilation,
            )
            for dilation in dilations
        )
        self.merge = nn.Conv2d(width * len(dilations), channels, 1)
        self.channels = width * len(dilations)
        self.dilations = tuple(dilations)
        self.seen = max(dilations)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b streaks h w"]:
        """Return the concatenated streaks of all dilations, at least 0."""
        reduced = relu(self.reduce(features))
        return torch.cat([relu(dilated(reduced)) for dilated in self.dilated], 1)


class Pass(nn.Module):
    """U-Net with additive skips: one half of the W.

    Args:
        widths: Channels at each scale, the finest first; each scale halves the sides.
        encodes_every_scale: Whether every scale on the way down has a block; otherwise only the
            smallest scale has one, since the input has already been through a pass.
    """

    def __init__(self, widths: Sequence[int], *, encodes_every_scale: bool) -> None:
        super().__init__()
        block = ResidualBlock if encodes_every_scale else nn.Identity
        steps = list(pairwise(widths))
        self.downs = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in steps)
        self.encoder = nn.ModuleList(
            [
                *(block(width) for width in widths[:-1]),
                # A 3x3 kernel here would add 16 pixels to the margin of tiles.
                ResidualBlock(widths[-1], second_kernel=1),
            ],
        )
        self.ups = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in steps)
        self.decoder = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])

    def forward(self, features: Tensor, seen: Sequence[Tensor] = ()) -> list[Tensor]:
        """Return the features of the way up at every scale, the finest first.

        Args:
            features: Features at the finest scale.
            seen: Result of another pass, added on the way down.
        """
        encoded = [self.encoder[0](features)]
        for scale, (down, stage) in enumerate(zip(self.downs, self.encoder[1:], strict=True), 1):
            coarse = down(encoded[-1])
            encoded.append(stage(coarse + seen[scale] if seen else coarse))
        decoded = encoded[-1:]
        for skip, up, stage in zip(
            encoded[-2::-1],
            reversed(self.ups),
            reversed(self.decoder),
            strict=True,
        ):
            decoded.append(stage(enlarge(up(decoded[-1])) + skip))
        return decoded[::-1]

    def measure_reach(self, wanted: Sequence[int]) -> list[int]:
        """Return the reach of the inputs for a reach of the outputs.

        Args:
            wanted: Reach of each output, in pixels of its scale, the finest first.

        Returns:
            Reach of `features`, then of `seen` at each coarser scale, in pixels of their scales.
        """
        reaches = list(wanted)
        for scale, stage in enumerate(self.decoder):
            reaches[scale] = _measure_stage_reach(stage, reaches[scale])
            reaches[scale + 1] = max(reaches[scale + 1], _halve(reaches[scale]))
        for scale in range(len(reaches) - 1, -1, -1):
            reaches[scale] = _measure_stage_reach(self.encoder[scale], reaches[scale])
            if scale:
                reaches[scale - 1] = max(reaches[scale - 1], 2 * reaches[scale])
        return reaches


class SensingHead(nn.Module):
    """Density of the rain in each cell of the smallest scale.

    Args:
        channels: Total channels of the streaks (0 without streaks), the deepest features and the
            correction.
        says: Meaning of the output; see `Sensing`.
        cell: Side of a cell of the map, in pixels of the streaks.
        width: Hidden channels.
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
        """Return a map of the intensity in grey levels of 255, at least 0, or maps of scores.

        Args:
            streaks: Streaks, at least 0, so that the mean over a cell measures the detected rain.
            deepest: Features at the scale of the map.
            found: Correction, the colours of 2x2 pixels.
        """
        # Detached: the loss of the head must not change the image to make sensing easier.
        changes = CHANGE_UNIT * found.detach().abs()
        seen = [avg_pool2d(changes, self.cell), deepest]
        if streaks is not None:
            seen.append(avg_pool2d(streaks, self.cell))
        scores = self.conv2(relu(self.conv1(torch.cat(seen, 1))))
        return INTENSITY_UNIT * softplus(scores) if self.says == "intensity" else scores


class SensedEstimate(NamedTuple):
    """Output of the network for a batch."""

    derained: Float[Tensor, "b 3 h w"]
    """Rain-free estimate, not clipped."""
    density: Float[Tensor, "b k i j"] | None
    """See `SensingHead`; None without a sensing head."""


class ResidualCRDNet(SharedNetwork):
    """Residual CRDNet; see the docstring of this module.

    Args:
        stem: Maps colours to features at half size.
        streaks: Streak detection at half size, or None.
        entry: Maps features at half size to the finest scale of the passes.
        first: First pass, on the features.
        second: Second pass, on the result of the first, or None.
        way_out: Maps the result of the passes to channels at half size.
        head: Maps features at half size to twelve channels, the colours of 2x2 pixels.
        sensing: Sensing head, or None.
        shrinkage: Size up to which corrections are shrunk, in grey levels; see `shrink`.
    """

    kind = "residual"

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
        shrinkage: float = 0.0,
    ) -> None:
        super().__init__()
        self.shrinkage = shrinkage
        self.stem = stem
        self.streaks = streaks
        self.entry = entry
        self.first = first
        self.second = second
        self.way_out = way_out
        self.head = head
        self.sensing = sensing

    @classmethod
    def build(cls, **arguments: Any) -> "ResidualCRDNet":
        """Build a network; see `build_residual_crdnet`."""
        return build_residual_crdnet(**arguments)

    def describe(self) -> dict[str, Any]:
        """Return the arguments of `build_residual_crdnet` that build this network."""
        streaks = self.streaks
        scales = [self.entry.out_channels, *(down.out_channels for down in self.first.downs)]
        return {
            "width": self.stem.out_channels,
            "scale_widths": scales,
            "streak_width": 16 if streaks is None else streaks.reduce.out_channels,
            "dilations": [] if streaks is None else list(streaks.dilations),
            "second_pass": self.second is not None,
            "sensing": None if self.sensing is None else self.sensing.says,
            "shrinkage": self.shrinkage,
        }

    @property
    def size_multiple(self) -> int:
        """Number that divides both sides of an image; also the side of a density cell in pixels."""
        # Stem and entry halve once each, and so does every further scale of a pass.
        halvings: int = len(self.first.encoder) + 1
        return 2**halvings

    @property
    def tile_margin(self) -> int:
        """Pixels around a tile that affect its result, rounded up to `size_multiple`.

        The margin holds for tiles that begin and end on the grid of `size_multiple`.
        """
        half = sum(layer.kernel_size[0] // 2 for layer in self.head if isinstance(layer, nn.Conv2d))
        # The head needs the finest scale of the last pass; coarser scales only feed finer ones.
        reaches = [_halve(half), *[0] * (len(self.first.encoder) - 1)]
        for each in (self.second, self.first):
            if each is not None:
                reaches = each.measure_reach(reaches)
        half = max(half, 2 * reaches[0])
        if self.streaks is not None:
            half += self.streaks.seen
        reach = 2 * half + int(self.stem.padding[0])
        return -(-reach // self.size_multiple) * self.size_multiple

    def forward(self, rainy: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Estimate the rain-free image.

        Args:
            rainy: Gamma-encoded colours in [0, 1]; sides must be multiples of `size_multiple`.

        Returns:
            Colours, not clipped.

        Raises:
            SizeError: A side is not a multiple of `size_multiple`.
        """
        return self.sense(rainy).derained

    def sense(self, rainy: Float[Tensor, "b 3 h w"]) -> SensedEstimate:
        """Estimate the rain-free image and the map of its density (see `forward`)."""
        check_sides(rainy, self.size_multiple)
        return self.estimate_unchecked(rainy)

    def estimate_unchecked(self, rainy: Float[Tensor, "b 3 h w"]) -> SensedEstimate:
        """Compute the result of `sense` without checking the sides."""
        features = self.stem(rainy)
        streaks = None
        if self.streaks is not None:
            streaks = self.streaks(features)
            features = features + self.streaks.merge(streaks)
        scales = self.first(self.entry(features))
        if self.second is not None:
            scales = self.second(scales[0], scales)
        found = self.head(features + enlarge(self.way_out(scales[0])))
        density = None if self.sensing is None else self.sensing(streaks, scales[-1], found)
        correction = shrink(pixel_shuffle(found, 2), self.shrinkage)
        return SensedEstimate(rainy + correction, density)


def build_residual_crdnet(
    width: int = 32,
    scale_widths: Sequence[int] = (32, 64, 96),
    streak_width: int = 16,
    dilations: Sequence[int] = (1, 2, 3),
    second_pass: bool = True,
    sensing: Sensing | None = "intensity",
    shrinkage: float = 0.0,
) -> ResidualCRDNet:
    """Build a residual CRDNet that starts as the identity: its last weights are zero.

    The default arguments build the network of `default`: 579,693 parameters, 14.80 kMAC per pixel,
    sides in multiples of 16, a margin of 128 pixels.

    Args:
        width: Channels at half size.
        scale_widths: Channels at a quarter of the size, an eighth, and so on.
        streak_width: Channels per dilation.
        dilations: Dilations of the streak detection; empty leaves it out.
        second_pass: Whether there is a second pass (a W instead of a U).
        sensing: Output of the sensing head; None leaves it out.
        shrinkage: Size up to which corrections are shrunk, in grey levels of 255; 0 shrinks none.
            A network that starts as the identity does not learn with it.
    """
    streaks = DilatedStreaks(width, streak_width, dilations) if dilations else None
    last = nn.Conv2d(width, COLOURS_FOUND, 3, padding=1)
    # A zero correction is a better start than noise: the output equals the input.
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    nn.init.zeros_(last.bias)
    sensed_channels = COLOURS_FOUND + scale_widths[-1] + (streaks.channels if streaks else 0)
    return ResidualCRDNet(
        # 6x6 with stride 2 and padding 2 halves even sides exactly.
        stem=nn.Conv2d(3, width, 6, stride=2, padding=2),
        streaks=streaks,
        entry=nn.Conv2d(width, scale_widths[0], 2, stride=2),
        first=Pass(scale_widths, encodes_every_scale=True),
        second=Pass(scale_widths, encodes_every_scale=False) if second_pass else None,
        way_out=nn.Conv2d(scale_widths[0], width, 1),
        head=nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), last),
        sensing=SensingHead(
            sensed_channels,
            sensing,
            cell=2 ** len(scale_widths),
        )
        if sensing
        else None,
        shrinkage=shrinkage,
    )


def shrink(
    correction: Float[Tensor, "b 3 h w"],
    levels: float,
) -> Float[Tensor, "b 3 h w"]:
    """Return a correction whose small values are shrunk.

    Most small corrections come from texture and compression, not from rain. If the largest
    correction of a colour of a pixel is m < t, the correction of the pixel is multiplied by m / t;
    larger ones do not change. This is a smooth form of the shrinkage of Donoho and Johnstone,
    "Ideal spatial adaptation by wavelet shrinkage", Biometrika 1994.

    Args:
        correction: Change of the colours, in units of white.
        levels: Size t, in grey levels of 255; 0 shrinks none.
    """
    if levels == 0:
        return correction
    size = correction.abs().amax(1, keepdim=True)
    return correction * (size * (255 / levels)).clamp(max=1)


def enlarge(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 2*h 2*w"]:
    """Double both sides by repeating pixels."""
    return interpolate(features, scale_factor=2.0, mode="nearest")


def _halve(pixels: int) -> int:
    """Return the number of pixels at half size that cover `pixels`."""
    return (pixels + 1) // 2


def _measure_stage_reach(stage: nn.Module, pixels: int) -> int:
    return stage.measure_reach(pixels) if isinstance(stage, ResidualBlock) else pixels
