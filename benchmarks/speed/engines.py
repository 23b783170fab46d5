"""Measure the CPU time and memory of each engine, and the time of each node of a model.

    python -m benchmarks.speed.engines resources            all devices that work here
    python -m benchmarks.speed.engines nodes --slowest 10   with the ten slowest nodes

Contract. `resources`: each device runs in a separate process, on one thread. Times are CPU times of
the process, which other programs disturb much less than wall-clock times: import and opening of the
model; the first run at 512 x 512; the first run at new sizes; and repeated runs (median), before
and after an engine has compiled for a repeated size. Memory is the peak of the process after each
step. `nodes`: the profilers of the engines report the nodes of the graph as rewritten by the
engine. The time of a node is its fastest run, so that other programs matter little. Profiling
itself takes time, so the shares are meaningful, not the sum.
"""

import json
import resource
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any, NamedTuple

import click
import numpy as np
import numpy.typing as npt

# Not from benchmarks.helpers, which imports crdnet: `resources` times that import.
model_option = click.option("-m", "--model", default="default", show_default=True)


SIDE = 512
NEW_SIZES = ((256, 256), (128, 128), (480, 640), (256, 336), (128, 176))
FEW, MANY = 5, 20
"""Repeated runs before and after an engine has prepared for the size."""
LARGE = (2048, 4096)


def measure_resources(device: str, model: str) -> dict[str, Any]:
    """Return times in milliseconds and memory in megabytes of an engine in this process."""
    began = process_time()
    from crdnet.runtime import Session, find_model  # noqa: PLC0415 - the import is timed

    session = Session(find_model(model), device, threads=1)
    opened = process_time() - began
    rng = np.random.default_rng(0)

    def prepare(height: int, width: int) -> Callable[[], object]:
        rainy = rng.random((height, width, 3), dtype=np.float32)
        return lambda: session(rainy)

    same = prepare(SIDE, SIDE)
    found: dict[str, Any] = {
        "engine": session.engine,
        "open": 1000 * opened,
        "first": _time_call(same),
    }
    found["again"] = median(_time_call(same) for _ in range(FEW))
    found["extra for a new size"] = median(_time_first_call(prepare(*size)) for size in NEW_SIZES)
    for _ in range(MANY):
        same()
    found["much later"] = median(_time_call(same) for _ in range(FEW))
    found["memory"] = _read_peak_memory()
    prepare(*LARGE)()
    found["memory of 8 megapixels"] = _read_peak_memory()
    return found


def _time_first_call(call: Callable[[], object]) -> float:
    first = _time_call(call)
    return first - median(_time_call(call) for _ in range(FEW))


def _time_call(call: Callable[[], object]) -> float:
    began = process_time()
    call()
    return 1000 * (process_time() - began)


def _read_peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Node(NamedTuple):
    """Node of a graph as an engine runs it."""

    kind: str
    name: str


Times = Mapping[Node, float]
"""Milliseconds of each node, in its fastest run."""


def profile_onnxruntime(
    path: Path, batch: npt.NDArray[np.float32], threads: int, rounds: int
) -> Times:
    """Return the times of the graph under onnxruntime, in float32."""
    import onnxruntime as ort  # noqa: PLC0415 - each engine alone, without the threads of the other

    from crdnet.runtime import INPUT_NAME  # noqa: PLC0415 - loads an engine

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


def profile_openvino(
    path: Path, batch: npt.NDArray[np.float32], threads: int, rounds: int, precision: str
) -> Times:
    """Return the times of the graph under OpenVINO, with inputs as in a `Session`."""
    from crdnet.runtime import INPUT_NAME  # noqa: PLC0415 - loads an engine
    from crdnet.runtime.engines import openvino as engine  # noqa: PLC0415 - loads an engine

    openvino = engine.import_openvino()
    core = openvino.Core()
    graph = core.read_model(path)
    colours = np.ascontiguousarray(batch.transpose(0, 2, 3, 1))
    inputs = {INPUT_NAME: colours}
    if precision == "bf16":
        graph = engine.add_rest(graph)
        inputs[engine.REST_NAME] = engine.compute_rest(colours)
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERF_COUNT": True,
        "INFERENCE_PRECISION_HINT": precision,
    }
    request = core.compile_model(
        engine.put_channels_last(openvino, graph), "CPU", settings
    ).create_infer_request()
    fastest: dict[Node, float] = {}
    for _ in range(rounds):
        request.infer(inputs)
        for info in request.profiling_info:
            node = Node(f"{info.node_type} ({info.exec_type})", info.node_name)
            fastest[node] = min(fastest.get(node, np.inf), info.real_time.total_seconds() * 1000)
    return fastest


def format_times(engine: str, times: Times, slowest: int) -> str:
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


@click.group(help=__doc__.splitlines()[0])
def main() -> None: ...


@main.command("resources")
@model_option
@click.option("-d", "--device", help="Measure this device in this process, and print JSON.")
def resources_command(model: str, device: str | None) -> None:
    """Measure what each engine costs, in CPU time and memory."""
    if device is not None:
        print(json.dumps(measure_resources(device, model)))
        return
    from crdnet.runtime import list_installed_devices  # noqa: PLC0415 - its import is timed

    for each in list_installed_devices():
        command = [sys.executable, "-m", "benchmarks.speed.engines", "resources"]
        command += ["--model", model, "--device", each]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        print(found.pop("engine"))
        for name, value in found.items():
            print(f"{value:10.0f} {'MB' if name.startswith('memory') else 'ms'}  {name}")


@main.command("nodes")
@model_option
@click.option("--size", default=512, show_default=True, help="Side of the image in pixels.")
@click.option("--threads", default=1, show_default=True, help="Threads of the engine.")
@click.option(
    "--rounds", default=12, show_default=True, help="Runs, of which the fastest is reported."
)
@click.option("--slowest", default=0, show_default=True, help="Number of slowest nodes to list.")
def nodes_command(model: str, size: int, threads: int, rounds: int, slowest: int) -> None:
    """Measure the time of a model by kind of node."""
    from crdnet.runtime import find_model  # noqa: PLC0415 - loads an engine

    path = find_model(model).path
    batch = np.random.default_rng(0).random((1, 3, size, size), dtype=np.float32)
    times = profile_onnxruntime(path, batch, threads, rounds)
    print(format_times("onnxruntime, float32", times, slowest))
    if find_spec("openvino") is not None:
        for precision, name in (("f32", "float32"), ("bf16", "bfloat16")):
            times = profile_openvino(path, batch, threads, rounds, precision)
            print(f"\n{format_times(f'OpenVINO, {name}', times, slowest)}")


if __name__ == "__main__":
    main()
