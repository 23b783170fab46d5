"""The processes that decode and encode: each may die of a picture, and another takes its place."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from crdnet.images import CodecError, Worker, WorkerDiedError

Message = dict[str, Any]


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

    async def call(
        self, task: str, frames: list[bytes | memoryview], **wishes: Any
    ) -> tuple[Message, list[bytes]]:
        """Have one task done; see `Worker.call`.

        Raises:
            CodecError: The picture is at fault.
            WorkerDiedError: The picture, or its time limit, ended the process.
        """
        while not (worker := await self._idle.get()).alive:
            self._give_back(worker)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._seconds, worker.kill)
        running = loop.run_in_executor(self._threads, partial(worker.call, task, frames, **wishes))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            worker.kill()
            with contextlib.suppress(CodecError, WorkerDiedError):
                await running
            raise
        finally:
            timer.cancel()
            self._give_back(worker)

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
