"""Laws of our own network."""

from typing import Any

import pytest
import torch

from crdnet.errors import SizeError
from crdnet.nn import ResidualCRDNet, build_residual_crdnet, count_kilo_macs
from crdnet.nn.residual import shrink

TINY: dict[str, Any] = {"width": 4, "scale_widths": (4, 5, 6), "streak_width": 2}
LEFT_OUT: list[dict[str, Any]] = [
    {},
    {"dilations": ()},
    {"second_pass": False},
    {"sensing": None},
    {"dilations": (), "second_pass": False, "sensing": None},
    {"scale_widths": (4, 6)},
    {"dilations": (1, 5)},
    {"shrinkage": 6.0},
]


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def awake(**widths: Any) -> ResidualCRDNet:
    """A network in double precision whose last weights are not zero."""
    torch.manual_seed(0)
    network = build_residual_crdnet(**TINY | widths).double().eval()
    torch.nn.init.normal_(network.head[-1].weight)  # type: ignore[arg-type]
    return network


def test_the_default_network_keeps_its_budget() -> None:
    network = build_residual_crdnet()
    assert parameters(network) == 579_693
    assert network.tile_margin == 128
    assert network.size_multiple == 16
    assert sum(count_kilo_macs(network).values()) == pytest.approx(14.80, abs=0.01)


def test_training_starts_at_the_identity() -> None:
    rainy = torch.rand(2, 3, 32, 48)
    assert torch.equal(build_residual_crdnet(**TINY)(rainy), rainy)


def test_small_corrections_shrink_and_others_stay() -> None:
    sizes = torch.linspace(0, 20, 201, dtype=torch.float64)
    colours = torch.tensor([0.2, 1.0, -0.7], dtype=torch.float64)
    correction = (colours[:, None, None] * sizes / 255)[None]
    shrunk = shrink(correction, 6.0)
    is_large = sizes >= 6
    assert torch.equal(shrunk[..., is_large], correction[..., is_large])
    expected = 255 * shrunk[0, :, 0][:, ~is_large]
    torch.testing.assert_close(expected, (colours[:, None] * sizes**2 / 6)[:, ~is_large])
    assert shrink(correction, 0.0) is correction


@pytest.mark.parametrize("change", LEFT_OUT)
def test_every_idea_can_be_left_out(change: dict[str, Any]) -> None:
    network = awake(**change)
    rainy = torch.rand(2, 3, 32, 48, dtype=torch.float64)
    estimate = network.sense(rainy)
    assert not torch.equal(estimate.derained, rainy)
    cell = network.size_multiple
    if change.get("sensing", "intensity") is None:
        assert estimate.density is None
    else:
        assert estimate.density is not None
        assert estimate.density.shape == (2, 1, 32 // cell, 48 // cell)
        assert estimate.density.min() > 0


@pytest.mark.parametrize(("says", "outputs"), [("code", 3), ("classes", 4)])
def test_the_density_head_can_say_scores_instead(says: str, outputs: int) -> None:
    density = awake(sensing=says).sense(torch.rand(1, 3, 16, 32, dtype=torch.float64)).density
    assert density is not None
    assert density.shape == (1, outputs, 1, 2)


@pytest.mark.parametrize("change", LEFT_OUT)
def test_a_tile_with_its_margin_decides_image_and_density_alone_and_needs_all_of_it(
    change: dict[str, Any],
) -> None:
    network = awake(**change)
    margin, multiple = network.tile_margin, network.size_multiple
    rainy = torch.rand(1, 3, multiple, 2 * margin + 5 * multiple, dtype=torch.float64)
    begin = 2 * multiple + margin
    tile = slice(begin, begin + multiple)
    beyond, after, within = rainy.clone(), rainy.clone(), rainy.clone()
    beyond[..., : 2 * multiple] += 10
    after[..., tile.stop + margin :] += 10
    within[..., : 3 * multiple] += 1e6 * torch.randn(1, 3, multiple, 3 * multiple)
    with torch.inference_mode():
        whole = network.sense(rainy)
        for changed in (beyond, after):
            other = network.sense(changed)
            assert torch.equal(other.derained[..., tile], whole.derained[..., tile])
            if whole.density is not None and other.density is not None:
                cell = begin // multiple
                assert torch.equal(other.density[..., cell], whole.density[..., cell])
        assert not torch.equal(network(within)[..., tile], whole.derained[..., tile])


def test_an_image_does_not_depend_on_its_company() -> None:
    network = awake().train()
    first, second = torch.rand(2, 1, 3, 32, 32, dtype=torch.float64)
    alone, together = network.sense(first), network.sense(torch.cat([first, second]))
    torch.testing.assert_close(together.derained[:1], alone.derained)
    torch.testing.assert_close(together.density[:1], alone.density)  # type: ignore[index]


def test_ragged_sides_are_refused_with_the_size_to_pad_to() -> None:
    with pytest.raises(SizeError, match="multiples of 16, got 17 x 16; pad to 32 x 16"):
        build_residual_crdnet(**TINY)(torch.rand(1, 3, 17, 16))
