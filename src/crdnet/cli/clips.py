"""`crdnet evaluate --clip`: contrast left of real rain in clips of a static camera."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from crdnet._version import __version__
from crdnet.cli.progress import progress
from crdnet.errors import DataError
from crdnet.evaluation import (
    ClipScore,
    Frame,
    ImageFolder,
    StaticClip,
    format_clips,
    join_side_by_side,
    read_frames,
    refuse_existing,
    score_clip,
    write_text,
)

FORMAT = "crdnet-clips/1"


def evaluate_clips(
    paths: Sequence[Path],
    derain: Callable[[Frame], Frame],
    *,
    seed: int,
    save: Path | None,
    output: Path | None,
    overwrite: bool,
    print_json: bool,
    quiet: bool,
    about: dict[str, Any],
) -> int:
    """Score clips and print a table; return the exit code."""
    folder = ImageFolder(save) if save is not None else None
    if not overwrite:
        saved = folder.locate_all(path.stem for path in paths) if folder else []
        refuse_existing([*saved, *([output] if output else [])])
    scores: list[ClipScore] = []
    failures: list[str] = []
    for path in paths:
        try:
            scores.append(_score(path, derain, np.random.default_rng(seed), folder, quiet=quiet))
        except DataError as error:
            failures.append(str(error))
    report = json.dumps(
        {
            "format": FORMAT,
            "crdnet": __version__,
            **about,
            "clips": [asdict(score) for score in scores],
            "mean_left": float(np.mean([score.left.mean for score in scores])) if scores else None,
            "failures": failures,
        },
        indent=1,
    )
    if output is not None:
        write_text(output, report + "\n")
    click.echo(report if print_json else format_clips(scores))
    for failure in failures:
        click.echo(f"Error: {failure}", err=True)
    return 1 if failures else 0


def _score(
    path: Path,
    derain: Callable[[Frame], Frame],
    rng: np.random.Generator,
    folder: ImageFolder | None,
    *,
    quiet: bool,
) -> ClipScore:
    clip = StaticClip.from_frames(path.name, read_frames(path))
    middle = len(clip.frames) // 2
    with progress(len(clip.frames) - 2, f"frames of {path.name}", quiet=quiet) as advance:

        def on_frame(index: int, derained: Frame) -> None:
            advance()
            if folder is not None and index == middle:
                folder.save(path.stem, join_side_by_side(clip, index, derained) / np.float32(255))

        return score_clip(clip, derain, rng, on_frame=on_frame)
