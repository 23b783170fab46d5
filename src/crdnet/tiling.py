"""Cutting a picture into tiles whose answers make the answer of the whole.

A network looks only so far. A tile that is given `margin` pixels of its surroundings, and starts where the
network's pooling grid starts, computes in its core exactly what it would compute in the whole picture. Where
the surroundings end at the picture's (padded) border the window ends there too, so that the network's own
zero padding meets the same border.

Everything here is arithmetic on sizes; no pixel is touched.
"""

from collections.abc import Iterator
from typing import NamedTuple

WHOLE_PIXELS = 8_000_000
"""Up to this many pixels `auto` takes a padded picture whole."""
WINDOW_PIXELS = 2_000_000
"""Larger pictures are shown in windows of at most this many: twelve megapixels in eight, within 700 MB."""

ROW_PIXELS = 32_000_000
"""Windows of wide pictures are lower than they are wide, so that a row of windows has at most this many pixels of the
picture, which lie in memory together when it is done in bands."""


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


def tiles(height: int, width: int, sides: tuple[int, int], margin: int, multiple: int) -> Iterator[Tile]:
    """Cut a padded picture into tiles, row by row.

    Cores at the border, which need no margin there, are larger instead, so that windows are of one size but for the
    last of a row and the last row: engines prepare for a size, and keep memory for each.

    Args:
        height: Pixels; a multiple of `multiple`.
        width: The same.
        sides: Height and width of a core; rounded up to the multiple. 0 is all that the picture has.
        margin: Pixels shown around a core; rounded up to the multiple.
        multiple: What the network needs the sides of a window, and the place where it starts, to be multiples
            of.
    """
    if height % multiple or width % multiple:
        raise ValueError(
            f"a picture is padded to multiples of {multiple} before it is cut, got {height} x {width}"
        )
    if min(sides) < 0 or margin < 0:
        raise ValueError(f"a tile's sides and margin are pixels from 0 up, got {sides} and {margin}")
    high, wide, margin = (_rounded_up(pixels, multiple) for pixels in (*sides, margin))
    for rows in _pieces(height, high or height, margin):
        for columns in _pieces(width, wide or width, margin):
            yield Tile(rows, columns, _widened(rows, margin, height), _widened(columns, margin, width))


def automatic_sides(
    height: int, width: int, margin: int, multiple: int, *, reduction: int = 1
) -> tuple[int, int]:
    """Return the sides that keep every window within `WINDOW_PIXELS`, or 0, 0 where the picture is taken whole.

    Of all such sides, and within `ROW_PIXELS`, they are those whose windows are the fewest pixels together. A margin so
    large that no tile would fit gives the smallest tile there is.

    Args:
        height: Pixels; a multiple of `multiple`.
        width: The same.
        margin: Pixels shown around a core; rounded up to the multiple.
        multiple: What the sides of a window are multiples of.
        reduction: How many times smaller the network sees the window. It costs the network less by the square and
            everything else as much, so windows grow by the number itself.
    """
    if height * width <= reduction * WHOLE_PIXELS:
        return 0, 0
    margin = _rounded_up(margin, multiple)
    across = _windows(width, margin, multiple)
    highest = max(ROW_PIXELS // width, 4 * margin)
    shown: dict[tuple[int, int], int] = {}
    for rows, (high, side) in enumerate(_windows(height, margin, multiple)):
        if high > highest:
            continue
        most = reduction * WINDOW_PIXELS // high
        columns = next((count for count, (wide, _) in enumerate(across) if wide <= most), None)
        if columns is not None:
            total = (height + 2 * margin * rows) * (width + 2 * margin * columns)
            shown[side, across[columns][1]] = total
    return min(shown, key=shown.__getitem__, default=(multiple, multiple))


def _windows(length: int, margin: int, multiple: int) -> list[tuple[int, int]]:
    """Return the lengths of window and core where a length is shown in one window, in two, and so on."""
    found = [(length, length)]
    for count in range(2, length // multiple + 1):
        window = _rounded_up(-(-(length + 2 * margin * (count - 1)) // count), multiple)
        if window - 2 * margin < multiple:
            break
        found.append((window, window - 2 * margin))
    return found


def _pieces(length: int, side: int, margin: int) -> Iterator[slice]:
    """Yield cores; those at the border reach so much further as they need no margin."""
    start = 0
    while start < length:
        stop = start + side + (margin if start == 0 else 0)
        if stop + margin >= length:
            stop = length
        yield slice(start, stop)
        start = stop


def _widened(core: slice, margin: int, length: int) -> slice:
    return slice(max(core.start - margin, 0), min(core.stop + margin, length))


def _shifted(span: slice, by: int) -> slice:
    return slice(span.start + by, span.stop + by)


def _rounded_up(pixels: int, multiple: int) -> int:
    return -(-pixels // multiple) * multiple
