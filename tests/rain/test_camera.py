"""Camera rain against the formulas of its sources and their published values."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from crdnet.errors import RecipeError
from crdnet.rain import (
    CameraRain,
    compute_camera_veil,
    draw_camera_opacity,
    estimate_drop_light,
    make_rainy_pair,
    sample_camera_streaks,
)
from crdnet.rain.camera import (
    compute_extinction_per_metre,
    compute_size_slope,
    compute_terminal_velocity,
    count_drops_per_cubic_metre,
)
from crdnet.rain.drops import decode_srgb

GUNN_KINZER = {0.5: 2.06, 1.0: 4.03, 2.0: 6.49, 3.0: 8.06, 5.0: 9.09}
"""Terminal velocities in m/s by diameter in mm, measured by Gunn and Kinzer (1949)."""


@pytest.mark.parametrize(("diameter", "measured"), GUNN_KINZER.items())
def test_drops_fall_as_fast_as_measured(diameter: float, measured: float) -> None:
    # Atlas et al. fit the measurements within a few per cent from 0.6 to 5.8 mm.
    assert compute_terminal_velocity(np.array(diameter)) == pytest.approx(measured, rel=0.07)


def test_the_water_of_the_drops_is_the_rain_rate() -> None:
    """Integrate volume times velocity over all sizes; the fit returns the rate roughly."""
    diameter = np.linspace(0.01, 8, 4000)
    for rate in (5.0, 25.0, 60.0):
        number = 8000 * np.exp(-compute_size_slope(rate) * diameter)  # per m3 and mm
        volume = np.pi / 6 * diameter**3  # mm3
        fallen = (
            number
            * volume
            * np.maximum(
                compute_terminal_velocity(diameter),
                0,
            )
        )  # mm3 / m2 / s / mm
        millimetres_per_hour = np.trapezoid(fallen, diameter) * 3600 / 1e6
        assert millimetres_per_hour == pytest.approx(rate, rel=0.25)


def test_a_drop_is_as_long_and_faint_as_exposure_and_distance_make_it() -> None:
    rain = CameraRain(turbulence=0.0, exposure_seconds=1 / 100, aperture_millimetres=0.0)
    streaks = sample_camera_streaks(rain, 200, 300, np.random.default_rng(0), frame_width=3000)
    focal = 26 / 36 * 3000
    distance = focal / streaks.width  # in diameters
    fall = (streaks.length - streaks.width) * distance / focal * 100  # diameters per second
    np.testing.assert_allclose(streaks.opacity, np.minimum(1, 1 / (fall / 100)), rtol=1e-6)
    assert streaks.blur.max() == 0


def test_twice_the_exposure_makes_streaks_twice_as_long_and_half_as_opaque() -> None:
    short, long = (
        sample_camera_streaks(
            CameraRain(exposure_seconds=exposure),
            200,
            300,
            np.random.default_rng(0),
            frame_width=2000,
        )
        for exposure in (1 / 400, 1 / 200)
    )
    ratio = np.median(long.length - long.width) / np.median(short.length - short.width)
    assert ratio == pytest.approx(2, rel=0.15)
    assert np.median(long.opacity) / np.median(short.opacity) == pytest.approx(0.5, rel=0.15)


def test_wind_slants_small_drops_more_than_large_ones() -> None:
    rain = CameraRain(wind_metres_per_second=5.0, turbulence=0.0, aperture_millimetres=0.0)
    streaks = sample_camera_streaks(rain, 200, 300, np.random.default_rng(0), frame_width=2000)
    assert np.all(streaks.angle_degrees > 0)
    # Large drops are the more opaque ones, and the steeper.
    assert np.corrcoef(streaks.opacity, streaks.angle_degrees)[0, 1] < -0.8


def test_heavier_rain_has_more_drops_and_covers_more_of_the_frame() -> None:
    covers = []
    for rate in (2.0, 10.0, 50.0):
        opacity = draw_camera_opacity(
            CameraRain(millimetres_per_hour=rate, exposure_seconds=1 / 500),
            150,
            200,
            np.random.default_rng(3),
            frame_width=2000,
        )
        covers.append(float(opacity.mean()))
    assert covers == sorted(covers)
    assert count_drops_per_cubic_metre(50.0) > count_drops_per_cubic_metre(2.0)


def test_the_veil_follows_koschmieders_law_and_thickens_with_distance() -> None:
    rain = CameraRain(millimetres_per_hour=100.0, scene_metres=100.0)
    veil = compute_camera_veil(rain, 400, 10)
    assert np.all(np.diff(veil[:, 0].astype(int)) <= 0)
    far = 1 - np.exp(-compute_extinction_per_metre(100.0) * 100)
    assert veil[0, 0] / 65535 == pytest.approx(far, abs=1e-3)


def test_a_frame_of_a_seed_is_always_the_same_and_another_seed_another_one() -> None:
    frames = [
        draw_camera_opacity(CameraRain(), 60, 80, np.random.default_rng(seed), frame_width=1000)
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def test_splashes_lie_in_the_lower_part_of_the_frame() -> None:
    rain = CameraRain(millimetres_per_hour=0.1, splashes_per_megapixel=2000.0)
    streaks = sample_camera_streaks(rain, 1000, 1000, np.random.default_rng(0))
    short = streaks.length < 60
    assert short.sum() > 300
    assert np.median(streaks.row[short]) > 600


@pytest.mark.parametrize(
    ("name", "value"),
    [("millimetres_per_hour", 0.0), ("exposure_seconds", 2.0), ("focal_millimetres", float("nan"))],
)
def test_numbers_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(RecipeError, match=name):
        replace(CameraRain(), **cast(Any, {name: value}))


def test_a_pair_of_camera_rain_has_brighter_streaks_and_says_its_parameters() -> None:
    clean = np.full((60, 90, 3), 60, np.uint8)
    rain = CameraRain(exposure_seconds=1 / 1000, light=(1.0, 1.0, 1.0))
    pair = make_rainy_pair(clean, rain, np.random.default_rng(0))
    assert pair.spec.as_dict()["exposure_seconds"] == 1 / 1000
    assert pair.rainy[pair.streaks > 20].mean() > 80
    assert np.all(pair.rainy.astype(int) >= pair.clean)


def test_drops_take_their_light_from_the_sky_and_at_night_from_lamps() -> None:
    day = np.full((90, 90, 3), 40, np.uint8)
    day[:30] = (180, 200, 220)
    assert (
        estimate_drop_light(CameraRain(), day)[80, 40].tolist() == decode_srgb(day)[0, 0].tolist()
    )
    night = np.full((90, 90, 3), 8, np.uint8)
    night[20:24, 20:24] = (255, 200, 120)
    light = estimate_drop_light(CameraRain(), night).astype(int)
    assert light[25, 25].sum() > 4 * light[80, 80].sum()
    assert light[25, 25, 0] > light[25, 25, 2]
