"""Deraining and sensing of many images: folders, files and patterns, resumable.

    for outcome in crdnet.derain_folder("photos/", "clean/", recursive=True):
        print(outcome.input, outcome.status)

`inputs` finds the images, `plan` names their outputs, `resume` and `journal` find what is done
already, and `run` does the rest in threads: `derain_run` or `sense_run`.
"""

from crdnet.batch.derain_run import DerainRun
from crdnet.batch.folders import derain_folder, sense_folder
from crdnet.batch.options import BatchOptions
from crdnet.batch.plan import Plan, Sources, plan_deraining, plan_sensing
from crdnet.batch.run import Run
from crdnet.batch.sense_run import SenseRun

__all__ = [
    "BatchOptions",
    "DerainRun",
    "Plan",
    "Run",
    "SenseRun",
    "Sources",
    "derain_folder",
    "plan_deraining",
    "plan_sensing",
    "sense_folder",
]
