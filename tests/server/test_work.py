"""Work that nobody waits for any more."""

import asyncio
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from crdnet.errors import CRDNetError
from crdnet.images import CodecError, Fault, Header
from crdnet.server import Settings, app
from crdnet.server.problems import Kind, ProblemError
from crdnet.server.work import Work, translate_errors


class Endless:
    """Stands in for a derainer whose run ends only when its session is halted."""

    def __init__(self) -> None:
        self.begun, self.stopped, self.resumed = Event(), Event(), Event()
        self.session = self

    def run(self) -> None:
        self.begun.set()
        self.stopped.wait()
        raise CRDNetError("stopped")

    def halt(self) -> None:
        self.stopped.set()

    def resume(self) -> None:
        self.resumed.set()


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
    assert endless.resumed.is_set()


def test_a_run_whose_time_is_up_is_stopped_and_does_not_blame_the_image(model: Path) -> None:
    endless: Any = Endless()

    async def test() -> None:
        work = Work(Settings(models=(str(model),), device="cpu", work_seconds=0.01))
        with pytest.raises(ProblemError) as caught:
            await work._run(work._lanes[0], endless, endless.run, Header("PNG", 1, 1))
        assert caught.value.kind is Kind.INTERRUPTED

    asyncio.run(test())
    assert endless.resumed.is_set()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.INTERRUPTED, Kind.INTERRUPTED),
        (Fault.NO_MEMORY, Kind.TOO_LARGE),
        (Fault.BROKEN, Kind.BROKEN_IMAGE),
        (Fault.DIED, Kind.BROKEN_IMAGE),
    ],
)
def test_only_a_fault_of_the_image_blames_it(fault: Fault, kind: Kind) -> None:
    with pytest.raises(ProblemError) as caught, translate_errors():
        raise CodecError(fault, "because")
    assert caught.value.kind is kind


def test_the_first_image_after_the_start_is_tried_until_it_works(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Busy:
        """Stands in for work whose queue is full at the start."""

        models: ClassVar = {"default": None}
        attempts = 0

        async def derain(self, *_arguments: object, **_options: object) -> None:
            self.attempts += 1
            if self.attempts < 3:
                raise ProblemError(Kind.BUSY, "the queue is full")

    monkeypatch.setattr(app, "_WARM_UP_SECONDS", 0.0)
    busy: Any = Busy()
    served: Any = SimpleNamespace(state=SimpleNamespace(ready=False))
    with caplog.at_level("INFO"):
        asyncio.run(app._warm_up(served, busy))
    assert served.state.ready
    assert busy.attempts == 3
    assert [record.getMessage() for record in caplog.records].count("not ready") == 2
