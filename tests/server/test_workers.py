"""What hostile bytes can do to the processes that decode them, and that nobody else notices."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from crdnet.images import CodecError, Fault, WorkerDiedError, worker
from crdnet.server.workers import Workers
from tests.server.pictures import JPEG, png_claiming
from tests.waiting import HANG_SECONDS

BOMB = png_claiming(8_000, 6_000, rows=6_000)
"""Of 140 kB, and a thousand times as much in memory."""


def run(test: Callable[[Workers], Awaitable[None]], megabytes: int = 3000) -> None:
    async def whole() -> None:
        async with Workers(1, megabytes, HANG_SECONDS) as workers:
            await test(workers)

    asyncio.run(asyncio.wait_for(whole(), HANG_SECONDS))


async def decodes(workers: Workers) -> bool:
    said, frames = await workers.call("decode", [JPEG], max_pixels=10**6)
    return bool(len(frames[0]) == said["shape"][0] * said["shape"][1] * 3)


def test_a_picture_that_does_not_fit_is_told_and_the_process_lives_on() -> None:
    async def test(workers: Workers) -> None:
        with pytest.raises(CodecError) as caught:
            await workers.call("decode", [BOMB], max_pixels=10**9)
        assert caught.value.fault is Fault.NO_MEMORY
        assert await decodes(workers)
        assert workers.replaced == 0

    run(test, megabytes=350)


def test_the_same_picture_fits_where_there_is_room_for_it() -> None:
    async def test(workers: Workers) -> None:
        said, _ = await workers.call("decode", [BOMB], max_pixels=10**9)
        assert said["shape"] == [6_000, 8_000, 3]

    run(test)


def test_a_picture_that_takes_too_long_ends_its_process_and_another_takes_over() -> None:
    async def test(workers: Workers) -> None:
        assert await decodes(workers)  # it has started
        workers._seconds = 0.02
        with pytest.raises(WorkerDiedError):
            await workers.call("decode", [BOMB], max_pixels=10**9)
        workers._seconds = HANG_SECONDS
        assert await decodes(workers)
        assert workers.replaced == 1

    run(test)


def test_a_client_that_goes_away_ends_the_decoding() -> None:
    async def test(workers: Workers) -> None:
        assert await decodes(workers)
        task = asyncio.create_task(workers.call("decode", [BOMB], max_pixels=10**9))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await decodes(workers)

    run(test)


def test_a_process_that_was_killed_while_idle_fails_nobody() -> None:
    async def test(workers: Workers) -> None:
        (worker,) = workers._all
        pid = worker._process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        while worker.alive:
            await asyncio.sleep(0.01)
        assert await decodes(workers)

    run(test)


def test_a_worker_cannot_write_files(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    file = tmp_path / "leak"
    child = os.fork()
    if child == 0:
        worker._limit(4000)
        try:
            file.write_bytes(b"leak")
        except OSError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not file.exists() or file.stat().st_size == 0
