"""Hostile bytes harm only the process that decodes them."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from crdnet.images import CodecError, Fault, ImageSource, WorkerCodec, worker
from tests.server.images import JPEG, make_png_claiming
from tests.waiting import HANG_SECONDS, wait_until

BOMB = make_png_claiming(8_000, 6_000, rows=6_000)
"""A PNG of 140 kB that takes a thousand times as much memory."""


def decodes(codec: WorkerCodec) -> bool:
    return bool(codec.decode(ImageSource(JPEG)).pixels.shape[2] == 3)


def fault_of(call: Callable[[], object]) -> Fault:
    with pytest.raises(CodecError) as caught:
        call()
    return caught.value.fault


def test_an_image_that_does_not_fit_fails_and_the_process_lives_on() -> None:
    with WorkerCodec(megabytes=350) as codec:
        assert fault_of(lambda: codec.decode(ImageSource(BOMB))) is Fault.NO_MEMORY
        assert decodes(codec)
        assert codec.replaced == 0


def test_the_same_image_fits_where_there_is_room_for_it() -> None:
    with WorkerCodec(megabytes=3000) as codec:
        assert codec.decode(ImageSource(BOMB)).pixels.shape == (6_000, 8_000, 3)


def test_an_image_that_takes_too_long_ends_its_process_and_another_takes_over() -> None:
    with WorkerCodec(seconds=HANG_SECONDS) as codec:
        assert decodes(codec)  # it has started
        codec._seconds = 0.02
        assert fault_of(lambda: codec.decode(ImageSource(BOMB))) is Fault.INTERRUPTED
        codec._seconds = HANG_SECONDS
        assert decodes(codec)
        assert codec.replaced == 1


def test_decoding_can_be_stopped_from_another_thread() -> None:
    with WorkerCodec() as codec:
        assert decodes(codec)
        faults: list[Fault] = []
        thread = threading.Thread(
            target=lambda: faults.append(fault_of(lambda: codec.decode(ImageSource(BOMB))))
        )
        thread.start()
        wait_until(lambda: bool(codec._busy))
        codec.stop()
        thread.join()
        assert faults == [Fault.INTERRUPTED]
        assert decodes(codec)


def test_a_process_that_was_killed_while_idle_fails_nobody() -> None:
    with WorkerCodec() as codec:
        codec.start()
        (idle,) = codec._idle
        os.kill(idle.pid, signal.SIGKILL)
        wait_until(lambda: not idle.alive)
        assert decodes(codec)
        assert codec.replaced == 1


def test_more_pixels_than_the_header_says_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with WorkerCodec() as codec:
        source = ImageSource(JPEG, "it.jpg")
        call = codec._call

        def lying(*arguments: object, **fields: object) -> object:
            said, frames = call(*arguments, **fields)  # type: ignore[arg-type]
            return said | {"shape": [2 * said["shape"][0], *said["shape"][1:]]}, [
                2 * frames[0],
                frames[1],
            ]

        monkeypatch.setattr(codec, "_call", lying)
        with pytest.raises(CodecError, match=r"it\.jpg is larger than its header states"):
            codec.decode(source)


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
