"""Cutting a picture into tiles whose answers make the answer of the whole.

A network looks only so far. A tile that is given `margin` pixels of its surroundings, and starts where the
network's pooling grid starts, computes in its core exactly what it would compute in the whole picture. Where
the surroundings end at the picture's (padded) border the window ends there too, so that the network's own
zero padding meets the same border.

Everything here is arithmetic on sizes; no pixel is touched.
"""

from collections.abc import Iterator
from math import isqrt
from typing import NamedTuple

WHOLE_PIXELS = 8_000_000
"""Up to this many pixels `auto` takes a padded picture whole."""
WINDOW_PIXELS = 2_000_000
"""Larger pictures are shown in windows of at most this many, since rows of them must fit in memory beside."""


class Tile(NamedTuple):
    """One piece of work, in pixels of the padded picture."""

    core_rows: slice
    core_columns: slice
    """What the tile answers for; the cores of a picture meet without overlap."""
    window_rows: slice
    window_columns: slice
    """What the network is shown: the core and its margin."""

    @property
    def core_in_window(self) -> tuple[slice, slice]:
        """Where the core lies in the window."""
        return (
            _shifted(self.core_rows, -self.window_rows.start),
            _shifted(self.core_columns, -self.window_columns.start),
        )


def tiles(height: int, width: int, side: int, margin: int, multiple: int) -> Iterator[Tile]:
    """Cut a padded picture into tiles, row by row.

    Args:
        height: Pixels; a multiple of `multiple`.
        width: The same.
        side: Height and width of a core; rounded up to the multiple. 0 is the whole picture in one tile.
        margin: Pixels shown around a core; rounded up to the multiple.
        multiple: What the network needs the sides of a window, and the place where it starts, to be multiples
            of.
    """
    if height % multiple or width % multiple:
        raise ValueError(
            f"a picture is padded to multiples of {multiple} before it is cut, got {height} x {width}"
        )
    if side < 0 or margin < 0:
        raise ValueError(f"a tile's side and margin are pixels from 0 up, got {side} and {margin}")
    side, margin = _rounded_up(side, multiple), _rounded_up(margin, multiple)
    for rows in _pieces(height, side or height):
        for columns in _pieces(width, side or width):
            yield Tile(rows, columns, _widened(rows, margin, height), _widened(columns, margin, width))


def automatic_side(height: int, width: int, margin: int, multiple: int, *, reduction: int = 1) -> int:
    """Return the side that keeps every window within `WINDOW_PIXELS`, or 0 where the picture is taken whole.

    A margin so large that no tile would fit gives the smallest tile there is.

    Args:
        height: Pixels; a multiple of `multiple`.
        width: The same.
        margin: Pixels shown around a core; rounded up to the multiple.
        multiple: What the sides of a window are multiples of.
        reduction: How many times smaller the network sees the window. It costs the network less by the square and
            everything else as much, so windows grow by the number itself.
    """
    if height * width <= reduction * WHOLE_PIXELS:
        return 0
    side = isqrt(reduction * WINDOW_PIXELS) - 2 * _rounded_up(margin, multiple)
    return max(side // multiple, 1) * multiple


def _pieces(length: int, side: int) -> Iterator[slice]:
    for start in range(0, length, side):
        yield slice(start, min(start + side, length))


def _widened(core: slice, margin: int, length: int) -> slice:
    return slice(max(core.start - margin, 0), min(core.stop + margin, length))


def _shifted(span: slice, by: int) -> slice:
    return slice(span.start + by, span.stop + by)


def _rounded_up(pixels: int, multiple: int) -> int:
    return -(-pixels // multiple) * multiple
