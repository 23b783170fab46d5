"""How long the models take under onnxruntime, against the published network in PyTorch.

    python benchmarks/latency.py                              512 x 512, two threads, `default` and `paper`
    python benchmarks/latency.py -m paper --size 1024 --threads 1 --json

Contract: one process, one picture at a time, float32 on the CPU, the same random picture for all. PyTorch runs the
published network eagerly under `inference_mode`, in evaluation mode, with its default (contiguous) memory layout: what
a user of the published code has. Of each model two things are timed: the network alone, from colours in memory to
colours in memory, without files and tiles but with padding where the size asks for it; and the whole of `Derainer.run`
on uint8, which looks at the picture at several sizes where the model senses rain. All take turns, so that a machine
that slows down slows all; what the first rounds cost is thrown away. Printed are medians and the range between the
quartiles.

`torch.set_num_threads` and onnxruntime's intra-op threads get the same number. The weights do not change the time, so
PyTorch's are random.
"""

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from timing import Timing, interleaved, machine

from crdnet import CRDNetError, Derainer
from crdnet.nn import build_crdnet
from crdnet.sizes import pad_to_multiple

WARM_UP_ROUNDS = 3
PUBLISHED = "published, PyTorch eager"

Colours = npt.NDArray[np.float32]


def torch_network(threads: int) -> Callable[[Colours], Colours]:
    """Return the published network in PyTorch."""
    import torch  # noqa: PLC0415 - after the command line has been understood

    torch.set_num_threads(threads)
    network = build_crdnet().eval()

    def estimate(rainy: Colours) -> Colours:
        height, width = rainy.shape[:2]
        padded = pad_to_multiple(rainy, network.size_multiple)
        batch = torch.from_numpy(np.ascontiguousarray(padded.transpose(2, 0, 1))[None])
        with torch.inference_mode():
            derained: Colours = network(batch)[0].permute(1, 2, 0).numpy()
        return derained[:height, :width]

    return estimate


def measure(models: Sequence[str], size: int, threads: int, rounds: int) -> dict[str, Any]:
    """Return the report: the machine, the settings and the timings by name, PyTorch's last."""
    rainy = np.random.default_rng(0).random((size, size, 3), dtype=np.float32)
    levels = np.rint(rainy * 255).astype(np.uint8)
    calls: dict[str, Callable[[], object]] = {}
    for model in models:
        derainer = Derainer(model=model, device="cpu", threads=threads, tile=0)
        name = derainer.session.info.name
        calls[f"{name}, network"] = partial(derainer.estimate, rainy, scale=1.0)
        calls[f"{name}, as used"] = partial(derainer.run, levels)
    calls[PUBLISHED] = partial(torch_network(threads), rainy)
    timings = interleaved(list(calls.values()), rounds=rounds, warm_up=WARM_UP_ROUNDS)
    return {
        "machine": machine(),
        "size": size,
        "threads": threads,
        "rounds": rounds,
        "timings": {name: timing.as_dict() for name, timing in zip(calls, timings, strict=True)},
    }


def as_text(report: dict[str, Any]) -> str:
    """Return the report as a table."""
    place = report["machine"]
    timings = {name: Timing(**each) for name, each in report["timings"].items()}
    lines = [
        f"{place['cpu']}, {place['usable_cores']} usable cores, load {place['load']}",
        ", ".join(f"{name} {version}" for name, version in place["versions"].items()),
        f"{report['size']} x {report['size']}, {report['threads']} threads, median of {report['rounds']} rounds",
        "",
        f"{Timing.HEADER} {'as fast as PyTorch':>19}",
        *[
            f"{each.row(name)} {timings[PUBLISHED].median / each.median:19.2f}"
            for name, each in timings.items()
        ],
    ]
    return "\n".join(lines)


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
    "--size", type=click.IntRange(1), default=512, show_default=True, help="Side of the picture in pixels."
)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="Threads for each.")
@click.option("--rounds", type=click.IntRange(1), default=30, show_default=True, help="Timed runs of each.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def main(models: tuple[str, ...], size: int, threads: int, rounds: int, as_json: bool) -> None:
    """Time models under onnxruntime against the published network in PyTorch."""
    try:
        report = measure(models, size, threads, rounds)
    except CRDNetError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    print(json.dumps(report, indent=2) if as_json else as_text(report))


if __name__ == "__main__":
    main()
