"""Runs on many images.

A run is planned, opened as a context, and works when it is iterated:

    with DerainRun(plan_deraining(["photos/"], "clean/", recursive=True)) as run:
        for outcome in run: ...

A few threads work at a time: while the network has one image, others are decoded and encoded in
worker processes. Outcomes come as they are finished, and no image stops another.
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
    """Many images to work on.

    Args:
        plan: The images, and how to work on them.

    Attributes:
        derainer: Does the work.
        left_out: Entries of folders that are no inputs, by kind.
        settled: Inputs that needed no work; known once the run is open.
        to_do: Images to work on; known once the run is open.
        on_tile: Called, in the thread of the work, with the name of an image, the number of its
            tiles that are derained, and of all.

    Raises:
        ModelError: There is no such model.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._options = plan, plan.options
        # Images at a time share the processors; a single image gets all.
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
        """Find out what is settled and what is to do, and open what the run needs."""

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
        # An interruption, wherever it comes, first ends what runs.
        self._stack.callback(outcomes.close)
        return outcomes

    def stop(self) -> None:
        """Finish the images in work and begin no other; may be called from a signal handler."""
        self._is_stopped = True
        self._cancel_waiting()

    @abstractmethod
    def _do(self, job: Job) -> Outcome:
        """Do one job; what it raises becomes a failure of that job alone."""

    def _open_codec(self, stack: ExitStack) -> None:
        """Read standard input if it is a job, and open what stays open until the run ends."""
        if any(job.source is None for job in self.to_do):
            self._standard_input = sys.stdin.buffer.read()
        # A process takes longer to start than one image to decode.
        if len(self.to_do) > 1:
            self._codec = stack.enter_context(WorkerCodec())
        self._stack = stack.pop_all()

    def _locate_content(self, job: Job) -> tuple[Path | bytes, str]:
        """Return the file or the bytes of a job, and what messages call them."""
        if job.source is not None:
            return job.source, job.name
        if not self._standard_input:
            raise ImageError("standard input is empty; pipe an image into it")
        return self._standard_input, "standard input"

    def _work(self) -> Generator[Outcome, None, None]:
        """Do the jobs in threads.

        Once the run is stopped, what has begun is finished and nothing else is begun; a full disk
        stops it. If the caller is interrupted, what has begun is aborted before the interruption
        goes on; a file is whole or not there.
        """
        yield from self.settled
        pending, remaining = self._pending, iter(self.to_do)
        pool = ThreadPoolExecutor(self._options.jobs)
        try:
            while True:
                # One job waits for the next free thread. More are not handed out, so that a
                # hundred thousand images are not a hundred thousand futures.
                while (
                    not self._has_to_stop
                    and len(pending) <= self._options.jobs
                    and (job := next(remaining, None)) is not None
                ):
                    future = pool.submit(self._do, job)
                    pending[future] = job
                    future.add_done_callback(self._stop_on_full_disk)
                if self._has_to_stop:  # since a job was handed out
                    self._cancel_waiting()
                if not pending:
                    break
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    job = pending.pop(future)
                    if not future.cancelled():
                        yield _take_outcome(job, future)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            # Asked again and again: a job may reach the network after the first time.
            while running := [future for future in pending if not future.done()]:
                self._abort()
                wait(running, timeout=0.05)
        if self._disk_is_full:
            raise OutputError(
                "the disk is full, and the run stops here; make room and call it again to go on"
            )

    @property
    def _has_to_stop(self) -> bool:
        return self._is_stopped or self._disk_is_full

    def _stop_on_full_disk(self, future: Future[Outcome]) -> None:
        """Let the thread that found the disk full begin no other job."""
        error = None if future.cancelled() else future.exception()
        if error is not None and means_full_disk(error):
            self._disk_is_full = True
            self._cancel_waiting()

    def _cancel_waiting(self) -> None:
        for future in list(self._pending):
            future.cancel()  # those that have begun go on

    def _abort(self) -> None:
        self.derainer.stop()
        if self._codec is not None:
            self._codec.stop()


def _take_outcome(job: Job, future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except (CRDNetError, OSError) as error:
        return Outcome(job.name, job.output, "failed", str(error), error=error)
    except Exception as error:  # a fault of ours must not cost the user the other images
        reason = f"unexpected {type(error).__name__}: {error}; please report it, with its traceback"
        return Outcome(job.name, job.output, "failed", reason, error=error)
