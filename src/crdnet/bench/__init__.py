"""Measurement of the speed of engines and of the limits of the machine, without torch."""

from crdnet.bench.cost import count_cost
from crdnet.bench.measurement import (
    Report,
    Row,
    Subject,
    compute_sides,
    count_steps,
    draw_rainy_image,
    measure,
)
from crdnet.bench.model_cost import ModelCost, count_parameters, measure_model_cost
from crdnet.bench.process import IMAGE, NETWORK, WorkerProcess
from crdnet.bench.report import as_json, as_markdown, as_text, format_markdown_table
from crdnet.bench.timing import Timing, format_machine, inspect_machine, time_in_turns

__all__ = [
    "IMAGE",
    "NETWORK",
    "ModelCost",
    "Report",
    "Row",
    "Subject",
    "Timing",
    "WorkerProcess",
    "as_json",
    "as_markdown",
    "as_text",
    "compute_sides",
    "count_cost",
    "count_parameters",
    "count_steps",
    "draw_rainy_image",
    "format_machine",
    "format_markdown_table",
    "inspect_machine",
    "measure",
    "measure_model_cost",
    "time_in_turns",
]
