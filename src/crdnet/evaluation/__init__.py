"""Scores of derained images under named protocols.

    cases = make_model_cases(find_pairs(root), derainer.estimate)
    evaluation = evaluate(cases, ["restormer-y"])
    rows = summarise(evaluation, np.random.default_rng(0))

`make_saved_cases` does the same for saved images of any method. The package needs numpy and Pillow.
"""

from crdnet.evaluation.bootstrap import Estimate
from crdnet.evaluation.cases import (
    Case,
    Derain,
    Failure,
    LoadedCase,
    make_model_cases,
    make_saved_cases,
    make_saved_pair_cases,
)
from crdnet.evaluation.clip_report import ClipReport, score_clips
from crdnet.evaluation.clips import (
    ClipScore,
    StaticClip,
    format_clips,
    join_side_by_side,
    score_clip,
)
from crdnet.evaluation.comparison import (
    Difference,
    compare_methods,
    convert_differences,
    format_differences,
    keep_common_images,
)
from crdnet.evaluation.document import Document
from crdnet.evaluation.formats import (
    build_table,
    convert_evaluation,
    format_csv,
    format_json,
    format_markdown,
    format_text,
)
from crdnet.evaluation.html_report import MethodReport, Thumbnails, format_html
from crdnet.evaluation.methods import score_methods
from crdnet.evaluation.outputs import ImageFolder, refuse_existing, write_text
from crdnet.evaluation.scoring import Evaluation, ImageScores, assign_seen_scenes, evaluate
from crdnet.evaluation.summary import Quantity, Row, summarise

__all__ = [
    "Case",
    "ClipReport",
    "ClipScore",
    "Derain",
    "Difference",
    "Document",
    "Estimate",
    "Evaluation",
    "Failure",
    "ImageFolder",
    "ImageScores",
    "LoadedCase",
    "MethodReport",
    "Quantity",
    "Row",
    "StaticClip",
    "Thumbnails",
    "assign_seen_scenes",
    "build_table",
    "compare_methods",
    "convert_differences",
    "convert_evaluation",
    "evaluate",
    "format_clips",
    "format_csv",
    "format_differences",
    "format_html",
    "format_json",
    "format_markdown",
    "format_text",
    "join_side_by_side",
    "keep_common_images",
    "make_model_cases",
    "make_saved_cases",
    "make_saved_pair_cases",
    "refuse_existing",
    "score_clip",
    "score_clips",
    "score_methods",
    "summarise",
    "write_text",
]
