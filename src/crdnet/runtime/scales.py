"""Choice of the scale at which streaks match the training data.

The network was trained on images of about 500 pixels. A photograph of 12 megapixels shows streaks
eight times as long, which the network hardly sees at full size. The intensity is therefore sensed
at full size, a half, a quarter and an eighth, and the image is derained at the finest of these
scales at which rain was sensed: the image is reduced, the network runs, and the rain that it found
is enlarged and subtracted at full size, which keeps every detail that is not rain.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
from PIL import Image

from crdnet.density import INTENSITY_THRESHOLDS, luma
from crdnet.runtime.pixels import Array, Colours, as_colours
from crdnet.tiling import Tile

REDUCTIONS = (1, 2, 4, 8)
"""Factors by which the sides of an image are divided for sensing; the scale is 1 / reduction."""
SMALLEST_SIDE = 128
"""Pixels; an image is not reduced below this for sensing. The coarsest scale for an image of 512
pixels is a quarter."""
NEARLY_ALL = 0.8
"""Share of the strongest intensity that a finer scale must sense to be preferred to a coarser one,
apart from `LOOKALIKE_INTENSITY`."""
LOOKALIKE_INTENSITY = 2.0
"""Intensity that things like large streaks, such as railings, may add at a coarser scale, in grey
levels of 255."""
LEAST_SHARE = 0.5
"""Share of the strongest intensity that a finer scale must sense in any case."""
EMPTY = 0.45
"""Ratio of the detail at a scale to the detail at half that scale, below which the scale holds no
detail. Photographs as cameras make them have at least 0.59, photographs that were enlarged twice at
most 0.41 (decision 7)."""
LEAST_DETAIL = 0.3
"""Grey levels; an image with less detail, such as a clear sky or a black frame, does not show at
which scale its detail is."""
WHOLE_LOOK_PIXELS = 2**19
"""Maximum pixels of an image that is sensed as a whole; a larger one is sensed in `SAMPLES` x
`SAMPLES` samples."""
SAMPLES = 3
SAMPLE_SIDE = 160

# Pixels of the reduced image around a point that its reduction and enlargement depend on.
_RESIZED_REACH = 2
_BAND_ROWS = 256


def list_reductions(height: int, width: int) -> tuple[int, ...]:
    """Return the reductions at which an image is sensed, in ascending order, starting with 1."""
    return tuple(
        each for each in REDUCTIONS if each == 1 or min(height, width) >= each * SMALLEST_SIDE
    )


def list_samples(height: int, width: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (top, left, height, width) of the evenly spaced samples to sense in an image."""
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
    """Return the detail that halving an image loses: mean change of luma in grey levels of 255."""
    height, width = (side - side % 2 for side in colours.shape[:2])
    if not (height and width):
        return 0.0
    whole = luma(colours[:height, :width])
    return 255 * float(np.abs(whole - _resize(reduce_image(whole, 2), height, width)).mean())


def choose_reduction(intensities: Mapping[int, float], details: Mapping[int, float]) -> int:
    """Choose the reduction at which to derain an image.

    Scales without detail are left out: an image that was enlarged or is out of focus shows no
    streaks there that match the training data. Of the others, the finest is chosen whose intensity
    is nearly the highest. If there is almost no rain, the finest is chosen.

    Args:
        intensities: Sensed intensity at each reduction, in grey levels of 255.
        details: Detail at each reduction, see `measure_detail`.
    """
    empty = [
        fine
        for fine, coarse in pairwise(sorted(details))
        if details[coarse] >= LEAST_DETAIL and details[fine] < EMPTY * details[coarse]
    ]
    seen = [each for each in sorted(intensities) if not empty or each > max(empty)]
    strongest = max(intensities[each] for each in seen)
    least = max(LEAST_SHARE * strongest, NEARLY_ALL * strongest - LOOKALIKE_INTENSITY)
    return next(
        each for each in seen if intensities[each] >= least or least < INTENSITY_THRESHOLDS[0]
    )


def compute_margin(reduction: int, margin: int) -> int:
    """Return the margin of a tile of the full image, in pixels.

    Args:
        reduction: Factor by which the image is reduced for the network.
        margin: Margin of the network, in pixels of the reduced image.
    """
    return margin if reduction == 1 else reduction * (margin + _RESIZED_REACH)


def reduce_image(pixels: Array, reduction: int) -> Colours:
    """Reduce pixels (h, w) or (h, w, 3) by a factor; return colours.

    Height and width must be multiples of the factor.
    """
    if reduction == 1:
        return as_colours(pixels)
    height, width = pixels.shape[0] // reduction, pixels.shape[1] // reduction
    # The error of rounding to 8 bits once more is far below the intensity of rain, and resizing
    # 8 bits is five times as fast.
    if pixels.dtype == np.uint8:
        small = Image.fromarray(np.ascontiguousarray(pixels)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        return as_colours(np.asarray(small))
    return np.clip(_resize(as_colours(pixels), height, width), 0.0, 1.0)


def enlarge_bands(rain: Colours, reduction: int, tile: Tile) -> Iterator[tuple[slice, Colours]]:
    """Enlarge the rain of a tile; yield (rows of the image, rain) for bands of the tile's core.

    Args:
        rain: Rain in the tile's window, with sides divided by `reduction`.
        reduction: At least 2.
        tile: The tile, in pixels of the full image.
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
    """Resize colours, or the box (left, top, right, bottom) in them, by bicubic interpolation.

    Pillow also reads the pixels around the box, so that adjacent parts join without a seam.
    """
    if colours.ndim == 2:
        resized = Image.fromarray(np.ascontiguousarray(colours)).resize(
            (width, height), Image.Resampling.BICUBIC, part
        )
        return np.asarray(resized)
    return np.stack([_resize(colours[..., each], height, width, part) for each in range(3)], axis=2)
