"""Measure the speed of deraining a clip, the time of each step, and the memory.

    python -m benchmarks.speed.video steps CLIP [-n FRAMES] [-d DEVICE] [--json]
    python -m benchmarks.speed.video sizes CLIP [-n FRAMES] [--height ROWS...] [-d DEVICE...]
    python -m benchmarks.speed.video memory CLIP [--frames COUNT] [--height ROWS]

Contract of `steps`: FRAMES frames of CLIP are decoded, derained by the network alone, fused with
their neighbours (reusing the estimates of the network), and encoded, each step by itself; then
`crdnet.derain_video` is timed. Rates are frames per second of wall-clock time. Because other
programs may run, the ratio uses CPU times: the sum of the steps network, decoding and encoding,
divided by the time of `derain_video`; and the same with alignment and fusion among the steps.
`threads` limits the engine. Memory is the peak of a process that only runs `derain_video`.

`sizes` makes clips of several heights, with medium rain drawn at full size, because the network
runs on soft images at a reduced size and is faster there. Each size and engine has its own process.

`memory` derains a long clip, which repeats the frames of CLIP, and prints the memory of the process
over time.
"""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import av
import click
import numpy as np
from PIL import Image

from crdnet import Derainer, RainDensity
from crdnet.rain import make_rainy_pair
from crdnet.video import (
    EncoderOptions,
    FrameNetwork,
    FusionModel,
    TemporalDerainer,
    VideoOptions,
    VideoProgress,
    Window,
    derain_video,
)

HEIGHTS = (480, 720, 1080, 2160)


class Cost(NamedTuple):
    """Time that a step took, in seconds for a frame."""

    wall: float
    processor: float


@click.group(help=__doc__.splitlines()[0])
def main() -> None: ...


@main.command("steps", help=__doc__.splitlines()[0])
@click.argument("clip", type=click.Path(path_type=Path, exists=True))
@click.option("-n", "--frames", "count", default=8, show_default=True, help="Frames of the clip.")
@click.option("-m", "--model", default="default", show_default=True)
@click.option("-d", "--device", default="auto", show_default=True)
@click.option("--threads", type=int, help="CPU threads of the engine.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def measure_steps(
    *, clip: Path, count: int, model: str, device: str, threads: int | None, as_json: bool
) -> None:
    told = _measure(clip, count, VideoOptions(model=model, device=device, threads=threads))
    if as_json:
        click.echo(json.dumps(told))
        return
    click.echo("{frames} frames of {width} x {height}, {engine}".format(**told))
    for name, rate in told["fps"].items():
        click.echo(f"{name:16} {rate:8.2f} fps {told['cpu_ms'][name]:9.1f} ms of CPU time")
    click.echo(
        "of the rate of decoding, network and encoding {ratio:.2f}, of all steps {ratio_all:.2f}; "
        "peak memory {peak_mib:.0f} MiB".format(**told)
    )


@main.command("sizes", help="Measure the steps at several sizes and on several engines.")
@click.argument("clip", type=click.Path(path_type=Path, exists=True))
@click.option("-n", "--frames", "count", default=4, show_default=True, help="Frames of the clip.")
@click.option("--height", "heights", multiple=True, type=int, default=HEIGHTS, show_default=True)
@click.option("-d", "--device", "devices", multiple=True, default=("cpu", "openvino"))
def measure_sizes(
    *, clip: Path, count: int, heights: tuple[int, ...], devices: tuple[str, ...]
) -> None:
    parts = ("decode", "network", "align and fuse", "encode", "derain_video")
    names = ("size", "engine", "fps", *(f"{each}, s" for each in parts))
    names += ("rate of network and codecs", "rate of all steps", "peak, MiB")
    click.echo(f"| {' | '.join(names)} |\n{'|---' * len(names)}|")
    for height in heights:
        with tempfile.TemporaryDirectory() as folder:
            made = _make_clip(clip, Path(folder) / f"rainy_{height}.mp4", height, count)
            for device in devices:
                told = json.loads(_run("steps", made, "-n", count, "-d", device, "--json"))
                seconds = " | ".join(f"{told['cpu_ms'][each] / 1000:.2f}" for each in parts)
                click.echo(
                    f"| {told['width']} x {told['height']} | {told['engine']} "
                    f"| {told['fps']['derain_video']:.2f} | {seconds} "
                    f"| {told['ratio']:.2f} | {told['ratio_all']:.2f} | {told['peak_mib']:.0f} |"
                )


@main.command("memory", help="Print the memory of the process along a long clip.")
@click.argument("clip", type=click.Path(path_type=Path, exists=True))
@click.option("--frames", "count", default=10_000, show_default=True)
@click.option("--height", default=48, show_default=True)
@click.option("-d", "--device", default="cpu", show_default=True)
def measure_memory(*, clip: Path, count: int, height: int, device: str) -> None:
    def tell(progress: VideoProgress) -> None:
        if progress.frames % max(count // 20, 1) == 0 or progress.frames == count:
            click.echo(f"{progress.frames:6} frames  {_read_memory('VmRSS'):7.1f} MiB")

    with tempfile.TemporaryDirectory() as folder:
        made = _make_clip(clip, Path(folder) / "long.mp4", height, count, most=8)
        options = VideoOptions(
            device=device, always=True, encoder=EncoderOptions(preset="ultrafast")
        )
        derain_video(made, Path(folder) / "out.mp4", options, tell)
    click.echo(f"peak {_read_memory('VmHWM'):.1f} MiB")


@main.command("peak", hidden=True)
@click.argument("clip", type=click.Path(path_type=Path, exists=True))
@click.argument("end", type=float)
@click.argument("options", type=str)
def measure_peak(clip: Path, end: float, options: str) -> None:
    """Derain a clip and do nothing else, so that the peak of the process is its own."""
    with tempfile.TemporaryDirectory() as folder:
        began, used = perf_counter(), process_time()
        record = derain_video(
            clip,
            Path(folder) / f"out{clip.suffix}",
            VideoOptions(**json.loads(options), always=True, window=Window(end=end)),
        )
        wall, processor = perf_counter() - began, process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    click.echo(json.dumps([wall / record.frames, processor / record.frames, peak]))


def _measure(clip: Path, count: int, options: VideoOptions) -> dict[str, Any]:
    costs: dict[str, Cost] = {}

    def measure(name: str, begun: tuple[float, float]) -> None:
        wall, used = perf_counter() - begun[0], process_time() - begun[1]
        costs[name] = Cost(wall / len(frames), used / len(frames))

    begun = perf_counter(), process_time()
    frames, end = _decode(clip, count)
    measure("decode", begun)
    network = FrameNetwork(Derainer(options.model, options.device, options.threads))
    network.derain(frames[0])  # opens the model
    begun = perf_counter(), process_time()
    answers = [network.derain(frame) for frame in frames]
    measure("network", begun)
    begun = perf_counter(), process_time()
    _fuse(frames, answers, options.threads)
    measure("align and fuse", begun)
    begun = perf_counter(), process_time()
    _encode(frames)
    measure("encode", begun)
    given = {name: getattr(options, name) for name in ("model", "device", "threads")}
    *whole, peak = json.loads(_run("peak", clip, end, json.dumps(given)))
    costs["derain_video"] = Cost(*whole)
    used = {name: each.processor for name, each in costs.items()}
    apart = used["decode"] + used["network"] + used["encode"]
    height, width = frames[0].shape[:2]
    return {
        "frames": len(frames),
        "width": width,
        "height": height,
        "engine": network.engine,
        "fps": {name: 1 / each.wall for name, each in costs.items()},
        "cpu_ms": {name: 1000 * each for name, each in used.items()},
        "ratio": apart / used["derain_video"],
        "ratio_all": (apart + used["align and fuse"]) / used["derain_video"],
        "peak_mib": peak,
    }


def _run(*arguments: Any) -> str:
    """Run a command of this program in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed.video", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _read_memory(name: str) -> float:
    """Return a line of /proc/self/status in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def _make_clip(clip: Path, path: Path, height: int, count: int, *, most: int | None = None) -> Path:
    """Write frames of a clip at another height, with medium rain drawn on them.

    Args:
        clip: Source.
        path: Clip to write.
        height: Rows of a frame.
        count: Frames to write.
        most: Frames to draw, which are repeated; None draws all.
    """
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=25)
        stream.options = {"crf": "12", "preset": "ultrafast"}
        for rainy in islice(cycle(_Drawn(clip, height, most or count)), count):
            if not stream.codec_context.is_open:
                stream.height, stream.width = rainy.shape[:2]
                stream.pix_fmt = "yuv420p"
            output.mux(stream.encode(av.VideoFrame.from_ndarray(rainy, format="rgb24")))
        output.mux(stream.encode())
    return path


class _Drawn:
    """Frames of a clip at another height, with rain that differs in each."""

    def __init__(self, clip: Path, height: int, count: int) -> None:
        self._clip, self._height, self._count = clip, height, count

    def __iter__(self) -> Iterator[Any]:
        frames, _ = _decode(self._clip, self._count)
        spec = None
        for number, frame in enumerate(frames):
            width = round(frame.shape[1] * self._height / frame.shape[0] / 2) * 2
            dry = np.asarray(Image.fromarray(frame).resize((width, self._height)))
            rng = np.random.default_rng(number)
            pair = make_rainy_pair(dry, spec or RainDensity.MEDIUM, rng)
            spec = pair.spec
            yield pair.rainy


def _decode(clip: Path, count: int) -> tuple[list[Any], float]:
    """Return the first frames, and the time at which the next one begins."""
    frames: list[Any] = []
    container: Any
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            if len(frames) == count:
                return frames, float(frame.time)
            frames.append(frame.to_ndarray(format="rgb24"))
    return frames, 1e9


def _fuse(frames: Sequence[Any], answers: Sequence[Any], threads: int | None) -> None:
    class Recorded(FrameNetwork):
        """Network whose answers are known."""

        def __init__(self) -> None:
            self._answers = iter(answers)

        def derain(self, frame: Any) -> Any:  # noqa: ARG002 - does nothing
            return next(self._answers)

    fusion = FusionModel(threads=threads)
    derainer = TemporalDerainer(Recorded(), always=True, fusion=fusion)
    for frame in frames:
        derainer.push(frame)
    list(derainer.flush())


def _encode(frames: Sequence[Any]) -> None:
    context: Any = av.CodecContext.create("libx264", "w")
    context.height, context.width = (side - side % 2 for side in frames[0].shape[:2])
    context.pix_fmt = "yuv420p"
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    context.options = {"crf": "16", "preset": "medium"}
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
            context.width, context.height, format="yuv420p"
        )
        frame.pts = number
        context.encode(frame)
    context.encode(None)


if __name__ == "__main__":
    main()
