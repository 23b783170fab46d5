"""Fusion of a frame with its aligned neighbours.

Each frame is a measurement of the same scene with an error that is large where the network removed
rain. The estimates of a pixel are averaged by their inverse variances, as a Kalman filter does:

- the frame itself: error in proportion to the rain removed around the pixel;
- the estimate up to the previous frame: its variance, and more if it was moved;
- the next frame.

Neighbours that disagree over a window wider than a streak show something else: an occlusion, a
moving object, a cut, another exposure. Their variance grows by the disagreement, so the frame alone
decides. Pixels that three frames show alike are restored even if the network removed them, because
rain does not stay in place.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crdnet.density import luma
from crdnet.video.engine import Colours
from crdnet.video.flow import Flow, Plane, average_box, warp

NOISE_LEVELS = 0.1
"""Error of a pixel without rain, in grey levels."""
ERROR_OF_RAIN = 0.5
"""Error of a derained pixel, as a share of the rain removed around it."""
MOVED_PIXELS = 0.25
"""Error of a displacement, in pixels: detail that is moved is wrong by its gradient times this."""
STILL_LEVELS = 1.0
"""Error of a neighbour that is not moved, in grey levels."""
LEAST_VARIANCE = 0.3
"""Variance to which a long static scene shrinks, in squared grey levels."""
# Standard deviation added for each grey level of disagreement that rain does not explain.
_DISAGREEMENT = 1.5
# Share of the rain around a pixel by which neighbours may disagree.
_EXPLAINED = 0.2
_UNEXPLAINED_LEVELS = 1.0
# Side of the window for disagreement, in pixels.
_WINDOW = 7
# Side of the window for rain at a pixel, in pixels.
_NEAR = 3
# Range of three rainy frames that counts as no change, in grey levels.
_ALIKE_LEVELS = 8.0

# Difference from the median of three rainy frames that counts as noise, in grey levels.
_OWN_LEVELS = 3.0


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame, the estimate of the network, and the rain between them.

    Attributes:
        rainy: The input frame (h, w, 3).
        derained: Estimate of the network (h, w, 3).
        luma: Luma of the estimate (h, w).
        rain: Rain removed around each pixel (h, w), in grey levels.
        wide: The same over the window for disagreement.
    """

    rainy: Colours
    derained: Colours
    luma: Plane
    rain: Plane
    wide: Plane

    @classmethod
    def from_estimate(cls, rainy: Colours, derained: Colours) -> "Seen":
        """Measure the rain that was removed from a frame."""
        light = luma(derained).astype(np.float32)
        rain = average_box(np.abs(luma(rainy) - light), _NEAR)
        return cls(rainy, derained, light, rain, average_box(rain, _WINDOW))

    @property
    def variance(self) -> Plane:
        """Squared error of the estimate (h, w)."""
        return np.asarray(
            np.float32(NOISE_LEVELS**2) + (np.float32(ERROR_OF_RAIN) * self.rain) ** 2
        )


class Belief(NamedTuple):
    """Scene as estimated from all frames up to one.

    Attributes:
        colours: Estimate (h, w, 3).
        variance: Its squared error (h, w).
        seen: The last of the frames.
    """

    colours: Colours
    variance: Plane
    seen: Seen


class Neighbour(NamedTuple):
    """A frame before or after, and the displacement towards it.

    Attributes:
        seen: The frame.
        colours: Estimate to fuse: the frame's own, or the belief up to it.
        variance: Squared error of it.
        flow: Displacement towards it; None if nothing moved.
    """

    seen: Seen
    colours: Colours
    variance: Plane
    flow: Flow | None


def fuse(here: Seen, before: Neighbour | None, after: Neighbour | None) -> tuple[Colours, Belief]:
    """Fuse a frame with its neighbours.

    A network that takes three frames would replace this function.

    Args:
        here: The frame.
        before: The previous frame with the belief up to it, if it shows the same scene.
        after: The next frame, if it shows the same scene.

    Returns:
        The derained frame (h, w, 3), and the belief up to it, which leaves the next frame out.
    """
    measured = here.derained
    if before is not None and after is not None:
        measured = _restore_what_stays(here, before, after)
    weight = 1 / here.variance
    total, weights = weight[..., np.newaxis] * measured, weight
    if before is not None:
        colours, share = _weigh(here, before)
        total, weights = total + share[..., np.newaxis] * colours, weights + share
    belief = Belief(
        np.asarray(total / weights[..., np.newaxis], np.float32),
        np.asarray(1 / weights, np.float32),
        here,
    )
    if after is None:
        return belief.colours, belief
    colours, share = _weigh(here, after)
    fused = (total + share[..., np.newaxis] * colours) / (weights + share)[..., np.newaxis]
    return np.asarray(fused, np.float32), belief


def _weigh(here: Seen, neighbour: Neighbour) -> tuple[Colours, Plane]:
    """Return the aligned estimate of a neighbour and its weight for each pixel."""
    flow = neighbour.flow
    colours = _move(neighbour.colours, flow)
    variance = np.maximum(_move(neighbour.variance, flow), np.float32(LEAST_VARIANCE))
    if flow is None:
        variance = variance + np.float32(STILL_LEVELS**2)
    else:
        moved = np.abs(flow).max(2) > 0.05
        slip = np.float32(MOVED_PIXELS**2) * _measure_steepness(here.luma) * moved
        variance = variance + np.float32(STILL_LEVELS**2) + slip
    # In all channels, since a moving object may differ from its background by hue alone.
    apart = average_box(np.abs(colours - here.derained).mean(2), _WINDOW)
    explained = _EXPLAINED * (here.wide + _move(neighbour.seen.wide, flow)) + _UNEXPLAINED_LEVELS
    variance = variance + (_DISAGREEMENT * np.maximum(0, apart - explained)) ** 2
    return colours, (1 / variance).astype(np.float32)


def _restore_what_stays(here: Seen, before: Neighbour, after: Neighbour) -> Colours:
    """Return the network's estimate, with the rainy pixels where three frames show them alike."""
    rainy = [here.rainy, _move(before.seen.rainy, before.flow), _move(after.seen.rainy, after.flow)]
    low, high = np.minimum(rainy[0], rainy[1]), np.maximum(rainy[0], rainy[1])
    middle = np.maximum(low, np.minimum(high, rainy[2]))
    spread = (np.maximum(high, rainy[2]) - np.minimum(low, rainy[2])).mean(2)
    apart = average_box(np.minimum(spread, np.float32(30)), _NEAR)
    share = np.exp(-((apart / np.float32(_ALIKE_LEVELS)) ** 2))[..., np.newaxis]
    # The frame's own pixels, noise included, unless a faint streak lies on them.
    slack = np.float32(_OWN_LEVELS)
    own = np.clip(here.rainy, middle - slack, middle + slack)
    return np.asarray(here.derained + share * (own - here.derained), np.float32)


def _measure_steepness(plane: Plane) -> Plane:
    """Return the squared gradient around each pixel, in squared grey levels per pixel."""
    down, right = np.gradient(plane)
    return average_box(np.asarray(down**2 + right**2, np.float32), _NEAR)


def _move(image: npt.NDArray[np.float32], flow: Flow | None) -> npt.NDArray[np.float32]:
    return image if flow is None else warp(image, flow)
