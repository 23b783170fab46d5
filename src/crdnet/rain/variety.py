"""Random rain of single drops for training: wider than any camera, and as cameras record it.

Networks overfit the rain that they are shown, and need variety of streaks more than of backgrounds
(Gu et al., NeurIPS 2023). So the streaks here span what photographs and clips show: 3 pixels to a whole
image long, a fraction of a pixel to 20 wide, 0 to 75 degrees, faint to opaque, sharp, out of focus,
beaded, single or dense, over a veil, by day and under lamps.
"""

from dataclasses import dataclass
from math import ceil, exp, hypot

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from crdnet.rain.camera import CameraRain, camera_streaks, extinction_per_metre
from crdnet.rain.chance import log_between
from crdnet.rain.compose import Picture
from crdnet.rain.drops import OPAQUE, Opacity, Streaks, compose_drops, draw_streaks, to_linear

Light = npt.NDArray[np.uint16]
MOST_DROPS = 1200
"""Drops of a crop of physical rain, so that none takes long to draw."""
_WIDEST_PIXELS = 48.0
_THINNEST_DEPTH = 0.01
_THICKEST_VEIL = 0.2
"""Thicker ones look like fog, and a network that takes fog out of dry images ruins them."""
_COVERED = 0.5
"""Share of the pixels from which streaks are a curtain."""
_FAINT = 0.2
"""Mean opacity up to which a curtain of streaks is one with its mist."""
_DENSE = 0.08
"""Mean opacity from which streaks are dense enough to tell that a veil is rain."""
MOST_DEGREES = 75.0
"""Steepest slant of the streaks, from straight down."""


def random_drops(clean: Picture, rng: np.random.Generator, *, physical: bool) -> tuple[Picture, Picture]:
    """Put random drops on a crop; return the rainy and the clean crop.

    Args:
        clean: RGB crop (h, w, 3). At night the returned clean crop is a darkened one.
        rng: The same state gives the same rain.
        physical: Whether the streaks follow from a rain rate and a camera (`CameraRain`), or are
            drawn from wide distributions.
    """
    height, width = clean.shape[:2]
    night = rng.random() < 0.35
    if night:
        clean = _darkened(clean, rng)
    lamps = night and rng.random() < 0.7
    light = _light(clean, rng, lamps=lamps)
    if lamps:
        # Mist around a lamp glows whether it rains or not.
        clean = compose_drops(clean, _even(clean, rng.uniform(0, 0.3)), light)
    if physical:
        rain, frame_width = random_camera(rng)
        streaks = camera_streaks(rain, height, width, rng, frame_width=frame_width, most=MOST_DROPS)
        # A drop this far out of focus is seen by nobody, and costs most of the time.
        streaks = streaks.select(streaks.blur + streaks.width < _WIDEST_PIXELS)
        veil = extinction_per_metre(rain.millimetres_per_hour) * rain.scene_metres
        veil = veil if rng.random() < 0.5 else 0.0
    else:
        streaks = random_streaks(height, width, rng, lit=lamps)
        veil = rng.exponential(0.1) if rng.random() < 0.15 else 0.0
    if not physical and rng.random() < 0.2:
        opacity = random_curtain(height, width, rng)
    else:
        opacity = draw_streaks(streaks, height, width)
    if lamps and rng.random() < 0.7:
        return mist_pair(clean, opacity, smoothed(opacity), light)
    if not physical and is_curtain(opacity) and rng.random() < 0.8:
        return mist_pair(clean, opacity, _even(clean, float(opacity.mean()) / OPAQUE), light)
    return veiled_pair(clean, opacity, light, veil)


def random_curtain(height: int, width: int, rng: np.random.Generator) -> Opacity:
    """Return the opacity (h, w) of dense rain out of focus, where no single streak is seen.

    Clips of heavy rain show it before a near subject: soft bands, 1 to 10 pixels wide and many times
    as long, of uneven brightness. It is noise, smooth along one direction.
    """
    side = ceil(hypot(height, width))
    across, along = log_between(1.0, 8.0, rng), log_between(12.0, 120.0, rng)
    field = np.zeros((side, side), np.float32)
    for octave in (1.0, 2.0, 4.0)[: int(rng.integers(1, 4))]:
        cells = (max(2, round(side * octave / along)), max(2, round(side * octave / across)))
        noise = Image.fromarray(rng.normal(0, 1 / octave, cells).astype(np.float32))
        field += np.asarray(noise.resize((side, side), Image.Resampling.BICUBIC))
    turned = Image.fromarray(field).rotate(random_angle(rng), Image.Resampling.BILINEAR)
    top, left = (side - height) // 2, (side - width) // 2
    field = np.asarray(turned)[top : top + height, left : left + width]
    risen = np.maximum(field / (field.std() + 1e-6) + rng.uniform(-1.5, 1.5), 0)
    share = np.minimum(log_between(0.02, 0.15, rng) * risen, 1)
    opacity: Opacity = np.rint(OPAQUE * share).astype(np.uint16)
    return opacity


def is_curtain(opacity: Opacity) -> bool:
    """Tell whether faint streaks cover most of an image, so that little of it is seen as it is."""
    covered = (opacity > _THINNEST_DEPTH * OPAQUE).mean()
    return bool(covered > _COVERED and opacity.mean() < _FAINT * OPAQUE)


def mist_pair(scene: Picture, opacity: Opacity, mist: Opacity, light: Light) -> tuple[Picture, Picture]:
    """Return the rainy and the clean crop of drops that are one with a mist.

    What can be taken out of many far drops is their grain; their mean light stays.

    Args:
        scene: Crop (h, w, 3) without rain.
        opacity: Of the drops.
        mist: Of their mean light, which stays.
        light: Of drops and mist.
    """
    return compose_drops(scene, opacity, light), compose_drops(scene, mist, light)


def veiled_pair(scene: Picture, opacity: Opacity, light: Light, depth: float) -> tuple[Picture, Picture]:
    """Return the rainy and the clean crop of drops before a veil of an optical depth.

    Before few streaks a veil cannot be told from fog, which is part of the scene: it stays.
    """
    if depth <= _THINNEST_DEPTH:
        return compose_drops(scene, opacity, light), scene
    veil = _even(scene, min(_THICKEST_VEIL, 1 - exp(-depth)))
    if opacity.mean() >= _DENSE * OPAQUE:
        return compose_drops(scene, opacity, light, veil), scene
    clean = compose_drops(scene, veil, light)
    return compose_drops(clean, opacity, light), clean


def random_camera(rng: np.random.Generator) -> tuple[CameraRain, int]:
    """Return random rain before a random camera, and the width of its frame in pixels.

    Exposures are short and apertures small more often than in use, since rain that cannot be seen
    teaches nothing.
    """
    slant = random_angle(rng)
    wind = float(np.clip(7.0 * np.tan(np.radians(slant)), -28, 28))
    rain = CameraRain(
        millimetres_per_hour=log_between(2.0, 120.0, rng),
        exposure_seconds=log_between(1 / 2000, 1 / 30, rng),
        focal_millimetres=log_between(18.0, 120.0, rng),
        aperture_millimetres=log_between(0.5, 20.0, rng),
        focus_metres=log_between(1.0, 60.0, rng),
        wind_metres_per_second=wind,
        turbulence=float(rng.choice([0.5, 2.0, 6.0])),
        scene_metres=log_between(1.5, 100.0, rng),
        visibility=log_between(1.0, 6.0, rng),
        beads=float(rng.integers(2, 9)) if rng.random() < 0.15 else 0.0,
        splashes_per_megapixel=float(rng.integers(0, 400)) if rng.random() < 0.2 else 0.0,
    )
    return rain, round(log_between(400.0, 4000.0, rng))


def random_angle(rng: np.random.Generator) -> float:
    """Return degrees from straight down: near the vertical in half of the cases, else up to 75."""
    if rng.random() < 0.5:
        return float(np.clip(rng.normal(0, 10), -MOST_DEGREES, MOST_DEGREES))
    return float(rng.uniform(-MOST_DEGREES, MOST_DEGREES))


def random_streaks(height: int, width: int, rng: np.random.Generator, *, lit: bool = False) -> Streaks:
    """Return one to three populations of streaks of one direction, each of its own size.

    Args:
        height: Pixels.
        width: Pixels.
        rng: The same state gives the same streaks.
        lit: Whether lamps light the drops, which shows many that daylight does not.
    """
    angle = random_angle(rng)
    kinds = [_population(_size(rng), height, width, angle, rng) for _ in range(int(rng.choice([1, 1, 2, 3])))]
    if lit and rng.random() < 0.85:
        kinds = [_population(_LIT, height, width, angle, rng)]
    return Streaks.join(kinds)


@dataclass(frozen=True)
class _Size:
    """Ranges of a population of streaks, in pixels."""

    length: tuple[float, float]
    width: tuple[float, float]
    opacity: tuple[float, float]
    number: tuple[float, float]
    """Streaks in a crop of 160 x 160 pixels."""


_SIZES: tuple[tuple[float, _Size], ...] = (
    (0.24, _Size((8.0, 60.0), (0.6, 2.5), (0.08, 0.8), (3.0, 160.0))),  # the common kind
    (0.14, _Size((3.0, 10.0), (0.7, 3.0), (0.15, 0.9), (5.0, 250.0))),  # short drops
    (0.12, _Size((60.0, 500.0), (0.5, 3.0), (0.05, 0.7), (0.8, 40.0))),  # threads
    (0.22, _Size((40.0, 500.0), (3.0, 20.0), (0.08, 0.6), (0.25, 12.0))),  # near and wide
    (0.10, _Size((15.0, 120.0), (0.8, 3.0), (0.02, 0.2), (60.0, 600.0))),  # dense and faint
    (0.18, _Size((30.0, 300.0), (1.5, 9.0), (0.03, 0.3), (25.0, 250.0))),  # dense, wide and soft
)
_LIT = _Size((2.0, 20.0), (0.7, 1.8), (0.15, 0.9), (50.0, 2500.0))


def _size(rng: np.random.Generator) -> _Size:
    shares = np.cumsum([share for share, _ in _SIZES])
    return _SIZES[int(np.searchsorted(shares, rng.random() * shares[-1]))][1]


def _population(size: _Size, height: int, width: int, angle: float, rng: np.random.Generator) -> Streaks:
    length, across = log_between(*size.length, rng), log_between(*size.width, rng)
    area = (height + length) * (width + length) / 160**2
    number = max(1, round(area * log_between(*size.number, rng) / (1 + length / 160)))
    number = min(number, 4000)
    spread = float(rng.choice([0.3, 1.0, 2.5, 6.0]))
    even = rng.random() < 0.5
    blur = log_between(0.3, 4.0, rng) if rng.random() < 0.5 else 0.0
    if across > 3 and rng.random() < 0.75:
        blur = across * rng.uniform(0.3, 1.2)
    opacity = log_between(*size.opacity, rng) * np.exp(rng.normal(0, 0.4, number))
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


def _light(clean: Picture, rng: np.random.Generator, *, lamps: bool) -> Light:
    """Return the light of the drops in linear 65535ths: one colour, or lamps that fall off.

    A drop gathers light from a wide field above it, so it is brighter than most of what is behind
    it; one crop in eight is free of that rule, which lets streaks be dark before a bright sky.
    """
    height, width = clean.shape[:2]
    tint = _tint(clean, rng)
    behind = 0.0
    if rng.random() < 0.875:
        levels = to_linear(clean[::4, ::4]).mean(2)
        behind = float(np.percentile(levels, rng.uniform(50, 95))) / OPAQUE
    base = (behind + (1 - behind) * log_between(0.08, 1.0, rng)) * tint
    if not lamps:
        return np.rint(OPAQUE * np.clip(base, 0, 1)).astype(np.uint16)
    rows, columns = np.ogrid[:height, :width]
    field = np.zeros((height, width, 3)) + 0.1 * base
    for _ in range(int(rng.integers(1, 4))):
        colour = np.array([1.0, rng.uniform(0.45, 1), rng.uniform(0.1, 1)])
        y, x = rng.uniform(-0.3, 1.3) * height, rng.uniform(-0.3, 1.3) * width
        reach = log_between(0.12, 1.0, rng) * max(height, width)
        falloff = 1 / (1 + ((rows - y) ** 2 + (columns - x) ** 2) / reach**2)
        field += rng.uniform(0.3, 1.2) * falloff[..., np.newaxis] * colour
    return np.rint(OPAQUE * np.clip(field, 0, 1)).astype(np.uint16)


def _tint(clean: Picture, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the colour of the drops, 1 in its brightest channel.

    Near grey in half of the crops; else between grey and the colour of the scene, which also lights
    the drops, or any pale colour.
    """
    kind = rng.random()
    grey = np.exp(rng.normal(0, 0.06, 3))
    if kind < 0.5:
        tint = grey
    elif kind < 0.85:
        scene = to_linear(clean[::4, ::4]).mean((0, 1)) / OPAQUE + 0.02
        tint = grey * scene ** rng.uniform(0.2, 1.0)
    else:
        tint = np.exp(rng.normal(0, 0.5, 3))
    return np.asarray(tint / tint.max())


def _even(image: Picture, share: float) -> Opacity:
    """Return an opacity that is the same everywhere."""
    return np.full(image.shape[:2], int(OPAQUE * share), np.uint16)


def smoothed(opacity: Opacity) -> Opacity:
    """Return an opacity averaged over some 30 pixels."""
    coarse = Image.fromarray((opacity >> 8).astype(np.uint8)).filter(ImageFilter.GaussianBlur(12))
    return np.asarray(coarse).astype(np.uint16) * np.uint16(257)


def _darkened(clean: Picture, rng: np.random.Generator) -> Picture:
    levels = (np.arange(256) / 255) ** rng.uniform(1, 1.5) * log_between(0.1, 0.7, rng)
    table = np.rint(255 * levels).astype(np.uint8)
    darkened: Picture = table[clean]
    return darkened
