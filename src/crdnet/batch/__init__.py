"""Deraining and sensing of many images: folders, files and patterns, resumable.

    for outcome in crdnet.derain_folder("photos/", "clean/", recursive=True):
        print(outcome.input, outcome.status)

`inputs` finds the images, `plan` names their outputs, `resume` and `journal` find what is done
already, `workers` does the rest in threads, and `run` puts these together.
"""

from crdnet.batch.folders import derain_folder, sense_folder
from crdnet.batch.options import BatchOptions
from crdnet.batch.run import DerainRun, Run, SenseRun

__all__ = [
    "BatchOptions",
    "DerainRun",
    "Run",
    "SenseRun",
    "derain_folder",
    "sense_folder",
]
