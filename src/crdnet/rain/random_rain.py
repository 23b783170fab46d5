"""Random rain of single drops for training, from cameras and from wider distributions.

Networks overfit the rain of their training, and need variety of streaks more than of backgrounds
(Gu et al., NeurIPS 2023). The streaks therefore cover what images and clips of real rain show:
lengths of 3 pixels to a whole image, widths of a fraction of a pixel to 20, slants of 0 to 75
degrees, faint to opaque, sharp, out of focus, beaded, sparse or dense, over a veil, by day and
under lamps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, hypot
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from crdnet.rain.camera import CameraRain, compute_extinction_per_metre, sample_camera_streaks
from crdnet.rain.compose import RgbImage
from crdnet.rain.drops import OPAQUE, Opacity, Streaks, compose_drops, decode_srgb, draw_streaks
from crdnet.rain.random_numbers import draw_log_uniform

Light = npt.NDArray[np.uint16]
MOST_DROPS = 1200
"""Largest number of drops in a crop of physical rain, to limit the time of drawing."""
_WIDEST_PIXELS = 48.0
_THINNEST_DEPTH = 0.01
# Thickest veil; a network that removes thicker veils would also remove fog from dry images.
_THICKEST_VEIL = 0.2
# Share of covered pixels from which streaks are a curtain.
_COVERED = 0.5
# Largest mean opacity of a curtain that merges with its mist.
_FAINT = 0.2
# Mean opacity from which streaks are dense enough to identify a veil as rain.
_DENSE = 0.08
MOST_DEGREES = 75.0
"""Largest slant of the streaks, in degrees from straight down."""


class Lamp(NamedTuple):
    """A lamp at night.

    Attributes:
        colour: Linear RGB, of at most 1.
        row: Row of its middle, in pixels; may lie outside of the image.
        column: Column of its middle, in pixels; may lie outside of the image.
        reach: Distance at which its light falls to a half, in pixels.
        brightness: Light of a drop beside it, relative to white.
    """

    colour: npt.NDArray[np.float64]
    row: float
    column: float
    reach: float
    brightness: float


def add_random_drops(
    clean: RgbImage, rng: np.random.Generator, *, physical: bool
) -> tuple[RgbImage, RgbImage]:
    """Add random drops to a crop; return the rainy and the clean crop.

    The returned clean crop may be darkened (night) or keep mist and thin veils as part of the
    scene.

    Args:
        clean: RGB crop (h, w, 3).
        rng: Generator; the same state gives the same rain.
        physical: Whether the streaks follow from a rain rate and a camera (`CameraRain`) instead of
            wide distributions.
    """
    height, width = clean.shape[:2]
    night = rng.random() < 0.35
    if night:
        clean = _darken(clean, rng)
    lamps = sample_lamps(height, width, rng) if night and rng.random() < 0.7 else ()
    if lamps:
        clean = draw_lamps(clean, lamps, rng)
    light = _sample_light(clean, rng, lamps)
    if lamps:
        # Mist around a lamp glows with and without rain, so it is part of the clean crop.
        clean = compose_drops(clean, _fill_even(clean, rng.uniform(0, 0.3)), light)
    if physical:
        rain, frame_width = sample_camera(rng)
        streaks = sample_camera_streaks(
            rain,
            height,
            width,
            rng,
            frame_width=frame_width,
            most=MOST_DROPS,
        )
        # A drop this far out of focus is invisible and takes most of the time.
        streaks = streaks.select(streaks.blur + streaks.width < _WIDEST_PIXELS)
        veil = compute_extinction_per_metre(rain.millimetres_per_hour) * rain.scene_metres
        veil = veil if rng.random() < 0.5 else 0.0
    else:
        streaks = sample_streaks(height, width, rng, lit=bool(lamps))
        veil = rng.exponential(0.1) if rng.random() < 0.15 else 0.0
    if not physical and rng.random() < (0.4 if lamps else 0.2):
        opacity = sample_curtain(height, width, rng)
    else:
        opacity = draw_streaks(streaks, height, width)
    if lamps and rng.random() < 0.7:
        return make_mist_pair(clean, opacity, smooth(opacity), light)
    if not physical and is_curtain(opacity) and rng.random() < 0.8:
        return make_mist_pair(
            clean,
            opacity,
            _fill_even(clean, float(opacity.mean()) / OPAQUE),
            light,
        )
    return make_veiled_pair(clean, opacity, light, veil)


def sample_curtain(height: int, width: int, rng: np.random.Generator) -> Opacity:
    """Sample the opacity (h, w) of rain so dense that no single streak is visible.

    Clips of heavy rain show it in two ways: out of focus in front of a near subject, as soft bands
    1 to 10 pixels wide and many times as long, and far away in the light of a lamp, as a grain of
    1 x 3 pixels and more. The opacity is noise that is smooth along one direction.

    Args:
        height: Height in pixels.
        width: Width in pixels.
        rng: Generator; the same state gives the same opacity.
    """
    # The diagonal, so that rotation leaves no corner empty.
    side = ceil(hypot(height, width))
    if rng.random() < 0.5:
        across, along = draw_log_uniform(1.0, 8.0, rng), draw_log_uniform(12.0, 120.0, rng)
    else:
        across = draw_log_uniform(0.9, 2.5, rng)
        along = across * draw_log_uniform(2.5, 10.0, rng)
    field = np.zeros((side, side), np.float32)
    for octave in (1.0, 2.0, 4.0)[: int(rng.integers(1, 4))]:
        cells = (max(2, round(side * octave / along)), max(2, round(side * octave / across)))
        noise = Image.fromarray(rng.normal(0, 1 / octave, cells).astype(np.float32))
        field += np.asarray(noise.resize((side, side), Image.Resampling.BICUBIC))
    # Noise is cheapest along the axes, so it is rotated afterwards.
    turned = Image.fromarray(field).rotate(sample_angle(rng), Image.Resampling.BILINEAR)
    top, left = (side - height) // 2, (side - width) // 2
    field = np.asarray(turned)[top : top + height, left : left + width]
    risen = np.maximum(field / (field.std() + 1e-6) + rng.uniform(-1.5, 1.5), 0)
    share = np.minimum(draw_log_uniform(0.02, 0.15, rng) * risen, 1)
    opacity: Opacity = np.rint(OPAQUE * share).astype(np.uint16)
    return opacity


def is_curtain(opacity: Opacity) -> bool:
    """Return whether faint streaks cover most of an image."""
    covered = (opacity > _THINNEST_DEPTH * OPAQUE).mean()
    return bool(covered > _COVERED and opacity.mean() < _FAINT * OPAQUE)


def make_mist_pair(
    scene: RgbImage, opacity: Opacity, mist: Opacity, light: Light
) -> tuple[RgbImage, RgbImage]:
    """Make the rainy and the clean crop of drops that merge with a mist.

    A network can remove the grain of many far drops, but not their mean light, which stays.

    Args:
        scene: Crop (h, w, 3) without rain.
        opacity: Opacity of the drops.
        mist: Opacity of their mean light, which stays.
        light: Light of drops and mist.
    """
    return compose_drops(scene, opacity, light), compose_drops(scene, mist, light)


def make_veiled_pair(
    scene: RgbImage, opacity: Opacity, light: Light, depth: float
) -> tuple[RgbImage, RgbImage]:
    """Make the rainy and the clean crop of drops in front of a veil.

    With few streaks, a veil cannot be distinguished from fog, which is part of the scene: it stays.

    Args:
        scene: Crop (h, w, 3) without rain.
        opacity: Opacity of the drops.
        light: Light of drops and veil.
        depth: Optical depth of the veil.
    """
    if depth <= _THINNEST_DEPTH:
        return compose_drops(scene, opacity, light), scene
    veil = _fill_even(scene, min(_THICKEST_VEIL, 1 - exp(-depth)))
    if opacity.mean() >= _DENSE * OPAQUE:
        return compose_drops(scene, opacity, light, veil), scene
    clean = compose_drops(scene, veil, light)
    return compose_drops(clean, opacity, light), clean


def sample_camera(rng: np.random.Generator) -> tuple[CameraRain, int]:
    """Sample rain and camera, and the width of the frame in pixels.

    Short exposures and small apertures are more frequent than in practice, since invisible rain
    teaches nothing.
    """
    slant = sample_angle(rng)
    # Drops of common sizes fall at some 7 m/s; the clip stays within the limits of CameraRain.
    wind = float(np.clip(7.0 * np.tan(np.radians(slant)), -28, 28))
    rain = CameraRain(
        millimetres_per_hour=draw_log_uniform(2.0, 120.0, rng),
        exposure_seconds=draw_log_uniform(1 / 2000, 1 / 30, rng),
        focal_millimetres=draw_log_uniform(18.0, 120.0, rng),
        aperture_millimetres=draw_log_uniform(0.5, 20.0, rng),
        focus_metres=draw_log_uniform(1.0, 60.0, rng),
        wind_metres_per_second=wind,
        turbulence=float(rng.choice([0.5, 2.0, 6.0])),
        scene_metres=draw_log_uniform(1.5, 100.0, rng),
        visibility=draw_log_uniform(1.0, 6.0, rng),
        beads=float(rng.integers(2, 9)) if rng.random() < 0.15 else 0.0,
        splashes_per_megapixel=float(rng.integers(0, 400)) if rng.random() < 0.2 else 0.0,
    )
    return rain, round(draw_log_uniform(400.0, 4000.0, rng))


def sample_angle(rng: np.random.Generator) -> float:
    """Sample degrees from straight down: near the vertical in half of the cases, else up to 75."""
    if rng.random() < 0.5:
        return float(np.clip(rng.normal(0, 10), -MOST_DEGREES, MOST_DEGREES))
    return float(rng.uniform(-MOST_DEGREES, MOST_DEGREES))


def sample_streaks(
    height: int,
    width: int,
    rng: np.random.Generator,
    *,
    lit: bool = False,
) -> Streaks:
    """Sample one to three populations of streaks of one direction and different sizes.

    Args:
        height: Height in pixels.
        width: Width in pixels.
        rng: Generator; the same state gives the same streaks.
        lit: Whether lamps light the drops, which makes many small drops visible.
    """
    angle = sample_angle(rng)
    kinds = [
        _sample_population(_sample_size(rng), height, width, angle, rng)
        for _ in range(int(rng.choice([1, 1, 2, 3])))
    ]
    if lit and rng.random() < 0.85:
        kinds = [_sample_population(_LIT, height, width, angle, rng)]
    return Streaks.join(kinds)


@dataclass(frozen=True)
class _Size:
    """Ranges of a population of streaks; lengths and widths in pixels."""

    length: tuple[float, float]
    width: tuple[float, float]
    opacity: tuple[float, float]
    number: tuple[float, float]
    """Number of streaks in a crop of 160 x 160 pixels."""


_SIZES: tuple[tuple[float, _Size], ...] = (
    (0.24, _Size((8.0, 60.0), (0.6, 2.5), (0.08, 0.8), (3.0, 160.0))),  # the common kind
    (0.14, _Size((3.0, 10.0), (0.7, 3.0), (0.15, 0.9), (5.0, 250.0))),  # short drops
    (0.12, _Size((60.0, 500.0), (0.5, 3.0), (0.05, 0.7), (0.8, 40.0))),  # threads
    (0.22, _Size((40.0, 500.0), (3.0, 20.0), (0.08, 0.6), (0.25, 12.0))),  # near and wide
    # Half of all: a network that meets streaks mostly among others removes no single one.
    (1.0, _Size((15.0, 300.0), (0.8, 10.0), (0.12, 0.8), (0.5, 8.0))),  # few and clear
    (0.10, _Size((15.0, 120.0), (0.8, 3.0), (0.02, 0.2), (60.0, 600.0))),  # dense and faint
    (0.18, _Size((30.0, 300.0), (1.5, 9.0), (0.03, 0.3), (25.0, 250.0))),  # dense, wide and soft
)
_LIT = _Size((3.0, 20.0), (0.7, 1.8), (0.15, 0.9), (50.0, 2500.0))


def _sample_size(rng: np.random.Generator) -> _Size:
    shares = np.cumsum([share for share, _ in _SIZES])
    return _SIZES[int(np.searchsorted(shares, rng.random() * shares[-1]))][1]


def _sample_population(
    size: _Size, height: int, width: int, angle: float, rng: np.random.Generator
) -> Streaks:
    length, across = draw_log_uniform(*size.length, rng), draw_log_uniform(*size.width, rng)
    area = (height + length) * (width + length) / 160**2
    number = max(1, round(area * draw_log_uniform(*size.number, rng) / (1 + length / 160)))
    # Bounds the time of drawing for large crops.
    number = min(number, 4000)
    # Calm rain is nearly parallel; gusts scatter it.
    spread = float(rng.choice([0.3, 1.0, 2.5, 6.0]))
    even = rng.random() < 0.5
    blur = draw_log_uniform(0.3, 4.0, rng) if rng.random() < 0.5 else 0.0
    # Wide streaks are near drops, which are mostly out of focus.
    if across > 3 and rng.random() < 0.75:
        blur = across * rng.uniform(0.3, 1.2)
    opacity = draw_log_uniform(*size.opacity, rng) * np.exp(rng.normal(0, 0.4, number))
    return Streaks(
        row=rng.uniform(-length / 2, height + length / 2, number),
        column=rng.uniform(-length / 2, width + length / 2, number),
        length=length * np.exp(rng.normal(0, 0.1 if even else 0.5, number)),
        width=across * np.exp(rng.normal(0, 0.1 if even else 0.4, number)),
        angle_degrees=angle + spread * rng.normal(0, 1, number),
        opacity=np.minimum(opacity, 1.0),
        blur=np.full(number, blur) * np.exp(rng.normal(0, 0.2, number)),
        beads=np.full(number, float(rng.integers(2, 9)) if rng.random() < 0.12 else 0.0),
        taper=np.full(number, rng.uniform(0, 1) if rng.random() < 0.5 else 0.0),
    )


def sample_lamps(height: int, width: int, rng: np.random.Generator) -> tuple[Lamp, ...]:
    """Sample one to three lamps in or near an image, with sides in pixels."""
    return tuple(
        Lamp(
            np.array([1.0, rng.uniform(0.45, 1), rng.uniform(0.1, 1)]),
            rng.uniform(-0.3, 1.3) * height,
            rng.uniform(-0.3, 1.3) * width,
            draw_log_uniform(0.12, 1.0, rng) * max(height, width),
            rng.uniform(0.3, 1.2),
        )
        for _ in range(int(rng.integers(1, 4)))
    )


def draw_lamps(image: RgbImage, lamps: Sequence[Lamp], rng: np.random.Generator) -> RgbImage:
    """Draw visible lamps, most of them on posts, on an image (h, w, 3).

    Otherwise a network would see lamps only in dry images and learn that lamps mean no rain.
    """
    drawn = Image.fromarray(image)
    for lamp in lamps:
        canvas = ImageDraw.Draw(drawn)
        half_width = draw_log_uniform(1.0, 10.0, rng)
        half_height = half_width * rng.uniform(0.3, 1.0)
        if rng.random() < 0.7:
            dark = tuple(int(level) for level in rng.integers(0, 60) + rng.integers(0, 12, 3))
            thickness = max(1, round(half_width * rng.uniform(0.2, 0.7)))
            arm = lamp.column + rng.uniform(-1, 1) * lamp.reach
            canvas.line([(lamp.column, lamp.row), (arm, lamp.row)], dark, thickness)
            canvas.line([(arm, lamp.row), (arm, image.shape[0])], dark, thickness)
        bulb = [
            (lamp.column - half_width, lamp.row - half_height),
            (lamp.column + half_width, lamp.row + half_height),
        ]
        white = rng.uniform(0.0, 0.9)
        level = 255 * (white + (1 - white) * lamp.colour)
        canvas.ellipse(bulb, tuple(int(each) for each in level))
    softened = drawn.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    return np.asarray(softened)


def _sample_light(clean: RgbImage, rng: np.random.Generator, lamps: Sequence[Lamp]) -> Light:
    """Sample the light of the drops in linear 65535ths: one colour, or lamps with falloff.

    A drop gathers light from a wide field above, so it is brighter than most of its background. One
    crop in eight ignores this rule, which allows dark streaks in front of a bright sky.
    """
    height, width = clean.shape[:2]
    tint = _sample_tint(clean, rng)
    behind = 0.0
    if rng.random() < 0.875:
        levels = decode_srgb(clean[::4, ::4]).mean(2)
        behind = float(np.percentile(levels, rng.uniform(50, 95))) / OPAQUE
    # Between the background and white, so that drops are brighter than what they cover.
    base = (behind + (1 - behind) * draw_log_uniform(0.08, 1.0, rng)) * tint
    if not lamps:
        return np.rint(OPAQUE * np.clip(base, 0, 1)).astype(np.uint16)
    rows, columns = np.ogrid[:height, :width]
    field = np.zeros((height, width, 3)) + 0.1 * base
    for lamp in lamps:
        distance = np.hypot(rows - lamp.row, columns - lamp.column)
        falloff = 1 / (1 + (distance / lamp.reach) ** 2)
        field += lamp.brightness * falloff[..., np.newaxis] * lamp.colour
    return np.rint(OPAQUE * np.clip(field, 0, 1)).astype(np.uint16)


def _sample_tint(clean: RgbImage, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Sample the colour of the drops, 1 in its brightest channel.

    It is near grey in 40 % of the crops. Otherwise it lies between grey and the colour of the
    scene, which also lights the drops, or is any pale colour.
    """
    kind = rng.random()
    grey = np.exp(rng.normal(0, 0.06, 3))
    if kind < 0.4:
        tint = grey
    elif kind < 0.85:
        scene = decode_srgb(clean[::4, ::4]).mean((0, 1)) / OPAQUE + 0.02
        tint = grey * scene ** rng.uniform(0.2, 1.0)
    else:
        tint = np.exp(rng.normal(0, 0.5, 3))
    return np.asarray(tint / tint.max())


def _fill_even(image: RgbImage, share: float) -> Opacity:
    """Return a constant opacity (h, w)."""
    return np.full(image.shape[:2], int(OPAQUE * share), np.uint16)


def smooth(opacity: Opacity) -> Opacity:
    """Blur an opacity over some 30 pixels."""
    coarse = Image.fromarray((opacity >> 8).astype(np.uint8)).filter(ImageFilter.GaussianBlur(12))
    return np.asarray(coarse).astype(np.uint16) * np.uint16(257)


def _darken(clean: RgbImage, rng: np.random.Generator) -> RgbImage:
    # The power deepens shadows, as underexposed images have them.
    levels = (np.arange(256) / 255) ** rng.uniform(1, 1.5) * draw_log_uniform(0.1, 0.7, rng)
    table = np.rint(255 * levels).astype(np.uint8)
    darkened: RgbImage = table[clean]
    return darkened
