"""Random rain for training, and the dry images that look like rain."""

import numpy as np
import pytest

from crdnet.rain import (
    add_random_drops,
    draw_lamps,
    draw_streaks,
    grade_colours,
    sample_lamps,
    sample_streaks,
    simulate_capture,
)
from crdnet.rain.documents import DOCUMENTS
from crdnet.rain.drops import decode_srgb
from crdnet.rain.random_rain import (
    is_curtain,
    make_mist_pair,
    make_veiled_pair,
    sample_angle,
    sample_camera,
    sample_curtain,
    smooth,
)


def crop(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(30, 180, (64, 80, 3), dtype=np.uint8)


@pytest.mark.parametrize("physical", [False, True])
def test_rain_of_a_seed_is_always_the_same_and_changes_the_crop(physical: bool) -> None:
    first, second = (
        add_random_drops(crop(), np.random.default_rng(5), physical=physical) for _ in range(2)
    )
    assert np.array_equal(first[0], second[0])
    changed = [
        not np.array_equal(
            *add_random_drops(crop(), np.random.default_rng(seed), physical=physical),
        )
        for seed in range(20)
    ]
    assert sum(changed) >= 18


def test_streaks_span_sizes_and_directions_of_real_rain() -> None:
    drawn = [sample_streaks(160, 160, np.random.default_rng(seed)) for seed in range(300)]
    lengths = np.array([np.median(each.length) for each in drawn])
    widths = np.array([np.median(each.width) for each in drawn])
    assert lengths.min() < 6
    assert lengths.max() > 250
    assert widths.min() < 0.8
    assert widths.max() > 10
    angles = np.abs([sample_angle(np.random.default_rng(seed)) for seed in range(1000)])
    assert np.mean(angles > 45) > 0.1
    assert np.mean(angles < 15) > 0.4
    assert angles.max() <= 75


def test_a_third_of_all_crops_has_few_and_clear_streaks() -> None:
    drawn = [sample_streaks(160, 160, np.random.default_rng(seed)) for seed in range(300)]
    few = [bool(len(each) <= 10 and np.median(each.opacity) > 0.1) for each in drawn]
    assert np.mean(few) > 1 / 3


def test_random_cameras_are_valid_and_differ() -> None:
    rates = {
        sample_camera(np.random.default_rng(seed))[0].millimetres_per_hour for seed in range(50)
    }
    assert len(rates) == 50


def test_processing_is_the_same_for_both_images_of_a_pair() -> None:
    clean = crop()
    for seed in range(20):
        first, second = simulate_capture((clean, clean.copy()), np.random.default_rng(seed))
        assert np.array_equal(first, second)


def test_grading_is_the_same_for_both_images_of_a_pair_and_colours_what_was_grey() -> None:
    grey = np.repeat(crop()[..., :1], 3, 2)
    casts = []
    for seed in range(40):
        first, second = grade_colours((grey, grey.copy()), np.random.default_rng(seed))
        assert first.shape == grey.shape
        assert first.dtype == np.uint8
        assert np.array_equal(first, second)
        means = first.mean((0, 1))
        casts.append((means.max() + 1) / (means.min() + 1))
    assert min(casts) < 1.05
    assert max(casts) > 2


def test_drops_may_have_the_colour_of_the_scene() -> None:
    """Without it, a network leaves streaks in an image with a cool or warm white balance."""
    teal = np.full((48, 48, 3), (8, 60, 50), np.uint8)
    redness = []
    for seed in range(60):
        rainy, clean = add_random_drops(teal, np.random.default_rng(seed), physical=False)
        change = (decode_srgb(rainy).astype(float) - decode_srgb(clean)).sum((0, 1))
        if change.min() > 0:
            redness.append(change[0] / change[2])
    assert np.percentile(redness, 10) < 0.6
    assert np.percentile(redness, 90) > 0.9


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_an_image_of_the_same_shape_and_follows_from_its_seed(name: str) -> None:
    image = crop()
    before = image.copy()
    first, second, other = (
        DOCUMENTS[name](
            image,
            np.random.default_rng(seed),
        )
        for seed in (1, 1, 2)
    )
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert np.array_equal(image, before)


def test_rain_never_darkens_a_scene_by_day_and_leaves_some_crops_brighter() -> None:
    """Light of a drop comes from a brighter part of the scene in seven of eight crops."""
    brighter = 0
    for seed in range(40):
        rainy, clean = add_random_drops(crop(), np.random.default_rng(seed), physical=False)
        brighter += rainy.mean() >= clean.mean() - 0.7
    assert brighter >= 32


def test_the_mist_under_lamps_stays_and_the_grain_of_the_drops_goes() -> None:
    scene, light = np.full((96, 96, 3), 40, np.uint8), np.full(3, 40_000, np.uint16)
    streaks = sample_streaks(96, 96, np.random.default_rng(0), lit=True)
    opacity = draw_streaks(streaks, 96, 96)
    rainy, clean = make_mist_pair(scene, opacity, smooth(opacity), light)
    assert clean.mean() > scene.mean() + 3
    # The two have the same light on the whole, and only the rainy crop has streaks.
    linear = [float(decode_srgb(each).mean()) for each in (rainy, clean)]
    assert linear[0] == pytest.approx(linear[1], rel=0.1)
    grain = [np.abs(np.diff(each.astype(int), axis=1)).mean() for each in (rainy, clean)]
    assert grain[1] < grain[0] / 5


def test_a_curtain_is_longer_than_wide_and_follows_from_its_seed() -> None:
    longer = 0
    for seed in range(30):
        first, second = (sample_curtain(96, 80, np.random.default_rng(seed)) for _ in range(2))
        assert first.shape == (96, 80)
        assert np.array_equal(first, second)
        levels = first.astype(float)
        slopes = [np.abs(np.diff(levels, axis=axis)).mean() + 1e-9 for axis in (0, 1)]
        longer += max(slopes) > 1.5 * min(slopes)
    assert longer >= 20


def test_streaks_that_cover_everything_are_a_curtain() -> None:
    opacity = np.full((40, 40), 2000, np.uint16)
    assert is_curtain(opacity)
    opacity[:, 10:] = 0
    assert not is_curtain(opacity)
    assert not is_curtain(np.full((40, 40), 30_000, np.uint16))


def test_a_veil_stays_before_few_streaks_and_goes_before_many() -> None:
    scene, light = np.full((64, 64, 3), 40, np.uint8), np.full(3, 50_000, np.uint16)
    few, many = (np.full((64, 64), share, np.uint16) for share in (600, 20_000))
    rainy, clean = make_veiled_pair(scene, few, light, 0.2)
    assert clean.mean() > scene.mean() + 10
    assert rainy.mean() > clean.mean()
    rainy, clean = make_veiled_pair(scene, many, light, 0.2)
    assert np.array_equal(clean, scene)
    without, _ = make_veiled_pair(scene, many, light, 0.0)
    assert rainy.mean() > without.mean()


def test_dense_rain_shows_soft_bands_and_fine_grain() -> None:
    """Rain without single streaks occurs in both forms: bands out of focus, grain of far rain."""
    widths = []
    for seed in range(40):
        field = sample_curtain(96, 96, np.random.default_rng(seed)).astype(float)
        field -= field.mean()
        # Width at which the horizontal autocorrelation has fallen to a half.
        row = [float((field[:, : 96 - lag] * field[:, lag:]).mean()) for lag in range(24)]
        widths.append(next((lag for lag, each in enumerate(row) if each < row[0] / 2), 24))
    assert min(widths) <= 2
    assert max(widths) >= 4


def test_lamps_shine_where_they_stand_and_rain_falls_before_them_too() -> None:
    dark = np.full((96, 96, 3), 20, np.uint8)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        lamps = sample_lamps(96, 96, rng)
        lit = draw_lamps(dark, lamps, rng)
        assert 1 <= len(lamps) <= 3
        for lamp in lamps:
            if 2 <= lamp.row < 94 and 2 <= lamp.column < 94:
                assert lit[round(lamp.row), round(lamp.column)].max() > 60
            assert 0 < lamp.colour.max() <= 1
    assert np.array_equal(dark, np.full((96, 96, 3), 20, np.uint8))


def test_lamps_at_night_are_in_both_images_of_a_pair() -> None:
    clean = np.full((64, 64, 3), 128, np.uint8)
    bright = 0
    for seed in range(120):
        rainy, dry = add_random_drops(clean, np.random.default_rng(seed), physical=False)
        # Darkening leaves at most 0.7 of 128; only a lamp is brighter in the clean crop at night.
        if np.median(dry) < 60 and dry.max() > 200:
            bright += 1
            shining = dry.max(2) > 200
            assert rainy.max(2)[shining].min() > 120
    assert bright >= 3
