"""Deraining of frames in their order, one frame behind.

`TemporalDerainer` runs the network on every frame, aligns the neighbours, fuses them, starts anew
at a cut, and finds out by itself whether the camera stands still.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from crdnet.video.engine import Colours, Frame, FrameNetwork, SenseReport
from crdnet.video.flow import Flow, Plane, average_box, estimate_flow, find_shift, warp
from crdnet.video.fusion import Belief, Neighbour, Seen, align, fuse

Static = Literal["auto", "on", "off"]

Fusion = Callable[[Seen, Neighbour | None, Neighbour | None, Colours], Colours]
"""Takes a frame, its neighbours moved onto it, and the fused frame; returns a better one."""

CUT_LEVELS = 18.0
"""Mean change of coarse luma at a cut, in grey levels."""
STILL_PIXELS = 0.15
"""Largest shift of a static camera between two frames, in pixels."""
STILL_FRAMES = 5
"""Frames after which a camera that does not move counts as static."""
# Side of a cell of coarse luma, in pixels.
_COARSE = 16
# Grey levels by which a displacement must match better than none.
_PREFERRED_LEVELS = 0.1
# Side of the window in which displacements are compared, in pixels.
_COMPARED = 15


class DerainedFrame(NamedTuple):
    """A frame that left the derainer.

    Attributes:
        payload: What was given with the frame.
        rainy: The frame as it came (h, w, 3), in grey levels of 255.
        derained: The frame without rain, likewise; the same array where it was left alone.
        report: What was sensed of its rain.
        left_alone: Whether it was not changed, since most of it and its neighbours were dry.
        is_static: Whether the camera counted as static.
    """

    payload: Any
    rainy: Colours
    derained: Colours
    report: SenseReport
    left_alone: bool
    is_static: bool

    @property
    def change(self) -> Colours:
        """Derained minus rainy, in grey levels of 255."""
        return self.derained - self.rainy


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A frame whose next one has not come."""

    payload: Any
    seen: Seen
    report: SenseReport


class TemporalDerainer:
    """Derainer of frames in order; returns a frame when it gets the next one.

    Args:
        network: Network for single frames.
        strength: Share of the rain to take out, in [0, 1].
        temporal: Whether neighbours are used; if not, every frame is derained by itself.
        static: Whether the camera stands still, or "auto".
        always: Whether frames that are surely dry are changed too.
        fusion: Network that improves the frame fused by variances; None for none.
    """

    def __init__(
        self,
        network: FrameNetwork,
        *,
        strength: float = 1.0,
        temporal: bool = True,
        static: Static = "auto",
        always: bool = False,
        fusion: Fusion | None = None,
    ) -> None:
        self._network = network
        self._fusion = fusion
        self._strength = np.float32(strength)
        self._temporal = temporal
        self._static = static
        self._always = always
        self._belief: Belief | None = None
        self._before_dry: bool | None = None
        self._still_frames = 0
        self._waiting: _Waiting | None = None

    def push(self, frame: Frame, payload: Any = None) -> DerainedFrame | None:
        """Take the next frame, and return the one before it.

        Args:
            frame: RGB (h, w, 3), uint8 or uint16.
            payload: Anything; comes back with the frame.

        Returns:
            The previous frame, or None after the first.
        """
        estimate = self._network.derain(frame)
        coming = _Waiting(
            payload, Seen.from_estimate(estimate.rainy, estimate.derained), estimate.report
        )
        finished = None if self._waiting is None else self._finish(self._waiting, coming)
        self._waiting = coming
        return finished

    def flush(self) -> Iterator[DerainedFrame]:
        """Yield the last frame, and start anew."""
        if self._waiting is not None:
            yield self._finish(self._waiting, None)
        self._waiting = self._belief = None
        self._before_dry, self._still_frames = None, 0

    def save_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what the next frames depend on, without the frame that waits."""
        state = {
            "still_frames": np.array(self._still_frames),
            "before_dry": np.array(-1 if self._before_dry is None else int(self._before_dry)),
        }
        if self._belief is not None:
            seen = self._belief.seen
            state |= {
                "colours": self._belief.colours,
                "variance": self._belief.variance,
                "rainy": seen.rainy,
                "derained": seen.derained,
            }
        return state

    def load_state(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Go on from what `save_state` returned."""
        self._still_frames = int(state["still_frames"])
        dry = int(state["before_dry"])
        self._before_dry = None if dry < 0 else bool(dry)
        self._waiting = self._belief = None
        if "colours" in state:
            seen = Seen.from_estimate(state["rainy"], state["derained"])
            self._belief = Belief(state["colours"], state["variance"], seen)

    @property
    def is_static(self) -> bool:
        """True if the camera counts as static."""
        if self._static == "auto":
            return self._still_frames >= STILL_FRAMES
        return self._static == "on"

    def _finish(self, here: _Waiting, coming: _Waiting | None) -> DerainedFrame:
        # By majority of the neighbours, since rain neither comes nor goes for one frame.
        votes = [self._before_dry, here.report.dry, None if coming is None else coming.report.dry]
        known = [each for each in votes if each is not None]
        left_alone = 2 * sum(known) > len(known) and not self._always
        self._before_dry = here.report.dry
        rainy = here.seen.rainy
        if left_alone:
            derained, self._belief = rainy, None
        else:
            derained = here.seen.derained
            if self._temporal:
                derained = self._fuse(here.seen, None if coming is None else coming.seen)
            derained = np.clip(derained, 0, 255)
            if self._strength != 1:
                derained = rainy + self._strength * (derained - rainy)
        return DerainedFrame(here.payload, rainy, derained, here.report, left_alone, self.is_static)

    def _fuse(self, here: Seen, coming: Seen | None) -> Colours:
        """Return a frame fused with its neighbours, and move the belief on."""
        belief = self._belief
        if belief is not None and is_cut(belief.seen.luma, here.luma):
            belief = None
            self._still_frames = 0
        before = after = None
        if belief is not None:
            self._watch_camera(belief.seen, here)
            flow = self._find_flow(here, belief.seen)
            before = align(belief.seen, belief.colours, belief.variance, flow)
        if coming is not None and not is_cut(here.luma, coming.luma):
            flow = self._find_flow(here, coming)
            after = align(coming, coming.derained, coming.variance, flow)
        derained, self._belief = fuse(here, before, after)
        if self._fusion is None:
            return derained
        return self._fusion(here, before, after, derained)

    def _watch_camera(self, before: Seen, here: Seen) -> None:
        """Count the frames in which the camera did not move."""
        shift = find_shift(before.luma, here.luma)
        still = max(map(abs, shift)) < STILL_PIXELS
        self._still_frames = self._still_frames + 1 if still else 0

    def _find_flow(self, here: Seen, neighbour: Seen) -> Flow | None:
        if self.is_static:
            return None
        flow = estimate_flow(here.luma, neighbour.luma)
        moved = _measure_mismatch(here.luma, warp(neighbour.luma, flow))
        still = _measure_mismatch(here.luma, neighbour.luma)
        # Most of what stands still is found not to move by a part of a pixel, which would blur it.
        flow[still <= moved + _PREFERRED_LEVELS] = 0
        return flow


def is_cut(before: Plane, after: Plane) -> bool:
    """Return whether a new scene begins between two frames, by their luma (h, w)."""
    return float(np.abs(_coarsen(before) - _coarsen(after)).mean()) > CUT_LEVELS


def _measure_mismatch(one: Plane, other: Plane) -> Plane:
    return average_box(np.minimum(np.abs(one - other), np.float32(24)), _COMPARED)


def _coarsen(plane: Plane) -> Plane:
    side = min(_COARSE, *plane.shape)
    height, width = (length - length % side for length in plane.shape)
    cells = plane[:height, :width].reshape(height // side, side, width // side, side)
    return np.asarray(cells.mean((1, 3)))
