"""Decoding and encoding in subprocesses, so that a file that crashes a decoder ends only that one.

A worker exchanges messages on its pipes: JSON, then frames of bytes. The parent unpickles nothing
that comes from a worker: pixels are raw samples, and everything else of an image is a sealed frame,
which the parent sends back for encoding and only a worker opens. For untrusted files, the address
space of a worker is limited and it cannot write files.
"""

import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from math import prod
from threading import Lock, Timer
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from crdnet.errors import ImageError
from crdnet.images.codec import Output
from crdnet.images.headers import Header
from crdnet.images.picture import Pixels
from crdnet.images.reading import decode
from crdnet.images.source import ImageSource
from crdnet.images.writing import encode, notes

Message = dict[str, Any]
Frames = Sequence[bytes | memoryview]

_ENTRY = "from crdnet.images.worker import main; main()"
_LENGTH = struct.Struct("<Q")
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "VIPS_CONCURRENCY": "1"}
"""Thread pools take address space, and the CPUs are needed for the network."""
_TOO_LARGE = "the image does not fit into the memory that one image may take"


class Fault(StrEnum):
    """Reason why an image cannot be decoded or encoded."""

    BROKEN = "broken"
    NO_MEMORY = "no memory"
    DIED = "died"


class CodecError(ImageError):
    """A worker could not decode or encode an image."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault, self.detail = fault, detail

    def __reduce__(self) -> tuple[type["CodecError"], tuple[Fault, str]]:
        """Pickle the error as its arguments."""
        return type(self), (self.fault, self.detail)


class WorkerDiedError(Exception):
    """A worker ended or was killed during a task."""


class Worker:
    """Worker process. Its calls block; make only one at a time.

    Args:
        megabytes: Limit of the address space, for untrusted files; the process can then not write
            files either. None is no limit.
    """

    def __init__(self, megabytes: int | None = None) -> None:
        # Use the parent's import path; -P keeps modules of the current folder out.
        code = f"import sys; sys.path[:] = {sys.path!a}; {_ENTRY}"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, str(megabytes or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | _ONE_THREAD,
            process_group=0,  # Ctrl-C reaches only the parent, which first finishes its tasks
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
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process can take another task."""
        return not self._killed and self._process.poll() is None

    def call(self, task: str, frames: Frames, **fields: Any) -> tuple[Message, list[bytes]]:
        """Run one task; `kill` from another thread aborts it.

        Args:
            task: "decode" or "encode".
            frames: Input bytes of the task.
            fields: Other arguments of the task, as JSON values.

        Raises:
            CodecError: The image cannot be decoded or encoded.
            WorkerDiedError: The process crashed or was killed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _send(self._process.stdin, {"task": task, **fields}, frames)
            message, results = _receive(self._process.stdout)
        except (EOFError, OSError) as error:
            self.kill()
            raise WorkerDiedError(f"ended with {self._process.wait()}") from error
        if "error" in message:
            raise CodecError(Fault(message["error"]), message["detail"])
        return message, results

    def kill(self) -> None:
        """Kill the process."""
        self._killed = True
        self._process.kill()

    def close(self) -> None:
        """Kill the process and close its pipes."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):  # the process ended before it read everything
                pipe.close()


@dataclass(frozen=True)
class SealedImage:
    """Image decoded by a worker."""

    pixels: Pixels
    """Upright pixels, without alpha."""
    sealed: bytes
    """Everything else of the image, pickled; only a worker opens it."""


class WorkerCodec:
    """Codec that works in a pool of worker processes, one for each simultaneous call.

    It is a context manager and thread-safe.

    Args:
        megabytes: Limit of the address space of each worker, see `Worker`; None is no limit.
        seconds: Limit for one task, after which its worker is killed; None is no limit.
    """

    def __init__(self, *, megabytes: int | None = None, seconds: float | None = None) -> None:
        self._megabytes, self._seconds = megabytes, seconds
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._lock = Lock()
        self.replaced = 0
        """Number of workers that died and were replaced."""

    def __enter__(self) -> "WorkerCodec":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._idle:
            self._idle.pop().close()

    def start(self) -> None:
        """Start a worker now instead of at the first call."""
        self._idle.append(Worker(self._megabytes))

    def stop(self) -> None:
        """Kill the busy workers; their calls raise an error."""
        with self._lock:
            for worker in self._busy:
                worker.kill()

    def decode(self, source: ImageSource) -> SealedImage:
        """Return the decoded image; see `crdnet.images.Codec`. A crash raises an ImageError too."""
        header = source.header
        said, (samples, sealed) = self._call(
            "decode", [source.content], name=source.name, header=asdict(header)
        )
        shape, dtype = tuple(said["shape"]), np.dtype(said["dtype"])
        # A cropped HEIC has fewer pixels than its header says.
        if prod(shape[:2]) > header.width * header.height or prod(shape) * dtype.itemsize != len(
            samples
        ):
            raise CodecError(
                Fault.BROKEN, f"{source.name} is larger than its header says; save it anew"
            )
        return SealedImage(np.frombuffer(samples, dtype).reshape(shape), sealed)

    def encode(
        self,
        image: SealedImage,
        pixels: Pixels,
        output: Output,
        *,
        format: str | None = None,  # noqa: A002
        quality: int | None = None,
        name: str = "the image",
    ) -> tuple[str, ...]:
        """Encode new pixels with the metadata of an image; see `crdnet.images.Codec`."""
        said, (content,) = self._call(
            "encode",
            [np.ascontiguousarray(pixels).data.cast("B"), image.sealed],
            shape=pixels.shape,
            dtype=pixels.dtype.name,
            format=format,
            quality=quality,
            name=name,
        )
        with output() as file:
            file.write(content)
        return tuple(said["notes"])

    def _call(
        self, task: str, frames: Frames, *, name: str, **fields: Any
    ) -> tuple[Message, list[bytes]]:
        with self._worker() as worker:
            try:
                return worker.call(task, frames, name=name, **fields)
            except WorkerDiedError as error:
                raise CodecError(
                    Fault.DIED,
                    f"{name} made its decoder crash ({error}); "
                    "open it in another program and save it anew",
                ) from error

    @contextmanager
    def _worker(self) -> Iterator[Worker]:
        """Take a worker from the pool, kill it on timeout, and return or replace it afterwards."""
        worker = self._take()
        timer = None if self._seconds is None else Timer(self._seconds, worker.kill)
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            yield worker
        finally:
            if timer is not None:
                timer.cancel()
                timer.join()  # otherwise it could kill the worker during its next task
            with self._lock:
                self._busy.discard(worker)
            if worker.alive:
                self._idle.append(worker)
            else:
                self._replace(worker)

    def _take(self) -> Worker:
        while True:
            try:
                worker = self._idle.pop()  # checking first would race with other threads
            except IndexError:
                worker = Worker(self._megabytes)
            if worker.alive:
                with self._lock:
                    self._busy.add(worker)
                return worker
            self._replace(worker)

    def _replace(self, worker: Worker) -> None:
        worker.close()
        self.replaced += 1
        self._idle.append(Worker(self._megabytes))


def main() -> None:
    """Run tasks until the parent ends; entry point of a worker process."""
    with os.fdopen(os.dup(0), "rb") as tasks, os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # keep output that a library prints out of the answers
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent decides when to stop
        warnings.simplefilter("ignore")
        _limit(int(sys.argv[1]) if sys.argv[1] else None)
        try:
            while True:
                task, frames = _receive(tasks)
                _send(answers, *_done(task, frames))
                del frames
        except (EOFError, OSError):
            os._exit(0)  # the parent is gone


def _send(pipe: Any, message: Message, frames: Frames) -> None:
    for frame in (json.dumps({**message, "frames": len(frames)}).encode(), *frames):
        pipe.write(_LENGTH.pack(memoryview(frame).nbytes))
        pipe.write(frame)
    pipe.flush()


def _receive(pipe: Any) -> tuple[Message, list[bytes]]:
    """Return a message and its frames.

    Raises:
        EOFError: The other end closed the pipe.
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
        return _failure(Fault.BROKEN, str(error)), ()
    except Exception as error:  # hostile bytes can make a decoder raise anything
        return _failure(Fault.BROKEN, f"{task['name']} cannot be read ({type(error).__name__})"), ()


def _failure(fault: Fault, detail: str) -> Message:
    return {"error": fault, "detail": detail}


def _decode(frames: Frames, task: Message) -> tuple[Message, Frames]:
    image = decode(bytes(frames[0]), task["name"], header=Header(**task["header"]))
    pixels = np.ascontiguousarray(image.pixels)
    sealed = pickle.dumps(replace(image, pixels=np.empty(0, pixels.dtype)))
    return {"shape": pixels.shape, "dtype": pixels.dtype.name}, (pixels.data.cast("B"), sealed)


def _encode(frames: Frames, task: Message) -> tuple[Message, Frames]:
    samples, sealed = frames
    pixels = np.frombuffer(samples, task["dtype"]).reshape(task["shape"])
    image = replace(pickle.loads(sealed), pixels=pixels)  # sealed by `_decode`
    content = encode(image, pixels, task["format"], quality=task["quality"], name=task["name"])
    return {"notes": notes(image, task["format"])}, (content,)


_TASKS: Mapping[str, Callable[[Frames, Message], tuple[Message, Frames]]] = {
    "decode": _decode,
    "encode": _encode,
}


def _limit(megabytes: int | None) -> None:
    """Limit the resources of this process; does nothing on Windows."""
    try:
        import resource  # noqa: PLC0415
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if megabytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * 2**20, megabytes * 2**20))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
