"""Decoding and encoding in a process of its own: bytes can make a decoder crash, and only that process may end then.

A process gets and gives messages on its pipes: a line of JSON, then frames of bytes. Who decodes for strangers bounds
its address space and forbids it to write files, and unpickles nothing that comes from it: pixels are raw samples, and
what is around them is a sealed frame to be handed back for encoding. `Decoders` open the seal, which is safe where the
process may do no less than its parent.
"""

import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from crdnet.errors import ImageError, NotAPictureError
from crdnet.images.headers import read_header
from crdnet.images.picture import MAX_PIXELS, Picture, turned_back
from crdnet.images.reading import decode
from crdnet.images.writing import encode, notes

Message = dict[str, Any]
Frames = Sequence[bytes | memoryview]

_ENTRY = "from crdnet.images.worker import main; main()"
_LENGTH = struct.Struct("<Q")
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "VIPS_CONCURRENCY": "1"}
"""Pools of threads take address space, and the processors are the network's."""
_TOO_LARGE = "the picture does not fit into the memory that one picture may take"


class Fault(StrEnum):
    """Why a picture cannot be decoded or encoded."""

    NOT_A_PICTURE = "not a picture"
    BROKEN = "broken"
    NO_MEMORY = "no memory"


class CodecError(Exception):
    """A worker could not decode or encode a picture."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault, self.detail = fault, detail


class WorkerDiedError(Exception):
    """A process ended, or was ended, while it had a picture in work."""


class Worker:
    """One process. Its calls block, and one is made at a time.

    Args:
        megabytes: Of address space, where pictures are a stranger's: it may then write no file either. None: no bound.
    """

    def __init__(self, megabytes: int | None = None) -> None:
        # Found where we were found; -P: what lies in the folder we are in is no module of it.
        code = f"import sys; sys.path[:] = {sys.path!a}; {_ENTRY}"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, str(megabytes or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | _ONE_THREAD,
            process_group=0,  # Ctrl-C is meant for us, who first finish what we have begun
        )
        self._killed = False

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be given another task."""
        return not self._killed and self._process.poll() is None

    def call(self, task: str, frames: Frames, **wishes: Any) -> tuple[Message, list[bytes]]:
        """Have one task done; `kill` from another thread ends it.

        Args:
            task: "look", "decode" or "encode".
            frames: What it works on.
            wishes: How.

        Raises:
            CodecError: The picture is at fault.
            WorkerDiedError: The picture, or `kill`, ended the process.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _send(self._process.stdin, {"task": task, **wishes}, frames)
            message, results = _receive(self._process.stdout)
        except (EOFError, OSError) as error:
            self.kill()
            raise WorkerDiedError(f"ended with {self._process.wait()}") from error
        if "error" in message:
            raise CodecError(Fault(message["error"]), message["detail"])
        return message, results

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._killed = True
        self._process.kill()

    def close(self) -> None:
        """End it and forget it."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):  # it ended before it had taken all
                pipe.close()


class Decoders:
    """Decodes in processes that are kept, as many as there are calls at a time; to be used as a context."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._idle:
            self._idle.pop().close()

    def decode(
        self, content: bytes, name: str = "the picture", *, max_pixels: int = MAX_PIXELS
    ) -> Picture:
        """Do what `images.decode` does; a decoder that crashes is an ImageError as well."""
        worker = self._taken()
        try:
            said, (samples, sealed) = worker.call(
                "decode", [content], name=name, max_pixels=max_pixels
            )
        except CodecError as error:
            raise ImageError(error.detail) from None
        except WorkerDiedError as error:
            raise ImageError(
                f"{name} made its decoder crash ({error}); open it in another program and save it anew"
            ) from None
        finally:
            if worker.alive:
                self._idle.append(worker)
            else:
                worker.close()
        picture: Picture = pickle.loads(sealed)
        return replace(picture, pixels=np.frombuffer(samples, said["dtype"]).reshape(said["shape"]))

    def _taken(self) -> Worker:
        while True:
            try:
                worker = self._idle.pop()
            except (
                IndexError
            ):  # asked for like this, since another thread may take the last one meanwhile
                return Worker()
            if worker.alive:
                return worker
            worker.close()


def inside() -> bool:
    """Return whether this is such a process."""
    return _inside


def main() -> None:
    """Do one task after the other until the parent is gone; what a process runs."""
    global _inside  # noqa: PLW0603 - what a process is shows in nothing else
    _inside = True
    with os.fdopen(os.dup(0), "rb") as tasks, os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever a library prints is no answer
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the parent as well
        warnings.simplefilter("ignore")
        _limit(int(sys.argv[1]) if sys.argv[1] else None)
        try:
            while True:
                task, frames = _receive(tasks)
                _send(answers, *_done(task, frames))
                del frames
        except (EOFError, OSError):
            os._exit(0)  # nothing is left to be said, nor anybody to hear it


_inside = False


def _send(pipe: Any, message: Message, frames: Frames) -> None:
    for frame in (json.dumps({**message, "frames": len(frames)}).encode(), *frames):
        pipe.write(_LENGTH.pack(memoryview(frame).nbytes))
        pipe.write(frame)
    pipe.flush()


def _receive(pipe: Any) -> tuple[Message, list[bytes]]:
    """Return a message and its frames.

    Raises:
        EOFError: Nobody is at the other end.
    """
    message: Message = json.loads(_frame(pipe))
    return message, [_frame(pipe) for _ in range(message["frames"])]


def _frame(pipe: BinaryIO) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    return _exactly(pipe, length)


def _exactly(pipe: BinaryIO, length: int) -> bytes:
    content = pipe.read(length)
    if len(content) != length:
        raise EOFError
    return content


def _done(task: Message, frames: Frames) -> tuple[Message, Frames]:
    try:
        return _TASKS[task["task"]](frames, task)
    except MemoryError:
        return _failure(Fault.NO_MEMORY, _TOO_LARGE), ()
    except ImageError as error:
        if isinstance(error.__cause__, MemoryError):
            return _failure(Fault.NO_MEMORY, _TOO_LARGE), ()
        fault = Fault.NOT_A_PICTURE if isinstance(error, NotAPictureError) else Fault.BROKEN
        return _failure(fault, str(error)), ()
    except Exception as error:  # whatever hostile bytes can make a decoder raise
        name = task.get("name", "the picture")
        return _failure(Fault.BROKEN, f"{name} cannot be read ({type(error).__name__})"), ()


def _failure(fault: Fault, detail: str) -> Message:
    return {"error": fault, "detail": detail}


def _look(frames: Frames, _task: Message) -> tuple[Message, Frames]:
    # The parent compares the size with its own limits, and in its own words.
    header = read_header(bytes(frames[0]), max_pixels=2**62)
    return {
        "format": header.format,
        "width": header.width,
        "height": header.height,
        "pixels": header.pixels,
    }, ()


def _decode(frames: Frames, task: Message) -> tuple[Message, Frames]:
    picture = decode(
        bytes(frames[0]), task.get("name", "the picture"), max_pixels=task["max_pixels"]
    )
    pixels = np.ascontiguousarray(picture.pixels)
    sealed = pickle.dumps(replace(picture, pixels=np.empty(0, pixels.dtype)))
    height, width = turned_back(pixels, picture.orientation).shape[:2]
    message = {"shape": pixels.shape, "dtype": pixels.dtype.name, "width": width, "height": height}
    return message, (pixels.data.cast("B"), sealed)


def _encode(frames: Frames, task: Message) -> tuple[Message, Frames]:
    samples, sealed = frames
    picture = pickle.loads(sealed)  # made by `_decode`
    pixels = np.frombuffer(samples, task["dtype"]).reshape(task["shape"])
    content = encode(replace(picture, pixels=pixels), pixels, task["format"])
    return {"notes": notes(picture, task["format"])}, (content,)


_TASKS: Mapping[str, Callable[[Frames, Message], tuple[Message, Frames]]] = {
    "look": _look,
    "decode": _decode,
    "encode": _encode,
}


def _limit(megabytes: int | None) -> None:
    """Bound what a picture can make this process take; Windows has no such limits."""
    try:
        import resource  # noqa: PLC0415
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if megabytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * 2**20, megabytes * 2**20))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
