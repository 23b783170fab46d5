"""Rain by density: which kinds of rain a grade is made of, and how much of it.

A kind is drawn first (fine drizzle, streaks at middle distance, long sheets, drops out of focus near the
camera, few streaks that stand apart, crossing directions, noise, photorealistic layers), then its numbers, then
how many streaks it takes for the strength that is aimed at. `crdnet.rain.rainy_pair` trims the rest with the gain.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crdnet.density import STRENGTH_THRESHOLDS, RainDensity
from crdnet.rain.spec import Haze, LineStreaks, NoiseStreaks, PhotorealStreaks, RainSpec, StreakKind

Kind = Callable[["Dice", float], tuple[StreakKind, ...]]
"""Draws streaks that change luma by about so many grey levels."""


@dataclass(frozen=True, slots=True)
class Dice:
    """Random numbers from a grid of 4096 steps, so that they are the same on every machine."""

    rng: np.random.Generator

    def between(self, low: float, high: float) -> float:
        """Return a number from low to high, each as likely."""
        return low + (high - low) * (int(self.rng.integers(0, 4097)) / 4096)

    def low_between(self, low: float, high: float) -> float:
        """Return a number from low to high, small ones more often."""
        share = self.between(0.0, 1.0)
        return low + (high - low) * share * share

    def chance(self, share: float) -> bool:
        """Return True so often."""
        return self.between(0.0, 1.0) < share

    def wind(self, degrees: float = 32.0) -> float:
        """Return an angle, steep ones more often."""
        return self.between(-degrees / 2, degrees / 2) + self.between(-degrees / 2, degrees / 2)


_TARGETS = {RainDensity.LIGHT: (1.6, 9.5), RainDensity.MEDIUM: (11.0, 28.0), RainDensity.HEAVY: (32.0, 62.0)}
"""Strengths aimed at, in grey levels: inside the grades, with room for what JPEG adds or takes."""

_NOISE_LEVELS = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
_NOISE_STRENGTHS = (0.7, 1.8, 3.8, 7.2, 12.5, 20.0, 30.0)
"""Measured: what `NoiseStreaks` of these levels and brightness 0.8, screened, do to a grey of 105."""


def strength_range(density: RainDensity) -> tuple[float, float]:
    """Return the strengths, from and up to, that the grade spans."""
    bounds = (0.0, *STRENGTH_THRESHOLDS, 255.0)
    return bounds[density], bounds[density + 1]


def sample_target(density: RainDensity, rng: np.random.Generator) -> float:
    """Return a strength to aim at; 0 for NONE."""
    if density is RainDensity.NONE:
        return 0.0
    low, high = _TARGETS[density]
    return Dice(rng).low_between(low, high) if density is RainDensity.LIGHT else Dice(rng).between(low, high)


def sample_spec(
    density: RainDensity,
    rng: np.random.Generator,
    *,
    scale: float = 1.0,
    photoreal: bool = False,
    target: float | None = None,
) -> RainSpec:
    """Return rain of about a density.

    Args:
        density: NONE returns a spec without layers.
        rng: Chooses among the kinds of rain and their numbers.
        scale: What lengths and widths are multiplied by; see `crdnet.rain.scale_of`.
        photoreal: Whether a library of streak pictures is at hand.
        target: Strength aimed at, in grey levels; drawn from the grade where it is not given.
    """
    if density is RainDensity.NONE:
        return RainSpec(scale=scale)
    dice = Dice(rng)
    target = sample_target(density, rng) if target is None else target
    kind = _choose(_KINDS[density], dice)
    if photoreal and dice.chance(0.35):
        kind = _photoreal
    haze_chance, most_haze = _HAZE[density]
    haze = None
    if dice.chance(haze_chance):
        haze = Haze(beta=dice.between(0.05, most_haze), airlight=dice.between(0.6, 0.95))
        target *= 0.75
    # The two ends are what data sets have: Rain100 adds, DID-MDN and Rain800 screen.
    blend = (0.0, 1.0, dice.between(0.0, 1.0), 1.0)[int(rng.integers(4))]
    blur = dice.between(0.3, 1.2) if dice.chance(0.12) else 0.0
    return RainSpec(kind(dice, target), blend=blend, blur_pixels=blur, haze=haze, scale=scale)


def _drizzle(dice: Dice, target: float) -> tuple[StreakKind, ...]:
    return (
        _lines(
            target,
            length=dice.between(8.0, 26.0),
            width=dice.between(0.6, 1.3),
            angle_degrees=dice.wind(),
            angle_spread_degrees=dice.between(1.0, 7.0),
            sharpness=dice.between(0.2, 1.0),
            brightness=dice.between(0.4, 0.85),
            variation=dice.between(0.3, 0.8),
        ),
    )


def _streaks(dice: Dice, target: float, angle: float | None = None) -> tuple[StreakKind, ...]:
    """Return two distances: many short, faint streaks, and a few longer, wider and brighter ones."""
    angle = dice.wind() if angle is None else angle
    spread = dice.between(1.0, 6.0)
    far = dice.between(0.3, 0.7)
    return (
        _lines(
            target * far,
            length=dice.between(12.0, 32.0),
            width=dice.between(0.7, 1.3),
            angle_degrees=angle,
            angle_spread_degrees=spread,
            sharpness=dice.between(0.2, 0.9),
            brightness=dice.between(0.3, 0.6),
            variation=0.6,
        ),
        _lines(
            target * (1 - far),
            length=dice.between(28.0, 75.0),
            width=dice.between(1.1, 2.8),
            angle_degrees=angle,
            angle_spread_degrees=spread,
            sharpness=dice.between(0.0, 0.9),
            brightness=dice.between(0.5, 1.0),
            variation=dice.between(0.4, 0.8),
        ),
    )


def _sheets(dice: Dice, target: float) -> tuple[StreakKind, ...]:
    side = 1.0 if dice.chance(0.5) else -1.0
    return (
        _lines(
            target,
            length=dice.between(80.0, 200.0),
            width=dice.between(0.8, 2.6),
            angle_degrees=side * dice.between(6.0, 42.0),
            angle_spread_degrees=dice.between(0.5, 4.0),
            sharpness=dice.between(0.0, 0.9),
            brightness=dice.between(0.35, 0.8),
            variation=dice.between(0.4, 0.85),
        ),
    )


def _near(dice: Dice, target: float) -> tuple[StreakKind, ...]:
    """Return wide, soft drops out of focus before a finer rain."""
    angle = dice.wind(20.0)
    share = dice.between(0.4, 0.75)
    drops = _lines(
        target * share,
        length=dice.between(45.0, 150.0),
        width=dice.between(4.0, 8.0),
        angle_degrees=angle,
        angle_spread_degrees=dice.between(1.0, 4.0),
        sharpness=dice.between(0.0, 0.25),
        brightness=dice.between(0.25, 0.6),
        variation=dice.between(0.4, 0.7),
    )
    return drops, *_streaks(dice, target * (1 - share), angle)


def _separate(dice: Dice, target: float) -> tuple[StreakKind, ...]:
    """Return few wide streaks that stand apart, seen through or bright: near rain in front of a scene in focus."""
    return (
        _lines(
            target,
            length=dice.low_between(10.0, 110.0),
            width=dice.between(1.8, 5.0),
            angle_degrees=dice.wind(),
            angle_spread_degrees=dice.between(0.5, 5.0),
            sharpness=dice.between(0.2, 1.0),
            brightness=dice.between(0.12, 0.7),
            variation=dice.between(0.2, 0.7),
        ),
    )


def _crossing(dice: Dice, target: float) -> tuple[StreakKind, ...]:
    """Return two or three directions at once, as Rain100H has them."""
    directions = 2 + dice.chance(0.4)
    angle = dice.wind(24.0)
    step = dice.between(16.0, 42.0) / directions
    return tuple(
        _lines(
            target / directions,
            length=dice.between(18.0, 110.0),
            width=dice.between(0.8, 3.0),
            angle_degrees=angle + step * (number - (directions - 1) / 2),
            angle_spread_degrees=dice.between(0.0, 3.0),
            sharpness=dice.between(0.3, 1.0),
            brightness=dice.between(0.4, 0.9),
            variation=dice.between(0.2, 0.6),
        )
        for number in range(directions)
    )


def _noise(dice: Dice, target: float) -> tuple[StreakKind, ...]:
    level = round(float(np.interp(target, _NOISE_STRENGTHS, _NOISE_LEVELS)), 3)
    return (
        NoiseStreaks(
            level=level,
            length=dice.between(12.0, 60.0),
            width=dice.between(0.8, 2.4),
            angle_degrees=dice.wind(),
            brightness=dice.between(0.6, 1.0),
        ),
    )


def _photoreal(dice: Dice, target: float) -> tuple[StreakKind, ...]:
    chains = 1 + int(dice.rng.integers(3)) if target < STRENGTH_THRESHOLDS[1] else 3
    mix = PhotorealStreaks(chains=chains, zoom=dice.between(1.0, 1.6))
    return (mix,) * (1 if target < STRENGTH_THRESHOLDS[2] else 2)


def _lines(
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
    """Return as many streaks as bring about the target, if a third of their light is lost to bright places."""
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
    rest = dice.between(0.0, sum(weight for weight, _ in kinds))
    for weight, kind in kinds:
        rest -= weight
        if rest <= 0:
            return kind
    return kinds[-1][1]


_KINDS: dict[RainDensity, tuple[tuple[float, Kind], ...]] = {
    RainDensity.LIGHT: (
        (3.0, _drizzle),
        (3.0, _streaks),
        (2.0, _sheets),
        (1.5, _near),
        (2.0, _separate),
        (0.5, _crossing),
        (1.0, _noise),
    ),
    RainDensity.MEDIUM: (
        (2.0, _drizzle),
        (3.0, _streaks),
        (2.0, _sheets),
        (1.0, _near),
        (1.0, _separate),
        (2.0, _crossing),
        (2.0, _noise),
    ),
    RainDensity.HEAVY: (
        (1.5, _drizzle),
        (2.5, _streaks),
        (2.0, _sheets),
        (0.5, _near),
        (3.0, _crossing),
        (2.5, _noise),
    ),
}
_HAZE = {RainDensity.LIGHT: (0.05, 0.1), RainDensity.MEDIUM: (0.2, 0.25), RainDensity.HEAVY: (0.4, 0.5)}
"""How often a grade has haze, and the largest beta."""
