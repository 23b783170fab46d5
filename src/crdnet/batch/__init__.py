"""Deraining and sensing of many images: folders, files and patterns, resumable.

    for outcome in crdnet.derain_folder("photos/", "clean/", recursive=True):
        print(outcome.input, outcome.status)

`inputs` finds the images, `plan` names their outputs, `resume` and `journal` find the outputs that
exist already, and `run` processes the others in threads (`derain_run` or `sense_run`).

`run_job` and `JobOptions` process buckets, also on clusters (extra: cluster). They are imported
from `cluster` at their first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crdnet.batch.derain_run import DerainRun
from crdnet.batch.folders import derain_folder, sense_folder
from crdnet.batch.options import BatchOptions
from crdnet.batch.plan import Plan, Sources, plan_deraining, plan_sensing
from crdnet.batch.run import Run
from crdnet.batch.sense_run import SenseRun

if TYPE_CHECKING:
    from crdnet.batch.cluster import JobOptions, JobReport, iterate_results, run_job

_OF_CLUSTER = ("JobOptions", "JobReport", "iterate_results", "run_job")

__all__ = [
    "BatchOptions",
    "DerainRun",
    "JobOptions",
    "JobReport",
    "Plan",
    "Run",
    "SenseRun",
    "Sources",
    "derain_folder",
    "iterate_results",
    "plan_deraining",
    "plan_sensing",
    "run_job",
    "sense_folder",
]


def __getattr__(name: str) -> Any:
    """Import a name whose packages are an extra, at its first use (PEP 562)."""
    if name not in _OF_CLUSTER:
        raise AttributeError(f"module 'crdnet.batch' has no attribute {name!r}")
    return getattr(import_module("crdnet.batch.cluster"), name)
