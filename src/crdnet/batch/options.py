"""Options of a run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from crdnet.errors import ArgumentError
from crdnet.pipeline import DerainOptions


@dataclass(frozen=True)
class BatchOptions:
    """Options of a run over many images: model, parallel work, and existing outputs.

    Raises:
        ArgumentError: A value is out of its range, or two contradict each other.
    """

    model: str | Path = "default"
    """Model of `crdnet.Derainer`, as are the next two."""
    device: str = "auto"
    tile: int | Literal["auto"] = "auto"
    jobs: int = 2
    """Images in work at a time. One network serves them and they share the processors; a single
    image gets all."""
    overwrite: bool = False
    """Whether outputs that exist are replaced. An input is never replaced."""
    skip_existing: bool = False
    """Whether inputs are left out whose output exists, whoever made it. A run into a folder resumes
    without it."""
    preserve_times: bool = False
    """Whether each output gets the times of its input."""
    rain: str | Path | None = None
    """Path for images of the removed rain: a PNG file for one input, or a folder."""
    dry_run: bool = False
    """Whether to plan only, and touch nothing."""
    derain: DerainOptions = field(default_factory=DerainOptions)
    """Options of deraining each image. For sensing only its `max_pixels` counts."""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ArgumentError(f"`jobs` is at least 1, got {self.jobs}")
        if self.overwrite and self.skip_existing:
            raise ArgumentError(
                "`overwrite=True` and `skip_existing=True` contradict each other; give one of them"
            )
