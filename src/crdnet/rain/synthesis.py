"""Synthesis of rainy pairs, from a density or from a spec.

Rain of a density is drawn from a preset. A search then adjusts the gain of its light until the
measured intensity S of the pair is the target. If light cannot reach a grade, for example on a
white wall, the pair has the measured density, not the requested one.
"""

from dataclasses import dataclass, replace
from math import isqrt

import numpy as np
import numpy.typing as npt

from crdnet.density import RainDensity
from crdnet.rain.camera import (
    CameraRain,
    compute_camera_veil,
    draw_camera_opacity,
    estimate_drop_light,
)
from crdnet.rain.compose import (
    RgbImage,
    check_image,
    compose,
    compose_with_room,
    compress,
    compute_room,
    decompress,
    measure_intensity,
)
from crdnet.rain.drops import compose_drops
from crdnet.rain.layers import Layer, StreakLibrary, add_light, amplify, render
from crdnet.rain.presets import get_intensity_range, sample_spec, sample_target
from crdnet.rain.spec import MAX_GAIN, PhotorealStreaks, RainSpec

_MOST_DRAWINGS = 4
_MOST_GAIN_OF_A_DRAWING = 1.5
_MOST_TRIALS = 8
_NEAR_ENOUGH = 0.06
_PIXELS_FOR_TRIALS = 3_000


@dataclass(frozen=True, eq=False, slots=True)
class RainyPair:
    """Synthetic pair and the rain that made it.

    Attributes:
        rainy: RGB image (h, w, 3).
        clean: Ground truth of the same shape, through the same JPEG if there was one.
        streaks: Amplified light of the streaks (h, w) before composition; for camera rain, the
            opacity in 255ths.
        intensity: Intensity S, the mean change of luma between the images, in grey levels of 255.
        density: Grade of the intensity.
        spec: Rain with the final gain, or rain and camera.
        jpeg_files: JPEG files, rainy and clean, from which the images were decoded, or None.
    """

    rainy: RgbImage
    clean: RgbImage
    streaks: Layer
    intensity: float
    density: RainDensity
    spec: RainSpec | CameraRain
    jpeg_files: tuple[bytes, bytes] | None = None


def make_rainy_pair(
    clean: npt.NDArray[np.uint8],
    rain: RainSpec | RainDensity | CameraRain,
    rng: np.random.Generator,
    *,
    scale: float = 1.0,
    library: StreakLibrary | None = None,
    jpeg_quality: int | None = None,
) -> RainyPair:
    """Add rain to an image.

    Args:
        clean: RGB image (h, w, 3).
        rain: Spec or camera rain to render unchanged, or a density, for which a spec is sampled and
            its gain adjusted.
        rng: Generator; the same state gives the same pair on every machine.
        scale: Scale of rain given by density, 1 for an image of 500 px; see
            `crdnet.rain.choose_rain_scale`. A spec has its own scale.
        library: Photorealistic streaks to use besides the drawn ones.
        jpeg_quality: Quality at which both images go through JPEG; None for no JPEG.

    Raises:
        ImageError: The image is not RGB of 8 bits.
        RecipeError: A number is out of range, or a library is missing.
    """
    check_image(clean)
    if isinstance(rain, CameraRain):
        return _make_camera_pair(clean, rain, rng, jpeg_quality)
    height, width = clean.shape[:2]
    if isinstance(rain, RainSpec):
        spec = rain
        layer = render(spec, height, width, rng, library)
    else:
        target = sample_target(rain, rng)
        spec = sample_spec(rain, rng, scale=scale, photoreal=library is not None, target=target)
        layer, spec = draw_to_target(clean, spec, rain, target, rng, library)
    return finish_pair(clean, layer, spec, jpeg_quality)


def finish_pair(
    clean: RgbImage,
    layer: Layer,
    spec: RainSpec,
    jpeg_quality: int | None = None,
) -> RainyPair:
    """Amplify a layer, add it to an image, compress both if requested, and measure the pair."""
    streaks = amplify(layer, spec.gain)
    return _measure_pair(compose(clean, streaks, spec), clean, streaks, spec, jpeg_quality)


def _make_camera_pair(
    clean: RgbImage, rain: CameraRain, rng: np.random.Generator, jpeg_quality: int | None
) -> RainyPair:
    """Add camera rain to an image."""
    height, width = clean.shape[:2]
    opacity = draw_camera_opacity(rain, height, width, rng)
    light = estimate_drop_light(rain, clean)
    rainy = compose_drops(clean, opacity, light, compute_camera_veil(rain, height, width))
    return _measure_pair(rainy, clean, (opacity >> 8).astype(np.uint8), rain, jpeg_quality)


def _measure_pair(
    rainy: RgbImage,
    clean: RgbImage,
    streaks: Layer,
    spec: RainSpec | CameraRain,
    jpeg_quality: int | None,
) -> RainyPair:
    """Return a pair with its measured intensity, both images through JPEG if requested."""
    files = None
    if jpeg_quality is not None:
        files = compress(rainy, jpeg_quality), compress(clean, jpeg_quality)
        rainy, clean = (decompress(file) for file in files)
    intensity = measure_intensity(rainy, clean)
    return RainyPair(
        rainy,
        clean,
        streaks,
        intensity,
        RainDensity.from_intensity(intensity),
        spec,
        files,
    )


def draw_to_target(
    clean: RgbImage,
    spec: RainSpec,
    density: RainDensity,
    target: float,
    rng: np.random.Generator,
    library: StreakLibrary | None,
) -> tuple[Layer, RainSpec]:
    """Draw a spec repeatedly until its light reaches a target on an image, and fit its gain.

    The returned spec contains its streaks once per drawing. If the images of a library are too
    dark, it contains drawn streaks instead.

    Args:
        clean: RGB image (h, w, 3).
        spec: Rain to draw.
        density: Grade of the target.
        target: Target intensity, in grey levels of 255.
        rng: Generator of the streaks.
        library: Source of `PhotorealStreaks`.

    Returns:
        Layer at gain 1, and the spec with the fitted gain.
    """
    height, width = clean.shape[:2]
    once = spec.layers
    layer = np.zeros((height, width), np.uint8)
    for drawings in range(1, _MOST_DRAWINGS + 1):
        layer = add_light(layer, render(replace(spec, layers=once), height, width, rng, library))
        spec = replace(spec, layers=once * drawings)
        gain = fit_gain(clean, layer, spec, density, target)
        # More streaks look better than a larger gain, which hardens antialiased edges.
        if gain <= _MOST_GAIN_OF_A_DRAWING:
            break
    if gain >= MAX_GAIN and any(isinstance(streaks, PhotorealStreaks) for streaks in once):
        drawn = sample_spec(density, rng, scale=spec.scale, target=target)
        return draw_to_target(clean, drawn, density, target, rng, None)
    return layer, replace(spec, gain=gain)


def fit_gain(
    clean: RgbImage,
    layer: Layer,
    spec: RainSpec,
    density: RainDensity,
    target: float,
) -> float:
    """Fit the gain of a layer to a target intensity, from 0 to 4 in steps of 1/256."""
    if density is RainDensity.NONE:
        return 0.0
    # A sample of the pixels is enough for a first search; the whole image is checked after it.
    step = max(1, isqrt(layer.size // _PIXELS_FOR_TRIALS))
    gain = _search_gain(clean[::step, ::step], layer[::step, ::step], spec, target)
    if step > 1:
        low, high = get_intensity_range(density)
        if (
            not low
            <= measure_intensity(
                compose(clean, amplify(layer, gain), replace(spec, gain=gain)),
                clean,
            )
            < high
        ):
            gain = _search_gain(clean, layer, spec, target)
    return gain


def _search_gain(clean: RgbImage, layer: Layer, spec: RainSpec, target: float) -> float:
    """Search the gain by false position, since intensity is almost proportional to it."""
    room = compute_room(clean, spec.blend)

    def measure(gain: int) -> float:
        streaks = amplify(layer, gain / 256)
        return measure_intensity(
            compose_with_room(clean, room, streaks, spec.haze, gain / 256),
            clean,
        )

    # Integers in 256ths: the search ends at the same gain on every machine.
    low, at_low = 0, 0.0
    high, at_high = int(256 * MAX_GAIN), float("inf")
    gain = 256
    for _ in range(_MOST_TRIALS):
        reached = measure(gain)
        if abs(reached - target) <= _NEAR_ENOUGH * target:
            break
        if reached < target:
            low, at_low = gain, reached
        else:
            high, at_high = gain, reached
        if high - low <= 1:
            break
        if at_high == float("inf"):
            guess = min(high, int(gain * target / reached) + 1 if reached > 0 else high)
        else:
            guess = low + int((high - low) * (target - at_low) / (at_high - at_low))
        # Strictly within the bracket, so that every trial narrows it.
        gain = min(max(guess, low + 1), high - (at_high != float("inf")))
    return gain / 256
