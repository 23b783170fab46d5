"""At which size of an image its rain is such as the network knows.

The network knows rain as it looks in images of some 500 pixels. A photograph of 12 megapixels
shows the same streaks eight times as long; run at full size the network hardly sees them. So it
looks at the image at full size, at a half, a quarter and an eighth, and the rain is taken out at
the finest of these sizes at which it was sensed: the image is reduced, the network runs, and the
rain that it found is enlarged and subtracted at full size, which keeps every detail that is not
rain.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
from PIL import Image

from crdnet.density import INTENSITY_THRESHOLDS, luma
from crdnet.runtime.pixels import Array, Colours, as_colours
from crdnet.tiling import Tile

REDUCTIONS = (1, 2, 4, 8)
"""How many times smaller each look is, sides counted."""
SMALLEST_SIDE = 128
"""Pixels; an image is not reduced below this to look at it. One of 500 pixels is looked at to a
quarter."""
NEARLY_ALL = 0.5
"""The share of the strongest rain that a finer look must sense to be taken before a coarser one."""
EMPTY = 0.45
"""Detail of a size, against that of half the size, below which nothing is to be seen there.
Photographs as cameras make them have 0.59 and more, ones that were enlarged twice 0.41 and less
(decision 7)."""
LEAST_DETAIL = 0.3
"""Grey levels; an image with less, a clear sky or a black frame, does not tell at which size its
detail is."""
WHOLE_LOOK_PIXELS = 2**19
"""Up to this many pixels a look takes the whole image; beyond it, `SAMPLES` squared windows."""
SAMPLES = 3
SAMPLE_SIDE = 160

_RESIZED_REACH = 2
"""Pixels of the reduced image beyond a place that its reduction and its enlargement depend on."""
_BAND_ROWS = 256


def list_reductions(height: int, width: int) -> tuple[int, ...]:
    """Return by how much an image is reduced for each look, none first."""
    return tuple(
        each for each in REDUCTIONS if each == 1 or min(height, width) >= each * SMALLEST_SIDE
    )


def list_samples(height: int, width: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (top, left, height, width) of the parts that a look at an image takes, spread evenly over it."""
    if height * width <= WHOLE_LOOK_PIXELS:
        yield 0, 0, height, width
        return
    high, wide = min(SAMPLE_SIDE, height), min(SAMPLE_SIDE, width)
    tops, lefts = (
        [round((size - part) * (2 * each + 1) / (2 * SAMPLES)) for each in range(SAMPLES)]
        for size, part in ((height, high), (width, wide))
    )
    for top in tops:
        for left in lefts:
            yield top, left, high, wide


def measure_detail(colours: Colours) -> float:
    """Return how much of an image is lost at half its size: the mean change of luma, in grey levels of 255."""
    height, width = (side - side % 2 for side in colours.shape[:2])
    if not (height and width):
        return 0.0
    whole = luma(colours[:height, :width])
    return 255 * float(np.abs(whole - _resize(reduce_image(whole, 2), height, width)).mean())


def choose_reduction(intensities: Mapping[int, float], details: Mapping[int, float]) -> int:
    """Return the reduction to derain at.

    A size at which the image holds no detail, since it was enlarged or is out of focus, shows no
    streak as the network knows it either. Of the others it is the finest that sensed nearly as much
    rain as any; where there is next to none, the finest.

    Args:
        intensities: The intensity sensed at each reduction, in grey levels of 255.
        details: The detail at each reduction, see `measure_detail`.
    """
    empty = [
        fine
        for fine, coarse in pairwise(sorted(details))
        if details[coarse] >= LEAST_DETAIL and details[fine] < EMPTY * details[coarse]
    ]
    seen = [each for each in sorted(intensities) if not empty or each > max(empty)]
    least = NEARLY_ALL * max(intensities[each] for each in seen)
    return next(
        each for each in seen if intensities[each] >= least or least < INTENSITY_THRESHOLDS[0]
    )


def compute_margin(reduction: int, margin: int) -> int:
    """Return the pixels around a tile of the full image that decide its answer at a reduction.

    Args:
        reduction: How many times smaller the network sees the image.
        margin: Of the network, in pixels of what it sees.
    """
    return margin if reduction == 1 else reduction * (margin + _RESIZED_REACH)


def reduce_image(pixels: Array, reduction: int) -> Colours:
    """Return pixels (h, w) or (h, w, 3) as colours at 1/reduction of their sides, which must be multiples of it."""
    if reduction == 1:
        return as_colours(pixels)
    height, width = pixels.shape[0] // reduction, pixels.shape[1] // reduction
    if (
        pixels.dtype == np.uint8
    ):  # rounding to 8 bits once more is far below what rain changes, and five times as fast
        small = Image.fromarray(np.ascontiguousarray(pixels)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        return as_colours(np.asarray(small))
    return np.clip(_resize(as_colours(pixels), height, width), 0.0, 1.0)


def enlarge_bands(rain: Colours, reduction: int, tile: Tile) -> Iterator[tuple[slice, Colours]]:
    """Yield (rows of the image, rain) at full size for the core of a tile, a few rows at a time.

    Args:
        rain: Of the tile's window, at 1/reduction of its sides.
        reduction: At least 2.
        tile: In pixels of the full image.
    """
    left = (tile.core_columns.start - tile.window_columns.start) / reduction
    width = tile.core_columns.stop - tile.core_columns.start
    for start in range(tile.core_rows.start, tile.core_rows.stop, _BAND_ROWS):
        rows = slice(start, min(start + _BAND_ROWS, tile.core_rows.stop))
        top, bottom = (
            (row - tile.window_rows.start) / reduction for row in (rows.start, rows.stop)
        )
        part = (left, top, left + width / reduction, bottom)
        yield rows, _resize(rain, rows.stop - rows.start, width, part)


def _resize(
    colours: Colours, height: int, width: int, part: tuple[float, float, float, float] | None = None
) -> Colours:
    """Return colours (or the part left, top, right, bottom of them) at another size, by bicubic interpolation.

    Pillow looks beyond a part for the pixels around it, so that parts side by side make the whole.
    """
    if colours.ndim == 2:
        resized = Image.fromarray(np.ascontiguousarray(colours)).resize(
            (width, height), Image.Resampling.BICUBIC, part
        )
        return np.asarray(resized)
    return np.stack([_resize(colours[..., each], height, width, part) for each in range(3)], axis=2)
