"""How long the network takes: our ONNX file under onnxruntime against the same network in PyTorch.

    python benchmarks/latency.py                      512 x 512, two threads
    python benchmarks/latency.py --size 1024 --threads 1 --json

Contract: one process, one picture at a time, float32 on the CPU, the same random picture for both. PyTorch runs eagerly
under `inference_mode`, in evaluation mode, with its default (contiguous) memory layout: what a user of the published
code has. What is timed is the network alone, from an array in memory to an array in memory: no files and no tiles, but
padding where the size asks for it on either side. The two take turns, so that a machine that slows down slows both;
what the first rounds cost is thrown away. Printed are medians and the range between the quartiles.

`torch.set_num_threads` and onnxruntime's intra-op threads get the same number. The weights do not change the time:
where none lie beside the model file, PyTorch's are random.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from timing import Timing, interleaved, machine

from crdnet import CRDNetError, Derainer
from crdnet.nn import build_crdnet, load_weights
from crdnet.runtime import find_model
from crdnet.sizes import pad_to_multiple

WARM_UP_ROUNDS = 3

Colours = npt.NDArray[np.float32]


def torch_network(model: str | Path, threads: int) -> Callable[[Colours], Colours]:
    """Return the published network in PyTorch, with the weights that lie beside a model file if there are any."""
    import torch  # noqa: PLC0415 - after the command line has been understood

    torch.set_num_threads(threads)
    network = build_crdnet().eval()
    weights = find_model(model).path.with_suffix(".safetensors")
    if weights.is_file():
        load_weights(network, weights)

    def estimate(rainy: Colours) -> Colours:
        height, width = rainy.shape[:2]
        padded = pad_to_multiple(rainy, network.size_multiple)
        batch = torch.from_numpy(np.ascontiguousarray(padded.transpose(2, 0, 1))[None])
        with torch.inference_mode():
            derained: Colours = network(batch)[0].permute(1, 2, 0).numpy()
        return derained[:height, :width]

    return estimate


def measure(model: str, size: int, threads: int, rounds: int) -> dict[str, Any]:
    """Return the report: the machine, the settings and both timings."""
    rainy = np.random.default_rng(0).random((size, size, 3), dtype=np.float32)
    derainer = Derainer(model=model, device="cpu", threads=threads, tile=0)
    network = torch_network(model, threads)
    onnx, torch = interleaved(
        [lambda: derainer.estimate(rainy), lambda: network(rainy)], rounds=rounds, warm_up=WARM_UP_ROUNDS
    )
    return {
        "machine": machine(),
        "model": derainer.session.info.name,
        "size": size,
        "threads": threads,
        "rounds": rounds,
        "onnxruntime": onnx.as_dict(),
        "torch": torch.as_dict(),
        "torch_over_onnxruntime": torch.median / onnx.median,
    }


def as_text(report: dict[str, Any]) -> str:
    """Return the report as a table."""
    place = report["machine"]
    lines = [
        f"{place['cpu']}, {place['usable_cores']} usable cores, load {place['load']}",
        ", ".join(f"{name} {version}" for name, version in place["versions"].items()),
        f"model {report['model']}, {report['size']} x {report['size']}, {report['threads']} threads, "
        f"median of {report['rounds']} rounds",
        "",
        Timing.HEADER,
        Timing(**report["onnxruntime"]).row("onnxruntime"),
        Timing(**report["torch"]).row("PyTorch eager"),
        "",
        f"PyTorch takes {report['torch_over_onnxruntime']:.2f} times as long",
    ]
    return "\n".join(lines)


@click.command()
@click.option(
    "-m", "--model", default="paper", show_default=True, help="Name of a model or path of an .onnx file."
)
@click.option(
    "--size", type=click.IntRange(1), default=512, show_default=True, help="Side of the picture in pixels."
)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="Threads for either.")
@click.option("--rounds", type=click.IntRange(1), default=30, show_default=True, help="Timed runs of each.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def main(model: str, size: int, threads: int, rounds: int, as_json: bool) -> None:
    """Time the ONNX model against the same network in PyTorch."""
    try:
        report = measure(model, size, threads, rounds)
    except CRDNetError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    print(json.dumps(report, indent=2) if as_json else as_text(report))


if __name__ == "__main__":
    main()
