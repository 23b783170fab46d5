"""Time of the models on each engine against the published network in PyTorch.

Contract: one image at a time, the same drawn image for all. PyTorch runs the published network
eagerly on the CPU in float32 under `inference_mode`, in evaluation mode, with its default
(contiguous) memory layout, as a user of the published code does. Its weights are random, because
weights do not change the time. For each model on each device, two tasks are timed: the network
alone, from colours in memory to colours in memory, padding included; and `Derainer.run` on uint8,
with sensing at several scales. Each runs in a separate process. All take turns, so that a slow
moment slows all, and the first rounds are discarded. Results are medians and quartiles, and the
ratio to PyTorch in the same round. The measurement is repeated several times with new processes
(except that of PyTorch), because two processes of one program differ too. PyTorch and the engines
get the same number of threads.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.helpers import Rgb
from crdnet.bench import (
    IMAGE,
    NETWORK,
    Timing,
    WorkerProcess,
    draw_rainy_image,
    format_machine,
    inspect_machine,
    time_in_turns,
)
from crdnet.nn import build_crdnet
from crdnet.runtime import find_model
from crdnet.sizes import pad_to_multiple

WARM_UP_ROUNDS = 5
PUBLISHED = "published, PyTorch eager"
TASKS = {"network": NETWORK, "as used": IMAGE}
"""Tasks timed for each model and device: title, and name in the protocol of the workers."""


def open_torch_network(rainy: Rgb, threads: int) -> Callable[[], object]:
    """Return a call that runs the published network in PyTorch on an image."""
    import torch  # noqa: PLC0415 - slow to import, and only this needs it

    torch.set_num_threads(threads)
    network = build_crdnet().eval()
    colours = rainy.astype(np.float32) / 255

    def derain() -> npt.NDArray[np.float32]:
        padded = pad_to_multiple(colours, network.size_multiple)
        batch = torch.from_numpy(np.ascontiguousarray(padded.transpose(2, 0, 1))[None])
        with torch.inference_mode():
            result: npt.NDArray[np.float32] = network(batch)[0].permute(1, 2, 0).numpy()
        return result[: rainy.shape[0], : rainy.shape[1]]

    return derain


def measure(
    models: Sequence[str], devices: Sequence[str], size: int, threads: int, rounds: int, runs: int
) -> dict[str, Any]:
    """Return the report: machine, settings, and times and ratios by name, PyTorch's last."""
    place = inspect_machine()
    seconds: dict[str, list[float]] = {}
    for _ in range(runs):
        for name, each in _time_once(models, devices, size, threads, rounds).items():
            seconds.setdefault(name, []).extend(each)
    return {
        "machine": place,
        "size": size,
        "threads": threads,
        "rounds": runs * rounds,
        "timings": {name: Timing.from_seconds(each).to_dict() for name, each in seconds.items()},
        "ratios": {name: compute_ratio(seconds[PUBLISHED], each) for name, each in seconds.items()},
    }


def _time_once(
    models: Sequence[str], devices: Sequence[str], size: int, threads: int, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of each round by name, of processes that are started for it."""
    rainy = draw_rainy_image(size, size)
    calls: dict[str, Callable[[], object]] = {}
    with TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "rainy.npy"
        np.save(path, rainy)
        for model in map(find_model, models):
            for device in devices:
                task = {
                    "model": str(model.path),
                    "device": device,
                    "threads": threads,
                    "rainy": str(path),
                }
                worker = stack.enter_context(WorkerProcess(task))
                for title, task_name in TASKS.items():
                    calls[f"{model.name}, {device}, {title}"] = partial(worker.ask, task_name)
        calls[PUBLISHED] = open_torch_network(rainy, threads)
        return dict(
            zip(calls, time_in_turns(list(calls.values()), rounds, WARM_UP_ROUNDS), strict=True)
        )


def compute_ratio(baseline: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    """Return how many times as fast ours is, by round: the median and the quartiles."""
    ratios = np.asarray(baseline) / np.asarray(ours)
    lower, median, upper = np.percentile(ratios, [25, 50, 75]).tolist()
    return {"median": median, "lower_quartile": lower, "upper_quartile": upper}


def format_latency(report: dict[str, Any]) -> str:
    """Return the report as a table."""
    place = report["machine"]
    lines = [
        format_machine(place),
        ", ".join(f"{name} {version}" for name, version in place["versions"].items()),
        f"{report['size']} x {report['size']}, {report['threads']} threads, "
        f"{report['rounds']} rounds",
        "",
        f"{Timing.HEADER} {'times as fast as PyTorch':>25}",
    ]
    for name, timing in report["timings"].items():
        ratio = report["ratios"][name]
        spread = (
            f"{ratio['median']:.2f} [{ratio['lower_quartile']:.2f}, {ratio['upper_quartile']:.2f}]"
        )
        lines.append(f"{Timing(**timing).format_row(name)} {spread:>25}")
    return "\n".join(lines)
