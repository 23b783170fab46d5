"""A decoder that crashes takes one process with it, and neither us nor the pictures beside."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from crdnet import images
from crdnet.errors import ImageError
from crdnet.images import Decoders
from tests.images.making import PIXELS, picture_file, saved

FATAL = saved(PIXELS, comment=b"FATAL", kind="JPEG")
CRASHING = """
import os
from crdnet.images import worker
decode = worker.decode
def crashing(content, *arguments, **options):
    if b"FATAL" in content:
        os.kill(os.getpid(), 11)
    return decode(content, *arguments, **options)
worker.decode = crashing
worker.main()
"""
"""What a process runs whose decoder crashes of some pictures, as decoders of C do."""


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crdnet.images.worker._ENTRY", f"exec({CRASHING!r})")


@pytest.mark.parametrize(
    "kind", [("JPEG", "rgb", 8), ("PNG", "rgba", 16), ("TIFF", "grey", 16)], ids=str
)
def test_a_picture_comes_out_of_another_process_as_it_is(kind: tuple[str, str, int]) -> None:
    content = picture_file(*kind)
    here = images.decode(content)
    with Decoders() as decoders:
        there = decoders.decode(content)
    np.testing.assert_array_equal(there.pixels, here.pixels)
    assert (there.alpha is None) == (here.alpha is None)
    if here.alpha is not None:
        np.testing.assert_array_equal(there.alpha, here.alpha)
    assert images.encode(there, there.pixels) == images.encode(here, here.pixels)


def test_errors_and_limits_are_those_of_our_own_process() -> None:
    with Decoders() as decoders:
        for content, most in ((b"hello", 10**9), (saved(PIXELS)[:300], 10**9), (saved(PIXELS), 10)):
            with pytest.raises(ImageError) as here:
                images.decode(content, "odd \udcff\n name", max_pixels=most)
            with pytest.raises(ImageError) as there:
                decoders.decode(content, "odd \udcff\n name", max_pixels=most)
            assert str(there.value) == str(here.value)
        (worker,) = decoders._idle
        assert worker.alive


@pytest.mark.usefixtures("crashing")
def test_a_crash_is_an_error_of_that_picture_and_the_next_is_decoded() -> None:
    with Decoders() as decoders:
        with pytest.raises(ImageError, match=r"it\.jpg made its decoder crash \(ended with -11\)"):
            decoders.decode(FATAL, "it.jpg")
        assert decoders.decode(saved(PIXELS)).pixels.shape == PIXELS.shape


def test_a_process_that_was_killed_while_idle_fails_no_picture() -> None:
    with Decoders() as decoders:
        decoders.decode(saved(PIXELS))
        (worker,) = decoders._idle
        os.kill(worker.pid, signal.SIGKILL)
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        assert decoders.decode(saved(PIXELS)).pixels.shape == PIXELS.shape


def test_no_process_outlives_its_context() -> None:
    with Decoders() as decoders:
        decoders.decode(saved(PIXELS))
        (worker,) = decoders._idle
    assert not worker.alive
    assert not Path(f"/proc/{worker.pid}").exists()


@pytest.mark.usefixtures("crashing")
def test_a_heic_is_decoded_apart_unasked() -> None:
    content = (Path(__file__).parent / "street.heic").read_bytes()
    assert images.decode(content).format == "HEIC"
    with pytest.raises(ImageError, match="crash"):
        images.decode(content + b"FATAL")
