"""Which of two pictures of a scene is the rainy one, seen from the pictures themselves.

Half of the field writes [rainy | clean], the other half [clean | rainy], and no name says which.
Three signs tell, none of them always (in brackets, the share of Rain800's pairs in which it does):
streaks add light (0.80; a change of contrast may take more away), they are sparse and brighter than
what they cover, so that the local change is skewed upwards (0.91), and they add fine detail (0.99).
A picture votes with the majority of its three signs (0.99), and a set follows its pictures only
where they agree.
"""

import logging
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from crdnet.data.listing import Listing
from crdnet.data.pairs import HalfOrder, read_halves
from crdnet.density import luma
from crdnet.errors import DataError

logger = logging.getLogger(__name__)

SAMPLE_PAIRS = 24
"""How many pictures of a set are asked."""

AGREEMENT = 0.8
"""Share of the votes that decides. Rain800 reaches 0.99."""

Item = TypeVar("Item")

_MIN_LIKENESS = (
    0.5  # Halves of a pair: 0.75 and above, in heavy rain too. Halves of a photograph: median 0.11.
)
_LOOK_PIXELS = 512
_BOX_PIXELS = 9
_COARSE_PIXELS = 24


def rain_vote(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> int:
    """Tell which of two pictures of one scene looks rainy.

    Args:
        first: RGB picture (h, w, 3).
        second: Another, of the same shape.

    Returns:
        1 where the second is, -1 where the first is, 0 where nothing tells.
    """
    before, after = luma(_middle(first)), luma(_middle(second))
    change = after - before
    local_change = _fine(change)
    detail = np.abs(_fine(after)).mean() - np.abs(_fine(before)).mean()
    signs = np.sign([change.mean(), (local_change**3).mean(), detail])
    return int(np.sign(signs.sum()))


def likeness(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> float:
    """Return how alike two pictures are from afar: the correlation of their coarse luma, 1 where equal."""
    before, after = _coarse(first), _coarse(second)
    spread = before.std() * after.std()
    if spread == 0:
        return 1.0 if np.array_equal(before, after) else 0.0
    return float(((before - before.mean()) * (after - after.mean())).mean() / spread)


def decide_order(listing: Listing) -> HalfOrder:
    """Decide by a sample of side-by-side pictures which half of them is the rainy one.

    Raises:
        DataError: The pictures cannot be read, are not made of two halves, or do not agree.
    """
    votes, alike = [], []
    for picture in spread_sample(listing.pictures):
        try:
            left, right = read_halves(listing.root / picture)
        except DataError as error:
            # The picture stays in the set, so whoever loads it meets the error again.
            logger.debug("not asked for the order of halves: %s", error)
            continue
        alike.append(likeness(left, right))
        votes.append(rain_vote(left, right))
    if not alike or np.median(alike) < _MIN_LIKENESS:
        raise DataError(
            f"{listing.root}: no layout is recognised; its folders are not named like a known one's, and "
            "its pictures are not two of a scene side by side; name a layout (--layout) if it has one"
        )
    return _majority(listing, votes)


def _majority(listing: Listing, votes: Sequence[int]) -> HalfOrder:
    right, left = votes.count(1), votes.count(-1)
    if max(right, left) < AGREEMENT * (right + left) or right == left:
        raise DataError(
            f"{listing.root}: the order of halves cannot be seen: of {len(votes)} pictures, "
            f"{left} look rainy on the left, {right} on the right; "
            "name it with --layout rainy-clean or clean-rainy"
        )
    order = HalfOrder.CLEAN_RAINY if right > left else HalfOrder.RAINY_CLEAN
    logger.info("%s: %s, by %d of %d pictures", listing.root, order.value, max(right, left), len(votes))
    return order


def spread_sample(items: Sequence[Item]) -> list[Item]:
    """Return at most `SAMPLE_PAIRS` of the items, evenly spread over them."""
    count = min(SAMPLE_PAIRS, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def _middle(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    top, left = (max(0, side - _LOOK_PIXELS) // 2 for side in picture.shape[:2])
    return picture[top : top + _LOOK_PIXELS, left : left + _LOOK_PIXELS].astype(np.float64)


def _fine(plane: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return what a plane (h, w) holds beyond its local mean, where the mean's box fits into it."""
    height, width = plane.shape
    box = min(_BOX_PIXELS, height, width)
    sums = np.pad(plane.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    mean: npt.NDArray[np.floating] = (
        sums[box:, box:] - sums[:-box, box:] - sums[box:, :-box] + sums[:-box, :-box]
    ) / box**2
    margin = box // 2
    return plane[margin : margin + mean.shape[0], margin : margin + mean.shape[1]] - mean


def _coarse(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.floating]:
    small = Image.fromarray(picture).resize((_COARSE_PIXELS, _COARSE_PIXELS), Image.Resampling.BOX)
    return luma(np.asarray(small, dtype=np.float64))
