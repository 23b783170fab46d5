"""A grown network computes what the small one does."""

from typing import Any

import pytest
import torch

from crdnet.errors import CheckpointError
from crdnet.nn import ResidualCRDNet, build_residual_crdnet, widen


def network(factor: int = 1, **changes: Any) -> ResidualCRDNet:
    """Return a small network, or one whose widths are so many times larger, with random weights."""
    widths: dict[str, Any] = {
        "width": 4 * factor,
        "scale_widths": (4 * factor, 8 * factor, 12 * factor),
        "streak_width": 3 * factor,
    }
    torch.manual_seed(factor)
    built = build_residual_crdnet(**(widths | changes))
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape))
    return built.eval()


@pytest.mark.parametrize("factor", [2, 3])
def test_a_widened_network_computes_the_same(factor: int) -> None:
    small, large = network(), network(factor)
    rainy = torch.rand(2, 3, 48, 64)
    widen(small, large)
    before, after = small.sense(rainy), large.sense(rainy)
    scale = before.derained.abs().max()
    # Sums of more terms in another order.
    assert (before.derained - after.derained).abs().max() < 1e-5 * scale
    assert before.density is not None
    assert after.density is not None
    assert torch.allclose(before.density, after.density, rtol=1e-4, atol=1e-4)


def test_noise_makes_copies_differ_and_the_answer_little() -> None:
    small, large = network(), network(2)
    widen(small, large, noise=0.01)
    kernel = large.state_dict()["first.encoder.0.conv1.weight"]
    assert not torch.allclose(kernel[:4], kernel[4:])
    rainy = torch.rand(1, 3, 32, 32)
    change = (small(rainy) - large(rainy)).abs().mean() / (small(rainy) - rainy).abs().mean()
    assert change < 0.2


def test_what_cannot_grow_is_named() -> None:
    with pytest.raises(CheckpointError, match="whole multiples"):
        widen(network(2), network(3))
    with pytest.raises(CheckpointError, match="same parts"):
        widen(network(), network(2, second_pass=False))
