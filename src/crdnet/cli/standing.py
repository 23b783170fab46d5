"""What of what was asked for stands already, and what is to do.

A result that exists is never replaced unasked. Where it is one of an earlier run into this folder, and its source is
what it was, it is done, and the run goes on with the others.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from os.path import lexists
from pathlib import Path

from crdnet.cli.inputs import Job, NoJob
from crdnet.cli.work import Outcome, outcome_of_no_job
from crdnet.runtime import Journal, Origin


@dataclass(frozen=True)
class Standing:
    """The inputs, sorted."""

    to_do: list[Job] = field(default_factory=list)
    settled: list[Outcome] = field(default_factory=list)
    """Those that are done or failed without being begun."""
    to_make: dict[Path, Origin] = field(default_factory=dict)
    """Results in the journal's folder that do not exist, and what they will be made from."""
    to_replace: dict[Path, Origin] = field(default_factory=dict)
    """The same for results that exist."""


def standing(
    planned: Iterable[Job | NoJob], journal: Journal | None, *, overwrite: bool, skip_existing: bool
) -> Standing:
    """Sort inputs into those to do and those that are settled.

    Args:
        planned: All of them.
        journal: Of the folder of the results, as it was left by the run before; None where there is no folder.
        overwrite: Whether results that exist are replaced.
        skip_existing: Whether results that exist are left alone without a word about whose they are.
    """
    sorted_ = Standing()
    for job in planned:
        if isinstance(job, NoJob):
            sorted_.settled.append(outcome_of_no_job(job))
            continue
        outcome = _settled(job, journal, overwrite=overwrite, skip_existing=skip_existing)
        if outcome is not None:
            sorted_.settled.append(outcome)
            continue
        sorted_.to_do.append(job)
        if (
            journal is not None
            and job.output is not None
            and job.source is not None
            and job.found is not None
        ):
            origins = sorted_.to_replace if lexists(job.output) else sorted_.to_make
            origins[job.output] = journal.origin(job.source, job.found)
    return sorted_


def _settled(
    job: Job, journal: Journal | None, *, overwrite: bool, skip_existing: bool
) -> Outcome | None:
    """Return the outcome of a job that is not to be begun."""
    if job.output is not None and skip_existing and lexists(job.output):
        return Outcome(job.name, str(job.output), "skipped", f"{job.output} exists")
    if overwrite or job.output is None or job.source is None:
        return None
    origin = None if journal is None else journal.origin_of(job.output)
    if origin is None and job.rain is not None and lexists(job.rain):
        return _failed(
            job, f"{job.rain} exists and is not replaced unasked; use --overwrite or another --rain"
        )
    if journal is None or job.found is None or not lexists(job.output) or _is_own_source(job):
        return None  # to do; or whoever does it will find what is wrong with it
    if origin == journal.origin(job.source, job.found):
        return Outcome(job.name, str(job.output), "skipped", "done already", resumed=True)
    return _failed(
        job,
        f"{job.output} exists, is of no earlier run and is not replaced unasked; use --overwrite, --skip-existing or "
        "another folder"
        if origin is None
        else f"{job.source} is not what {job.output} was made from: it has changed, or is another file; use "
        "--overwrite to make the result anew, or --skip-existing to keep it",
    )


def _is_own_source(job: Job) -> bool:
    assert job.output is not None
    assert job.found is not None
    try:
        there = job.output.stat()
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (job.found.st_dev, job.found.st_ino)


def _failed(job: Job, reason: str) -> Outcome:
    return Outcome(job.name, str(job.output), "failed", reason)
