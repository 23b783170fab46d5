import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdnet.evaluation import bootstrap
from crdnet.evaluation.bootstrap import Estimate, estimate_scene_means


def estimates(
    values: object, scenes: list[str], seed: int = 0, resamples: int = 2000
) -> list[Estimate | None]:
    return estimate_scene_means(
        np.array(values, dtype=np.float64), scenes, np.random.default_rng(seed), resamples
    )


def interval(estimate: Estimate | None) -> tuple[float, float]:
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def test_the_mean_is_over_images_not_over_scenes() -> None:
    (estimate,) = estimates([[1], [1], [1], [5]], ["a", "a", "a", "b"])
    assert estimate is not None
    assert estimate.mean == pytest.approx(2)


@settings(max_examples=20)
@given(values=st.lists(st.floats(-50, 50), min_size=2, max_size=20), repeats=st.integers(2, 6))
def test_more_images_of_the_same_scenes_do_not_narrow_the_interval(
    values: list[float],
    repeats: int,
) -> None:
    scenes = [str(number) for number in range(len(values))]
    once = estimates([[value] for value in values], scenes, resamples=200)
    often = estimates(
        [[value] for value in values for _ in range(repeats)],
        np.repeat(scenes, repeats).tolist(),
        resamples=200,
    )
    assert interval(often[0]) == pytest.approx(interval(once[0]), abs=1e-9)


def test_the_interval_of_independent_images_is_that_of_the_central_limit() -> None:
    values = np.random.default_rng(1).normal(30, 3, (400, 1))
    low, high = interval(
        estimates(values, [str(number) for number in range(400)], resamples=10_000)[0],
    )
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_the_interval_covers_the_truth_as_often_as_it_says_though_scenes_repeat() -> None:
    rng = np.random.default_rng(2)
    hits_by_scene = hits_by_image = 0
    trials = 200
    for _ in range(trials):
        of_scene = rng.normal(0, 1, 40)
        values = (of_scene[:, np.newaxis] + rng.normal(0, 0.1, (40, 5))).reshape(-1, 1)
        scenes = np.repeat(np.arange(40), 5).astype(str).tolist()
        low, high = interval(estimates(values, scenes, resamples=400)[0])
        hits_by_scene += low <= 0 <= high
        low, high = interval(
            estimates(values, [str(number) for number in range(200)], resamples=400)[0],
        )
        hits_by_image += low <= 0 <= high
    assert 0.89 <= hits_by_scene / trials <= 0.99
    assert hits_by_image / trials < 0.8  # what resampling images would have promised as 95%


def test_one_scene_has_a_mean_and_no_interval() -> None:
    assert estimates([[1], [3]], ["a", "a"]) == [Estimate(2.0, None, None)]
    assert estimates([[1], [np.nan]], ["a", "b"]) == [Estimate(1.0, None, None)]


def test_missing_values_do_not_count_and_a_column_without_values_has_no_estimate() -> None:
    known, unknown = estimates([[1, np.nan], [np.nan, np.nan], [3, np.nan]], ["a", "b", "c"])
    assert known is not None
    assert known.mean == pytest.approx(2)
    assert interval(known) == (1, 3)
    assert unknown is None


def test_a_seed_gives_the_same_interval_again_whatever_fits_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(3).normal(size=(30, 2))
    scenes = [str(number % 17) for number in range(30)]
    whole = estimates(values, scenes)
    assert estimates(values, scenes) == whole
    assert estimates(values, scenes, seed=1) != whole
    monkeypatch.setattr(bootstrap, "_BLOCK_ELEMENTS", 100)
    # The draws are the same; their sums are rounded differently.
    for in_blocks, at_once in zip(estimates(values, scenes), whole, strict=True):
        assert interval(in_blocks) == pytest.approx(interval(at_once), abs=1e-12)
