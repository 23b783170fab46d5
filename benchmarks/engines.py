"""What each engine costs from its import to the hundredth picture, in processor time and memory.

    python benchmarks/engines.py                              all devices that work here, `default`

Contract: each device in a process of its own, on one thread. Times are the process's processor time, which others
on the machine disturb much less than the clock: import and opening of the model; the first run at 512 x 512; the
first run at sizes that were not seen before; and runs that are repeated, of which the median counts, before and after
an engine has prepared for a size that comes again. Memory is the process's peak after each.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any

import click
import numpy as np

SIDE = 512
NEW_SIZES = ((256, 256), (128, 128), (480, 640), (256, 336), (128, 176))
FEW, MANY = 5, 20
"""Repeated runs before and after an engine has prepared for the size."""
LARGE = (2048, 4096)


def measure(device: str, model: str) -> dict[str, Any]:
    """Return what an engine costs in this process: milliseconds, and megabytes."""
    began = process_time()
    from crdnet.runtime import Session, find_model  # noqa: PLC0415 - the import is timed

    session = Session(find_model(model), device, threads=1)
    opened = process_time() - began
    rng = np.random.default_rng(0)

    def run(height: int, width: int) -> Callable[[], object]:
        rainy = rng.random((height, width, 3), dtype=np.float32)
        return lambda: session(rainy)

    same = run(SIDE, SIDE)
    found: dict[str, Any] = {
        "engine": session.engine,
        "open": 1000 * opened,
        "first": _milliseconds(same),
    }
    found["again"] = median(_milliseconds(same) for _ in range(FEW))
    found["extra for a new size"] = median(_extra(run(*size)) for size in NEW_SIZES)
    for _ in range(MANY):
        same()
    found["much later"] = median(_milliseconds(same) for _ in range(FEW))
    found["memory"] = _peak()
    run(*LARGE)()
    found["memory of 8 megapixels"] = _peak()
    return found


def _extra(call: Callable[[], object]) -> float:
    first = _milliseconds(call)
    return first - median(_milliseconds(call) for _ in range(FEW))


def _milliseconds(call: Callable[[], object]) -> float:
    began = process_time()
    call()
    return 1000 * (process_time() - began)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@click.command()
@click.option(
    "-m", "--model", default="default", show_default=True, help="Name of a model or path of a file."
)
@click.option("-d", "--device", help="Measure this one in this process, and print JSON.")
def main(model: str, device: str | None) -> None:
    """Tell what each engine costs, in processor time and memory."""
    if device is not None:
        print(json.dumps(measure(device, model)))
        return
    from crdnet.runtime import installed_devices  # noqa: PLC0415 - as above

    for each in installed_devices():
        command = [sys.executable, __file__, "--model", model, "--device", each]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        print(found.pop("engine"))
        for name, value in found.items():
            print(f"{value:10.0f} {'MB' if name.startswith('memory') else 'ms'}  {name}")


if __name__ == "__main__":
    main()
