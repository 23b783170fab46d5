"""Process that repeats one task on request: `python -m crdnet.bench.worker TASK`.

TASK is JSON: {"limits": [["float32", "numpy"], ...], "threads": 2}, or {"model": "default",
"device": "cpu", "threads": 2, "rainy": "rainy.npy"}, or the same with "task": "fuse". The process
writes a description of itself once it is ready (a derainer, after its first image). It then reads
requests from standard input, one per line, and answers each with a line of JSON.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from crdnet.bench.process import IMAGE, MEMORY, NETWORK
from crdnet.errors import CRDNetError

Calls = Mapping[str, Callable[[], object]]


def main(task: Mapping[str, Any]) -> None:
    """Prepare the task, describe it, and answer requests until standard input ends."""
    # Libraries print to file descriptor 1 too, which becomes standard error; a copy of the original
    # is for answers alone.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)

        def answer(content: Any) -> None:
            answers.write(json.dumps(content) + "\n")
            answers.flush()

        try:
            if "limits" in task:
                description, calls = _prepare_limits(task)
            elif task.get("task") == "fuse":
                description, calls = _open_fusion(task)
            else:
                description, calls = _open_derainer(task)
            answer(description)
            for line in sys.stdin:
                if line.strip() == MEMORY:
                    answer(read_peak_memory())
                else:
                    calls[line.strip()]()
                    answer(None)
        except CRDNetError as error:
            answer({"error": str(error)})


def read_peak_memory() -> int | None:
    """Return the peak resident memory of this process in bytes (VmHWM); None except on Linux."""
    # getrusage() may include the peak of the parent process, from before exec().
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return None
    return next(
        (1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")),
        None,
    )


def _prepare_limits(task: Mapping[str, Any]) -> tuple[Any, Calls]:
    # Imported here, since the start of a derainer is timed and must not include this.
    from crdnet.bench.limits import make_limit_call  # noqa: PLC0415

    calls = {
        " ".join(limit): make_limit_call(tuple(limit), task["threads"]) for limit in task["limits"]
    }
    return None, calls


def _open_derainer(task: Mapping[str, Any]) -> tuple[Any, Calls]:
    # Imported here, since a worker for limits needs neither.
    import numpy as np  # noqa: PLC0415

    from crdnet.pipeline import Derainer  # noqa: PLC0415

    rainy = np.load(task["rainy"])
    derainer = Derainer(task["model"], task["device"], task["threads"])
    # The first run belongs to the start: the parent process times it until the description comes.
    derainer.run(rainy)
    session = derainer.session

    # Made on the first request for the network alone, which comes after the peak memory is read.
    @cache
    def convert_colours() -> Any:
        return rainy.astype(np.float32) / 255

    return {"device": session.device, "engine": session.engine}, {
        IMAGE: lambda: derainer.run(rainy),
        NETWORK: lambda: derainer.estimate(convert_colours(), scale=1.0),
    }


def _open_fusion(task: Mapping[str, Any]) -> tuple[Any, Calls]:
    # Imported here, since a worker for limits needs neither.
    import numpy as np  # noqa: PLC0415
    import onnxruntime as ort  # noqa: PLC0415

    from crdnet.bench.cost import make_black_input  # noqa: PLC0415
    from crdnet.runtime import FUSE, find_model, read_info  # noqa: PLC0415
    from crdnet.sizes import round_up_size  # noqa: PLC0415

    model = find_model(Path(task["model"]), task=FUSE)
    height, width = np.load(task["rainy"]).shape[:2]
    images = make_black_input(model, *round_up_size(height, width, read_info(model).size_multiple))
    options = ort.SessionOptions()
    options.intra_op_num_threads = task["threads"]
    session = ort.InferenceSession(model.read(), options, providers=["CPUExecutionProvider"])
    engine = f"onnxruntime {ort.__version__}, float32"
    return {"device": "cpu", "engine": engine}, {NETWORK: lambda: session.run(None, images)}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
