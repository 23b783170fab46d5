"""Work that nobody waits for any more."""

import asyncio
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from crdnet.errors import CRDNetError
from crdnet.images import Header
from crdnet.server import Settings
from crdnet.server.work import Work


class Endless:
    """Stands in for a derainer whose run ends only when it is stopped."""

    def __init__(self) -> None:
        self.begun, self.stopped = Event(), Event()

    def run(self) -> None:
        self.begun.set()
        self.stopped.wait()
        raise CRDNetError("stopped")

    def stop(self) -> None:
        self.stopped.set()


def test_a_run_that_nobody_waits_for_is_stopped(model: Path) -> None:
    endless: Any = Endless()

    async def test() -> None:
        work = Work(Settings(models=(str(model),), device="cpu"))
        running = asyncio.create_task(
            work._run(work._lanes[0], endless, endless.run, Header("PNG", 1, 1))
        )
        await asyncio.to_thread(endless.begun.wait)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(test())
    assert endless.stopped.is_set()
