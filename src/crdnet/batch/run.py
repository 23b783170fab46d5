"""Runs on many images.

A run is created from a plan, opened as a context, and does the work while it is iterated:

    with DerainRun(plan_deraining(["photos/"], "clean/", recursive=True)) as run:
        for outcome in run: ...

A few threads run at a time: while the network runs on one image, worker processes decode and encode
others. Outcomes are yielded in the order in which they finish, and a failed image does not stop the
others.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from crdnet.batch.inputs import Job
from crdnet.batch.plan import Plan
from crdnet.errors import CRDNetError, ImageError, OutputError
from crdnet.files import means_full_disk
from crdnet.images import WorkerCodec
from crdnet.pipeline import Derainer, Outcome
from crdnet.runtime import count_cpus


class Run(ABC):
    """Run over the images of a plan.

    Args:
        plan: The images and their outputs.

    Attributes:
        derainer: Derainer that processes the images.
        left_out: Number of entries of folders that are not inputs, by kind.
        settled: Outcomes of inputs that need no work; known once the run is open.
        to_do: Images to process; known once the run is open.
        on_tile: Called in the worker thread with the name of an image, the number of its derained
            tiles, and the number of all its tiles.

    Raises:
        ModelError: There is no such model.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._options = plan, plan.options
        # Simultaneous images share the CPUs; a single image gets all of them.
        at_once = min(self._options.jobs, max(1, len(plan.jobs)))
        self.derainer = Derainer(
            self._options.model,
            self._options.device,
            max(1, count_cpus() // at_once),
            self._options.tile,
        )
        self.left_out = plan.left_out
        self.settled: list[Outcome] = []
        self.to_do: list[Job] = []
        self.on_tile: Callable[[str, int, int], object] | None = None
        self._is_stopped = self._disk_is_full = False
        self._pending: dict[Future[Outcome], Job] = {}
        self._stack = ExitStack()
        self._codec: WorkerCodec | None = None
        self._standard_input = b""

    @abstractmethod
    def __enter__(self) -> "Run":
        """Split the inputs into settled and to do, and open the model and the codec."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def __iter__(self) -> Generator[Outcome, None, None]:
        """Yield the settled outcomes, then those of the images as they are finished.

        Raises:
            OutputError: The disk is full; the run stopped.
        """
        outcomes = self._work()
        # An interruption at any point first aborts the running jobs.
        self._stack.callback(outcomes.close)
        return outcomes

    def stop(self) -> None:
        """Finish the running jobs and start no other; may be called from a signal handler."""
        self._is_stopped = True
        self._cancel_waiting()

    @abstractmethod
    def _do(self, job: Job) -> Outcome:
        """Run one job and return its outcome; an exception makes only this job fail."""

    def _open_codec(self, stack: ExitStack) -> None:
        """Open the codec until the run ends, and read standard input if it is an input."""
        if any(job.source is None for job in self.to_do):
            self._standard_input = sys.stdin.buffer.read()
        # Starting a process takes longer than decoding one image.
        if len(self.to_do) > 1:
            self._codec = stack.enter_context(WorkerCodec())
        self._stack = stack.pop_all()

    def _locate_content(self, job: Job) -> tuple[Path | bytes, str]:
        """Return the path or the bytes of the input of a job, and its name for messages."""
        if job.source is not None:
            return job.source, job.name
        if not self._standard_input:
            raise ImageError("standard input is empty; pipe an image into it")
        return self._standard_input, "standard input"

    def _work(self) -> Generator[Outcome, None, None]:
        """Run the jobs in threads, and yield their outcomes as they finish.

        After `stop`, or when the disk is full, running jobs finish and no other starts. If the
        caller is interrupted, running jobs are aborted before the exception propagates. Each output
        is complete or absent.
        """
        yield from self.settled
        pending, remaining = self._pending, iter(self.to_do)
        pool = ThreadPoolExecutor(self._options.jobs)
        try:
            while True:
                # Only one job waits for the next free thread, because a hundred thousand images
                # would otherwise need as many futures.
                while (
                    not self._has_to_stop
                    and len(pending) <= self._options.jobs
                    and (job := next(remaining, None)) is not None
                ):
                    future = pool.submit(self._do, job)
                    pending[future] = job
                    future.add_done_callback(self._stop_on_full_disk)
                if self._has_to_stop:  # set after this job was submitted
                    self._cancel_waiting()
                if not pending:
                    break
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    job = pending.pop(future)
                    if not future.cancelled():
                        yield _take_outcome(job, future)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            # Repeated, because a job may reach the network after the first call.
            while running := [future for future in pending if not future.done()]:
                self._abort()
                wait(running, timeout=0.05)
        if self._disk_is_full:
            raise OutputError(
                "the disk is full and the run stops; free some space, then repeat the command"
            )

    @property
    def _has_to_stop(self) -> bool:
        return self._is_stopped or self._disk_is_full

    def _stop_on_full_disk(self, future: Future[Outcome]) -> None:
        """Stop the run if a job found the disk full, before its thread starts another job."""
        error = None if future.cancelled() else future.exception()
        if error is not None and means_full_disk(error):
            self._disk_is_full = True
            self._cancel_waiting()

    def _cancel_waiting(self) -> None:
        for future in list(self._pending):
            future.cancel()  # has no effect on running jobs

    def _abort(self) -> None:
        self.derainer.stop()
        if self._codec is not None:
            self._codec.stop()


def _take_outcome(job: Job, future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except (CRDNetError, OSError) as error:
        return Outcome(job.name, job.output, "failed", str(error), error=error)
    except Exception as error:  # a bug in crdnet must not cost the user the other images
        reason = f"unexpected {type(error).__name__}: {error}; please report it, with its traceback"
        return Outcome(job.name, job.output, "failed", reason, error=error)
