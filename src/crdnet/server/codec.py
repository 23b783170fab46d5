"""What runs in the processes that decode and encode pictures, which may be hostile.

A process has a bounded address space and may write no file. It gets and gives messages: a line of JSON, then frames of
bytes. The parent unpickles nothing that comes from here: pixels are raw samples, and what is around them is a sealed
frame that the parent only hands back for encoding.
"""

import contextlib
import json
import pickle
import signal
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from crdnet import images
from crdnet.errors import ImageError

NOT_A_PICTURE, BROKEN, NO_MEMORY = "not a picture", "broken", "no memory"

Message = dict[str, Any]
Frames = Sequence[bytes | memoryview]


def send(connection: Connection, message: Message, frames: Frames) -> None:
    """Send a message and its frames."""
    connection.send_bytes(json.dumps({**message, "frames": len(frames)}).encode())
    for frame in frames:
        connection.send_bytes(frame)


def receive(connection: Connection) -> tuple[Message, list[bytes]]:
    """Return a message and its frames.

    Raises:
        EOFError: Nobody is at the other end.
    """
    message: Message = json.loads(connection.recv_bytes())
    return message, [connection.recv_bytes() for _ in range(message["frames"])]


def main(connection: Connection, megabytes: int) -> None:
    """Do one task after the other until the parent is gone."""
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # meant for the parent, which first finishes what it has begun
        signal.signal(number, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    _limit(megabytes)
    with contextlib.suppress(EOFError, OSError):
        while True:
            task, frames = receive(connection)
            send(connection, *_done(task, frames))
            del frames


def _done(task: Message, frames: Frames) -> tuple[Message, Frames]:
    try:
        return _TASKS[task["task"]](frames, task)
    except MemoryError:
        return _failure(NO_MEMORY, "the picture does not fit into the memory that one picture may take"), ()
    except ImageError as error:
        if isinstance(error.__cause__, MemoryError):
            return _failure(
                NO_MEMORY, "the picture does not fit into the memory that one picture may take"
            ), ()
        # A header that breaks off has a cause, and one that lies says so; what is left is no picture at all.
        broken = task["task"] != "look" or error.__cause__ is not None or "damaged" in str(error)
        return _failure(BROKEN if broken else NOT_A_PICTURE, str(error)), ()
    except Exception as error:  # whatever hostile bytes can make a decoder raise
        return _failure(BROKEN, f"the picture cannot be read ({type(error).__name__})"), ()


def _failure(kind: str, detail: str) -> Message:
    return {"error": kind, "detail": detail}


def _look(frames: Frames, _task: Message) -> tuple[Message, Frames]:
    # The parent compares the size with its own limits, and in its own words.
    header = images.read_header(bytes(frames[0]), max_pixels=2**62)
    return {
        "format": header.format,
        "width": header.width,
        "height": header.height,
        "pixels": header.pixels,
    }, ()


def _decode(frames: Frames, task: Message) -> tuple[Message, Frames]:
    picture = images.decode(bytes(frames[0]), max_pixels=task["max_pixels"])
    pixels = np.ascontiguousarray(picture.pixels)
    sealed = pickle.dumps(replace(picture, pixels=np.empty(0, pixels.dtype)))
    return {"shape": pixels.shape, "dtype": pixels.dtype.name}, (pixels.data.cast("B"), sealed)


def _encode(frames: Frames, task: Message) -> tuple[Message, Frames]:
    samples, sealed = frames
    picture = pickle.loads(sealed)  # made by `_decode`
    pixels = np.frombuffer(samples, task["dtype"]).reshape(task["shape"])
    content = images.encode(replace(picture, pixels=pixels), pixels, task["format"])
    return {"notes": images.notes(picture, task["format"])}, (content,)


_TASKS: Mapping[str, Callable[[Frames, Message], tuple[Message, Frames]]] = {
    "look": _look,
    "decode": _decode,
    "encode": _encode,
}


def _limit(megabytes: int) -> None:
    """Bound what a picture can make this process take; Windows has no such limits."""
    try:
        import resource  # noqa: PLC0415
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (megabytes * 2**20, megabytes * 2**20))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
