"""Laws of the network that need no golden figures."""

from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError

from crdnet.errors import SizeError
from crdnet.nn import (
    CRDNet,
    DensityClassifier,
    RefinementHead,
    StreakExtractor,
    WNet,
    build_classifier,
    build_crdnet,
    count_kilo_macs,
    luma_channel,
    residue_channel,
)

TINY: dict[str, Any] = {
    "streak_widths": (2, 3),
    "dilations": (1, 2),
    "background_widths": (2, 3, 4),
    "background_channels": 3,
    "refinement_width": 4,
}


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_stages_have_the_published_numbers_of_parameters() -> None:
    network = build_crdnet()
    assert parameters(network.streaks) == 16_461
    assert parameters(network.background) == 886_848
    assert parameters(network.refinement) == 1_237
    assert parameters(network) == 904_546
    assert parameters(DensityClassifier()) == 77_510_275


def test_the_deraining_path_costs_what_was_counted() -> None:
    macs = sum(count_kilo_macs(build_crdnet().eval()).values())
    assert macs == pytest.approx(13.29, abs=0.01)


def test_one_decoder_serves_all_dilations() -> None:
    streaks = StreakExtractor()
    assert len(streaks.encoders) == 3
    wider = StreakExtractor(dilations=(1, 2, 3, 4))
    encoder = parameters(streaks.encoders[0])
    assert parameters(wider) == parameters(streaks) + encoder


def test_every_width_is_an_argument() -> None:
    network = build_crdnet(**TINY)
    assert network.size_multiple == 8
    assert network(torch.rand(2, 3, 16, 24)).shape == (2, 3, 16, 24)
    estimate = build_classifier(network, widths=(4, 4), hidden=(5,), pooling="global")(
        torch.rand(2, 3, 16, 24)
    )
    assert estimate.scores.shape == (2, 3)


def test_parts_of_other_widths_can_be_put_together_by_hand() -> None:
    streaks, background = StreakExtractor((2,), (1,)), WNet((2, 4), channels=5)
    network = CRDNet(
        streaks,
        background,
        RefinementHead(streaks.channels, background.channels, width=6),
    )
    assert network(torch.rand(1, 3, 8, 4)).shape == (1, 3, 8, 4)


@pytest.mark.parametrize("size", [(31, 32), (32, 33), (1, 1)])
def test_a_side_that_is_no_multiple_of_32_is_refused_with_the_size_to_pad_to(
    size: tuple[int, int],
) -> None:
    with pytest.raises(SizeError, match=r"multiples of 32, got .* pad to (32|64) x (32|64)"):
        build_crdnet()(torch.rand(1, 3, *size))


def test_the_flattening_classifier_takes_only_512_pixels() -> None:
    small = build_classifier(build_crdnet(**TINY), widths=(2, 2), hidden=(3,), pooling="flatten")
    assert small(torch.rand(1, 3, 16, 16)).scores.shape == (1, 3)
    with pytest.raises(SizeError, match="sides of exactly 16, got 32 x 32"):
        small(torch.rand(1, 3, 32, 32))


def test_the_residue_of_grey_rain_on_a_colour_is_the_residue_of_the_colour() -> None:
    colour = torch.tensor([0.2, 0.5, 0.3]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    rain = torch.rand(1, 1, 4, 4) * 0.4
    torch.testing.assert_close(residue_channel(colour + rain), residue_channel(colour))


def test_luma_of_white_is_one() -> None:
    torch.testing.assert_close(luma_channel(torch.ones(1, 3, 2, 2)), torch.ones(1, 1, 2, 2))


def test_a_network_that_starts_as_identity_nearly_copies() -> None:
    torch.manual_seed(0)
    network = build_crdnet().eval()
    rainy = torch.rand(1, 3, 64, 64)
    assert (network(rainy) - rainy).abs().mean() > 0.2
    network.refinement.start_as_identity()
    assert (network(rainy) - rainy).abs().mean() < 0.05


def test_shapes_in_signatures_are_checked_here() -> None:
    with pytest.raises(TypeCheckError):
        residue_channel(torch.rand(3, 4, 4))


@pytest.mark.parametrize("widths", [TINY, {**TINY, "dilations": (4,), "background_widths": (2, 3)}])
def test_what_lies_beyond_the_margin_of_a_tile_does_not_change_it_and_what_lies_within_does(
    widths: dict[str, Any],
) -> None:
    torch.manual_seed(0)
    network = build_crdnet(**widths).double().eval()
    margin, multiple = network.tile_margin, network.size_multiple
    side = 2 * margin + 4 * multiple
    rainy = torch.rand(1, 3, multiple, side, dtype=torch.float64)
    near, far = rainy.clone(), rainy.clone()
    tile = slice(2 * multiple + margin, 2 * multiple + margin + multiple)
    far[..., : 2 * multiple] = torch.rand(1, 3, multiple, 2 * multiple)
    near[..., : 2 * multiple + multiple] = torch.randn(1, 3, multiple, 3 * multiple) * 1e6
    with torch.inference_mode():
        whole = network(rainy)
        assert torch.equal(network(far)[..., tile], whole[..., tile])
        assert not torch.equal(network(near)[..., tile], whole[..., tile])


def test_the_published_network_needs_a_margin_of_384_pixels() -> None:
    assert build_crdnet().tile_margin == 384
