"""Decoding and encoding in subprocesses, so that a crash of a decoder ends only one process.

The parent and a worker exchange messages on pipes: a line of JSON, then frames of bytes. The parent
never unpickles data of a worker: pixels are raw samples, and the rest of an image is a sealed
frame, which the parent passes to a worker for encoding and only a worker opens. For untrusted
files, the address space of a worker is limited and it cannot write files.
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
from threading import Event, Lock, Timer
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from crdnet.errors import CRDNetError, ImageError
from crdnet.images.decoded import Pixels
from crdnet.images.headers import Header
from crdnet.images.reading import decode_source
from crdnet.images.source import ImageSource
from crdnet.images.writing import Output, encode, list_notes

Message = dict[str, Any]
Frames = Sequence[bytes | memoryview]

_ENTRY = "from crdnet.images.worker import main; main()"
_LENGTH = struct.Struct("<Q")
# Thread pools need address space, and the network needs the CPUs.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "VIPS_CONCURRENCY": "1"}
# libvips stores images above this size in a temporary file, by default above 100 MB; a worker that
# cannot write files keeps them in memory.
_NO_FILES = {"VIPS_DISC_THRESHOLD": "1000g"}
_STOPPED = "stopped before the image was done"
# Signals by which other processes end a worker; a crash causes different ones.
_KILLING = (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM))
_TOO_LARGE = "the image does not fit into the memory that one image may take"


class Fault(StrEnum):
    """Reason for which an image cannot be decoded or encoded."""

    BROKEN = "broken"
    NO_MEMORY = "no memory"
    DIED = "died"
    """The decoder crashed."""
    INTERRUPTED = "interrupted"
    """The worker timed out or was killed from outside; the image may be sound."""


class CodecError(ImageError):
    """Error for an image that a worker could not decode or encode."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault, self.detail = fault, detail

    def __reduce__(self) -> tuple[type["CodecError"], tuple[Fault, str]]:
        """Pickle the arguments only."""
        return type(self), (self.fault, self.detail)


class WorkerDiedError(Exception):
    """Error for a worker that crashed or was killed while it processed an image.

    Args:
        status: Exit status of the worker, negative for a signal.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"ended with {status}")
        self.status = status


class Worker:
    """Subprocess that decodes and encodes; calls block, and only one may run at a time.

    Args:
        megabytes: Limit of the address space, for untrusted files; with a limit, the worker cannot
            write files either. None sets no limit.
    """

    def __init__(self, megabytes: int | None = None) -> None:
        # The worker imports crdnet from the same path; -P keeps the current folder off its path.
        code = f"import sys; sys.path[:] = {sys.path!a}; {_ENTRY}"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, str(megabytes or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | _ONE_THREAD | ({} if megabytes is None else _NO_FILES),
            process_group=0,  # Ctrl-C must reach only the parent, which finishes its running jobs
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
        """Process identifier."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """True if the worker can take another task."""
        return not self._killed and self._process.poll() is None

    def call(self, task: str, frames: Frames, **fields: Any) -> tuple[Message, list[bytes]]:
        """Run one task in the worker and return its answer; `kill` from another thread ends it.

        Args:
            task: "decode" or "encode".
            frames: Binary data of the task.
            fields: Parameters of the task, as JSON values.

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
            raise WorkerDiedError(self._process.wait()) from error
        if "error" in message:
            raise CodecError(Fault(message["error"]), message["detail"])
        return message, results

    def kill(self) -> None:
        """Kill the process at once, even during a task."""
        self._killed = True
        self._process.kill()

    def close(self) -> None:
        """End the process and release its pipes."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):  # the worker ended before it had read everything
                pipe.close()


@dataclass(frozen=True)
class SealedImage:
    """Image decoded by a worker."""

    pixels: Pixels
    """Upright pixels, without alpha."""
    sealed: bytes
    """Rest of the image, pickled; only a worker opens it."""


class WorkerCodec:
    """Codec that works in worker processes: one for each simultaneous call, reused by later calls.

    Use it as a context manager. It is thread-safe.

    Args:
        megabytes: Limit of the address space of each worker, see `Worker`; None sets no limit.
        seconds: Longest time for one task, after which the worker is killed; None sets no limit.
    """

    def __init__(self, *, megabytes: int | None = None, seconds: float | None = None) -> None:
        self._megabytes, self._seconds = megabytes, seconds
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._lock = Lock()
        self._halted = False
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
        """Start a worker before the first call."""
        self._idle.append(Worker(self._megabytes))

    def stop(self) -> None:
        """Kill the busy workers; their calls raise an error."""
        with self._lock:
            for worker in self._busy:
                worker.kill()

    def halt(self) -> None:
        """Stop, and make every later call raise an error until `resume`."""
        with self._lock:
            self._halted = True
        self.stop()

    def resume(self) -> None:
        """Accept calls again after `halt`."""
        self._halted = False

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
                Fault.BROKEN, f"{source.name} is larger than its header states; save it again"
            )
        return SealedImage(np.frombuffer(samples, dtype).reshape(shape), sealed)

    def encode(
        self,
        image: SealedImage,
        pixels: Pixels,
        output: Output,
        *,
        format: str | None = None,
        quality: int | None = None,
        name: str = "the image",
    ) -> tuple[str, ...]:
        """Encode new pixels with the format and metadata of an image; see `crdnet.images.Codec`."""
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
        with self._borrow_worker() as (worker, is_expired):
            try:
                return worker.call(task, frames, name=name, **fields)
            except WorkerDiedError as error:
                raise self._explain(error, task, name, is_expired()) from error

    def _explain(
        self, error: WorkerDiedError, task: str, name: str, is_expired: bool
    ) -> CRDNetError:
        """Return the error to raise for a worker that ended."""
        if self._halted:
            return CRDNetError(_STOPPED)
        if is_expired:
            return CodecError(
                Fault.INTERRUPTED,
                f"{name} took more than {self._seconds:g} seconds to {task}; send it again when "
                "the machine is less busy, or a smaller one",
            )
        if task == "encode" or -error.status in _KILLING:
            return CodecError(
                Fault.INTERRUPTED,
                f"the process that should {task} {name} was killed ({error}), perhaps for lack of "
                "memory; try again",
            )
        return CodecError(
            Fault.DIED,
            f"the decoder crashed on {name} ({error}); open it in another program and save it "
            "again",
        )

    @contextmanager
    def _borrow_worker(self) -> Iterator[tuple[Worker, Callable[[], bool]]]:
        """Provide a worker during the context; kill it after the time limit; keep or replace it.

        Yields:
            The worker, and a function that returns whether it timed out.
        """
        worker = self._take()
        expired = Event()

        def expire() -> None:
            expired.set()
            worker.kill()

        timer = None if self._seconds is None else Timer(self._seconds, expire)
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            yield worker, expired.is_set
        finally:
            if timer is not None:
                timer.cancel()
                timer.join()  # otherwise it might kill the worker during its next task
            with self._lock:
                self._busy.discard(worker)
            if worker.alive:
                self._idle.append(worker)
            else:
                self._replace(worker)

    def _take(self) -> Worker:
        while True:
            try:
                worker = self._idle.pop()  # another thread may take the last one meanwhile
            except IndexError:
                worker = Worker(self._megabytes)
            if worker.alive:
                with self._lock:
                    if self._halted:
                        self._idle.append(worker)
                        raise CRDNetError(_STOPPED)
                    self._busy.add(worker)
                return worker
            self._replace(worker)

    def _replace(self, worker: Worker) -> None:
        worker.close()
        self.replaced += 1
        self._idle.append(Worker(self._megabytes))


def main() -> None:
    """Run tasks until the parent ends; main program of a worker."""
    with os.fdopen(os.dup(0), "rb") as tasks, os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # output printed by libraries must not reach the pipe
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent handles it and ends the worker
        warnings.simplefilter("ignore")
        _limit(int(sys.argv[1]) if sys.argv[1] else None)
        try:
            while True:
                task, frames = _receive(tasks)
                _send(answers, *_do(task, frames))
                del frames
        except (EOFError, OSError):
            os._exit(0)  # the parent has ended


def _send(pipe: Any, message: Message, frames: Frames) -> None:
    for frame in (json.dumps({**message, "frames": len(frames)}).encode(), *frames):
        pipe.write(_LENGTH.pack(memoryview(frame).nbytes))
        pipe.write(frame)
    pipe.flush()


def _receive(pipe: Any) -> tuple[Message, list[bytes]]:
    """Return a message and its frames.

    Raises:
        EOFError: The other end of the pipe is closed.
    """
    message: Message = json.loads(_receive_frame(pipe))
    return message, [_receive_frame(pipe) for _ in range(message["frames"])]


def _receive_frame(pipe: BinaryIO) -> bytes:
    (length,) = _LENGTH.unpack(_read_exactly(pipe, _LENGTH.size))
    return _read_exactly(pipe, length)


def _read_exactly(pipe: BinaryIO, length: int) -> bytes:
    content = pipe.read(length)
    if len(content) != length:
        raise EOFError
    return content


def _do(task: Message, frames: Frames) -> tuple[Message, Frames]:
    try:
        return _TASKS[task["task"]](frames, task)
    except MemoryError:
        return _make_failure(Fault.NO_MEMORY, _TOO_LARGE), ()
    except ImageError as error:
        if isinstance(error.__cause__, MemoryError):
            return _make_failure(Fault.NO_MEMORY, _TOO_LARGE), ()
        return _make_failure(Fault.BROKEN, str(error)), ()
    except Exception as error:  # hostile bytes can make a decoder raise any error
        return _make_failure(
            Fault.BROKEN, f"{task['name']} cannot be read ({type(error).__name__})"
        ), ()


def _make_failure(fault: Fault, detail: str) -> Message:
    return {"error": fault, "detail": detail}


def _decode(frames: Frames, task: Message) -> tuple[Message, Frames]:
    header = Header(**task["header"])
    image = decode_source(ImageSource(bytes(frames[0]), task["name"], header=header))
    pixels = np.ascontiguousarray(image.pixels)
    sealed = pickle.dumps(replace(image, pixels=np.empty(0, pixels.dtype)))
    return {"shape": pixels.shape, "dtype": pixels.dtype.name}, (pixels.data.cast("B"), sealed)


def _encode(frames: Frames, task: Message) -> tuple[Message, Frames]:
    samples, sealed = frames
    pixels = np.frombuffer(samples, task["dtype"]).reshape(task["shape"])
    image = replace(pickle.loads(sealed), pixels=pixels)  # sealed by `_decode`
    content = encode(image, pixels, task["format"], quality=task["quality"], name=task["name"])
    return {"notes": list_notes(image, task["format"])}, (content,)


_TASKS: Mapping[str, Callable[[Frames, Message], tuple[Message, Frames]]] = {
    "decode": _decode,
    "encode": _encode,
}


def _limit(megabytes: int | None) -> None:
    """Limit the memory of this process; Windows has no such limits."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if megabytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * 2**20, megabytes * 2**20))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
