"""Streaks of single drops: geometry, composition in linear light, the same on every machine."""

from zlib import crc32

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers

from crdnet.errors import RecipeError
from crdnet.rain import Streaks, compose_drops, draw_streaks
from crdnet.rain.drops import OPAQUE, decode_srgb, encode_srgb

CHECKSUM = 1784020049
"""CRC-32 of a seeded frame, computed on a processor with AVX-512."""
Numbers = npt.NDArray[np.float64]


def streak(**changes: float) -> Streaks:
    """Return one upright streak of 40 x 3 pixels in the middle of a frame of 100 x 100."""
    values = {
        "row": 50.0,
        "column": 50.0,
        "length": 40.0,
        "width": 3.0,
        "angle_degrees": 0.0,
        "opacity": 0.5,
        "blur": 0.0,
        "beads": 0.0,
        "taper": 0.0,
    } | changes
    return Streaks(**{name: np.array([float(value)]) for name, value in values.items()})


def covered(opacity: npt.NDArray[np.uint16]) -> float:
    """Return the area that is covered, in pixels."""
    return float(opacity.sum(dtype=np.float64) / OPAQUE)


@given(
    # Along rows, columns and diagonals pixel centres meet a thin streak in one phase only.
    angle=floats(3, 42) | floats(48, 87) | floats(-42, -3),
    width=floats(0.5, 8),
    blur=floats(0, 6),
    row=floats(40, 60),
    column=floats(40, 60),
)
def test_a_streak_covers_its_area_whatever_its_direction_and_blur(
    angle: float, width: float, blur: float, row: float, column: float
) -> None:
    drawn = draw_streaks(
        streak(angle_degrees=angle, width=width, blur=blur, row=row, column=column), 100, 100
    )
    # Blur spreads light and keeps it; smoothed edges and pixel sampling err by a few per cent.
    assert covered(drawn) == pytest.approx(0.5 * 40 * width, rel=0.1)


def test_a_streak_out_of_frame_is_not_drawn_and_one_across_the_border_is() -> None:
    assert draw_streaks(streak(column=-5), 100, 100).max() == 0
    assert draw_streaks(streak(row=-10), 100, 100)[:5].max() > 0
    assert draw_streaks(streak(row=-10), 100, 100)[20:].max() == 0


def test_part_of_a_frame_holds_what_the_whole_frame_holds_there() -> None:
    rng = np.random.default_rng(0)
    many = Streaks(
        row=rng.uniform(0, 80, 50),
        column=rng.uniform(0, 80, 50),
        length=rng.uniform(3, 60, 50),
        width=rng.uniform(0.3, 5, 50),
        angle_degrees=rng.uniform(-80, 80, 50),
        opacity=rng.uniform(0, 0.5, 50),
        blur=rng.uniform(0, 4, 50),
        beads=np.repeat([0.0, 5.0], 25),
        taper=rng.uniform(0, 1, 50),
    )
    whole = draw_streaks(many, 80, 80)
    moved = Streaks(
        many.row - 16,
        many.column - 32,
        many.length,
        many.width,
        many.angle_degrees,
        many.opacity,
        many.blur,
        many.beads,
        many.taper,
    )
    np.testing.assert_array_equal(draw_streaks(moved, 40, 40), whole[16:56, 32:72])


def test_beads_make_a_streak_brighter_and_darker_along_its_length() -> None:
    profile = draw_streaks(streak(beads=4.0), 100, 100)[35:66, 50].astype(float)
    turns = np.count_nonzero(np.diff(np.sign(np.diff(profile))))
    assert turns >= 5
    assert profile.max() > 2 * profile.min()


@given(level=integers(0, 255))
def test_linear_light_and_back_is_the_same_level(level: int) -> None:
    image = np.full((1, 1, 3), level, np.uint8)
    np.testing.assert_array_equal(encode_srgb(decode_srgb(image)), image)


def test_drops_mix_with_the_background_in_linear_light() -> None:
    clean = np.full((1, 1, 3), 60, np.uint8)
    white = np.full(3, OPAQUE, np.uint16)
    half = np.full((1, 1), OPAQUE // 2, np.uint16)
    # Half of white and half of level 60 (linear 0.0452) is linear 0.5226, which is level 191.3.
    assert compose_drops(clean, half, white)[0, 0].tolist() == [191, 191, 191]
    assert compose_drops(clean, np.zeros((1, 1), np.uint16), white)[0, 0].tolist() == [60, 60, 60]
    opaque = np.full((1, 1), OPAQUE, np.uint16)
    assert compose_drops(clean, opaque, white)[0, 0].tolist() == [255, 255, 255]


def test_streaks_are_the_same_on_every_machine() -> None:
    rng = np.random.default_rng(7)
    number = 200
    many = Streaks(
        row=rng.integers(0, 128, number).astype(np.float64),
        column=rng.integers(0, 128, number).astype(np.float64),
        length=rng.integers(3, 90, number).astype(np.float64),
        width=rng.integers(1, 64, number) / 16,
        angle_degrees=rng.integers(-89, 90, number).astype(np.float64),
        opacity=rng.integers(0, 256, number) / 512,
        blur=rng.integers(0, 64, number) / 16,
        beads=np.repeat([0.0, 3.0], number // 2),
        taper=rng.integers(0, 17, number) / 16,
    )
    # Of the first machine; another one has to draw the same.
    assert crc32(draw_streaks(many, 128, 128).tobytes()) == CHECKSUM


def test_arrays_of_unequal_length_are_refused() -> None:
    one = streak()
    with pytest.raises(RecipeError, match="arrays of one length"):
        Streaks(*[np.zeros(2)] + [one.column] * 8)
