"""Streaks of single raindrops, drawn as opacity and composed in linear light.

A falling drop covers a pixel for a share of the exposure, and meanwhile shows the light of its
surroundings (Garg and Nayar, "Vision and Rain", IJCV 75, 2007):

    pixel = (1 - opacity) background + opacity * drop

The opacity of a frame is uint16 (h, w); 65535 is opaque. Like in `crdnet.rain.layers`, a seed gives
the same pixels on every machine: geometry is rounded to a grid, and opacities are added in
integers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from crdnet.errors import RecipeError
from crdnet.rain.compose import RgbImage
from crdnet.rain.random_numbers import round_to_16_bits

Opacity = npt.NDArray[np.uint16]
"""Share of the exposure for which drops cover a pixel (h, w), in 65535ths."""
Numbers = npt.NDArray[np.float64]

OPAQUE = 65535
# Steps per pixel and degree to which the geometry of streaks is rounded.
_GRID = 256.0
# Smallest drawn opacity in 65535ths; a fainter streak changes black by half a grey level.
_FAINTEST = 33
_ELEMENTS_AT_ONCE = 1 << 19
_LONGEST_PIXELS = 20_000.0


@dataclass(frozen=True, eq=False, slots=True)
class Streaks:
    """Streaks in a frame, one entry per drop in arrays of one length.

    Attributes:
        row: Row of the middle, in pixels.
        column: Column of the middle, in pixels.
        length: Length in focus, in pixels.
        width: Width in focus, in pixels; may be far below one.
        angle_degrees: Direction from straight down, positive towards the right.
        opacity: Share of the exposure for which the drop covers a pixel on its axis, 0 to 1.
        blur: Diameter of the circle of confusion, in pixels.
        beads: Number of bright beads along the streak, from an oscillating drop or a flickering
            lamp; 0 is an even streak.
        taper: Share of the length over which the ends fade, 0 to 1.
    """

    row: Numbers
    column: Numbers
    length: Numbers
    width: Numbers
    angle_degrees: Numbers
    opacity: Numbers
    blur: Numbers
    beads: Numbers
    taper: Numbers

    def __post_init__(self) -> None:
        """Check that the arrays have one length."""
        shapes = {getattr(self, field.name).shape for field in fields(self)}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise RecipeError(f"streaks are arrays of one length, got shapes {sorted(shapes)}")

    def __len__(self) -> int:
        return len(self.row)

    def select(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "Streaks":
        """Return a subset of the streaks, by mask or indices."""
        return Streaks(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    @classmethod
    def join(cls, parts: Sequence["Streaks"]) -> "Streaks":
        """Concatenate several sets of streaks."""
        names = [field.name for field in fields(cls)]
        return cls(
            **{name: np.concatenate([getattr(each, name) for each in parts]) for name in names},
        )


def draw_streaks(streaks: Streaks, height: int, width: int) -> Opacity:
    """Draw the opacity (h, w) of streaks, including those that reach in from outside the frame."""
    streaks = _round_to_grid(streaks)
    angle = np.radians(streaks.angle_degrees)
    down, right = round_to_16_bits(np.cos(angle)), round_to_16_bits(np.sin(angle))
    # Wide integers, since many streaks may overlap before the sum is clipped.
    total = np.zeros((height, width), np.int64)
    # Each row of a steep streak is a short run of pixels; a flat streak would need long runs.
    steep = np.abs(right) <= np.abs(down)
    _add_streaks(
        total,
        streaks.select(steep),
        streaks.row[steep],
        streaks.column[steep],
        down[steep],
        right[steep],
    )
    # A flat streak is steep in the transposed frame; `total.T` is a view.
    flat = ~steep
    _add_streaks(
        total.T,
        streaks.select(flat),
        streaks.column[flat],
        streaks.row[flat],
        right[flat],
        down[flat],
    )
    return np.minimum(total, OPAQUE).astype(np.uint16)


def _add_streaks(
    total: npt.NDArray[np.int64],
    streaks: Streaks,
    row: Numbers,
    column: Numbers,
    down: Numbers,
    right: Numbers,
) -> None:
    """Add streaks at most 45 degrees from the columns, each row as a short run of pixels.

    Across and along, a streak is a box. Defocus and the size of the pixel blur it to a trapezoid.
    """
    height, width = total.shape
    # A streak has no direction, so all of them may run downwards.
    right, down = right * np.sign(down), np.abs(down)
    pixel = down + np.abs(right)  # width of a pixel, seen across the streak
    # Independent blurs add in squares.
    spread = np.sqrt(streaks.blur * streaks.blur + pixel * pixel)
    outer, rise, peak = _convolve_boxes(streaks.width, spread)
    outer_along, rise_along, peak_along = _convolve_boxes(streaks.length, spread)
    rise_along = np.maximum(rise_along, streaks.taper * streaks.length / 2)
    # A short streak out of focus is a disc, so its light spreads in both directions.
    level = OPAQUE * streaks.opacity * peak * np.minimum(peak_along, 1.0)
    reach = outer_along / 2 * down + outer / 2 * np.abs(right) + 1
    first = np.maximum(np.ceil(row - reach), 0).astype(np.int64)
    last = np.minimum(np.floor(row + reach), height - 1).astype(np.int64)
    half_run = outer / 2 / down
    run = (2 * np.ceil(half_run) + 1).astype(np.int64)
    # Skip streaks outside the frame, and those too faint to see, to save time.
    sway = reach * np.abs(right) / down + half_run + 1
    inside = (last >= first) & (column + sway >= 0) & (column - sway <= width - 1)
    seen = inside & (level >= _FAINTEST)

    # Groups of similar run length waste little memory in their common rectangle.
    order = np.argsort(run, kind="stable")
    order = order[seen[order]]
    cost = np.cumsum((last - first + 1)[order] * run[order])
    for group in np.split(order, np.flatnonzero(np.diff(cost // _ELEMENTS_AT_ONCE)) + 1):
        if not len(group):
            continue
        rows = (last - first + 1)[group]
        of = np.repeat(group, rows)
        y = np.arange(len(of)) - np.repeat(np.cumsum(rows) - rows, rows) + first[of]
        below = y - row[of]
        axis = column[of] + below * right[of] / down[of]
        x = np.ceil(axis - half_run[of]).astype(np.int64)[:, np.newaxis]
        x = x + np.arange(run[group].max())
        beside = x - axis[:, np.newaxis]
        from_axis = np.abs(beside) * down[of][:, np.newaxis]
        along = (below / down[of])[:, np.newaxis] + beside * right[of][:, np.newaxis]
        cover = _compute_ramp((outer[of] / 2)[:, np.newaxis] - from_axis, rise[of][:, np.newaxis])
        cover *= _compute_ramp(
            (outer_along[of] / 2)[:, np.newaxis] - np.abs(along),
            rise_along[of][:, np.newaxis],
        )
        if streaks.beads[group].any():
            cover *= _modulate_beads(
                along / outer_along[of][:, np.newaxis],
                streaks.beads[of][:, np.newaxis],
            )
        levels = np.rint(cover * level[of][:, np.newaxis]).astype(np.int64)
        inside = (x >= 0) & (x < width) & (levels > 0)
        rows_of = np.broadcast_to(y[:, np.newaxis], x.shape)
        np.add.at(total, (rows_of[inside], x[inside]), levels[inside])


def _convolve_boxes(size: Numbers, spread: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return total width, width of a slope and height of a box convolved with a box of area 1."""
    return size + spread, np.minimum(size, spread), np.minimum(size / spread, 1.0)


def _compute_ramp(inside: Numbers, rise: Numbers) -> Numbers:
    return np.asarray(np.clip(inside / np.maximum(rise, 1 / _GRID), 0.0, 1.0))


def _modulate_beads(place: Numbers, beads: Numbers) -> Numbers:
    """Return the brightness, a triangle wave, at places from -1/2 to 1/2 along streaks."""
    wave = np.abs(2 * np.mod(place * beads, 1.0) - 1)
    return np.where(beads > 0, 0.25 + 0.75 * wave, 1.0)


def _round_to_grid(streaks: Streaks) -> Streaks:
    """Round all numbers, since logarithms and powers differ in their last bits between machines."""
    finite = {field.name: np.nan_to_num(getattr(streaks, field.name)) for field in fields(streaks)}
    on_grid = {name: np.rint(values * _GRID) / _GRID for name, values in finite.items()}
    # A finer grid, because widths are often far below a pixel; never zero, because it is a divisor.
    on_grid["width"] = np.maximum(np.rint(finite["width"] * 4096) / 4096, 1 / 4096)
    on_grid["opacity"] = np.rint(finite["opacity"] * OPAQUE) / OPAQUE
    on_grid["length"] = np.minimum(on_grid["length"], _LONGEST_PIXELS)
    return Streaks(**on_grid)


def decode_srgb(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """Convert sRGB levels to linear light in 65535ths (IEC 61966-2-1)."""
    light: npt.NDArray[np.uint16] = _TO_LINEAR[image]
    return light


def encode_srgb(light: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """Convert linear light in 65535ths to the nearest sRGB levels."""
    levels: npt.NDArray[np.uint8] = _FROM_LINEAR[light]
    return levels


def compose_drops(
    clean: RgbImage, opacity: Opacity, light: npt.NDArray[np.uint16], veil: Opacity | None = None
) -> RgbImage:
    """Add drops to an image in linear light.

    Args:
        clean: RGB image (h, w, 3).
        opacity: Opacity of the drops (h, w).
        light: Light of the drops in linear 65535ths: one colour (3,) or one per pixel (h, w, 3).
        veil: Share of the light that distant rain scatters towards the camera (h, w), or None.
    """
    scene = decode_srgb(clean).astype(np.uint32)
    drop = light.astype(np.uint32)
    if veil is not None:
        scene = _mix(scene, drop, veil)
    return encode_srgb(_mix(scene, drop, opacity).astype(np.uint16))


def _mix(
    scene: npt.NDArray[np.uint32], light: npt.NDArray[np.uint32], share: Opacity
) -> npt.NDArray[np.uint32]:
    over = share.astype(np.uint32)[..., np.newaxis]
    # The two products sum to at most 65535 * 65535, which fits in 32 bits.
    mixed: npt.NDArray[np.uint32] = (
        scene * (OPAQUE - over) + light * over + np.uint32(OPAQUE // 2)
    ) // np.uint32(OPAQUE)
    return mixed


def _make_srgb_table() -> npt.NDArray[np.uint16]:
    levels = np.arange(256) / 255
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    table: npt.NDArray[np.uint16] = np.rint(OPAQUE * light).astype(np.uint16)
    return table


_TO_LINEAR = _make_srgb_table()
# A table of all 65536 levels is faster than powers, and the same on every machine.
_FROM_LINEAR: npt.NDArray[np.uint8] = np.searchsorted(
    (_TO_LINEAR[:-1].astype(np.int64) + _TO_LINEAR[1:] + 1) // 2,
    np.arange(OPAQUE + 1),
    side="right",
).astype(np.uint8)
