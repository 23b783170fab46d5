"""Handling of outputs that exist already.

An existing output is replaced only on request. If an earlier run into this folder made the output
and its source is unchanged, the job is done.
"""

from collections.abc import Iterable
from os.path import lexists

from crdnet.batch.inputs import Job
from crdnet.batch.journal import Journal
from crdnet.batch.options import BatchOptions
from crdnet.pipeline import Outcome


def sort_outputs(
    inputs: Iterable[Job | Outcome],
    journal: Journal | None,
    options: BatchOptions,
) -> tuple[list[Job], list[Outcome]]:
    """Split the requested outputs into to do and settled.

    Args:
        inputs: Inputs of the plan.
        journal: Journal of the output folder as the last run left it; None without a folder.
        options: Options that say whether existing outputs are replaced or kept.

    Returns:
        The jobs to do, and the outcomes of inputs that are done already or cannot start.
    """
    to_do: list[Job] = []
    settled: list[Outcome] = []
    for each in inputs:
        outcome = each if isinstance(each, Outcome) else _settle(each, journal, options)
        if outcome is not None:
            settled.append(outcome)
        elif isinstance(each, Job):
            to_do.append(each)
    return to_do, settled


def _settle(job: Job, journal: Journal | None, options: BatchOptions) -> Outcome | None:
    """Return the outcome of a job that needs no work; None if the job is to do."""
    if job.output is not None and options.skip_existing and lexists(job.output):
        return Outcome(job.name, job.output, "skipped", f"{job.output} exists")
    if options.overwrite or job.output is None or job.source is None:
        return None
    # The journal has no entries for images of rain; they may be replaced if their output may.
    origin = None if journal is None else journal.find_origin(job.output)
    if origin is None and job.rain is not None and lexists(job.rain):
        return _make_failure(
            job,
            f"{job.rain} exists; use `overwrite=True` to replace it, or another `rain`",
        )
    if journal is None or job.found is None or not lexists(job.output) or _is_own_source(job):
        return None  # to do; a fault of the source shows when it is read
    if origin == journal.make_origin(job.source, job.found):
        return Outcome(job.name, job.output, "skipped", "done already", resumed=True)
    return _make_failure(
        job,
        f"{job.output} exists and is not from an earlier run; use "
        "`overwrite=True`, `skip_existing=True` or another folder"
        if origin is None
        else f"{job.source} is not what {job.output} was made from: it has changed, or is another "
        "file; use `overwrite=True` to write the output again, or `skip_existing=True` to keep it",
    )


def _is_own_source(job: Job) -> bool:
    assert job.output is not None
    assert job.found is not None
    try:
        there = job.output.stat()
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (job.found.st_dev, job.found.st_ino)


def _make_failure(job: Job, reason: str) -> Outcome:
    return Outcome(job.name, job.output, "failed", reason)
