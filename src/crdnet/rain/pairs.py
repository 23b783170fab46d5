"""A pair: a picture, and the same picture in rain of a density that was asked for, or of a spec.

Rain that is asked for by density is drawn from its preset and then trimmed: the gain of its light is searched
until the strength S of the pair, measured on the pair, is the one aimed at. Where light alone cannot reach a
grade, as on a white wall, the pair says the density that it has, not the one that was asked for.
"""

from dataclasses import dataclass, replace
from math import isqrt

import numpy as np
import numpy.typing as npt

from crdnet.density import RainDensity
from crdnet.rain.camera import CameraRain, camera_opacity, camera_veil, light_of_drops
from crdnet.rain.compose import (
    Picture,
    check_picture,
    compose,
    composed,
    compress,
    decompress,
    room_for_light,
    strength_of,
)
from crdnet.rain.drops import compose_drops
from crdnet.rain.layers import Layer, StreakLibrary, add_light, amplify, render
from crdnet.rain.presets import sample_spec, sample_target, strength_range
from crdnet.rain.spec import MAX_GAIN, PhotorealStreaks, RainSpec

_MOST_DRAWINGS = 4
_MOST_GAIN_OF_A_DRAWING = 1.5
_MOST_TRIALS = 8
_NEAR_ENOUGH = 0.06
_PIXELS_FOR_TRIALS = 3_000


@dataclass(frozen=True, eq=False, slots=True)
class RainyPair:
    """A rainy picture and what made it.

    Attributes:
        rainy: RGB picture (h, w, 3).
        clean: The same scene without rain; through the same JPEG where there was one.
        streaks: The light of the streaks (h, w) before it met the scene, gain applied; of camera rain,
            their opacity in 255ths.
        strength: S, the mean change of luma between the two pictures, in grey levels of 255.
        density: The grade of this strength.
        spec: The rain, with the gain that was found; or the rain and the camera.
        jpeg_files: The JPEG files, rainy and clean, that the two pictures were decoded from, if any.
    """

    rainy: Picture
    clean: Picture
    streaks: Layer
    strength: float
    density: RainDensity
    spec: RainSpec | CameraRain
    jpeg_files: tuple[bytes, bytes] | None = None


def rainy_pair(
    clean: npt.NDArray[np.uint8],
    rain: RainSpec | RainDensity | CameraRain,
    rng: np.random.Generator,
    *,
    scale: float = 1.0,
    library: StreakLibrary | None = None,
    jpeg_quality: int | None = None,
) -> RainyPair:
    """Put rain on a picture.

    Args:
        clean: RGB picture (h, w, 3).
        rain: A spec, or rain before a camera, is rendered as it stands; of a density, a spec is drawn
            and its gain searched.
        rng: The same state gives the same pair on every machine.
        scale: How much larger than in a picture of 500 px streaks are, for rain given by density; see
            `crdnet.rain.scale_of`. A spec has its own.
        library: Photorealistic streaks to use beside the drawn ones.
        jpeg_quality: Where given, both pictures go through JPEG at this quality.

    Raises:
        ImageError: The picture is not RGB of 8 bits.
        RecipeError: A number is out of its range.
    """
    check_picture(clean)
    if isinstance(rain, CameraRain):
        return _camera_pair(clean, rain, rng, jpeg_quality)
    height, width = clean.shape[:2]
    if isinstance(rain, RainSpec):
        spec = rain
        layer = render(spec, height, width, rng, library)
    else:
        target = sample_target(rain, rng)
        spec = sample_spec(rain, rng, scale=scale, photoreal=library is not None, target=target)
        layer, spec = drawn_to_target(clean, spec, rain, target, rng, library)
    return finish(clean, layer, spec, jpeg_quality)


def finish(clean: Picture, layer: Layer, spec: RainSpec, jpeg_quality: int | None = None) -> RainyPair:
    """Put a layer, its gain not yet applied, on a picture, compress both if asked, and measure."""
    streaks = amplify(layer, spec.gain)
    return _measured(compose(clean, streaks, spec), clean, streaks, spec, jpeg_quality)


def _camera_pair(
    clean: Picture, rain: CameraRain, rng: np.random.Generator, jpeg_quality: int | None
) -> RainyPair:
    """Put rain as a camera records it on an image."""
    height, width = clean.shape[:2]
    opacity = camera_opacity(rain, height, width, rng)
    light = light_of_drops(rain, clean)
    rainy = compose_drops(clean, opacity, light, camera_veil(rain, height, width))
    return _measured(rainy, clean, (opacity >> 8).astype(np.uint8), rain, jpeg_quality)


def _measured(
    rainy: Picture,
    clean: Picture,
    streaks: Layer,
    spec: RainSpec | CameraRain,
    jpeg_quality: int | None,
) -> RainyPair:
    """Return a pair with its intensity, both images through JPEG if asked."""
    files = None
    if jpeg_quality is not None:
        files = compress(rainy, jpeg_quality), compress(clean, jpeg_quality)
        rainy, clean = (decompress(file) for file in files)
    strength = strength_of(rainy, clean)
    return RainyPair(rainy, clean, streaks, strength, RainDensity.from_strength(strength), spec, files)


def drawn_to_target(
    clean: Picture,
    spec: RainSpec,
    density: RainDensity,
    target: float,
    rng: np.random.Generator,
    library: StreakLibrary | None,
) -> tuple[Layer, RainSpec]:
    """Draw a spec as often as it takes for its light to be enough on a picture, and find its gain.

    The spec that is returned holds its streaks as often as they were drawn; where a library's pictures are too
    dark, it holds drawn streaks instead.
    """
    height, width = clean.shape[:2]
    once = spec.layers
    layer = np.zeros((height, width), np.uint8)
    for drawings in range(1, _MOST_DRAWINGS + 1):
        layer = add_light(layer, render(replace(spec, layers=once), height, width, rng, library))
        spec = replace(spec, layers=once * drawings)
        gain = fitted_gain(clean, layer, spec, density, target)
        if gain <= _MOST_GAIN_OF_A_DRAWING:
            break
    if gain >= MAX_GAIN and any(isinstance(streaks, PhotorealStreaks) for streaks in once):
        drawn = sample_spec(density, rng, scale=spec.scale, target=target)
        return drawn_to_target(clean, drawn, density, target, rng, None)
    return layer, replace(spec, gain=gain)


def fitted_gain(clean: Picture, layer: Layer, spec: RainSpec, density: RainDensity, target: float) -> float:
    """Return the gain, from 0 to 4 in steps of 1/256, with which a layer's rain has about the strength aimed at."""
    if density is RainDensity.NONE:
        return 0.0
    step = max(1, isqrt(layer.size // _PIXELS_FOR_TRIALS))
    gain = _search(clean[::step, ::step], layer[::step, ::step], spec, target)
    if step > 1:
        low, high = strength_range(density)
        if (
            not low
            <= strength_of(compose(clean, amplify(layer, gain), replace(spec, gain=gain)), clean)
            < high
        ):
            gain = _search(clean, layer, spec, target)
    return gain


def _search(clean: Picture, layer: Layer, spec: RainSpec, target: float) -> float:
    """Find a gain by false position: strength grows with it, and almost in proportion."""
    room = room_for_light(clean, spec.blend)

    def strength(gain: int) -> float:
        streaks = amplify(layer, gain / 256)
        return strength_of(composed(clean, room, streaks, spec.haze, gain / 256), clean)

    low, at_low = 0, 0.0
    high, at_high = int(256 * MAX_GAIN), float("inf")
    gain = 256
    for _ in range(_MOST_TRIALS):
        reached = strength(gain)
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
        gain = min(max(guess, low + 1), high - (at_high != float("inf")))
    return gain / 256
