"""How fast the engines are, against each other and against what the machine can do; no torch."""

from crdnet.bench.cost import cost_of
from crdnet.bench.measurement import (
    Report,
    Row,
    Subject,
    measure,
    rainy_picture,
    sides_of,
    steps_in,
)
from crdnet.bench.model_cost import ModelCost, count_parameters, measure_model_cost
from crdnet.bench.process import NETWORK, PICTURE, WorkerProcess
from crdnet.bench.report import as_json, as_markdown, as_text, markdown_table
from crdnet.bench.timing import Timing, interleaved, machine, told

__all__ = [
    "NETWORK",
    "PICTURE",
    "ModelCost",
    "Report",
    "Row",
    "Subject",
    "Timing",
    "WorkerProcess",
    "as_json",
    "as_markdown",
    "as_text",
    "cost_of",
    "count_parameters",
    "interleaved",
    "machine",
    "markdown_table",
    "measure",
    "measure_model_cost",
    "rainy_picture",
    "sides_of",
    "steps_in",
    "told",
]
