"""Cluster jobs: millions of images in a bucket, on a Ray cluster or in shares without Ray.

    report = crdnet.batch.run_job("s3://bucket/frames/", "s3://bucket/derained/")

`inputs` lists the images once, and `manifest` stores the list. `worker` reads, derains and writes
one chunk of it, on Ray (`on_ray`) or in this process (`shares`). `results` records the finished
inputs. `parquet` reads and writes the files of `manifest` and `results`, and `store` is the only
module that accesses file systems.
"""

from crdnet.errors import MissingExtraError

try:
    import fsspec  # noqa: F401 - imported here for one error message about the extra
    import pyarrow  # noqa: F401
except ImportError as error:
    raise MissingExtraError("a job over a bucket or cluster", "cluster") from error

from crdnet.batch.cluster.counts import Failure, JobReport, Tally
from crdnet.batch.cluster.job import Job, run_job
from crdnet.batch.cluster.options import JobOptions
from crdnet.batch.cluster.results import iterate_results

__all__ = ["Failure", "Job", "JobOptions", "JobReport", "Tally", "iterate_results", "run_job"]
