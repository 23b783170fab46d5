"""Reports about the rain in an image."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from crdnet.density import (
    INTENSITY_THRESHOLDS,
    RainDensity,
    compute_density_score,
    compute_grade_probabilities,
)
from crdnet.runtime.pixels import Colours

VISIBLE_TYPICAL = 0.34
"""Intensity of the typical cell from which a person sees rain, in grey levels of 255."""
VISIBLE_MEAN = 2.0
"""Mean intensity from which a person sees rain, in grey levels of 255."""
VISIBLE_STRONGEST = 30.0
"""Intensity of the strongest cells from which a person sees rain, in grey levels of 255."""
DRY_MEAN = 0.8
"""Mean intensity from which an image is not surely dry, in grey levels of 255."""
DRY_STRONGEST = 8.0
"""Intensity of the strongest cells from which an image is not surely dry, in grey levels of 255."""
SURE = 0.9
"""Smallest probability of NONE at which an image is left alone."""
LEAST_MISFIT = 0.2
"""Largest misfit of a change that counts fully as rain (`crdnet.density.measure_misfit`)."""
MISFIT_EXPONENT = 2
"""Exponent of the weight (`LEAST_MISFIT` / misfit) of a change with a larger misfit."""
LEAST_WEIGHT = 0.05
"""Smallest weight of an intensity, so that heavy rain of any colour still counts."""


def compute_visible_intensity(intensity: float, typical: float, strongest: float) -> float:
    """Return the intensity to compare with the first threshold, where rain becomes visible.

    Rain covers the whole image; a lookalike usually covers a part. The typical cell therefore
    separates rain from lookalikes better than the mean, which one textured part can raise. The mean
    and the strongest cells count only where rain is clearly visible in a part of the image or in a
    few streaks.

    Args:
        intensity: Mean intensity of an image, in grey levels of 255.
        typical: Median intensity of the cells of an image, in grey levels of 255.
        strongest: Mean intensity of its strongest cells.
    """
    ratios = (typical / VISIBLE_TYPICAL, intensity / VISIBLE_MEAN, strongest / VISIBLE_STRONGEST)
    return INTENSITY_THRESHOLDS[0] * max(ratios)


def weigh_misfit(misfit: float | None) -> float:
    """Return the weight of the intensity of a change: `LEAST_WEIGHT` to 1; 1 for an unknown misfit.

    Args:
        misfit: Misfit of the change, at least 0.
    """
    if misfit is None or misfit <= LEAST_MISFIT:
        return 1.0
    return float(max(LEAST_WEIGHT, (LEAST_MISFIT / misfit) ** MISFIT_EXPONENT))


class Look(NamedTuple):
    """Output of the network for a window of an image, at 1/reduction of its sides."""

    rainy: Colours
    derained: Colours
    density: Colours | None


@dataclass(frozen=True)
class SenseReport:
    """Rain sensed in an image; every value is None if the model does not sense rain."""

    intensity: float | None
    """Mean change of luma caused by the rain, in grey levels of 255, at least 0."""
    scale: float | None
    """Scale at which the rain was found: 1 for full size; 0.5, 0.25 or 0.125 for large streaks."""
    typical: float | None = None
    """Median intensity of the cells of the density map; None if all cells equal `intensity`."""
    strongest: float = 0.0
    """Mean intensity of the strongest cells of the map (`crdnet.density.average_strongest`)."""
    misfit: float | None = None
    """Difference of the removed signal from rain (`crdnet.density.measure_misfit`); None if
    unknown."""
    shear: int = 0
    """Shear at which steep rain was found, in columns per row; see `crdnet.runtime.direction`."""
    look: Look | None = field(default=None, repr=False, compare=False)
    """Output of the network for the whole image at this scale, so that deraining need not run it
    again; see `drop_look`."""

    def drop_look(self) -> "SenseReport":
        """Return the report without `look`, which holds megabytes of pixels."""
        return replace(self, look=None)

    def describe(self) -> str:
        """Return the report in words.

        For example "medium, intensity 14, score 0.58 (light 2 %, medium 98 %), at 1/2 size".
        """
        if self.density is None or self.probabilities is None or self.scale is None:
            return "unknown"
        shares = {grade: round(100 * self.probabilities[grade]) for grade in RainDensity}
        likely = ", ".join(
            f"{grade.name.lower()} {share} %" for grade, share in shares.items() if share
        )
        # Without rain the scale has no meaning.
        is_full = self.scale == 1 or self.density is RainDensity.NONE
        where = "" if is_full else f", at 1/{self.reduction} size"
        grade = self.density.name.lower()
        return f"{grade}, intensity {self.intensity:.2g}, score {self.score:.2f} ({likely}){where}"

    @property
    def reduction(self) -> int:
        """Factor by which the sides of the image are reduced for deraining."""
        return 1 if self.scale is None else round(1 / self.scale)

    @property
    def density(self) -> RainDensity | None:
        """Density of the rain; None if the model does not sense rain.

        None differs from RainDensity.NONE, which means that a person sees no rain.
        """
        if self.intensity is None:
            return None
        is_visible = self._visible_intensity >= INTENSITY_THRESHOLDS[0]
        grade = RainDensity.from_intensity(self.intensity)
        return max(grade, RainDensity.LIGHT) if is_visible else RainDensity.NONE

    @property
    def probabilities(self) -> Mapping[RainDensity, float] | None:
        """Probability of each density; the probabilities sum to 1."""
        if self.intensity is None:
            return None
        return compute_grade_probabilities(self.intensity, self._visible_intensity)

    @property
    def score(self) -> float | None:
        """Intensity S mapped to [0, 1]: S / (S + 10)."""
        return None if self.intensity is None else compute_density_score(self.intensity)

    @property
    def dry(self) -> bool:
        """True if the image is surely without rain; False if the model does not sense rain.

        A few clear streaks hardly raise the typical cell. The mean and the strongest cells must
        therefore be low too, unless their content does not resemble rain.
        """
        if self.probabilities is None or self.intensity is None:
            return False
        weight = weigh_misfit(self.misfit)
        is_faint = weight * self.intensity < DRY_MEAN and weight * self.strongest < DRY_STRONGEST
        return is_faint and self.probabilities[RainDensity.NONE] >= SURE

    @property
    def _visible_intensity(self) -> float:
        intensity = self.intensity or 0.0
        typical = intensity if self.typical is None else self.typical
        visible = compute_visible_intensity(intensity, typical, self.strongest)
        return weigh_misfit(self.misfit) * visible


class HasReport:
    """Base of results that hold a report and expose its values as their own properties."""

    sensed: SenseReport
    """Report on the rain."""

    @property
    def density(self) -> RainDensity | None:
        """Density of the rain; None if the model does not sense rain.

        None differs from RainDensity.NONE, which means that a person sees no rain.
        """
        return self.sensed.density

    @property
    def probabilities(self) -> Mapping[RainDensity, float] | None:
        """Probability of each density; None if the model does not sense rain."""
        return self.sensed.probabilities

    @property
    def score(self) -> float | None:
        """Intensity of the rain mapped to [0, 1]; None if the model does not sense rain."""
        return self.sensed.score

    @property
    def intensity(self) -> float | None:
        """Intensity of the rain in grey levels of 255; None if the model does not sense rain."""
        return self.sensed.intensity

    @property
    def scale(self) -> float | None:
        """Scale at which the rain was found; None if the model does not sense rain.

        See `SenseReport`.
        """
        return self.sensed.scale

    @property
    def dry(self) -> bool:
        """True if the image is surely without rain; False if the model does not sense rain."""
        return self.sensed.dry


UNKNOWN = SenseReport(None, None)
"""The report of a model that does not sense rain."""
