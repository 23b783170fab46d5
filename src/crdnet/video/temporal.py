"""Deraining of frames in order, with a delay of one frame.

`TemporalDerainer` runs the network on every frame, aligns the neighbours, fuses them, starts again
at a cut, and detects a static camera.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crdnet.video.engine import Colours, Frame, FrameNetwork, SenseReport, as_levels, cut_bands
from crdnet.video.flow import Flow, estimate_flow, find_shift
from crdnet.video.tiles import (
    Belief,
    Fusion,
    HeldFrame,
    Levels,
    fuse_frame,
    pack_levels,
    unpack_levels,
)

Static = Literal["auto", "on", "off"]

CUT_LEVELS = 18.0
"""Mean change of coarse luma at a cut, in grey levels."""
STILL_PIXELS = 0.15
"""Largest shift of a static camera between two frames, in pixels."""
STILL_FRAMES = 5
"""Frames after which a camera that does not move counts as static."""
# Side of a cell of coarse luma, in pixels.
_COARSE = 16
# Largest sides of the part in which movement of the camera is looked for, in pixels.
_WATCHED_PIXELS = 1024


@dataclass(frozen=True, eq=False)
class DerainedFrame:
    """Derained frame.

    Attributes:
        payload: Object that was passed with the frame.
        frame: The input frame (h, w, 3).
        levels: The derained frame; None if the frame was left alone.
        report: Report on the rain in the frame.
        is_static: Whether the camera counted as static.
    """

    payload: Any
    frame: Frame
    levels: Levels | None
    report: SenseReport
    is_static: bool

    @property
    def left_alone(self) -> bool:
        """True if the frame was not changed: of it and its neighbours, the majority was dry."""
        return self.levels is None

    @property
    def rainy(self) -> Colours:
        """The input frame (h, w, 3), in grey levels of 255."""
        return as_levels(self.frame)

    @property
    def derained(self) -> Colours:
        """The derained frame (h, w, 3), in grey levels of 255."""
        return self.rainy if self.levels is None else unpack_levels(self.levels)

    @property
    def change(self) -> Colours:
        """Derained minus rainy, in grey levels of 255."""
        return self.measure_change(slice(None))

    def measure_change(self, rows: slice) -> Colours:
        """Return derained minus rainy in some rows, in grey levels of 255."""
        rainy = as_levels(self.frame[rows])
        return unpack_levels(self.levels[rows]) - rainy if self.levels is not None else 0 * rainy


@dataclass(frozen=True, eq=False)
class _Waiting:
    """Frame that waits for the next one."""

    payload: Any
    held: HeldFrame
    report: SenseReport


class TemporalDerainer:
    """Derainer of frames in order; it returns a frame when it gets the next one.

    Args:
        network: Network for single frames.
        strength: Share of the rain to remove, in [0, 1].
        temporal: If True, use neighbouring frames; if False, derain every frame by itself.
        static: True if the camera is static, False if it moves, "auto" to detect it.
        always: If True, derain frames that are surely dry too.
        fusion: Network that improves the frame fused by variances; None uses none.
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
        """Add the next frame, and return the previous one, derained.

        Args:
            frame: RGB (h, w, 3), uint8 or uint16.
            payload: Any object; it is returned with the derained frame.

        Returns:
            The previous frame, or None after the first.
        """
        estimate = self._network.derain(frame)
        coming = _Waiting(
            payload, HeldFrame.from_estimate(estimate.rainy, estimate.derained), estimate.report
        )
        finished = None if self._waiting is None else self._finish(self._waiting, coming)
        self._waiting = coming
        return finished

    def flush(self) -> Iterator[DerainedFrame]:
        """Yield the last frame, if there is one, and reset the derainer."""
        if self._waiting is not None:
            yield self._finish(self._waiting, None)
        self._waiting = self._belief = None
        self._before_dry, self._still_frames = None, 0

    def save_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the state that affects later frames, without the waiting frame."""
        state = {
            "still_frames": np.array(self._still_frames),
            "before_dry": np.array(-1 if self._before_dry is None else int(self._before_dry)),
        }
        if self._belief is not None:
            held = self._belief.frame
            state |= {
                "colours": self._belief.colours,
                "variance": self._belief.variance,
                "rainy": held.rainy,
                "derained": held.derained,
            }
        return state

    def load_state(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Restore a state of `save_state`."""
        self._still_frames = int(state["still_frames"])
        dry = int(state["before_dry"])
        self._before_dry = None if dry < 0 else bool(dry)
        self._waiting = self._belief = None
        if "colours" in state:
            held = HeldFrame.from_estimate(state["rainy"], state["derained"])
            self._belief = Belief(state["colours"], state["variance"], held)

    @property
    def is_static(self) -> bool:
        """True if the camera counts as static."""
        if self._static == "auto":
            return self._still_frames >= STILL_FRAMES
        return self._static == "on"

    def _finish(self, here: _Waiting, coming: _Waiting | None) -> DerainedFrame:
        # The frame and its neighbours vote, because rain does not start or stop for one frame.
        votes = [self._before_dry, here.report.dry, None if coming is None else coming.report.dry]
        known = [each for each in votes if each is not None]
        left_alone = 2 * sum(known) > len(known) and not self._always
        self._before_dry = here.report.dry
        levels = None
        if left_alone:
            self._belief = None
        elif self._temporal:
            levels = self._fuse(here.held, None if coming is None else coming.held)
        else:
            levels = _pack(here.held.derained)
        if levels is not None and self._strength != 1:
            levels = _weaken(here.held.rainy, levels, self._strength)
        return DerainedFrame(here.payload, here.held.rainy, levels, here.report, self.is_static)

    def _fuse(self, here: HeldFrame, coming: HeldFrame | None) -> Levels:
        """Return a frame fused with its neighbours, and update the belief."""
        belief = self._belief
        if belief is not None and is_cut(belief.frame.light, here.light):
            belief = None
            self._still_frames = 0
        before = after = None
        if belief is not None:
            self._watch_camera(belief.frame, here)
            before = belief, self._find_flow(here, belief.frame)
        if coming is not None and not is_cut(here.light, coming.light):
            after = coming, self._find_flow(here, coming)
        derained, self._belief = fuse_frame(here, before, after, self._fusion)
        return derained

    def _watch_camera(self, before: HeldFrame, here: HeldFrame) -> None:
        """Count the frames in which the camera did not move."""
        shift = find_shift(*(_cut_middle(each.light) for each in (before, here)))
        still = max(map(abs, shift)) < STILL_PIXELS
        self._still_frames = self._still_frames + 1 if still else 0

    def _find_flow(self, here: HeldFrame, neighbour: HeldFrame) -> Flow | None:
        return None if self.is_static else estimate_flow(here.light, neighbour.light)


def is_cut(before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8]) -> bool:
    """Return whether a new scene begins between two frames, by their luma (h, w)."""
    return float(np.abs(_coarsen(before) - _coarsen(after)).mean()) > CUT_LEVELS


def _coarsen(plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    side = min(_COARSE, *plane.shape)
    height, width = (length - length % side for length in plane.shape)
    cells = plane[:height, :width].reshape(height // side, side, width // side, side)
    return np.asarray(cells.mean((1, 3)))


def _cut_middle(plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the middle of a plane, which suffices to detect movement of the camera."""
    rows, columns = (
        slice(max(length - _WATCHED_PIXELS, 0) // 2, (length + _WATCHED_PIXELS + 1) // 2)
        for length in plane.shape
    )
    return plane[rows, columns].astype(np.float32)


def _pack(derained: Frame) -> Levels:
    levels = np.empty(derained.shape, np.uint16)
    for rows in cut_bands(len(levels)):
        levels[rows] = pack_levels(as_levels(derained[rows]))
    return levels


def _weaken(frame: Frame, levels: Levels, strength: np.float32) -> Levels:
    """Blend a frame with the derained one by a strength."""
    weaker = np.empty_like(levels)
    for rows in cut_bands(len(levels)):
        rainy = as_levels(frame[rows])
        weaker[rows] = pack_levels(rainy + strength * (unpack_levels(levels[rows]) - rainy))
    return weaker
