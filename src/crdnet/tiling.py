"""Cutting an image into tiles whose results together equal the result for the whole image.

The receptive field of a network is finite. A tile gets `margin` pixels around its core and starts
on the pooling grid of the network, so its core gets exactly the values of the whole image. A window
ends at the border of the padded image, so that the zero padding of the network lies in the same
place.

This module computes with sizes only and touches no pixels.
"""

from collections.abc import Iterator
from typing import NamedTuple

WHOLE_PIXELS = 8_000_000
"""Largest padded image that `auto` does not cut, in pixels."""
WINDOW_PIXELS = 2_000_000
"""Largest window of a larger image, in pixels: 12 megapixels take eight windows and 700 MB."""

ROW_PIXELS = 32_000_000
"""Largest row of windows, in pixels of the image.

An image that is processed in bands holds one such row in memory, so wide images get low windows.
"""


class Tile(NamedTuple):
    """Core and window of one network call, in pixels of the padded image."""

    core_rows: slice
    core_columns: slice
    """Part of the result that the tile computes; cores cover the image without overlap."""
    window_rows: slice
    window_columns: slice
    """Input of the network: the core and its margin."""

    @property
    def core_in_window(self) -> tuple[slice, slice]:
        """Rows and columns of the core within the window."""
        return (
            _shift(self.core_rows, -self.window_rows.start),
            _shift(self.core_columns, -self.window_columns.start),
        )


def cut_tiles(
    height: int,
    width: int,
    sides: tuple[int, int],
    margin: int,
    multiple: int,
) -> Iterator[Tile]:
    """Cut a padded image into tiles, row by row.

    Cores at the border need no margin there and are larger instead. All windows then have one size,
    except in the last row and column: engines prepare, and keep memory, for each size.

    Args:
        height: Height in pixels; a multiple of `multiple`.
        width: Width in pixels; a multiple of `multiple`.
        sides: Height and width of a core, rounded up to the multiple; 0 takes the whole side.
        margin: Pixels around a core, rounded up to the multiple.
        multiple: Grid of the network: the start and the sides of a window are multiples of it.

    Raises:
        ValueError: The image is not padded, or a number is negative.
    """
    if height % multiple or width % multiple:
        raise ValueError(
            f"an image to cut is padded to multiples of {multiple}, got {height} x {width}",
        )
    if min(sides) < 0 or margin < 0:
        raise ValueError(
            f"a tile's sides and margin are pixels from 0 up, got {sides} and {margin}",
        )
    high, wide, margin = (_round_up(pixels, multiple) for pixels in (*sides, margin))
    for rows in _cut_cores(height, high or height, margin):
        for columns in _cut_cores(width, wide or width, margin):
            yield Tile(rows, columns, _widen(rows, margin, height), _widen(columns, margin, width))


def choose_tile_sides(
    height: int, width: int, margin: int, multiple: int, *, reduction: int = 1
) -> tuple[int, int]:
    """Choose the sides of a core, or 0, 0 to take the image whole.

    Windows stay within `WINDOW_PIXELS` and rows of windows within `ROW_PIXELS`. Among these sides,
    the ones with the fewest window pixels in total win. If the margin is too large for any tile,
    the smallest possible tile is returned.

    Args:
        height: Height in pixels; a multiple of `multiple`.
        width: Width in pixels; a multiple of `multiple`.
        margin: Pixels around a core, rounded up to the multiple.
        multiple: Grid of the network: the sides of a window are multiples of it.
        reduction: Factor by which the network sees the window smaller. The network costs less by
            its square and everything else the same, so windows grow by the factor itself.
    """
    if height * width <= reduction * WHOLE_PIXELS:
        return 0, 0
    margin = _round_up(margin, multiple)
    across = _list_windows(width, margin, multiple)
    # A window lower than four margins would consist mostly of margin, so the limit ends there.
    highest = max(ROW_PIXELS // width, 4 * margin)
    # All numbers of rows are tried, since the best one depends on both sides.
    shown: dict[tuple[int, int], int] = {}
    for rows, (high, side) in enumerate(_list_windows(height, margin, multiple)):
        if high > highest:
            continue
        most = reduction * WINDOW_PIXELS // high
        columns = next((count for count, (wide, _) in enumerate(across) if wide <= most), None)
        if columns is not None:
            # Each cut shows two margins twice, so this is the area of all windows.
            total = (height + 2 * margin * rows) * (width + 2 * margin * columns)
            shown[side, across[columns][1]] = total
    return min(shown, key=shown.__getitem__, default=(multiple, multiple))


def _list_windows(length: int, margin: int, multiple: int) -> list[tuple[int, int]]:
    """List the lengths of window and core for one window, two windows, and so on."""
    # One window takes the whole side and needs no margin.
    found = [(length, length)]
    for count in range(2, length // multiple + 1):
        window = _round_up(-(-(length + 2 * margin * (count - 1)) // count), multiple)
        # Windows only get shorter from here on, so no later one has room for a core.
        if window - 2 * margin < multiple:
            break
        found.append((window, window - 2 * margin))
    return found


def _cut_cores(length: int, side: int, margin: int) -> Iterator[slice]:
    """Yield cores; those at the border are longer by the margin that they do not need."""
    start = 0
    while start < length:
        stop = start + side + (margin if start == 0 else 0)
        # The window reaches the border anyway, so the rest joins this core.
        if stop + margin >= length:
            stop = length
        yield slice(start, stop)
        start = stop


def _widen(core: slice, margin: int, length: int) -> slice:
    # The border cuts the margin off: beyond it the network pads with zeros, as for the whole image.
    return slice(max(core.start - margin, 0), min(core.stop + margin, length))


def _shift(span: slice, by: int) -> slice:
    return slice(span.start + by, span.stop + by)


def _round_up(pixels: int, multiple: int) -> int:
    return -(-pixels // multiple) * multiple
