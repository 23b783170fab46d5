"""How long the models take on each engine, against the published network in PyTorch.

    python benchmarks/latency.py                              512 x 512, two threads, `default` and `paper`
    python benchmarks/latency.py -m paper --size 1024 --threads 1 --json

Contract: one picture at a time, the same drawn picture for all. PyTorch runs the published network eagerly on the CPU
in float32 under `inference_mode`, in evaluation mode, with its default (contiguous) memory layout: what a user of the
published code has. Of each model on each device two things are timed: the network alone, from colours in memory to
colours in memory, without files but with padding where the size asks for it; and the whole of `Derainer.run` on uint8,
which looks at the picture at several sizes where the model senses rain. Each is a process of its own; all take turns,
so that a machine that slows down slows all, and what the first rounds cost is thrown away. Printed are medians and the
range between the quartiles, and how many times as fast as PyTorch in the same round. All of it is done several times
with new processes (PyTorch's stays), since two processes of one program differ too.

`torch.set_num_threads` and the engines' threads get the same number. The weights do not change the time, so PyTorch's
are random.
"""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from crdnet import CRDNetError
from crdnet.bench import (
    NETWORK,
    PICTURE,
    Timing,
    WorkerProcess,
    interleaved,
    machine,
    rainy_picture,
    told,
)
from crdnet.nn import build_crdnet
from crdnet.runtime import find_model, installed_devices
from crdnet.sizes import pad_to_multiple

WARM_UP_ROUNDS = 5
PUBLISHED = "published, PyTorch eager"
TASKS = {"network": NETWORK, "as used": PICTURE}
"""What is timed of each model on each device, in words and as workers call it."""

Picture = npt.NDArray[np.uint8]


def torch_network(rainy: Picture, threads: int) -> Callable[[], object]:
    """Return what runs the published network in PyTorch on a picture."""
    import torch  # noqa: PLC0415 - after the command line has been understood

    torch.set_num_threads(threads)
    network = build_crdnet().eval()
    colours = rainy.astype(np.float32) / 255

    def derained() -> npt.NDArray[np.float32]:
        padded = pad_to_multiple(colours, network.size_multiple)
        batch = torch.from_numpy(np.ascontiguousarray(padded.transpose(2, 0, 1))[None])
        with torch.inference_mode():
            result: npt.NDArray[np.float32] = network(batch)[0].permute(1, 2, 0).numpy()
        return result[: rainy.shape[0], : rainy.shape[1]]

    return derained


def measure(
    models: Sequence[str], devices: Sequence[str], size: int, threads: int, rounds: int, runs: int
) -> dict[str, Any]:
    """Return the report: the machine, the settings, and by name the times and ratios, PyTorch's last."""
    place = machine()
    seconds: dict[str, list[float]] = {}
    for _ in range(runs):
        for name, each in _run(models, devices, size, threads, rounds).items():
            seconds.setdefault(name, []).extend(each)
    return {
        "machine": place,
        "size": size,
        "threads": threads,
        "rounds": runs * rounds,
        "timings": {name: Timing.of(each).as_dict() for name, each in seconds.items()},
        "ratios": {name: ratio_of(seconds[PUBLISHED], each) for name, each in seconds.items()},
    }


def _run(
    models: Sequence[str], devices: Sequence[str], size: int, threads: int, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of each round by name, of processes that are started for it."""
    rainy = rainy_picture(size, size)
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
                    "picture": str(path),
                }
                worker = stack.enter_context(WorkerProcess(task))
                for words, what in TASKS.items():
                    calls[f"{model.name}, {device}, {words}"] = partial(worker.ask, what)
        calls[PUBLISHED] = torch_network(rainy, threads)
        return dict(
            zip(calls, interleaved(list(calls.values()), rounds, WARM_UP_ROUNDS), strict=True)
        )


def ratio_of(baseline: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    """Return how many times as fast ours is, round by round: the median and the quartiles."""
    ratios = np.asarray(baseline) / np.asarray(ours)
    lower, median, upper = np.percentile(ratios, [25, 50, 75]).tolist()
    return {"median": median, "lower_quartile": lower, "upper_quartile": upper}


def as_text(report: dict[str, Any]) -> str:
    """Return the report as a table."""
    place = report["machine"]
    lines = [
        told(place),
        ", ".join(f"{name} {version}" for name, version in place["versions"].items()),
        f"{report['size']} x {report['size']}, {report['threads']} threads, {report['rounds']} rounds",
        "",
        f"{Timing.HEADER} {'times as fast as PyTorch':>25}",
    ]
    for name, timing in report["timings"].items():
        ratio = report["ratios"][name]
        spread = (
            f"{ratio['median']:.2f} [{ratio['lower_quartile']:.2f}, {ratio['upper_quartile']:.2f}]"
        )
        lines.append(f"{Timing(**timing).row(name)} {spread:>25}")
    return "\n".join(lines)


rounds_option = click.option(
    "--rounds",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Timed runs of each in a process.",
)
runs_option = click.option(
    "--runs",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Processes of each, one after the other.",
)


@click.command()
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    default=("default", "paper"),
    show_default=True,
    help="Name of a model or path of an .onnx file; may be given several times.",
)
@click.option(
    "-d",
    "--device",
    "devices",
    multiple=True,
    help="May be given several times; all installed, if not at all.",
)
@click.option(
    "--size",
    type=click.IntRange(1),
    default=512,
    show_default=True,
    help="Side of the picture in pixels.",
)
@click.option(
    "--threads", type=click.IntRange(1), default=2, show_default=True, help="Threads for each."
)
@rounds_option
@runs_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def main(
    models: tuple[str, ...],
    devices: tuple[str, ...],
    size: int,
    threads: int,
    rounds: int,
    runs: int,
    as_json: bool,
) -> None:
    """Time models on their engines against the published network in PyTorch."""
    try:
        report = measure(models, devices or installed_devices(), size, threads, rounds, runs)
    except CRDNetError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    print(json.dumps(report, indent=2) if as_json else as_text(report))


if __name__ == "__main__":
    main()
