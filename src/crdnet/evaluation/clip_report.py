"""Report on the contrast of real rain in several clips before and after deraining."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crdnet._version import __version__
from crdnet.data import Frame, read_frames
from crdnet.errors import DataError
from crdnet.evaluation.clips import (
    ClipScore,
    StaticClip,
    format_clips,
    join_side_by_side,
    score_clip,
)
from crdnet.evaluation.outputs import ImageFolder

FORMAT = "crdnet-clips/1"
Progress = Callable[[int, str], AbstractContextManager[Callable[[], object]]]
"""Context manager of a progress bar, from the number of steps and their noun.

It yields a function that advances the bar by one step."""


@dataclass(frozen=True)
class ClipReport:
    """Scores of clips.

    Attributes:
        scores: Scores of each clip that could be scored.
        failures: A message for each other clip.
        about: Facts about the evaluation.
    """

    scores: Sequence[ClipScore]
    failures: Sequence[str]
    about: Mapping[str, Any]

    def as_text(self) -> str:
        """Return the scores as a table."""
        return format_clips(self.scores)

    def as_json(self) -> str:
        """Return everything as JSON."""
        left = [score.left.mean for score in self.scores]
        document = {
            "format": FORMAT,
            "crdnet": __version__,
            **self.about,
            "clips": [asdict(score) for score in self.scores],
            "mean_left": float(np.mean(left)) if left else None,
            "failures": list(self.failures),
        }
        return json.dumps(document, indent=1)


def score_clips(
    paths: Sequence[Path],
    derain: Callable[[Frame], Frame],
    *,
    seed: int,
    about: Mapping[str, Any],
    progress: Progress,
    folder: ImageFolder | None = None,
) -> ClipReport:
    """Score clips of static cameras; see `score_clip`.

    Args:
        paths: Videos, or folders of images.
        derain: Function that derains a frame.
        seed: Seed of the intervals.
        about: Facts about the method, for the report.
        progress: Progress bar for each clip.
        folder: Folder for the middle frame of each clip beside the derained one; None saves none.
    """
    scores: list[ClipScore] = []
    failures: list[str] = []
    for path in paths:
        rng = np.random.default_rng(seed)
        try:
            scores.append(_score(path, derain, rng, progress, folder))
        except DataError as error:
            failures.append(str(error))
    return ClipReport(scores, failures, about)


def _score(
    path: Path,
    derain: Callable[[Frame], Frame],
    rng: np.random.Generator,
    progress: Progress,
    folder: ImageFolder | None,
) -> ClipScore:
    clip = StaticClip.from_frames(path.name, read_frames(path))
    middle = len(clip.frames) // 2
    with progress(len(clip.frames) - 2, f"frames of {path.name}") as advance:

        def on_frame(index: int, derained: Frame) -> None:
            advance()
            if folder is not None and index == middle:
                folder.save(path.stem, join_side_by_side(clip, index, derained) / np.float32(255))

        return score_clip(clip, derain, rng, on_frame=on_frame)
