"""Doing the jobs of `crdnet derain` and `crdnet sense`: a few threads, one network, no job that stops another."""

import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from types import FrameType
from typing import Literal

from crdnet.cli.inputs import Job, NoJob
from crdnet.errors import CRDNetError, ImageError, OutputError
from crdnet.files import means_full_disk, whole_file, write_whole
from crdnet.runtime import (
    Derained,
    Derainer,
    FileOptions,
    Journal,
    SenseReport,
    check_output,
    derain_content,
    derain_source,
    output_format,
    read_file,
    sense_content,
    sense_source,
)

_AGAIN = b"finishing the pictures in work; once more ends at once\n"


@dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    input: str
    output: str | None
    """None is standard output, or nothing."""
    status: Literal["done", "dry", "skipped", "failed", "planned"]
    reason: str | None = None
    """Why it was skipped or failed."""
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    engine: str | None = None
    """What ran the network, with version and precision; None where nothing was run."""
    sensed: SenseReport | None = None
    rain: str | None = None
    warnings: tuple[str, ...] = ()
    exception: BaseException | None = None
    resumed: bool = False
    """Whether it was skipped since an earlier run did it."""


@dataclass(frozen=True)
class Wanted:
    """What `crdnet derain` is asked to do with each picture."""

    options: FileOptions
    format: str | None
    overwrite: bool
    preserve_times: bool


@dataclass
class Stop:
    """Whether no further job shall begin, and why."""

    interrupted: bool = False
    disk_is_full: bool = False

    def __bool__(self) -> bool:
        return self.interrupted or self.disk_is_full


def outcome_of_no_job(no_job: NoJob) -> Outcome:
    """Return the outcome of an input of which no job could be made."""
    return Outcome(no_job.name, None, "failed" if no_job.failed else "skipped", no_job.reason)


def ending(stop: Stop, *, failed: bool) -> int:
    """Return the exit code of a run.

    Raises:
        KeyboardInterrupt: It was asked to stop.
        OutputError: The disk is full.
    """
    if stop.interrupted:
        raise KeyboardInterrupt
    if stop.disk_is_full:
        raise OutputError(
            "the disk is full, and the run stops here; make room and call it again to go on"
        )
    return 1 if failed else 0


@contextmanager
def stop_on_signals(*, quiet: bool) -> Iterator[Stop]:
    """Let the first Ctrl-C or SIGTERM in the block only ask to stop; a second one interrupts."""
    stop = Stop()

    def ask(_number: int, _frame: FrameType | None) -> None:
        if stop.interrupted:
            raise KeyboardInterrupt
        stop.interrupted = True
        if not quiet:  # whom we interrupt may be writing to sys.stderr, so go past it
            os.write(2, _AGAIN)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def do_jobs(
    jobs: Sequence[Job],
    do: Callable[[Job], Outcome],
    *,
    workers: int,
    stop: Stop,
    abort: Callable[[], None],
) -> Generator[Outcome, None, None]:
    """Do jobs in threads and yield their outcomes as they finish.

    Once `stop` is asked for, what has begun is finished and nothing else is begun; a full disk asks for it. If the
    caller is interrupted, what has begun is aborted too before the interruption goes on; a file is whole or not there.

    Args:
        jobs: What to do, in this order.
        do: Does one; what it raises becomes a failure of that job alone.
        workers: How many threads.
        stop: See above.
        abort: Makes the jobs that have begun fail soon.
    """

    def guarded(job: Job) -> Outcome | None:
        if stop:
            return None
        try:
            return do(job)
        except (CRDNetError, OSError) as error:
            stop.disk_is_full |= means_full_disk(error)
            return Outcome(
                job.name, str(job.output or "") or None, "failed", str(error), exception=error
            )
        except Exception as error:  # a fault of ours must not cost the user the other pictures
            reason = f"unexpected {type(error).__name__}: {error}; please report it, with the output of -v"
            return Outcome(
                job.name, str(job.output or "") or None, "failed", reason, exception=error
            )

    pending: set[Future[Outcome | None]] = set()
    remaining = iter(jobs)
    pool = ThreadPoolExecutor(workers)
    try:
        while True:
            # Few are handed out at a time, so that a hundred thousand pictures are not a hundred thousand
            # futures.
            while (
                not stop and len(pending) <= workers and (job := next(remaining, None)) is not None
            ):
                pending.add(pool.submit(guarded, job))
            if not pending:
                return
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                if (outcome := future.result()) is not None:
                    yield outcome
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        while running := [future for future in pending if not future.done()]:
            abort()
            wait(running, timeout=0.05)


def derain_job(
    derainer: Derainer, job: Job, wanted: Wanted, journal: Journal | None, stdin: bytes | None
) -> Outcome:
    """Derain one picture and write the result.

    Args:
        derainer: Does the work.
        job: Which picture.
        wanted: What to do with it.
        journal: Of the folder that the result goes into, if it has one.
        stdin: The picture of a job without a source.
    """
    began = perf_counter()
    source_suffix = "" if job.source is None else job.source.suffix
    target = output_format(
        source_suffix, source_suffix if job.output is None else job.output.suffix, wanted.format
    )
    if job.output is not None:
        check_output(job.source, job.output, overwrite=wanted.overwrite)
    derained, found = _derained(derainer, job, wanted, target, stdin)
    times_ns = (
        (found.st_atime_ns, found.st_mtime_ns)
        if found is not None and wanted.preserve_times
        else None
    )
    # The rain first: whoever finds the result finds its rain too, after a kill as well.
    if job.rain is not None:
        assert derained.rain is not None
        write_whole(job.rain, derained.rain)
    if job.output is None:
        assert derained.content is not None
        sys.stdout.buffer.write(derained.content)
        sys.stdout.buffer.flush()
    else:
        origin = (
            None
            if journal is None or job.source is None or found is None
            else journal.origin(job.source, found)
        )
        if journal is not None and origin is not None:
            journal.about_to_write(job.output, origin)
        with whole_file(job.output, overwrite=wanted.overwrite, times_ns=times_ns) as temporary:
            derained.write(temporary)
        if journal is not None and origin is not None:
            journal.written(job.output, origin)
    return Outcome(
        job.name,
        None if job.output is None else str(job.output),
        "dry" if derained.dry else "done",
        width=derained.width,
        height=derained.height,
        seconds=perf_counter() - began,
        engine=derainer.session.engine,
        sensed=derained.sensed,
        rain=None if job.rain is None else str(job.rain),
        warnings=derained.warnings,
    )


def _derained(
    derainer: Derainer, job: Job, wanted: Wanted, target: str | None, stdin: bytes | None
) -> tuple[Derained, os.stat_result | None]:
    """Return the derained picture of a job, and what the file system said of its source, if it has one."""
    with_rain = job.rain is not None
    if job.source is not None and job.output is not None:
        return derain_source(
            derainer, job.source, options=wanted.options, rain=with_rain, format=target
        )
    content, found = _content(job, stdin, wanted.options.max_pixels)
    derained = derain_content(
        derainer, content, name=_name(job), options=wanted.options, rain=with_rain, format=target
    )
    return derained, found


def sense_job(derainer: Derainer, job: Job, options: FileOptions, stdin: bytes | None) -> Outcome:
    """Sense the rain in one picture; the arguments are those of `derain_job`."""
    began = perf_counter()
    if job.source is not None:
        sensed, height, width = sense_source(derainer, job.source, options=options)
    else:
        content, _ = _content(job, stdin, options.max_pixels)
        sensed, height, width = sense_content(derainer, content, name=_name(job), options=options)
    return Outcome(
        job.name,
        None,
        "done",
        width=width,
        height=height,
        seconds=perf_counter() - began,
        engine=derainer.session.engine,
        sensed=sensed,
    )


def _content(job: Job, stdin: bytes | None, max_pixels: int) -> tuple[bytes, os.stat_result | None]:
    if job.source is not None:
        return read_file(job.source, max_pixels)
    if not stdin:
        raise ImageError("standard input is empty; pipe a picture into it")
    return stdin, None


def _name(job: Job) -> str:
    return "standard input" if job.source is None else job.name
