"""Millions of images: a job over a bucket, on a Ray cluster or on shares of it.

    report = crdnet.batch.run_job("s3://bucket/frames/", "s3://bucket/derained/")

`inputs` are listed once into the `manifest`; `worker` reads, derains and writes a chunk of them, on
Ray (`on_ray`) or in this process (`shares`); `results` are its journal. `parquet` reads and writes
the files of both, and `store` is the only module that knows a file system.
"""

from crdnet.errors import MissingExtraError

try:
    import fsspec  # noqa: F401 - asked here, so that there is one message
    import pyarrow  # noqa: F401
except ImportError as error:
    raise MissingExtraError("a job over a bucket or cluster", "cluster") from error

from crdnet.batch.cluster.counts import Failure, JobReport, Tally
from crdnet.batch.cluster.job import Job, run_job
from crdnet.batch.cluster.options import JobOptions
from crdnet.batch.cluster.results import iterate_results

__all__ = ["Failure", "Job", "JobOptions", "JobReport", "Tally", "iterate_results", "run_job"]
