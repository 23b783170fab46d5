"""Doing the jobs of `crdnet derain`: a few threads, one network, no job that stops another."""

import sys
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from os.path import lexists
from time import perf_counter
from typing import Literal

from crdnet.cli.inputs import Job, NoJob
from crdnet.density import RainDensity
from crdnet.errors import CRDNetError, ImageError
from crdnet.files import write_whole
from crdnet.runtime import Derainer, check_output, derain_content, output_format, read_file


@dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    input: str
    output: str | None
    """None is standard output, or nothing."""
    status: Literal["done", "skipped", "failed"]
    reason: str | None = None
    """Why it was skipped or failed."""
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    density: RainDensity | None = None
    warnings: tuple[str, ...] = ()
    exception: BaseException | None = None


def outcome_of_no_job(no_job: NoJob) -> Outcome:
    """Return the outcome of an input of which no job could be made."""
    return Outcome(no_job.name, None, "failed" if no_job.failed else "skipped", no_job.reason)


def do_jobs(
    derainer: Derainer,
    jobs: Sequence[Job],
    *,
    workers: int,
    strength: float,
    overwrite: bool,
    skip_existing: bool,
    format: str | None,  # noqa: A002
) -> Generator[Outcome, None, None]:
    """Do jobs in threads and yield their outcomes as they finish.

    If the caller is interrupted, what has not begun is dropped, networks that run are stopped, and files that
    are being written are finished, before the interruption goes on.
    """

    def do(job: Job) -> Outcome:
        if skip_existing and job.output is not None and lexists(job.output):
            return Outcome(job.name, str(job.output), "skipped", f"{job.output} exists")
        try:
            return _do(derainer, job, strength=strength, overwrite=overwrite, format=format)
        except (CRDNetError, OSError) as error:
            return Outcome(job.name, str(job.output or "") or None, "failed", str(error), exception=error)
        except Exception as error:  # a fault of ours must not cost the user the other pictures
            reason = f"unexpected {type(error).__name__}: {error}; please report it, with the output of -v"
            return Outcome(job.name, str(job.output or "") or None, "failed", reason, exception=error)

    pending: set[Future[Outcome]] = set()
    remaining = iter(jobs)
    pool = ThreadPoolExecutor(workers)
    try:
        while True:
            # Few are handed out at a time, so that a hundred thousand pictures are not a hundred thousand
            # futures.
            for job in remaining:
                pending.add(pool.submit(do, job))
                if len(pending) > workers:
                    break
            if not pending:
                return
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        while running := [future for future in pending if not future.done()]:
            derainer.stop()
            wait(running, timeout=0.05)


def _do(
    derainer: Derainer,
    job: Job,
    *,
    strength: float,
    overwrite: bool,
    format: str | None,  # noqa: A002
) -> Outcome:
    if job.source is not None and job.output is not None:
        record = derainer.derain_file(
            job.source, job.output, strength=strength, overwrite=overwrite, format=format
        )
        return Outcome(
            job.name,
            str(job.output),
            "done",
            None,
            record.width,
            record.height,
            record.seconds,
            record.density,
            record.warnings,
        )
    began = perf_counter()
    source_suffix = "" if job.source is None else job.source.suffix
    target = output_format(source_suffix, source_suffix if job.output is None else job.output.suffix, format)
    if job.output is not None:
        check_output(None, job.output, overwrite=overwrite)
    name = "standard input" if job.source is None else job.name
    content = sys.stdin.buffer.read() if job.source is None else read_file(job.source)
    if not content and job.source is None:
        raise ImageError("standard input is empty; pipe a picture into it")
    derained = derain_content(derainer, content, name=name, strength=strength, format=target)
    if job.output is None:
        sys.stdout.buffer.write(derained.content)
        sys.stdout.buffer.flush()
    else:
        write_whole(job.output, derained.content, overwrite=overwrite)
    return Outcome(
        job.name,
        None if job.output is None else str(job.output),
        "done",
        None,
        derained.width,
        derained.height,
        perf_counter() - began,
        derained.density,
        derained.warnings,
    )
