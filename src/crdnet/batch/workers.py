"""Doing jobs in threads, where no job stops another."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from crdnet.batch.plan import Job
from crdnet.errors import CRDNetError
from crdnet.files import means_full_disk
from crdnet.pipeline import Outcome


@dataclass
class Stop:
    """Whether no further job shall begin, and why."""

    asked: bool = False
    disk_is_full: bool = False

    def __bool__(self) -> bool:
        return self.asked or self.disk_is_full


def do_jobs(
    jobs: Sequence[Job],
    do: Callable[[Job], Outcome],
    *,
    workers: int,
    stop: Stop,
    abort: Callable[[], None],
) -> Generator[Outcome, None, None]:
    """Do jobs in threads and yield their outcomes as they finish.

    Once `stop` is asked for, what has begun is finished and nothing else is begun; a full disk asks
    for it. If the caller is interrupted, what has begun is aborted too before the interruption goes
    on; a file is whole or not there.

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
            return Outcome(job.name, job.output, "failed", str(error), error=error)
        except Exception as error:  # a fault of ours must not cost the user the other images
            reason = (
                f"unexpected {type(error).__name__}: {error}; please report it, with its traceback"
            )
            return Outcome(job.name, job.output, "failed", reason, error=error)

    pending: set[Future[Outcome | None]] = set()
    remaining = iter(jobs)
    pool = ThreadPoolExecutor(workers)
    try:
        while True:
            # Few are handed out at a time, so that a hundred thousand images are not a hundred
            # thousand futures.
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
