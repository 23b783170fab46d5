"""Where the time of a model goes, by kind of node, as each engine runs its graph.

    python benchmarks/profile_graph.py                        `default` at 512 x 512, one thread
    python benchmarks/profile_graph.py -m my.onnx --nodes 10  with the ten slowest nodes

Contract: the engines' own profilers, on graphs as the engines have rewritten them, hence the kinds of nodes. Of
each node the fastest of all runs counts, so that a busy machine hides little; profiling itself costs some time, and the
sum is more than an undisturbed run takes. Shares are what to read.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt

from crdnet.runtime import INPUT_NAME, find_model


class Node(NamedTuple):
    """A node as an engine runs it."""

    kind: str
    name: str


Times = Mapping[Node, float]
"""Milliseconds of each node, in its fastest run."""
Batch = npt.NDArray[np.float32]


def with_onnxruntime(path: Path, batch: Batch, threads: int, rounds: int) -> Times:
    """Return the times of the graph under onnxruntime, in float32."""
    import onnxruntime as ort  # noqa: PLC0415 - each engine alone, so that the other's threads are not there

    with TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_mem_pattern = False
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for _ in range(rounds):
            session.run(None, {INPUT_NAME: batch})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    fastest: dict[Node, float] = {}
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            node = Node(event["args"]["op_name"], event["name"].removesuffix("_kernel_time"))
            fastest[node] = min(fastest.get(node, np.inf), event["dur"] / 1000)
    return fastest


def with_openvino(path: Path, batch: Batch, threads: int, rounds: int, precision: str) -> Times:
    """Return the times of the graph under OpenVINO, with dynamic sides and colours as in a `Session`."""
    from crdnet.runtime.engines import openvino as engine  # noqa: PLC0415 - as above

    openvino = engine.import_openvino()
    core = openvino.Core()
    graph = core.read_model(path)
    colours = np.ascontiguousarray(batch.transpose(0, 2, 3, 1))
    inputs = {INPUT_NAME: colours}
    if precision == "bf16":
        graph = engine.with_rest(graph)
        inputs[engine.REST_NAME] = engine.rest_of(colours)
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERF_COUNT": True,
        "INFERENCE_PRECISION_HINT": precision,
    }
    request = core.compile_model(
        engine.with_channels_last(openvino, graph), "CPU", settings
    ).create_infer_request()
    fastest: dict[Node, float] = {}
    for _ in range(rounds):
        request.infer(inputs)
        for told in request.profiling_info:
            node = Node(f"{told.node_type} ({told.exec_type})", told.node_name)
            fastest[node] = min(fastest.get(node, np.inf), told.real_time.total_seconds() * 1000)
    return fastest


def as_text(engine: str, times: Times, slowest: int) -> str:
    """Return the shares by kind of node, and the slowest nodes, as a table."""
    kinds: defaultdict[str, float] = defaultdict(float)
    for node, milliseconds in times.items():
        kinds[node.kind] += milliseconds
    whole = sum(times.values())
    lines = [f"{engine}: {whole:.1f} ms"]
    lines += [
        f"{100 * time / whole:6.1f} % {time:8.2f} ms  {kind}"
        for kind, time in sorted(kinds.items(), key=itemgetter(1), reverse=True)
        if time >= whole / 1000
    ]
    for node in sorted(times, key=lambda each: -times[each])[:slowest]:
        lines.append(
            f"{100 * times[node] / whole:6.1f} % {times[node]:8.2f} ms    {node.name} ({node.kind})"
        )
    return "\n".join(lines)


@click.command()
@click.option(
    "-m", "--model", default="default", show_default=True, help="Name of a model or path of a file."
)
@click.option("--size", default=512, show_default=True, help="Side of the picture in pixels.")
@click.option("--threads", default=1, show_default=True, help="Threads of the engine.")
@click.option(
    "--rounds", default=12, show_default=True, help="Runs, of which each node's fastest counts."
)
@click.option(
    "--nodes", default=0, show_default=True, help="How many of the slowest nodes to name."
)
def main(model: str, size: int, threads: int, rounds: int, nodes: int) -> None:
    """Tell where the time of a model goes, by kind of node."""
    path = find_model(model).path
    batch = np.random.default_rng(0).random((1, 3, size, size), dtype=np.float32)
    print(as_text("onnxruntime, float32", with_onnxruntime(path, batch, threads, rounds), nodes))
    if find_spec("openvino") is not None:
        for precision, name in (("f32", "float32"), ("bf16", "bfloat16")):
            print()
            print(
                as_text(
                    f"OpenVINO, {name}",
                    with_openvino(path, batch, threads, rounds, precision),
                    nodes,
                )
            )


if __name__ == "__main__":
    main()
