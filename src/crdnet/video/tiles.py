"""Fusion of frames tile by tile, so that large frames need little memory.

Frames are stored as integers, and only one tile at a time is converted to floats. The margin of a
tile covers all pixels that affect its core, so the result equals that of the whole frame.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crdnet.density import luma
from crdnet.sizes import round_up_size
from crdnet.tiling import Tile, cut_tiles
from crdnet.video.engine import Colours, Frame, as_levels, cut_bands
from crdnet.video.flow import Flow, Plane, average_box, warp
from crdnet.video.fusion import MODEL_MARGIN, Neighbour, Seen, align, fuse

Levels = npt.NDArray[np.uint16]
"""RGB (h, w, 3) in 257ths of a grey level of 255, which holds 8 and 16 bits exactly."""
Fusion = Callable[[Seen, Neighbour | None, Neighbour | None, Colours], Colours]
"""Function of a frame, its aligned neighbours and the fused frame; returns the improved frame."""

WHOLE_PIXELS = 600_000
"""Largest frame that is fused as a whole, in pixels."""
TILE_PIXELS = 448
"""Side of the core of a tile of a larger frame, in pixels."""
# What fusion by variances sees around a pixel, with the choice between moved and still.
_FUSION_MARGIN = 16
_GRID = 8
_LEVEL_STEPS = 257
# Pixels of a neighbour around what is moved: those that cubic interpolation and windows need.
_AROUND = 8
# Grey levels by which a displacement must match better than none.
_PREFERRED_LEVELS = 0.1
# Side of the window in which displacements are compared, in pixels.
_COMPARED = 15
_MOST_MISMATCH_LEVELS = 24


class HeldFrame(NamedTuple):
    """Frame and the estimate of the network, as integers.

    Attributes:
        rainy: The input frame (h, w, 3).
        derained: Estimate of the network (h, w, 3).
        light: Luma of the estimate (h, w), uint8.
    """

    rainy: Frame
    derained: Frame
    light: npt.NDArray[np.uint8]

    @classmethod
    def from_estimate(cls, rainy: Frame, derained: Frame) -> "HeldFrame":
        """Return a frame and its estimate, with the luma computed."""
        light = np.empty(derained.shape[:2], np.uint8)
        for rows in cut_bands(len(light)):
            light[rows] = np.rint(luma(as_levels(derained[rows])))
        return cls(rainy, derained, light)

    def cut(self, rows: slice, columns: slice) -> Seen:
        """Return a part of the frame in floats."""
        return Seen.from_estimate(
            as_levels(self.rainy[rows, columns]), as_levels(self.derained[rows, columns])
        )


class Belief(NamedTuple):
    """Estimate of the scene from all frames up to a given one.

    Attributes:
        colours: Estimate.
        variance: Squared error of the estimate (h, w), float16.
        frame: The last of these frames.
    """

    colours: Levels
    variance: npt.NDArray[np.float16]
    frame: HeldFrame


def pack_levels(colours: Colours) -> Levels:
    """Return grey levels of 255 as integers."""
    steps = np.clip(colours, 0, 255)
    steps *= np.float32(_LEVEL_STEPS)
    return np.rint(steps, out=steps).astype(np.uint16)


def unpack_levels(levels: Levels) -> Colours:
    """Return grey levels of 255 as floats."""
    return np.divide(levels, np.float32(_LEVEL_STEPS), dtype=np.float32)


def fuse_frame(
    here: HeldFrame,
    before: tuple[Belief, Flow | None] | None,
    after: tuple[HeldFrame, Flow | None] | None,
    fusion: Fusion | None,
) -> tuple[Levels, Belief]:
    """Fuse a frame with its neighbours.

    Args:
        here: The frame.
        before: The belief up to the previous frame, and the displacement towards it, which is None
            if nothing moved; None if the previous frame shows another scene.
        after: The next frame and the displacement towards it, in the same form.
        fusion: Network that improves the fused frame; its result becomes the belief.

    Returns:
        The derained frame, and the belief up to it.
    """
    height, width = here.light.shape
    derained = np.empty((height, width, 3), np.uint16)
    carried = derained if fusion is not None else np.empty_like(derained)
    variance = np.empty((height, width), np.float16)
    for tile in _cut(height, width):
        window = (_clip(tile.window_rows, height), _clip(tile.window_columns, width))
        core = (_clip(tile.core_rows, height), _clip(tile.core_columns, width))
        inside = tuple(
            slice(part.start - whole.start, part.stop - whole.start)
            for part, whole in zip(core, window, strict=True)
        )
        seen = here.cut(*window)
        one = None if before is None else _move_belief(seen, *before, window)
        two = None if after is None else _move_frame(seen, *after, window)
        fused = fuse(seen, one, two)
        colours = fused.colours if fusion is None else fusion(seen, one, two, fused.colours)
        derained[core] = pack_levels(colours[inside])
        if fusion is None:
            carried[core] = pack_levels(fused.belief[inside])
        variance[core] = fused.variance[inside]
    return derained, Belief(carried, variance, here)


def _cut(height: int, width: int) -> Iterator[Tile]:
    side = 0 if height * width <= WHOLE_PIXELS else TILE_PIXELS
    padded = round_up_size(height, width, _GRID)
    return cut_tiles(*padded, (side, side), _FUSION_MARGIN + MODEL_MARGIN, _GRID)


def _clip(part: slice, length: int) -> slice:
    return slice(part.start, min(part.stop, length))


def _move_belief(
    seen: Seen, belief: Belief, flow: Flow | None, window: tuple[slice, slice]
) -> Neighbour:
    place = _Place.find(belief.frame.light.shape, flow, window)
    neighbour = belief.frame.cut(*place.source)
    return align(
        neighbour,
        unpack_levels(belief.colours[place.source]),
        belief.variance[place.source].astype(np.float32),
        place.settle(seen, neighbour),
        place.offset,
    )


def _move_frame(
    seen: Seen, frame: HeldFrame, flow: Flow | None, window: tuple[slice, slice]
) -> Neighbour:
    place = _Place.find(frame.light.shape, flow, window)
    neighbour = frame.cut(*place.source)
    flow = place.settle(seen, neighbour)
    return align(neighbour, neighbour.derained, neighbour.variance, flow, place.offset)


class _Place(NamedTuple):
    """Part of a neighbour that a tile needs.

    Attributes:
        source: Rows and columns of the neighbour.
        offset: Position (row, column) of the tile within this part.
        flow: Displacements of the tile; None if nothing moved.
    """

    source: tuple[slice, slice]
    offset: tuple[int, int]
    flow: Flow | None

    @classmethod
    def find(
        cls, shape: tuple[int, ...], flow: Flow | None, window: tuple[slice, slice]
    ) -> "_Place":
        if flow is None:
            return cls(window, (0, 0), None)
        part = _cut_flow(flow, window, shape)
        source = []
        for axis, (span, length) in enumerate(zip(window, shape, strict=True)):
            back = min(int(np.floor(part[axis].min())), 0) - _AROUND
            ahead = max(int(np.ceil(part[axis].max())), 0) + _AROUND
            source.append(slice(max(span.start + back, 0), min(span.stop + ahead, length)))
        rows, columns = source
        offset = (window[0].start - rows.start, window[1].start - columns.start)
        return cls((rows, columns), offset, part)

    def settle(self, here: Seen, neighbour: Seen) -> Flow | None:
        """Return the displacements, set to 0 where the unmoved neighbour matches as well.

        The flow of static content is often a fraction of a pixel, which would blur the content.
        """
        if self.flow is None:
            return None
        height, width = here.luma.shape
        top, left = self.offset
        unmoved = neighbour.luma[top : top + height, left : left + width]
        (luma_moved,) = warp([neighbour.luma], self.flow, self.offset)
        moved = _measure_mismatch(here.luma, luma_moved)
        still = _measure_mismatch(here.luma, unmoved)
        return np.asarray(self.flow * (still > moved + _PREFERRED_LEVELS))


def _cut_flow(flow: Flow, window: tuple[slice, slice], shape: tuple[int, ...]) -> Flow:
    """Return the displacements of a tile, from those of the frame at full or half size."""
    if flow.shape[1:] == shape:
        return flow[:, *window]
    rows, columns = (
        np.minimum(np.arange(span.start, span.stop) // 2, half - 1)
        for span, half in zip(window, flow.shape[1:], strict=True)
    )
    return np.asarray(2 * flow[:, rows[:, np.newaxis], columns])


def _measure_mismatch(one: Plane, other: Plane) -> Plane:
    most = np.float32(_MOST_MISMATCH_LEVELS)
    return average_box(np.minimum(np.abs(one - other), most), _COMPARED)
