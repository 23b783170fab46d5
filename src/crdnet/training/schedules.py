"""Schedules of the learning rate by name."""

from dataclasses import dataclass
from math import cos, pi
from typing import Literal

from crdnet.errors import RecipeError


@dataclass(frozen=True)
class ScheduleSpec:
    """Factor of the learning rate over a run.

    Attributes:
        name: `constant`; `cosine`, half a cosine to `final`; `linear`, a line to `final`; `steps`,
            a multiplication by `factor` at each of `milestones`.
        warmup_steps: Steps over which the rate rises linearly from near 0.
        final: Factor at the end of the run, 0 to 1, of `cosine` and `linear`.
        milestones: Shares of the run, 0 to 1, of `steps`.
        factor: Factor at a milestone, above 0 and at most 1.
    """

    name: Literal["constant", "cosine", "linear", "steps"] = "cosine"
    warmup_steps: int = 50
    final: float = 0.0
    milestones: tuple[float, ...] = (0.5, 0.8)
    factor: float = 0.3

    def __post_init__(self) -> None:
        """Check the numbers."""
        shares_fit = all(0 <= each <= 1 for each in (self.final, *self.milestones))
        if self.warmup_steps < 0 or not shares_fit or not 0 < self.factor <= 1:
            raise RecipeError(
                "warmup_steps is at least 0, final and milestones lie in 0 to 1, factor in 0 to 1 "
                f"above 0; got {self.warmup_steps}, {self.final}, {list(self.milestones)} and "
                f"{self.factor}"
            )

    def compute_factor(self, step: int, total_steps: int | float) -> float:
        """Return the factor at a step, from 0, of a run of `total_steps`."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        # max() avoids a division by zero for runs that end with the warm-up.
        done = min(1.0, (step - self.warmup_steps) / max(1.0, total_steps - self.warmup_steps))
        if self.name == "cosine":
            return self.final + (1 - self.final) * 0.5 * (1 + cos(pi * done))
        if self.name == "linear":
            return 1 - (1 - self.final) * done
        if self.name == "steps":
            return float(self.factor ** sum(done >= milestone for milestone in self.milestones))
        return 1.0
