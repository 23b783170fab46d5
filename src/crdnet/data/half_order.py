"""Detection of the rainy half of side-by-side images from their pixels.

Some data sets store [rainy | clean], others [clean | rainy], and no name states the order. Three
signs indicate the rainy half; the number in brackets is the share of the pairs of Rain800 in which
the sign is right:

- Streaks add light (0.80; a change of contrast may remove more).
- Streaks are sparse and brighter than the background, so the local change is skewed upwards (0.91).
- Streaks add fine detail (0.99).

Each image votes with the majority of its three signs (0.99). The order of a set follows from the
votes only if they agree.
"""

import logging
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from crdnet.data.listing import Listing
from crdnet.data.loading import HalfOrder, read_halves
from crdnet.density import luma
from crdnet.errors import DataError

logger = logging.getLogger(__name__)

SAMPLE_PAIRS = 24
"""Number of images of a set that vote."""

AGREEMENT = 0.8
"""Smallest share of the votes that decides; Rain800 reaches 0.99."""

Item = TypeVar("Item")

# Halves of a pair reach 0.75 even in heavy rain; halves of a single photograph have a median of
# 0.11.
_MIN_LIKENESS = 0.5
_LOOK_PIXELS = 512
_BOX_PIXELS = 9
_COARSE_PIXELS = 24


def vote_rainy(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> int:
    """Vote for the rainier of two images of one scene.

    Args:
        first: RGB image (h, w, 3).
        second: RGB image of the same shape.

    Returns:
        1 for the second, -1 for the first, 0 for neither.
    """
    before, after = luma(_crop_middle(first)), luma(_crop_middle(second))
    change = after - before
    local_change = _extract_detail(change)
    detail = np.abs(_extract_detail(after)).mean() - np.abs(_extract_detail(before)).mean()
    # The third moment measures the skew: a few much brighter pixels dominate it.
    signs = np.sign([change.mean(), (local_change**3).mean(), detail])
    return int(np.sign(signs.sum()))


def measure_likeness(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> float:
    """Return the correlation of the coarse luma of two images, 1 if equal."""
    before, after = _compute_coarse_luma(first), _compute_coarse_luma(second)
    spread = before.std() * after.std()
    # A flat image has no correlation.
    if spread == 0:
        return 1.0 if np.array_equal(before, after) else 0.0
    return float(((before - before.mean()) * (after - after.mean())).mean() / spread)


def decide_order(listing: Listing) -> HalfOrder:
    """Decide by a sample of side-by-side images which half is the rainy one.

    Raises:
        DataError: The images cannot be read, do not consist of two halves, or do not agree.
    """
    votes, alike = [], []
    for image in sample_evenly(listing.images):
        try:
            left, right = read_halves(listing.root / image)
        except DataError as error:
            # The image stays in the set, so loading it raises the error again.
            logger.debug("not asked for the order of halves: %s", error)
            continue
        alike.append(measure_likeness(left, right))
        votes.append(vote_rainy(left, right))
    if not alike or np.median(alike) < _MIN_LIKENESS:
        raise DataError(
            f"{listing.root}: no layout is recognised; its folders are not named like a known "
            "one's, and its images are not two of a scene side by side; "
            "name a layout (--layout) if it has one",
        )
    return _decide_majority(listing, votes)


def _decide_majority(listing: Listing, votes: Sequence[int]) -> HalfOrder:
    right, left = votes.count(1), votes.count(-1)
    if max(right, left) < AGREEMENT * (right + left) or right == left:
        raise DataError(
            f"{listing.root}: the order of halves cannot be seen: of {len(votes)} images, "
            f"{left} look rainy on the left, {right} on the right; "
            "name it with `layout` rainy-clean or clean-rainy"
        )
    order = HalfOrder.CLEAN_RAINY if right > left else HalfOrder.RAINY_CLEAN
    logger.info(
        "%s: %s, by %d of %d images",
        listing.root,
        order.value,
        max(right, left),
        len(votes),
    )
    return order


def sample_evenly(items: Sequence[Item]) -> list[Item]:
    """Return at most `SAMPLE_PAIRS` items at even distances."""
    count = min(SAMPLE_PAIRS, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def _crop_middle(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    # A crop bounds the time for large images and has enough pixels to vote.
    top, left = (max(0, side - _LOOK_PIXELS) // 2 for side in image.shape[:2])
    return image[top : top + _LOOK_PIXELS, left : left + _LOOK_PIXELS].astype(np.float64)


def _extract_detail(plane: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return a plane (h, w) minus its local mean, cropped to where the box of the mean fits."""
    height, width = plane.shape
    box = min(_BOX_PIXELS, height, width)
    # A summed-area table makes the cost independent of the size of the box.
    sums = np.pad(plane.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    mean: npt.NDArray[np.floating] = (
        sums[box:, box:] - sums[:-box, box:] - sums[box:, :-box] + sums[:-box, :-box]
    ) / box**2
    margin = box // 2
    return plane[margin : margin + mean.shape[0], margin : margin + mean.shape[1]] - mean


def _compute_coarse_luma(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.floating]:
    small = Image.fromarray(image).resize((_COARSE_PIXELS, _COARSE_PIXELS), Image.Resampling.BOX)
    return luma(np.asarray(small, dtype=np.float64))
