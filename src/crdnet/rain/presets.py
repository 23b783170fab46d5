"""Presets of rain by density.

A preset first chooses a kind of rain: fine drizzle, streaks at middle distance, long sheets, drops
out of focus near the camera, few separate streaks, crossing directions, noise, or photorealistic
layers. It then draws the parameters of the kind, and computes the number of streaks for a target
intensity. The gain in `crdnet.rain.make_rainy_pair` corrects the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crdnet.density import INTENSITY_THRESHOLDS, RainDensity
from crdnet.rain.random_numbers import draw_between
from crdnet.rain.spec import Haze, LineStreaks, NoiseStreaks, PhotorealStreaks, RainSpec, StreakKind

Kind = Callable[["Dice", float], tuple[StreakKind, ...]]
"""Draws streaks that change luma by about a given number of grey levels."""


@dataclass(frozen=True, slots=True)
class Dice:
    """Random numbers in 4096 steps, so that they are the same on every machine."""

    rng: np.random.Generator

    def draw_between(self, low: float, high: float) -> float:
        """Draw a uniform number from `low` to `high`."""
        return draw_between(self.rng, low, high)

    def draw_low(self, low: float, high: float) -> float:
        """Draw a number from `low` to `high`, small numbers more often."""
        # The square of a uniform number prefers small values.
        share = self.draw_between(0.0, 1.0)
        return low + (high - low) * share * share

    def decide(self, share: float) -> bool:
        """Return True with a probability."""
        return self.draw_between(0.0, 1.0) < share

    def draw_angle(self, degrees: float = 32.0) -> float:
        """Draw an angle up to `degrees` from the vertical, small angles more often."""
        # The sum of two uniform numbers has a triangular density.
        return self.draw_between(-degrees / 2, degrees / 2) + self.draw_between(
            -degrees / 2,
            degrees / 2,
        )


# Target intensities in grey levels, within the grades with room for the effect of JPEG.
_TARGETS = {
    RainDensity.LIGHT: (1.6, 9.5),
    RainDensity.MEDIUM: (11.0, 28.0),
    RainDensity.HEAVY: (32.0, 62.0),
}

_NOISE_LEVELS = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
# Measured intensities of `NoiseStreaks` of these levels, screened at 0.8 on a grey of 105.
_NOISE_INTENSITIES = (0.7, 1.8, 3.8, 7.2, 12.5, 20.0, 30.0)


def get_intensity_range(density: RainDensity) -> tuple[float, float]:
    """Return lower and upper bound of the intensities of a grade."""
    bounds = (0.0, *INTENSITY_THRESHOLDS, 255.0)
    return bounds[density], bounds[density + 1]


def sample_target(density: RainDensity, rng: np.random.Generator) -> float:
    """Sample a target intensity of a grade, in grey levels; 0 for NONE."""
    if density is RainDensity.NONE:
        return 0.0
    low, high = _TARGETS[density]
    return (
        Dice(rng).draw_low(low, high)
        if density is RainDensity.LIGHT
        else Dice(rng).draw_between(
            low,
            high,
        )
    )


def sample_spec(
    density: RainDensity,
    rng: np.random.Generator,
    *,
    scale: float = 1.0,
    photoreal: bool = False,
    target: float | None = None,
) -> RainSpec:
    """Sample rain of about a density.

    Args:
        density: Grade; NONE returns a spec without layers.
        rng: Generator for the kind of rain and its parameters.
        scale: Factor of lengths and widths; see `crdnet.rain.choose_rain_scale`.
        photoreal: Whether a library of streak images is available.
        target: Target intensity in grey levels; None samples it from the grade.
    """
    if density is RainDensity.NONE:
        return RainSpec(scale=scale)
    dice = Dice(rng)
    target = sample_target(density, rng) if target is None else target
    kind = _choose(_KINDS[density], dice)
    if photoreal and dice.decide(0.35):
        kind = _mix_photoreal
    haze_chance, most_haze = _HAZE[density]
    haze = None
    if dice.decide(haze_chance):
        haze = Haze(beta=dice.draw_between(0.05, most_haze), airlight=dice.draw_between(0.6, 0.95))
        # Haze changes luma too, so streaks get a smaller share of the target.
        target *= 0.75
    # Data sets have the two ends: Rain100 adds, DID-MDN and Rain800 screen.
    blend = (0.0, 1.0, dice.draw_between(0.0, 1.0), 1.0)[int(rng.integers(4))]
    blur = dice.draw_between(0.3, 1.2) if dice.decide(0.12) else 0.0
    return RainSpec(kind(dice, target), blend=blend, blur_pixels=blur, haze=haze, scale=scale)


def _make_drizzle(dice: Dice, target: float) -> tuple[StreakKind, ...]:
    return (
        _make_lines(
            target,
            length=dice.draw_between(8.0, 26.0),
            width=dice.draw_between(0.6, 1.3),
            angle_degrees=dice.draw_angle(),
            angle_spread_degrees=dice.draw_between(1.0, 7.0),
            sharpness=dice.draw_between(0.2, 1.0),
            brightness=dice.draw_between(0.4, 0.85),
            variation=dice.draw_between(0.3, 0.8),
        ),
    )


def _make_streaks(dice: Dice, target: float, angle: float | None = None) -> tuple[StreakKind, ...]:
    """Make streaks at two distances: many short and faint, and few longer, wider and brighter."""
    angle = dice.draw_angle() if angle is None else angle
    spread = dice.draw_between(1.0, 6.0)
    far = dice.draw_between(0.3, 0.7)
    return (
        _make_lines(
            target * far,
            length=dice.draw_between(12.0, 32.0),
            width=dice.draw_between(0.7, 1.3),
            angle_degrees=angle,
            angle_spread_degrees=spread,
            sharpness=dice.draw_between(0.2, 0.9),
            brightness=dice.draw_between(0.3, 0.6),
            variation=0.6,
        ),
        _make_lines(
            target * (1 - far),
            length=dice.draw_between(28.0, 75.0),
            width=dice.draw_between(1.1, 2.8),
            angle_degrees=angle,
            angle_spread_degrees=spread,
            sharpness=dice.draw_between(0.0, 0.9),
            brightness=dice.draw_between(0.5, 1.0),
            variation=dice.draw_between(0.4, 0.8),
        ),
    )


def _make_sheets(dice: Dice, target: float) -> tuple[StreakKind, ...]:
    side = 1.0 if dice.decide(0.5) else -1.0
    return (
        _make_lines(
            target,
            length=dice.draw_between(80.0, 200.0),
            width=dice.draw_between(0.8, 2.6),
            angle_degrees=side * dice.draw_between(6.0, 42.0),
            angle_spread_degrees=dice.draw_between(0.5, 4.0),
            sharpness=dice.draw_between(0.0, 0.9),
            brightness=dice.draw_between(0.35, 0.8),
            variation=dice.draw_between(0.4, 0.85),
        ),
    )


def _make_near(dice: Dice, target: float) -> tuple[StreakKind, ...]:
    """Make wide, soft drops out of focus in front of a finer rain."""
    angle = dice.draw_angle(20.0)
    share = dice.draw_between(0.4, 0.75)
    drops = _make_lines(
        target * share,
        length=dice.draw_between(45.0, 150.0),
        width=dice.draw_between(4.0, 8.0),
        angle_degrees=angle,
        angle_spread_degrees=dice.draw_between(1.0, 4.0),
        sharpness=dice.draw_between(0.0, 0.25),
        brightness=dice.draw_between(0.25, 0.6),
        variation=dice.draw_between(0.4, 0.7),
    )
    return drops, *_make_streaks(dice, target * (1 - share), angle)


def _make_separate(dice: Dice, target: float) -> tuple[StreakKind, ...]:
    """Make few separate wide streaks, like near rain in front of a scene in focus."""
    return (
        _make_lines(
            target,
            length=dice.draw_low(10.0, 110.0),
            width=dice.draw_between(1.8, 5.0),
            angle_degrees=dice.draw_angle(),
            angle_spread_degrees=dice.draw_between(0.5, 5.0),
            sharpness=dice.draw_between(0.2, 1.0),
            brightness=dice.draw_between(0.12, 0.7),
            variation=dice.draw_between(0.2, 0.7),
        ),
    )


def _make_crossing(dice: Dice, target: float) -> tuple[StreakKind, ...]:
    """Make streaks of two or three directions, like Rain100H."""
    directions = 2 + dice.decide(0.4)
    angle = dice.draw_angle(24.0)
    step = dice.draw_between(16.0, 42.0) / directions
    return tuple(
        _make_lines(
            target / directions,
            length=dice.draw_between(18.0, 110.0),
            width=dice.draw_between(0.8, 3.0),
            angle_degrees=angle + step * (number - (directions - 1) / 2),
            angle_spread_degrees=dice.draw_between(0.0, 3.0),
            sharpness=dice.draw_between(0.3, 1.0),
            brightness=dice.draw_between(0.4, 0.9),
            variation=dice.draw_between(0.2, 0.6),
        )
        for number in range(directions)
    )


def _make_noise(dice: Dice, target: float) -> tuple[StreakKind, ...]:
    level = round(float(np.interp(target, _NOISE_INTENSITIES, _NOISE_LEVELS)), 3)
    return (
        NoiseStreaks(
            level=level,
            length=dice.draw_between(12.0, 60.0),
            width=dice.draw_between(0.8, 2.4),
            angle_degrees=dice.draw_angle(),
            brightness=dice.draw_between(0.6, 1.0),
        ),
    )


def _mix_photoreal(dice: Dice, target: float) -> tuple[StreakKind, ...]:
    chains = 1 + int(dice.rng.integers(3)) if target < INTENSITY_THRESHOLDS[1] else 3
    mix = PhotorealStreaks(chains=chains, zoom=dice.draw_between(1.0, 1.6))
    return (mix,) * (1 if target < INTENSITY_THRESHOLDS[2] else 2)


def _make_lines(
    target: float,
    *,
    length: float,
    width: float,
    angle_degrees: float,
    angle_spread_degrees: float,
    sharpness: float,
    brightness: float,
    variation: float,
) -> LineStreaks:
    """Make as many streaks as reach the target if bright places absorb a third of their light."""
    # Variation reduces length, width and light by half of it on average.
    shorter = 1 - variation / 2
    light_of_one = length * width * brightness * (0.5 + sharpness / 2) * shorter * shorter * shorter
    per_megapixel = 1e6 * target / (255 * 0.67 * light_of_one)
    return LineStreaks(
        min(max(per_megapixel, 1.0), 50_000.0),
        length,
        width,
        angle_degrees,
        angle_spread_degrees,
        sharpness,
        brightness,
        variation,
    )


def _choose(kinds: tuple[tuple[float, Kind], ...], dice: Dice) -> Kind:
    rest = dice.draw_between(0.0, sum(weight for weight, _ in kinds))
    for weight, kind in kinds:
        rest -= weight
        if rest <= 0:
            return kind
    return kinds[-1][1]


_KINDS: dict[RainDensity, tuple[tuple[float, Kind], ...]] = {
    RainDensity.LIGHT: (
        (3.0, _make_drizzle),
        (3.0, _make_streaks),
        (2.0, _make_sheets),
        (1.5, _make_near),
        (2.0, _make_separate),
        (0.5, _make_crossing),
        (1.0, _make_noise),
    ),
    RainDensity.MEDIUM: (
        (2.0, _make_drizzle),
        (3.0, _make_streaks),
        (2.0, _make_sheets),
        (1.0, _make_near),
        (1.0, _make_separate),
        (2.0, _make_crossing),
        (2.0, _make_noise),
    ),
    RainDensity.HEAVY: (
        (1.5, _make_drizzle),
        (2.5, _make_streaks),
        (2.0, _make_sheets),
        (0.5, _make_near),
        (3.0, _make_crossing),
        (2.5, _make_noise),
    ),
}
# Probability of haze for each grade, and its largest beta.
_HAZE = {
    RainDensity.LIGHT: (0.05, 0.1),
    RainDensity.MEDIUM: (0.2, 0.25),
    RainDensity.HEAVY: (0.4, 0.5),
}
