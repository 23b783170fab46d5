"""Steep rain: its direction is measured, and the network sees the image sheared."""

from functools import cache
from math import radians, tan
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from crdnet import Derainer
from crdnet.metrics import psnr
from crdnet.rain import Streaks, compose_drops, draw_streaks
from crdnet.runtime import Bands
from crdnet.runtime.direction import choose_shear, measure_direction, shear_rows

Pixels = npt.NDArray[np.uint8]
CLEAN = Path(__file__).resolve().parents[2] / "examples" / "clean" / "medium.jpg"


def draw_lines(angle: float, side: int = 96) -> npt.NDArray[np.float32]:
    """Return soft parallel lines (side, side), `angle` degrees from straight down."""
    rows, columns = np.mgrid[:side, :side]
    across = (columns - tan(radians(angle)) * rows) * np.cos(radians(angle))
    lines: npt.NDArray[np.float32] = np.cos(across / 3).astype(np.float32)
    return lines


@cache
def draw_rain(angle: float) -> tuple[Pixels, Pixels]:
    """Return a scene with 150 streaks of one direction, and the scene."""
    clean = np.asarray(Image.open(CLEAN).convert("RGB"))
    height, width = clean.shape[:2]
    rng = np.random.default_rng(3)
    number = 150
    streaks = Streaks(
        row=rng.uniform(0, height, number),
        column=rng.uniform(0, width, number),
        length=np.full(number, 50.0),
        width=np.full(number, 1.5),
        angle_degrees=np.full(number, angle),
        opacity=np.full(number, 0.5),
        blur=np.full(number, 0.75),
        beads=np.zeros(number),
        taper=np.zeros(number),
    )
    light = np.full(3, 60_000, np.uint16)
    return compose_drops(clean, draw_streaks(streaks, height, width), light), clean


def gain(rainy: Pixels, derained: Pixels, clean: Pixels) -> float:
    return psnr(derained, clean, "restormer-y") - psnr(rainy, clean, "restormer-y")


@pytest.fixture(scope="module")
def default() -> Derainer:
    return Derainer(threads=1)


@pytest.mark.parametrize("angle", [-75, -45, -20, 0, 10, 30, 60])
def test_the_direction_of_lines_is_measured(angle: int) -> None:
    assert measure_direction([draw_lines(angle)]) == pytest.approx(angle, abs=3)


def test_the_direction_is_that_of_the_strongest_lines() -> None:
    assert measure_direction([draw_lines(40), 0.3 * draw_lines(-40)]) == pytest.approx(40, abs=4)
    assert measure_direction([np.zeros((8, 8), np.float32)]) == 0
    assert measure_direction([np.zeros((1, 2), np.float32)]) == 0


@pytest.mark.parametrize(
    ("angle", "shear"),
    [(0.0, 0), (25.0, 0), (-25.0, 0), (27.0, 1), (-45.0, -1), (60.0, 2), (75.0, 0), (-90.0, 0)],
)
def test_steep_rain_is_sheared(angle: float, shear: int) -> None:
    assert choose_shear(angle) == shear


@pytest.mark.parametrize("shear", [-2, -1, 1, 2])
def test_a_shear_makes_its_lines_vertical_and_is_undone(shear: int) -> None:
    lines = draw_lines(np.degrees(np.arctan(shear)))
    sheared = shear_rows(lines, shear)
    inside = sheared[:10, 24:-24]  # of rows that are rotated by fewer columns
    np.testing.assert_allclose(inside, np.broadcast_to(inside[0], inside.shape), atol=1e-5)
    np.testing.assert_array_equal(shear_rows(sheared, -shear), lines)


@pytest.mark.parametrize(("angle", "shear"), [(0.0, 0), (45.0, 1), (-45.0, -1), (-60.0, -2)])
def test_default_removes_steep_rain_as_well(default: Derainer, angle: float, shear: int) -> None:
    rainy, clean = draw_rain(angle)
    result = default.run(rainy)
    assert result.sensed.shear == shear
    straight = draw_rain(0.0)
    whole = gain(straight[0], default(straight[0]), straight[1])
    assert gain(rainy, result.image, clean) > 0.6 * whole > 1


def test_a_dry_scene_is_not_sheared(default: Derainer) -> None:
    assert default.sense(draw_rain(0.0)[1]).shear == 0


def test_tiles_and_bands_of_sheared_rain_agree_with_the_whole() -> None:
    """A large image: rain is sensed in samples, and each tile is sheared by itself."""
    rainy = np.tile(draw_rain(45.0)[0], (3, 2, 1))[:720, :736]
    whole = Derainer(threads=1, tile=0).network
    tiled = Derainer(threads=1, tile=304).network
    bands = Bands(720, 736, lambda: iter(np.array_split(rainy, 5)))
    sensed = tiled.sense(bands)
    assert sensed == whole.sense(rainy)
    assert sensed.shear == 1
    expected = whole.derain(rainy, sensed, 1.0)
    banded = np.concatenate(list(tiled.derain(bands, sensed, 1.0)))
    assert np.abs(np.subtract(expected, banded, dtype=int)).max() <= 1
