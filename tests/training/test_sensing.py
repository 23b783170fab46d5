"""Labels and losses of the density head."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import floats, integers, lists
from PIL import Image

from crdnet.density import (
    INTENSITY_THRESHOLDS,
    RainDensity,
    compute_cumulative_probabilities,
    compute_intensity,
)
from crdnet.nn import Sensing
from crdnet.rain import compress, decompress
from crdnet.training.sensing import (
    compute_cumulative_logits,
    encode_grades,
    grade_density_map,
    grade_intensities,
    map_intensity,
    sensing_loss,
)


def on_torch(image: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).float() / 255


def smooth(seed: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(20, 180, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def test_the_map_of_rain_that_only_brightens_averages_to_the_intensity_of_the_pair() -> None:
    rng = np.random.default_rng(0)
    clean = smooth(1, 48, 32)
    # A pixel on the border counts more in a 3x3 mean that stops there, so the outermost two are
    # left dry.
    rain = np.zeros((48, 32, 1), np.uint8)
    rain[2:-2, 2:-2] = rng.integers(0, 70, (44, 28, 1))
    rainy = clean + rain
    cells = map_intensity(on_torch(rainy), on_torch(clean), cell=16)
    assert cells.shape == (1, 1, 3, 2)
    assert cells.mean().item() == pytest.approx(compute_intensity(rainy, clean), rel=1e-5)
    assert cells.mean().item() > 10


def test_rain_is_counted_in_the_cell_that_it_falls_in() -> None:
    clean = smooth(2, 48, 32)
    rain = np.zeros((48, 32, 1), np.uint8)
    rain[18:30, 18:30] = 40
    cells = map_intensity(on_torch(clean + rain), on_torch(clean), cell=16)
    expected = torch.zeros(1, 1, 3, 2)
    expected[0, 0, 1, 1] = 40 * 12 * 12 / 16**2
    torch.testing.assert_close(cells, expected, rtol=1e-4, atol=1e-4)


def test_rain_that_darkens_counts_as_rain_that_brightens() -> None:
    clean = smooth(3, 32, 32)
    brighter = clean + np.uint8(12)
    one, other = on_torch(brighter), on_torch(clean)
    torch.testing.assert_close(map_intensity(one, other, 16), map_intensity(other, one, 16))
    assert map_intensity(other, one, 16).mean().item() == pytest.approx(12, rel=1e-4)


@given(seed=integers(0, 1000), quality=integers(60, 90))
@settings(max_examples=10, deadline=None)
def test_what_jpeg_does_to_a_pair_counts_little(seed: int, quality: int) -> None:
    # JPEG blurs the two images differently; a mean over 3x3 pixels takes at least half of that
    # noise out.
    rng = np.random.default_rng(seed)
    clean = np.clip(
        smooth(seed, 64, 64).astype(int) + rng.integers(-20, 21, (64, 64, 1)),
        0,
        255,
    ).astype(np.uint8)
    rainy = clean + (rng.random((64, 64, 1)) < 0.03).astype(np.uint8) * np.uint8(30)
    lossy = [decompress(compress(each, quality)) for each in (rainy, clean)]
    truth = compute_intensity(rainy, clean)
    taught = map_intensity(on_torch(lossy[0]), on_torch(lossy[1]), 16).mean().item()
    assert abs(taught - truth) < 0.5 * abs(compute_intensity(*lossy) - truth)


@given(intensities=lists(floats(0, 255, width=32), min_size=1, max_size=8))
def test_grades_codes_and_logits_are_those_of_the_torch_free_side(intensities: list[float]) -> None:
    values = torch.tensor(intensities)
    grades = [RainDensity.from_intensity(intensity) for intensity in intensities]
    assert grade_intensities(values).tolist() == grades
    assert encode_grades(grade_intensities(values)).tolist() == [
        list(grade.code) for grade in grades
    ]
    expected = [compute_cumulative_probabilities(intensity) for intensity in intensities]
    np.testing.assert_allclose(
        compute_cumulative_logits(values).sigmoid().numpy(),
        expected,
        atol=1e-4,
    )


@pytest.mark.parametrize("threshold", INTENSITY_THRESHOLDS)
def test_a_threshold_belongs_to_the_heavier_grade(threshold: float) -> None:
    assert grade_intensities(torch.tensor([threshold])).item() == RainDensity.from_intensity(
        threshold
    )


def perfect(intensity: float, says: str) -> torch.Tensor:
    grade = RainDensity.from_intensity(intensity)
    if says == "intensity":
        return torch.full((1, 1, 2, 2), intensity)
    scores = grade.code if says == "code" else [30.0 * (each == grade) for each in RainDensity]
    return torch.tensor(scores).view(1, -1, 1, 1).expand(1, -1, 2, 2)


@pytest.mark.parametrize("says", ["intensity", "code", "classes"])
def test_each_loss_is_small_for_the_truth_and_larger_the_further_it_is_off(says: Sensing) -> None:
    truth = torch.full((1, 1, 2, 2), 3.0)
    right, near, far = (
        float(sensing_loss(perfect(said, says), truth, says)) for said in (3.0, 20.0, 60.0)
    )
    assert right < 0.02
    assert right < near <= far + 1e-6
    if says != "classes":
        assert near < far


@pytest.mark.parametrize("says", ["intensity", "code", "classes"])
@given(intensity=floats(0, 100, width=32), height=integers(17, 32), width=integers(17, 32))
def test_a_head_that_says_the_truth_has_its_grade(
    says: str, intensity: float, height: int, width: int
) -> None:
    said = perfect(intensity, says)[0]
    if all(abs(intensity - threshold) > 1e-3 for threshold in INTENSITY_THRESHOLDS):
        grade = grade_density_map(said, says, height, width, 16)  # type: ignore[arg-type]
        assert grade == RainDensity.from_intensity(intensity)
