"""A decoder that crashes takes one process with it, and neither us nor the images beside."""

import os
import pickle
import signal
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crdnet import images
from crdnet.errors import CRDNetError, ImageError
from crdnet.images import Codec, CodecError, Fault, ImageSource, LocalCodec, Output, WorkerCodec
from tests.images.making import PIXELS, make_image_file, saved
from tests.waiting import wait_until

FATAL = saved(PIXELS, comment=b"FATAL", kind="JPEG")
CRASHING = """
import os
from crdnet.images import worker
decode_source = worker.decode_source
def crashing(source):
    if b"FATAL" in source.content:
        os.kill(os.getpid(), 11)
    return decode_source(source)
worker.decode_source = crashing
worker.main()
"""
"""Program of a worker whose decoder crashes on some images, as decoders in C do."""


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crdnet.images.worker._ENTRY", f"exec({CRASHING!r})")


@pytest.mark.parametrize(
    "kind", [("JPEG", "rgb", 8), ("PNG", "rgba", 16), ("TIFF", "grey", 16)], ids=str
)
def test_an_image_comes_out_of_another_process_as_it_is(kind: tuple[str, str, int]) -> None:
    content = make_image_file(*kind)
    here = images.decode(content)
    buffer = BytesIO()
    with WorkerCodec() as codec:
        there = codec.decode(ImageSource(content))
        notes = codec.encode(there, there.pixels, lambda: nullcontext(buffer))
    np.testing.assert_array_equal(there.pixels, here.pixels)
    assert buffer.getvalue() == images.encode(here, here.pixels)
    assert notes == images.list_notes(here)


def _keep(buffer: BytesIO) -> nullcontext[BytesIO]:
    return nullcontext(buffer)


def test_format_quality_and_what_is_lost_are_those_of_our_own_process() -> None:
    content = saved(PIXELS, comment=b"remember", kind="JPEG")
    made: list[tuple[bytes, tuple[str, ...]]] = []
    with WorkerCodec() as worker:
        codecs: tuple[Codec[Any], ...] = (LocalCodec(), worker)
        for codec in codecs:
            with BytesIO() as buffer:
                image = codec.decode(ImageSource(content))
                output: Output = partial(_keep, buffer)
                lost = codec.encode(image, image.pixels, output, format="WEBP", quality=30)
                made.append((buffer.getvalue(), lost))
    assert made[0] == made[1]
    assert made[0][1]


def test_nothing_that_a_worker_answers_is_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an answer of a worker was unpickled")

    monkeypatch.setattr(pickle, "loads", refuse)
    with WorkerCodec() as codec:
        image = codec.decode(ImageSource(saved(PIXELS)))
        codec.encode(image, image.pixels, lambda: nullcontext(BytesIO()))


def test_errors_and_limits_are_those_of_our_own_process() -> None:
    with WorkerCodec() as codec:
        for content, most in ((b"hello", 10**9), (saved(PIXELS)[:300], 10**9), (saved(PIXELS), 10)):
            with pytest.raises(ImageError) as here:
                images.decode(content, "odd \udcff\n name", max_pixels=most)
            with pytest.raises(ImageError) as there:
                codec.decode(ImageSource(content, "odd \udcff\n name", max_pixels=most))
            assert str(there.value) == str(here.value)
        (worker,) = codec._idle
        assert worker.alive


@pytest.mark.usefixtures("crashing")
def test_a_crash_is_an_error_of_that_image_and_the_next_is_decoded() -> None:
    with WorkerCodec() as codec:
        with pytest.raises(ImageError, match=r"the decoder crashed on it\.jpg \(ended with -11\)"):
            codec.decode(ImageSource(FATAL, "it.jpg"))
        assert codec.decode(ImageSource(saved(PIXELS))).pixels.shape == PIXELS.shape
        assert codec.replaced == 1


def test_a_process_that_was_killed_while_idle_fails_no_image() -> None:
    with WorkerCodec() as codec:
        codec.decode(ImageSource(saved(PIXELS)))
        (worker,) = codec._idle
        os.kill(worker.pid, signal.SIGKILL)
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        assert codec.decode(ImageSource(saved(PIXELS))).pixels.shape == PIXELS.shape


def test_no_process_outlives_its_context() -> None:
    with WorkerCodec() as codec:
        codec.decode(ImageSource(saved(PIXELS)))
        (worker,) = codec._idle
    assert not worker.alive
    assert not Path(f"/proc/{worker.pid}").exists()


@pytest.mark.parametrize("task", ["decode", "encode"])
def test_a_worker_that_is_killed_or_late_does_not_blame_the_image(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = f"""
import time
from crdnet.images import worker
worker._TASKS = {{**worker._TASKS, {task!r}: lambda *_: time.sleep(3600)}}
worker.main()
"""
    monkeypatch.setattr("crdnet.images.worker._ENTRY", f"exec({waiting!r})")
    source = ImageSource(saved(PIXELS))
    image = images.SealedImage(PIXELS, b"")

    def call(codec: WorkerCodec) -> None:
        if task == "decode":
            codec.decode(source)
        else:
            codec.encode(image, PIXELS, partial(_keep, BytesIO()))

    with WorkerCodec(seconds=0.1) as codec, pytest.raises(CodecError) as late:
        call(codec)
    assert late.value.fault is Fault.INTERRUPTED
    assert "took more than 0.1 seconds" in str(late.value)
    with WorkerCodec() as codec, ThreadPoolExecutor(1) as thread:
        calling = thread.submit(call, codec)
        wait_until(lambda: bool(codec._busy))
        os.kill(next(iter(codec._busy)).pid, signal.SIGKILL)
        error = calling.exception()
    assert isinstance(error, CodecError)
    assert error.fault is Fault.INTERRUPTED


def test_a_codec_that_is_halted_takes_no_call_until_it_is_resumed() -> None:
    source = ImageSource(saved(PIXELS))
    with WorkerCodec() as codec:
        codec.halt()
        with pytest.raises(CRDNetError, match="stopped"):
            codec.decode(source)
        codec.resume()
        codec.decode(source)


def test_a_bounded_worker_decodes_large_images_though_it_may_write_no_file() -> None:
    width, height = 4400, 4000  # 106 MB of samples: libvips keeps 100 MB in memory

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    rows = zlib.compress(bytes(height * (1 + 6 * width)), 1)
    content = b"".join(
        (b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    )
    with WorkerCodec(megabytes=3000) as codec:
        assert codec.decode(ImageSource(content)).pixels.shape == (height, width, 3)
