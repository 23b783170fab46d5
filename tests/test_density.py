"""Intensities of rain, and the grade, probabilities and score that follow from them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers

from crdnet.density import (
    INTENSITY_THRESHOLDS,
    RainDensity,
    average_intensity,
    compute_cumulative_probabilities,
    compute_density_score,
    compute_grade_probabilities,
)

INTENSITIES = floats(0, 255)


@given(intensity=INTENSITIES)
def test_heavier_is_never_likelier_than_lighter(intensity: float) -> None:
    light, medium, heavy = compute_cumulative_probabilities(intensity)
    assert 1 >= light >= medium >= heavy >= 0


@given(one=INTENSITIES, other=INTENSITIES)
def test_more_rain_never_lowers_a_probability_or_the_score(one: float, other: float) -> None:
    less, more = sorted((one, other))
    pairs = zip(
        compute_cumulative_probabilities(less),
        compute_cumulative_probabilities(more),
        strict=True,
    )
    assert all(below <= above for below, above in pairs)
    assert 0 <= compute_density_score(less) <= compute_density_score(more) < 1


@given(intensity=INTENSITIES)
def test_the_grades_share_one_certainty_and_the_grade_is_where_it_passes_one_half(
    intensity: float,
) -> None:
    probabilities = compute_grade_probabilities(intensity)
    assert sum(probabilities.values()) == pytest.approx(1)
    assert min(probabilities.values()) >= 0
    passed = sum(each > 0.5 for each in compute_cumulative_probabilities(intensity))
    if not any(abs(intensity - threshold) < 1e-9 for threshold in INTENSITY_THRESHOLDS):
        assert RainDensity.from_intensity(intensity) == passed


@pytest.mark.parametrize("threshold", INTENSITY_THRESHOLDS)
def test_at_a_threshold_its_grade_is_as_likely_as_not(threshold: float) -> None:
    position = INTENSITY_THRESHOLDS.index(threshold)
    assert compute_cumulative_probabilities(threshold)[position] == pytest.approx(0.5)


def test_intensity_zero_is_surely_dry_and_a_low_temperature_does_not_overflow() -> None:
    assert compute_grade_probabilities(0.0)[RainDensity.NONE] > 0.98
    assert compute_cumulative_probabilities(0.0, 1e-9) == pytest.approx((0.0, 0.0, 0.0))
    assert compute_cumulative_probabilities(255.0, 1e-9) == (1.0, 1.0, 1.0)


def test_the_score_is_one_half_where_medium_begins() -> None:
    assert [compute_density_score(intensity) for intensity in (0.0, 10.0, 30.0)] == [0, 0.5, 0.75]
    assert compute_density_score(float("inf")) == 1


@pytest.mark.parametrize("intensity", [-1.0, float("nan")])
def test_a_negative_or_undefined_intensity_is_refused(intensity: float) -> None:
    for function in (
        compute_density_score,
        compute_cumulative_probabilities,
        compute_grade_probabilities,
    ):
        with pytest.raises(ValueError, match="grey levels from 0 up"):
            function(intensity)


@given(height=integers(1, 70), width=integers(1, 70), cell=integers(1, 20))
def test_the_mean_of_a_map_is_the_mean_over_the_pixels_of_the_image(
    height: int, width: int, cell: int
) -> None:
    rows, columns = -(-height // cell), -(-width // cell)
    cells = np.random.default_rng(0).random((rows + 1, columns + 1)) * 60
    pixels = cells.repeat(cell, 0).repeat(cell, 1)[:height, :width]
    assert average_intensity(cells, height, width, cell) == pytest.approx(pixels.mean())


def test_a_map_that_does_not_cover_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="2 x 2 cells of 16 pixels do not cover 33 x 20"):
        average_intensity(np.ones((2, 2)), 33, 20, 16)
