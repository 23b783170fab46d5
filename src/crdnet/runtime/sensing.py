"""How heavy the rain in a picture is, without taking it out."""

from collections.abc import Mapping
from dataclasses import dataclass

from crdnet.density import (
    INTENSITY_THRESHOLDS,
    RainDensity,
    compute_density_score,
    compute_grade_probabilities,
)

VISIBLE_LEVELS = 10.0
"""Intensity of the strongest cells from which a person sees rain, in grey levels of 255."""
SURE = 0.85
"""How likely a picture must be dry to be left alone."""


def visible_intensity(strength: float, strongest: float) -> float:
    """Return the intensity that is held against the first threshold, where rain begins to be seen.

    Args:
        strength: Mean intensity of an image, in grey levels of 255.
        strongest: Mean intensity of its strongest cells.
    """
    return max(strength, INTENSITY_THRESHOLDS[0] * strongest / VISIBLE_LEVELS)


@dataclass(frozen=True)
class SenseReport:
    """What was sensed of the rain in a picture. All is None where the model does not sense rain."""

    strength: float | None
    """Mean change of luma that the rain makes, in grey levels of 255, from 0 up."""
    scale: float | None
    """The size at which the rain was found: 1 for the picture's own, 0.5, 0.25 or 0.125 where its streaks are large."""
    strongest: float = 0.0
    """Mean intensity of the strongest cells of the map (`crdnet.density.average_strongest`)."""

    @property
    def density(self) -> RainDensity | None:
        """The grade of the rain; None is not RainDensity.NONE, which means that a person sees no rain."""
        if self.strength is None:
            return None
        is_visible = visible_intensity(self.strength, self.strongest) >= INTENSITY_THRESHOLDS[0]
        grade = RainDensity.from_intensity(self.strength)
        return max(grade, RainDensity.LIGHT) if is_visible else RainDensity.NONE

    @property
    def probabilities(self) -> Mapping[RainDensity, float] | None:
        """How likely each grade is; they sum to 1."""
        if self.strength is None:
            return None
        return compute_grade_probabilities(
            self.strength, visible_intensity(self.strength, self.strongest)
        )

    @property
    def score(self) -> float | None:
        """A monotone map of the strength to [0, 1]: S / (S + 10)."""
        return None if self.strength is None else compute_density_score(self.strength)

    @property
    def dry(self) -> bool:
        """Whether the picture is surely without rain; False where the model does not sense rain."""
        return self.probabilities is not None and self.probabilities[RainDensity.NONE] >= SURE


class TellsRain:
    """What tells of the rain in a picture by its report."""

    sensed: SenseReport
    """How heavy the rain was."""

    @property
    def density(self) -> RainDensity | None:
        """The grade of the rain; None where the model does not sense it, which is not RainDensity.NONE."""
        return self.sensed.density

    @property
    def probabilities(self) -> Mapping[RainDensity, float] | None:
        """How likely each grade is; None where the model does not sense rain."""
        return self.sensed.probabilities

    @property
    def score(self) -> float | None:
        """Strength of the rain in [0, 1]; None where the model does not sense it."""
        return self.sensed.score

    @property
    def strength(self) -> float | None:
        """Strength of the rain in grey levels of 255; None where the model does not sense it."""
        return self.sensed.strength

    @property
    def scale(self) -> float | None:
        """The size at which the rain was found; None where the model does not sense it. See `SenseReport`."""
        return self.sensed.scale


UNKNOWN = SenseReport(None, None)
"""Of a model that does not sense rain."""
