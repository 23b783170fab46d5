"""Trace one JPEG through `crdnet derain street.jpg --always`, and print its stops.

    python -m tools.trace_route

A stop is a function of crdnet that is a step of the route, or that is on the call stack between the
command and a step. `ARCHITECTURE.md` lists the stops; a test compares the two.
"""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import numpy as np
from PIL import Image

import crdnet

PACKAGE = str(Path(crdnet.__file__).parent)
COMMAND = "derain.command"
STEPS = (
    "inputs.find_inputs",
    "resume.sort_outputs",
    "headers.read_header",
    "source.ImageSource.content",
    "reading.decode_source",
    "network.Network.sense",
    "network.Network.derain",
    "writing.encode_into",
    "files.open_whole",
)
"""Steps of the route: find, resume, parse, read, decode, sense, derain, encode, write."""


def trace_stops() -> list[str]:
    """Derain one JPEG, and return the stops as `module.function`, in the order of their calls.

    Raises:
        RuntimeError: A step was not reached, because its name is outdated.
    """
    stops: dict[str, None] = {}
    seen: set[str] = set()
    main = threading.get_ident()

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        # The cheapest test first, because every call of every library gets here.
        if event != "call" or not frame.f_code.co_filename.startswith(PACKAGE):
            return
        name = _name_stop(frame)
        if name not in STEPS or name in seen:
            return
        seen.add(name)
        # A job runs in a worker thread; its callers are on the stack of the waiting main thread.
        waiting = [] if threading.get_ident() == main else list(_climb(sys._current_frames()[main]))
        path = [*reversed(waiting), *reversed(list(_climb(frame)))]
        stops.update(dict.fromkeys(path[path.index(COMMAND) + 1 :]))

    with TemporaryDirectory() as folder:
        street = Path(folder) / "street.jpg"
        rng = np.random.default_rng(0)
        Image.fromarray(rng.integers(0, 256, (96, 128, 3), np.uint8)).save(street)
        _run_traced(["derain", str(street), "--always", "--quiet"], note)
    if missing := [step for step in STEPS if step not in seen]:
        raise RuntimeError(f"the route does not reach {', '.join(missing)}; correct STEPS")
    return [COMMAND, *stops]


def _run_traced(arguments: list[str], note: Any) -> None:
    from crdnet.cli.main import cli  # noqa: PLC0415 - the tracer must see it work, not load

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        cli(arguments, standalone_mode=False)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def _climb(frame: FrameType | None) -> Iterator[str]:
    """Yield the functions of crdnet on a call stack, the innermost first."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE) and frame.f_code.co_name[0] != "<":
            yield _name_stop(frame)
        frame = frame.f_back


def _name_stop(frame: FrameType) -> str:
    module = Path(frame.f_code.co_filename).stem
    return f"{module}.{frame.f_code.co_qualname.replace('.<locals>', '')}"


if __name__ == "__main__":
    for number, stop in enumerate(trace_stops(), 1):
        print(f"{number:2} {stop}")
