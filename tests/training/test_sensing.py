"""Labels and losses of the density head."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.strategies import floats, integers, lists

from crdnet.density import STRENGTH_THRESHOLDS, RainDensity, cumulative_probabilities, rain_strength
from crdnet.training.sensing import (
    codes_of,
    cumulative_logits,
    grades_of,
    sensed_grade,
    sensing_loss,
    strength_map,
)


def test_the_map_of_a_crop_averages_to_the_strength_of_the_pair() -> None:
    rng = np.random.default_rng(0)
    rainy, clean = rng.integers(0, 256, (2, 48, 32, 3), dtype=np.uint8)
    ours, truth = (
        torch.from_numpy(each.transpose(2, 0, 1)[None].copy()).float() / 255 for each in (rainy, clean)
    )
    cells = strength_map(ours, truth, cell=16)
    assert cells.shape == (1, 1, 3, 2)
    assert cells.mean().item() == pytest.approx(rain_strength(rainy, clean), rel=1e-5)
    one = rain_strength(rainy[16:32, 16:], clean[16:32, 16:])
    assert cells[0, 0, 1, 1].item() == pytest.approx(one, rel=1e-5)


@given(strengths=lists(floats(0, 255, width=32), min_size=1, max_size=8))
def test_grades_codes_and_logits_are_those_of_the_torch_free_side(strengths: list[float]) -> None:
    values = torch.tensor(strengths)
    grades = [RainDensity.from_strength(strength) for strength in strengths]
    assert grades_of(values).tolist() == grades
    assert codes_of(grades_of(values)).tolist() == [list(grade.code) for grade in grades]
    expected = [cumulative_probabilities(strength) for strength in strengths]
    np.testing.assert_allclose(cumulative_logits(values).sigmoid().numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("threshold", STRENGTH_THRESHOLDS)
def test_a_threshold_belongs_to_the_heavier_grade(threshold: float) -> None:
    assert grades_of(torch.tensor([threshold])).item() == RainDensity.from_strength(threshold)


def perfect(strength: float, says: str) -> torch.Tensor:
    grade = RainDensity.from_strength(strength)
    if says == "strength":
        return torch.full((1, 1, 2, 2), strength)
    scores = grade.code if says == "code" else [30.0 * (each == grade) for each in RainDensity]
    return torch.tensor(scores).view(1, -1, 1, 1).expand(1, -1, 2, 2)


@pytest.mark.parametrize("says", ["strength", "code", "classes"])
def test_each_loss_is_small_for_the_truth_and_larger_the_further_the_strength_is_off(says: str) -> None:
    truth = torch.full((1, 1, 2, 2), 3.0)
    right, near, far = (float(sensing_loss(perfect(said, says), truth, says)) for said in (3.0, 20.0, 60.0))  # type: ignore[arg-type]
    assert right < 0.02
    assert right < near <= far + 1e-6
    if says != "classes":
        assert near < far


@pytest.mark.parametrize("says", ["strength", "code", "classes"])
@given(strength=floats(0, 100, width=32), height=integers(17, 32), width=integers(17, 32))
def test_a_head_that_says_the_truth_has_its_grade(
    says: str, strength: float, height: int, width: int
) -> None:
    said = perfect(strength, says)[0]
    if all(abs(strength - threshold) > 1e-3 for threshold in STRENGTH_THRESHOLDS):
        grade = sensed_grade(said, says, height, width, 16)  # type: ignore[arg-type]
        assert grade == RainDensity.from_strength(strength)
