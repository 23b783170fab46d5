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
    """Model; see `crdnet.Derainer` for this and the next two."""
    device: str = "auto"
    tile: int | Literal["auto"] = "auto"
    jobs: int = 2
    """Number of simultaneous images. They share one network and the CPUs; a single image gets all
    CPUs."""
    overwrite: bool = False
    """If True, replace existing outputs. An input is never replaced."""
    skip_existing: bool = False
    """If True, skip inputs whose output exists, even if another run made it. A run into a folder
    resumes without this option."""
    preserve_times: bool = False
    """If True, each output gets the times of its input."""
    rain: str | Path | None = None
    """Path for images of the removed rain: a PNG file for one input, or a folder."""
    dry_run: bool = False
    """If True, plan only and write nothing."""
    derain: DerainOptions = field(default_factory=DerainOptions)
    """Options of deraining each image. For sensing only its `max_pixels` counts."""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ArgumentError(f"`jobs` must be at least 1, got {self.jobs}")
        if self.overwrite and self.skip_existing:
            raise ArgumentError(
                "`overwrite=True` and `skip_existing=True` cannot be combined; give one of them"
            )
