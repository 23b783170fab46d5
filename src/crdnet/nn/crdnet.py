"""CRDNet as published, with and without its density classifier.

Source: L. Peng, A. Jiang, Q. Yi, M. Wang, "Cumulative Rain Density Sensing Network for Single Image
    Derain", IEEE Signal Processing Letters 27:406-410, 2020. Where the published code and the text
    of the paper differ, we follow the code; docs/fidelity.md lists every difference.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from crdnet.nn.background import WNet
from crdnet.nn.density import DensityClassifier
from crdnet.nn.refinement import RefinementHead
from crdnet.nn.sharing import SharedNetwork
from crdnet.nn.sides import check_sides
from crdnet.nn.streaks import StreakExtractor


class CRDNet(SharedNetwork):
    """Cumulative rain-density sensing network, without its training-time classifier.

    With the published widths: 904,546 parameters, 13.29 kMAC per pixel, sides that are multiples of
    32.
    """

    kind = "published"

    def __init__(
        self,
        streaks: StreakExtractor,
        background: WNet,
        refinement: RefinementHead,
    ) -> None:
        super().__init__()
        self.streaks = streaks
        self.background = background
        self.refinement = refinement

    @classmethod
    def build(cls, **arguments: Any) -> "CRDNet":
        """Build a network; see `build_crdnet`."""
        return build_crdnet(**arguments)

    def describe(self) -> dict[str, Any]:
        """Return the arguments of `build_crdnet` that build this network."""
        return {
            "streak_widths": list(self.streaks.widths),
            "dilations": list(self.streaks.dilations),
            "background_widths": list(self.background.widths),
            "background_channels": self.background.channels,
            "refinement_width": self.refinement.fuse1.conv2.out_channels,
        }

    @property
    def size_multiple(self) -> int:
        """Number that divides both sides of an image: 2 to the depth of the deepest path."""
        halvings: int = max(len(self.streaks.decoder), len(self.background.first_encoder))
        return 2**halvings

    @property
    def tile_margin(self) -> int:
        """Pixels around a tile that affect its result, rounded up to `size_multiple`.

        The published network has 384. The margin holds for tiles that begin and end on the grid of
        `size_multiple`.
        """
        fused = 4  # reach of the four convolutions in the last two blocks of the refinement
        streaks = max(self.streaks.measure_reach(fused + 2))
        reach = max(fused, streaks, self.background.measure_reach(fused))
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
        check_sides(rainy, self.size_multiple)
        return self.refinement(self.streaks(rainy), self.background(rainy), rainy)


class Estimate(NamedTuple):
    """Output of the network and its classifier for a batch."""

    derained: Float[Tensor, "b 3 h w"]
    """Rain-free estimate, not clipped."""
    scores: Float[Tensor, "b 3"]
    """Scores of the cumulative code, most significant bit first."""


class CRDNetWithClassifier(nn.Module):
    """CRDNet and its density classifier, which share the streak extractor, for training."""

    def __init__(self, network: CRDNet, classifier: DensityClassifier) -> None:
        super().__init__()
        self.network = network
        self.classifier = classifier

    def forward(self, rainy: Float[Tensor, "b 3 h w"]) -> Estimate:
        """Estimate the rain-free image and the scores of its density (see `CRDNet.forward`)."""
        check_sides(rainy, self.network.size_multiple)
        # Computed once, for the refinement and for the classifier.
        streaks = self.network.streaks(rainy)
        derained = self.network.refinement(streaks, self.network.background(rainy), rainy)
        return Estimate(derained, self.classifier(streaks))


def build_crdnet(
    streak_widths: Sequence[int] = (4, 8, 16),
    dilations: Sequence[int] = (1, 2, 3),
    background_widths: Sequence[int] = (8, 16, 32, 64, 128),
    background_channels: int = 4,
    refinement_width: int = 5,
) -> CRDNet:
    """Build a CRDNet, by default with the published widths.

    Args:
        streak_widths: See `StreakExtractor`.
        dilations: See `StreakExtractor`.
        background_widths: See `WNet`.
        background_channels: See `WNet`.
        refinement_width: See `RefinementHead`.
    """
    streaks = StreakExtractor(streak_widths, dilations)
    background = WNet(background_widths, background_channels)
    return CRDNet(
        streaks, background, RefinementHead(streaks.channels, background.channels, refinement_width)
    )


def build_classifier(
    network: CRDNet,
    widths: Sequence[int] = (16, 32, 64, 128, 256, 512, 1024),
    hidden: Sequence[int] = (4096, 1000),
    pooling: Literal["flatten", "global"] = "flatten",
) -> CRDNetWithClassifier:
    """Join a network and a new density classifier.

    The default arguments build the published classifier with 77,510,275 parameters. They are those
    of `DensityClassifier`.
    """
    return CRDNetWithClassifier(
        network,
        DensityClassifier(network.streaks.channels, widths, hidden, pooling),
    )
