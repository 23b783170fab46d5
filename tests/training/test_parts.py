"""Losses, schedules and batches."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.strategies import integers
from skimage.metrics import structural_similarity
from torch import nn

from crdnet.data import find_pairs
from crdnet.density import RainDensity
from crdnet.nn import Estimate
from crdnet.training import CropSpec, MultiTaskLoss, OptimizerSpec, ssim
from crdnet.training.batches import EpochSampler, TrainingPairs
from crdnet.training.muon import KernelMuon
from crdnet.training.residual import charbonnier, psnr_loss, weigh_rain


def test_ssim_of_the_loss_is_that_of_scikit_image_where_no_border_is_near() -> None:
    rng = np.random.default_rng(0)
    clean = rng.random((40, 50))
    # Noise in the middle only: near the borders, where the two pad differently, the similarity is
    # one for both.
    derained = clean.copy()
    derained[15:-15, 15:-15] += rng.normal(0, 0.1, (10, 20))
    _, similarity = structural_similarity(
        clean,
        derained,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    ours = ssim(*(torch.tensor(image)[None, None] for image in (derained, clean)))
    assert ours.item() == pytest.approx(similarity.mean(), abs=1e-6)
    assert similarity.mean() < 0.995


def test_ssim_does_not_lose_itself_in_bfloat16() -> None:
    """Variances of a bright, nearly even image vanish in 8 bits; differences may be negative."""
    clean = 0.9 + 0.02 * torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    derained = clean + 0.005
    with torch.autocast("cpu", torch.bfloat16):
        half = ssim(derained, clean).item()
    assert half == pytest.approx(ssim(derained, clean).item(), abs=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("of_gradient", [torch.contiguous_format, torch.channels_last])
def test_muon_moves_a_kernel_as_it_moves_the_matrix_that_the_kernel_is(
    layout: torch.memory_format, of_gradient: torch.memory_format
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 8, 3).to(memory_format=layout)  # type: ignore[call-overload]
    matrix = nn.Parameter(conv.weight.detach().flatten(1).clone())
    ours = KernelMuon([conv.weight], [conv.bias], lr=0.01, weight_decay=0.1)
    theirs = torch.optim.Muon([matrix], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    bias = conv.bias.detach().clone()
    for _ in range(3):
        conv.weight.grad = torch.randn(8, 3, 3, 3).contiguous(memory_format=of_gradient)
        matrix.grad = conv.weight.grad.flatten(1)
        conv.bias.grad = torch.ones(8)
        ours.step()
        theirs.step()
    # The columns stand in another order in the other layout, and Muon computes in bfloat16.
    assert (conv.weight.flatten(1) - matrix).abs().max() < 2e-4
    assert conv.weight.is_contiguous(memory_format=layout)
    assert torch.allclose(conv.bias, bias - 0.03, atol=1e-6)


def test_light_taken_for_heavy_costs_twice_light_taken_for_medium() -> None:
    image = torch.rand(1, 3, 16, 16)

    def cost(said: RainDensity) -> float:
        estimate = Estimate(image, torch.tensor([said.code]))
        losses = MultiTaskLoss()(estimate, image, torch.tensor([RainDensity.LIGHT.code]))
        return float(losses.density)

    assert cost(RainDensity.HEAVY) == pytest.approx(2 * cost(RainDensity.MEDIUM))
    assert cost(RainDensity.LIGHT) == 0


def pulled(distance: float, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> float:
    """Return how hard a loss pulls at images that are so far from the truth everywhere."""
    derained = torch.full((2, 3, 8, 8), 0.5 + distance, dtype=torch.float64, requires_grad=True)
    loss(derained, torch.full_like(derained, 0.5)).backward()
    assert derained.grad is not None
    return float(derained.grad.sum())


def test_the_loss_by_psnr_pulls_as_hard_as_charbonnier_at_26_db_and_harder_at_better_images() -> (
    None
):
    assert pulled(0.05, psnr_loss) == pytest.approx(pulled(0.05, charbonnier), rel=0.05)
    assert pulled(0.025, psnr_loss) > 1.5 * pulled(0.05, psnr_loss)


def test_beyond_40_db_the_loss_by_psnr_levels_off() -> None:
    assert pulled(0.001, psnr_loss) < 0.3 * pulled(0.01, psnr_loss)


def test_the_loss_by_psnr_is_the_mean_over_images_of_their_logarithm() -> None:
    clean = torch.full((2, 3, 8, 8), 0.5)
    derained = clean + torch.tensor([0.2, 0.1]).reshape(2, 1, 1, 1)
    better = clean + torch.tensor([0.2, 0.05]).reshape(2, 1, 1, 1)
    gain = 10 * torch.log10(torch.tensor(4.0)) / 2  # of the mean PSNR, in dB
    scale = 0.05 / 2 * torch.log(torch.tensor(10.0)) / 10
    assert float(psnr_loss(derained, clean) - psnr_loss(better, clean)) == pytest.approx(
        float(scale * gain), rel=0.03
    )


@pytest.mark.parametrize(("weight", "removed"), [(1.0, 0.5), (4.0, 0.8), (9.0, 0.9)])
def test_a_weight_in_rain_decides_how_much_of_a_doubtful_streak_is_removed(
    weight: float, removed: float
) -> None:
    """The loss is least at a share of k p / (k p + 1 - p), here for a probability p of one half."""
    scene = torch.full((1, 3, 16, 16), 0.4, dtype=torch.float64)
    rainy, clean = scene.clone(), scene.clone()
    rainy[..., 3] += 0.2
    rainy[..., 9] += 0.2
    clean[..., 9] += 0.2
    weights = weigh_rain(rainy, clean, weight)
    shares = torch.linspace(0, 1, 101)
    losses = [psnr_loss(rainy - share * (rainy - scene), clean, weights) for share in shares]
    best = min(range(101), key=lambda index: float(losses[index]))
    assert float(shares[best]) == pytest.approx(removed, abs=0.011)


def test_the_decay_that_the_authors_meant_divides_by_three_and_then_by_five() -> None:
    spec = OptimizerSpec(schedule="decay")
    assert [spec.compute_factor(0, epoch, 1) for epoch in (0, 99, 100, 499)] == [1, 1, 1 / 3, 1 / 3]
    assert spec.compute_factor(0, 500, 1) == pytest.approx(1 / 15)


def test_the_published_schedule_never_changes() -> None:
    assert {
        OptimizerSpec().compute_factor(
            step,
            epoch,
            10,
        )
        for step in (0, 9)
        for epoch in (0, 999)
    } == {
        1.0,
    }


def test_the_cosine_rises_then_falls_to_zero() -> None:
    spec = OptimizerSpec(schedule="cosine", warmup_steps=10)
    factors = [spec.compute_factor(step, 0, 100) for step in range(101)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx(0)


@given(length=integers(1, 200), seed=integers(0, 9), epoch=integers(0, 1000))
def test_an_epoch_visits_every_pair_once_in_an_order_that_seed_and_epoch_decide(
    length: int, seed: int, epoch: int
) -> None:
    sampler, again = EpochSampler(length, seed), EpochSampler(length, seed)
    sampler.set_epoch(epoch)
    again.set_epoch(epoch)
    order = list(sampler)
    assert order == list(again)
    assert sorted(index for _, index in order) == list(range(length))
    assert {said for said, _ in order} == {epoch}


def test_rainy_and_clean_are_cropped_and_mirrored_alike(pairs: Path) -> None:
    crops = TrainingPairs(
        find_pairs(pairs), CropSpec(side=8, position="random", flip=True, repeats=3), seed=0
    )
    for index in range(len(crops)):
        sample = crops[(0, index)]
        difference = sample.rainy - sample.clean
        assert difference.std() < 1e-6  # the rain of these pairs is one grey level everywhere
        assert difference.mean() > 0


def test_another_epoch_takes_other_crops_and_the_same_epoch_the_same(pairs: Path) -> None:
    crops = TrainingPairs(find_pairs(pairs), CropSpec(side=8, position="random"), seed=0)
    first, again, other = crops[(0, 0)], crops[(0, 0)], crops[(1, 0)]
    assert torch.equal(first.rainy, again.rainy)
    assert not torch.equal(first.rainy, other.rainy)


def test_images_kept_in_memory_are_those_on_disk(pairs: Path) -> None:
    found = find_pairs(pairs)
    kept, read = (
        TrainingPairs(
            found,
            CropSpec(side=8, in_memory=keep),
            seed=0,
        )
        for keep in (True, False)
    )
    for index in range(len(found)):
        assert torch.equal(kept[(0, index)].rainy, read[(0, index)].rainy)


def test_the_label_of_a_pair_is_its_code(pairs: Path) -> None:
    codes = [
        tuple(TrainingPairs(find_pairs(pairs), CropSpec(), 0)[(0, index)].codes.tolist())
        for index in range(3)
    ]
    assert codes == [RainDensity.LIGHT.code, RainDensity.MEDIUM.code, RainDensity.HEAVY.code]
