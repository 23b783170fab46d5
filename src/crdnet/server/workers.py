"""The processes that decode and encode: each may die of a picture, and another takes its place."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from threading import Lock
from typing import Any

from crdnet.server import codec
from crdnet.server.codec import Frames, Message

# Not fork: a parent with threads would hand on locks that nobody releases.
_context = get_context("spawn")


class WorkerDiedError(Exception):
    """A process ended, or was ended, while it had a picture in work."""


class CodecError(Exception):
    """A picture cannot be decoded or encoded; `kind` is one of those of `codec`."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


class Worker:
    """One process. Its calls block, so that they belong into a thread."""

    def __init__(self, megabytes: int) -> None:
        self._ours, theirs = _context.Pipe()
        self._process = _context.Process(target=codec.main, args=(theirs, megabytes), daemon=True)
        self._killed = False
        with _one_thread_each():
            self._process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        """Whether it can be given another task."""
        return not self._killed and self._process.is_alive()

    def call(self, message: Message, frames: Frames) -> tuple[Message, list[bytes]]:
        """Do one task; `kill` from another thread ends it."""
        try:
            codec.send(self._ours, message, frames)
            return codec.receive(self._ours)
        except (EOFError, OSError) as error:
            self._process.join()
            raise WorkerDiedError(f"ended with {self._process.exitcode}") from error

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._killed = True
        self._process.kill()

    def close(self) -> None:
        """End it and forget it."""
        self.kill()
        self._process.join()
        self._ours.close()


class Workers:
    """Several workers, handed out in turn; to be used as an asynchronous context.

    Args:
        count: How many.
        megabytes: Address space of each.
        seconds: What one task may take.
    """

    def __init__(self, count: int, megabytes: int, seconds: float) -> None:
        self._count, self._megabytes, self._seconds = count, megabytes, seconds
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="codec")
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()
        self._all: set[Worker] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self.replaced = 0
        """How many died and were replaced."""

    async def __aenter__(self) -> "Workers":
        await asyncio.gather(*(self._start() for _ in range(self._count)))
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*self._starting, return_exceptions=True)
        for worker in self._all:
            worker.kill()
        await asyncio.to_thread(self._threads.shutdown)
        for worker in self._all:
            worker.close()

    async def call(self, task: str, frames: Frames, **wishes: Any) -> tuple[Message, list[bytes]]:
        """Have one task done.

        Raises:
            CodecError: The picture is at fault.
            WorkerDiedError: The picture, or its time limit, ended the process.
        """
        while not (worker := await self._idle.get()).alive:
            self._give_back(worker)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._seconds, worker.kill)
        running = loop.run_in_executor(self._threads, worker.call, {"task": task, **wishes}, frames)
        try:
            message, results = await asyncio.shield(running)
        except asyncio.CancelledError:
            worker.kill()
            with contextlib.suppress(WorkerDiedError):
                await running
            raise
        finally:
            timer.cancel()
            self._give_back(worker)
        if "error" in message:
            raise CodecError(message["error"], message["detail"])
        return message, results

    def _give_back(self, worker: Worker) -> None:
        if worker.alive:
            self._idle.put_nowait(worker)
            return
        self.replaced += 1
        self._all.discard(worker)
        worker.close()
        task = asyncio.get_running_loop().create_task(self._start())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start(self) -> None:
        worker = await asyncio.to_thread(Worker, self._megabytes)
        self._all.add(worker)
        self._idle.put_nowait(worker)


_environment = Lock()


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Have a child start without pools of threads: they take address space, and the processors are the network's."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "VIPS_CONCURRENCY")
    with _environment:
        before = {name: os.environ.pop(name) for name in names if name in os.environ}
        os.environ.update(dict.fromkeys(names, "1"))
        try:
            yield
        finally:
            for name in names:
                del os.environ[name]
            os.environ.update(before)
