"""Tiles cover an image exactly once, with margins, within the bounds of memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers

from crdnet.tiling import (
    ROW_PIXELS,
    WHOLE_PIXELS,
    WINDOW_PIXELS,
    Tile,
    choose_tile_sides,
    cut_tiles,
)

SIDES = {"height": integers(1, 12), "width": integers(1, 12), "multiple": integers(1, 32)}


def count_pixels(tile: Tile) -> int:
    rows, columns = tile.window_rows, tile.window_columns
    return len(range(rows.start, rows.stop)) * len(range(columns.start, columns.stop))


@given(**SIDES, side=integers(0, 200), margin=integers(0, 100))
def test_the_cores_partition_the_image(
    height: int, width: int, multiple: int, side: int, margin: int
) -> None:
    times_answered = np.zeros((height * multiple, width * multiple), int)
    for tile in cut_tiles(height * multiple, width * multiple, (side, side), margin, multiple):
        times_answered[tile.core_rows, tile.core_columns] += 1
    assert (times_answered == 1).all()


@given(**SIDES, side=integers(0, 200), margin=integers(0, 100))
def test_a_window_has_its_margin_or_ends_at_the_border_and_is_aligned(
    height: int, width: int, multiple: int, side: int, margin: int
) -> None:
    lengths = (height * multiple, width * multiple)
    for tile in cut_tiles(*lengths, (side, side), margin, multiple):
        spans = ((tile.core_rows, tile.window_rows), (tile.core_columns, tile.window_columns))
        for (core, window), length in zip(spans, lengths, strict=True):
            assert window.start == 0 or core.start - window.start >= margin
            assert window.stop == length or window.stop - core.stop >= margin
            assert 0 <= window.start <= core.start < core.stop <= window.stop <= length
            assert window.start % multiple == window.stop % multiple == 0


@given(**SIDES, side=integers(1, 200), margin=integers(0, 100))
def test_the_position_of_the_core_in_the_window_is_correct(
    height: int, width: int, multiple: int, side: int, margin: int
) -> None:
    image = np.arange(height * width * multiple**2).reshape(height * multiple, width * multiple)
    for tile in cut_tiles(*image.shape, (side, side), margin, multiple):
        window = image[tile.window_rows, tile.window_columns]
        np.testing.assert_array_equal(
            window[tile.core_in_window],
            image[tile.core_rows, tile.core_columns],
        )


def test_side_zero_is_the_whole_image() -> None:
    (tile,) = cut_tiles(64, 96, (0, 0), 384, 32)
    assert tile == Tile(slice(0, 64), slice(0, 96), slice(0, 64), slice(0, 96))


def test_a_side_is_rounded_up_to_the_multiple() -> None:
    assert next(cut_tiles(320, 320, (33, 33), 0, 32)).core_rows == slice(0, 64)


@settings(deadline=None)  # a large image with a large margin is many tiles
@given(height=integers(1, 400), width=integers(1, 400), margin=integers(0, 600))
def test_the_automatic_sides_bound_every_window(height: int, width: int, margin: int) -> None:
    height, width = height * 32, width * 32
    sides = choose_tile_sides(height, width, margin, 32)
    assert (sides == (0, 0)) == (height * width <= WHOLE_PIXELS)
    most = WINDOW_PIXELS if sides[0] else WHOLE_PIXELS
    assert max(count_pixels(tile) for tile in cut_tiles(height, width, sides, margin, 32)) <= most


def test_a_row_of_windows_of_a_gigapixel_fits_into_memory() -> None:
    sides = choose_tile_sides(31632, 31632, 128, 16)
    windows = list(cut_tiles(31632, 31632, sides, 128, 16))
    highest = max(each.window_rows.stop - each.window_rows.start for each in windows)
    assert highest * 31632 <= ROW_PIXELS
    assert sum(count_pixels(each) for each in windows) < 1.6 * 31632**2


@settings(deadline=None)
@given(height=integers(1, 60), width=integers(1, 60), margin=integers(0, 200))
def test_windows_of_automatic_sides_have_hardly_more_pixels_than_any_squares(
    height: int, width: int, margin: int
) -> None:
    height, width = height * 128, width * 128

    def sum_windows(sides: tuple[int, int]) -> int:
        return sum(map(count_pixels, cut_tiles(height, width, sides, margin, 128)))

    found = choose_tile_sides(height, width, margin, 128)
    for side in range(128, 2049, 128):
        largest = max(
            count_pixels(tile) for tile in cut_tiles(height, width, (side, side), margin, 128)
        )
        # The last windows of rows and columns are rounded up otherwise than the sides were chosen
        # for: by at most 5.2 % in half a million random cases.
        assert (
            largest > WINDOW_PIXELS
            or found == (0, 0)
            or sum_windows(found) <= 1.06 * sum_windows((side, side))
        )


def test_twelve_megapixels_are_eight_windows_with_less_than_a_third_of_margins() -> None:
    windows = list(cut_tiles(3008, 4000, choose_tile_sides(3008, 4000, 128, 16), 128, 16))
    assert len(windows) == 8
    assert sum(map(count_pixels, windows)) < 1.3 * 3008 * 4000


def test_windows_that_a_network_sees_reduced_are_larger() -> None:
    windows = list(
        cut_tiles(12800, 12800, choose_tile_sides(12800, 12800, 520, 64, reduction=4), 520, 64),
    )
    assert WINDOW_PIXELS < max(map(count_pixels, windows)) <= 4 * WINDOW_PIXELS
    assert (
        choose_tile_sides(4000, 4000, 520, 64)
        != (0, 0)
        == choose_tile_sides(4000, 4000, 520, 64, reduction=2)
    )


def test_a_margin_beyond_the_bound_still_gives_tiles() -> None:
    assert choose_tile_sides(6400, 6400, 3000, 32) == (32, 32)


def test_an_image_without_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        next(cut_tiles(33, 64, (0, 0), 0, 32))
