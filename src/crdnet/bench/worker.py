"""A process that does one thing over and over, as it is asked: `python -m crdnet.bench.worker TASK`.

TASK is JSON: {"limits": [["float32", "numpy"], ...], "threads": 2}, or {"model": "default", "device": "cpu",
"threads": 2, "picture": "rainy.npy"}. The process says what it is once it is ready (a derainer, after its first
picture), reads from standard input what to do, a line each, and answers each with a line of JSON.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from crdnet.bench.process import MEMORY, NETWORK, PICTURE
from crdnet.errors import CRDNetError

Calls = Mapping[str, Callable[[], object]]


def main(task: Mapping[str, Any]) -> None:
    """Get ready, say so, and do as asked until standard input ends."""
    # Whatever libraries print goes to standard error; the answers alone go where we are read.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)

        def answer(content: Any) -> None:
            answers.write(json.dumps(content) + "\n")
            answers.flush()

        try:
            said, calls = _limits(task) if "limits" in task else _derainer(task)
            answer(said)
            for line in sys.stdin:
                if line.strip() == MEMORY:
                    answer(peak_memory())
                else:
                    calls[line.strip()]()
                    answer(None)
        except CRDNetError as error:
            answer({"error": str(error)})


def peak_memory() -> int | None:
    """Return the peak of this process's resident memory in bytes; None where it is not told (VmHWM, Linux)."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return None
    return next(
        (1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")),
        None,
    )


def _limits(task: Mapping[str, Any]) -> tuple[Any, Calls]:
    from crdnet.bench.limits import limit_call  # noqa: PLC0415 - a derainer's start is timed, and needs none

    calls = {" ".join(limit): limit_call(tuple(limit), task["threads"]) for limit in task["limits"]}
    return None, calls


def _derainer(task: Mapping[str, Any]) -> tuple[Any, Calls]:
    import numpy as np  # noqa: PLC0415

    from crdnet.pipeline import Derainer  # noqa: PLC0415

    rainy = np.load(task["picture"])
    derainer = Derainer(task["model"], task["device"], task["threads"])
    derainer.run(rainy)
    session = derainer.session

    @cache
    def colours() -> Any:
        return rainy.astype(np.float32) / 255

    return {"device": session.device, "engine": session.engine}, {
        PICTURE: lambda: derainer.run(rainy),
        NETWORK: lambda: derainer.estimate(colours(), scale=1.0),
    }


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
