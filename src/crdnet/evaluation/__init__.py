"""Scores of derained images under named protocols.

    cases = make_model_cases(find_pairs(root), derainer.estimate)
    evaluation = evaluate(cases, ["restormer-y"])
    rows = summarise(evaluation, np.random.default_rng(0))

`make_saved_cases` does the same for saved images of any method. `detector_gain` and
`compare_detections` measure whether deraining helps a detector, `compare_words` whether it helps
reading. The package needs numpy and Pillow, and pycocotools for detections.
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
from crdnet.evaluation.detection_files import (
    Detection,
    DetectionList,
    TrueBox,
    Truth,
    TruthImage,
    check_detections,
    read_detections,
    read_truth,
)
from crdnet.evaluation.detections import (
    compare_detection_files,
    compare_detections,
    compute_average_precision,
)
from crdnet.evaluation.detector import detector_gain, draw_rain
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
from crdnet.evaluation.task_report import Change, ImageChange, Item, TaskReport, Verdict
from crdnet.evaluation.words import compare_word_files, compare_words, read_words

__all__ = [
    "Case",
    "Change",
    "ClipReport",
    "ClipScore",
    "Derain",
    "Detection",
    "DetectionList",
    "Difference",
    "Document",
    "Estimate",
    "Evaluation",
    "Failure",
    "ImageChange",
    "ImageFolder",
    "ImageScores",
    "Item",
    "LoadedCase",
    "MethodReport",
    "Quantity",
    "Row",
    "StaticClip",
    "TaskReport",
    "Thumbnails",
    "TrueBox",
    "Truth",
    "TruthImage",
    "Verdict",
    "assign_seen_scenes",
    "build_table",
    "check_detections",
    "compare_detection_files",
    "compare_detections",
    "compare_methods",
    "compare_word_files",
    "compare_words",
    "compute_average_precision",
    "convert_differences",
    "convert_evaluation",
    "detector_gain",
    "draw_rain",
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
    "read_detections",
    "read_truth",
    "read_words",
    "refuse_existing",
    "score_clip",
    "score_clips",
    "score_methods",
    "summarise",
    "write_text",
]
