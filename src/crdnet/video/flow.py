"""Alignment of neighbouring frames: a displacement for every pixel.

`estimate_flow` starts from the global displacement (phase correlation) and refines it by blocks
(numpy), or densely by DIS optical flow if OpenCV is installed. Rain must not affect the alignment,
so differences are truncated and averaged over windows much wider than a streak.

Sources:

- Phase correlation: Kuglin and Hines, 1975.
- DIS flow: Kroeger, Timofte, Dai and Van Gool, ECCV 2016.
- Refinement below a pixel: Lucas and Kanade, IJCAI 1981.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Plane = npt.NDArray[np.float32]
"""Luma (h, w), in grey levels of 255."""
Flow = npt.NDArray[np.float32]
"""Displacements (2, h, w), down and right in pixels, from a pixel to its position in the
neighbour."""
Blocks = npt.NDArray[np.float32]
"""Displacements of blocks (rows, columns, 2), down and right in pixels."""

# Largest frame that is compared at its full size: that of 1080p, with the padding of codecs.
_LARGE_PIXELS = 1920 * 1088
# Side of a block in pixels; a block is matched with the eight around it.
_BLOCK = 8
# Shortest side of a level of the pyramid, in pixels.
_SMALLEST = 48
# Largest difference that counts when blocks are matched, in grey levels: a streak is more.
_TRUNCATED = 24.0
# Cost of a displacement other than the expected one, in grey levels per pixel of displacement.
_STEADY = 0.15


@cache
def load_opencv() -> Any:
    """Return the module cv2, or None where OpenCV or its DIS flow is not installed."""
    try:
        import cv2  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    return cv2 if hasattr(cv2, "DISOpticalFlow_create") else None


def find_shift(reference: npt.NDArray[Any], neighbour: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the displacement (down, right) in pixels from a frame to its neighbour.

    Args:
        reference: Luma of the frame.
        neighbour: Luma of the neighbour, of the same shape.
    """
    height, width = reference.shape
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    spectra = [np.fft.rfft2((plane - plane.mean()) * window) for plane in (reference, neighbour)]
    cross = np.conj(spectra[0]) * spectra[1]
    peak = np.fft.irfft2(cross / (np.abs(cross) + 1e-3), s=reference.shape)
    row, column = np.unravel_index(int(peak.argmax()), peak.shape)
    down = int(row) + _find_vertex(*(float(peak[(row + k) % height, column]) for k in (-1, 0, 1)))
    right = int(column) + _find_vertex(
        *(float(peak[row, (column + k) % width]) for k in (-1, 0, 1))
    )
    return (
        down - height if down > height / 2 else down,
        right - width if right > width / 2 else right,
    )


def estimate_flow(
    reference: npt.NDArray[Any], neighbour: npt.NDArray[Any], *, dense: bool | None = None
) -> Flow:
    """Return the displacement of every pixel of a frame to its position in a neighbour.

    Large frames are compared at half size; the result then has half the sides, in half-size pixels.

    Args:
        reference: Luma of the frame.
        neighbour: Luma of the neighbour, of the same shape.
        dense: Use OpenCV's DIS flow; None uses it where it is installed.
    """
    if reference.size > _LARGE_PIXELS:
        halves = [_halve(plane) for plane in (reference, neighbour)]
        return estimate_flow(*halves, dense=dense)
    opencv = load_opencv() if dense is not False else None
    if opencv is not None and min(reference.shape) >= _SMALLEST:
        return _estimate_densely(opencv, reference, neighbour)
    return _estimate_by_blocks(reference, neighbour)


def warp(
    images: Iterable[npt.NDArray[np.float32]], flow: Flow, offset: tuple[int, int] = (0, 0)
) -> list[npt.NDArray[np.float32]]:
    """Return images of a neighbour moved onto the frame; border pixels are repeated.

    Args:
        images: Images of the neighbour or of a part of it, (h, w) or (h, w, c).
        flow: Displacements of the frame or of a part of it.
        offset: Position (row, column) of the part of the frame within that of the neighbour.
    """
    height, width = flow.shape[1:]
    rows, columns = flow + np.array(offset, np.float32)[:, np.newaxis, np.newaxis]
    rows += np.arange(height, dtype=np.float32)[:, np.newaxis]
    columns += np.arange(width, dtype=np.float32)
    opencv = load_opencv()
    if opencv is None:
        return [_interpolate(image, rows, columns) for image in images]
    return [
        opencv.remap(image, columns, rows, opencv.INTER_CUBIC, borderMode=opencv.BORDER_REPLICATE)
        for image in images
    ]


def _estimate_densely(
    opencv: Any, reference: npt.NDArray[Any], neighbour: npt.NDArray[Any]
) -> Flow:
    down, right = _find_coarse_shift(reference, neighbour)
    start = np.empty((*reference.shape, 2), np.float32)
    start[..., 0], start[..., 1] = right, down
    method = opencv.DISOpticalFlow_create(opencv.DISOPTICAL_FLOW_PRESET_MEDIUM)
    planes = [np.clip(plane, 0, 255).astype(np.uint8) for plane in (reference, neighbour)]
    flow = method.calc(*planes, start)
    return np.stack([flow[..., 1], flow[..., 0]])


def _estimate_by_blocks(reference: npt.NDArray[Any], neighbour: npt.NDArray[Any]) -> Flow:
    reference, neighbour = (
        plane.astype(np.float32, copy=False) for plane in (reference, neighbour)
    )
    levels = [(reference, neighbour)]
    while min(levels[-1][0].shape) >= 2 * _SMALLEST and len(levels) < 3:
        levels.append((_halve(levels[-1][0]), _halve(levels[-1][1])))
    shift = np.rint(np.divide(_find_coarse_shift(*levels[-1]), 1))
    rows, columns = (-(-side // _BLOCK) for side in levels[-1][0].shape)
    blocks = np.broadcast_to(shift.astype(np.int64), (rows, columns, 2))
    for number, (frame, other) in enumerate(reversed(levels)):
        if number:
            rows, columns = (-(-side // _BLOCK) for side in frame.shape)
            # A level may have a block more than two for each of the coarser one.
            above, left = (
                np.minimum(np.arange(count) // 2, coarse - 1)
                for count, coarse in zip((rows, columns), blocks.shape[:2], strict=True)
            )
            blocks = 2 * blocks[above[:, np.newaxis], left]
        blocks = _match_blocks(frame, other, blocks, reach=2 if number == 0 else 1)
    fine = blocks.astype(np.float32)
    for _ in range(2):
        fine = _refine(reference, neighbour, fine)
    return _spread(_smooth(fine), reference.shape)


def _match_blocks(
    frame: Plane, other: Plane, blocks: npt.NDArray[np.int64], reach: int
) -> npt.NDArray[np.int64]:
    """Return the best displacement of each block within a search range in pixels."""
    height, width = frame.shape
    at = blocks.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)[:height, :width]
    rows = np.arange(height)[:, np.newaxis] + at[..., 0]
    columns = np.arange(width) + at[..., 1]
    offsets = [
        (down, right) for down in range(-reach, reach + 1) for right in range(-reach, reach + 1)
    ]
    costs = []
    for down, right in offsets:
        places = np.clip(rows + down, 0, height - 1) * width + np.clip(
            columns + right, 0, width - 1
        )
        difference = np.minimum(np.abs(frame - other.ravel()[places]), _TRUNCATED)
        costs.append(_sum_blocks(difference) + _STEADY * np.hypot(down, right))
    best = np.argmin(costs, axis=0)
    return np.asarray(blocks + np.array(offsets, np.int64)[best])


def _refine(frame: Plane, other: Plane, blocks: Blocks) -> Blocks:
    """Return displacements of blocks after one step of Lucas and Kanade."""
    flow = _spread(blocks, frame.shape)
    height, width = frame.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    moved = _interpolate(other, rows + flow[0], columns + flow[1])
    down, right = np.gradient(moved)
    left = frame - moved
    weight = 1 / (1 + (left / 8) ** 2)
    a, b, c, p, q = (
        _sum_blocks(np.asarray(weight * product, np.float32))
        for product in (down * down, down * right, right * right, down * left, right * left)
    )
    a, c = a + 1, c + 1  # flat blocks stay where they are
    determinant = a * c - b * b
    step = np.stack([(c * p - b * q) / determinant, (a * q - b * p) / determinant], axis=2)
    moved_blocks: Blocks = (blocks + np.clip(step, -0.75, 0.75)).astype(np.float32)
    return moved_blocks


def _sum_blocks(values: Plane) -> npt.NDArray[np.float64]:
    """Return the mean over each block and the eight around it."""
    height, width = values.shape
    padded = np.pad(values, ((0, -height % _BLOCK), (0, -width % _BLOCK)), mode="edge")
    rows, columns = (side // _BLOCK for side in padded.shape)
    sums = padded.reshape(rows, _BLOCK, columns, _BLOCK).mean((1, 3), dtype=np.float64)
    around = np.pad(sums, 1, mode="edge")
    return np.asarray(
        sum(around[i : i + rows, j : j + columns] for i in range(3) for j in range(3)) / 9
    )


def _smooth(blocks: Blocks) -> Blocks:
    """Return the median of the displacements of each block and the eight around it."""
    rows, columns = blocks.shape[:2]
    around = np.pad(blocks, ((1, 1), (1, 1), (0, 0)), mode="edge")
    near = [around[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    return np.median(near, axis=0).astype(np.float32)


def _spread(blocks: Blocks, shape: tuple[int, ...]) -> Flow:
    """Interpolate the displacements of blocks to pixels."""
    height, width = shape
    rows, columns = blocks.shape[:2]
    size = (columns * _BLOCK, rows * _BLOCK)
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(blocks[..., k])).resize(
                size, Image.Resampling.BILINEAR
            )
        )
        for k in range(2)
    ]
    return np.stack([plane[:height, :width] for plane in planes])


def _interpolate(
    image: npt.NDArray[np.float32], rows: Plane, columns: Plane
) -> npt.NDArray[np.float32]:
    """Sample an image (h, w) or (h, w, c) at subpixel positions by cubic convolution."""
    height, width = image.shape[:2]
    flat = image.reshape(height * width, -1)
    top, left = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    down, right = (
        _weigh_cubic(np.asarray(place - whole, np.float32))
        for place, whole in ((rows, top), (columns, left))
    )
    total = np.zeros((*rows.shape, flat.shape[1]), np.float32)
    for i in range(4):
        line = np.clip(top + (i - 1), 0, height - 1) * width
        for j in range(4):
            values = flat[line + np.clip(left + (j - 1), 0, width - 1)]
            total += (down[i] * right[j])[..., np.newaxis] * values
    return total.reshape(*rows.shape, *image.shape[2:])


def _weigh_cubic(share: Plane) -> list[Plane]:
    """Return the weights of four pixels for positions `share` of a pixel after the second one."""
    t = share
    return [
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    ]


def _find_coarse_shift(
    reference: npt.NDArray[Any], neighbour: npt.NDArray[Any]
) -> tuple[float, float]:
    """Return the displacement found at a reduced size, in pixels of the planes."""
    factor = 1
    while min(reference.shape) >= 4 * _SMALLEST:
        reference, neighbour = _halve(reference), _halve(neighbour)
        factor *= 2
    down, right = find_shift(reference, neighbour)
    return factor * down, factor * right


def _halve(plane: npt.NDArray[Any]) -> Plane:
    height, width = (side - side % 2 for side in plane.shape)
    rows = plane[:height:2].astype(np.float32) + plane[1:height:2]
    return np.asarray((rows[:, :width:2] + rows[:, 1:width:2]) * np.float32(0.25))


def _find_vertex(before: float, here: float, after: float) -> float:
    """Return the maximum of a parabola through three neighbouring values, from -0.5 to 0.5."""
    curvature = before - 2 * here + after
    return 0.0 if curvature >= 0 else max(-0.5, min(0.5, (before - after) / (2 * curvature)))


def average_box(plane: Plane, side: int) -> Plane:
    """Return the mean over the square window (side, side) around each pixel; the border repeats."""
    opencv = load_opencv()
    if opencv is not None:
        mean: Plane = opencv.blur(plane, (side, side), borderType=opencv.BORDER_REPLICATE)
        return mean
    padded = np.pad(plane, side // 2, mode="edge").astype(np.float64)
    sums = np.pad(padded, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return np.asarray(inside / side**2, np.float32)
