"""Scoring anything that derains a picture, under named protocols.

    cases = model_cases(find_pairs(root), derainer.estimate)
    evaluation = evaluate(cases, ["restormer-y"])
    rows = summarise(evaluation, np.random.default_rng(0))

`saved_cases` does the same for the saved pictures of a method that we cannot run. Stands on numpy and Pillow.
"""

from crdnet.evaluation.bootstrap import Estimate
from crdnet.evaluation.cases import (
    Case,
    Derain,
    Failure,
    LoadedCase,
    model_cases,
    saved_cases,
    saved_pair_cases,
)
from crdnet.evaluation.clips import (
    ClipScore,
    Frame,
    StaticClip,
    read_frames,
    score_clip,
    side_by_side,
)
from crdnet.evaluation.files import PictureFolder, refuse_existing, write_text
from crdnet.evaluation.report import as_csv, as_json, as_markdown, as_text, table
from crdnet.evaluation.scoring import Evaluation, PictureScores, evaluate, with_seen_scenes
from crdnet.evaluation.summary import Quantity, Row, summarise

__all__ = [
    "Case",
    "ClipScore",
    "Derain",
    "Estimate",
    "Evaluation",
    "Failure",
    "Frame",
    "LoadedCase",
    "PictureFolder",
    "PictureScores",
    "Quantity",
    "Row",
    "StaticClip",
    "as_csv",
    "as_json",
    "as_markdown",
    "as_text",
    "evaluate",
    "model_cases",
    "read_frames",
    "refuse_existing",
    "saved_cases",
    "saved_pair_cases",
    "score_clip",
    "side_by_side",
    "summarise",
    "table",
    "with_seen_scenes",
    "write_text",
]
