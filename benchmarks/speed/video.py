"""Measure how fast a clip is derained, and where the time goes.

    python -m benchmarks.speed.video steps CLIP [-n FRAMES] [--json]

Contract: FRAMES of CLIP are decoded, derained by the network alone, fused with their neighbours
(the network's answers are reused), and encoded, each step by itself and timed; then
`crdnet.derain_video` does it all. Rates are frames per second of wall-clock time on all processors
that the process may use. Memory is the peak of the process, the frames that the benchmark holds
included. The result is compared with the sum of the steps: a ratio below 1 says that they overlap.
"""

import json
import resource
import tempfile
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import Any

import av
import click

from crdnet import Derainer
from crdnet.video import (
    FrameNetwork,
    FusionModel,
    TemporalDerainer,
    VideoOptions,
    Window,
    derain_video,
)


@click.group(help=__doc__.splitlines()[0])
def main() -> None: ...


@main.command("steps", help=__doc__.splitlines()[0])
@click.argument("clip", type=click.Path(path_type=Path, exists=True))
@click.option("-n", "--frames", "count", default=8, show_default=True, help="Frames of the clip.")
@click.option("-m", "--model", default="default", show_default=True)
@click.option("-d", "--device", default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def measure_steps(*, clip: Path, count: int, model: str, device: str, as_json: bool) -> None:
    seconds: dict[str, float] = {}
    began = perf_counter()
    frames, end = _decode(clip, count)
    seconds["decode"] = perf_counter() - began
    network = FrameNetwork(Derainer(model, device=device))
    network.derain(frames[0])  # opens the model
    began = perf_counter()
    answers = [network.derain(frame) for frame in frames]
    seconds["network"] = perf_counter() - began
    began = perf_counter()
    _fuse(frames, answers)
    seconds["align and fuse"] = perf_counter() - began
    began = perf_counter()
    _encode(frames)
    seconds["encode"] = perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        options = VideoOptions(model=model, device=device, always=True, window=Window(end=end))
        began = perf_counter()
        record = derain_video(clip, Path(folder) / f"out{clip.suffix}", options)
        seconds["derain_video"] = perf_counter() - began
    rates = {name: len(frames) / each for name, each in seconds.items()}
    rates["derain_video"] = record.frames / seconds["derain_video"]
    parts = sum(each for name, each in seconds.items() if name != "derain_video") / len(frames)
    ratio = seconds["derain_video"] / record.frames / parts
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    height, width = frames[0].shape[:2]
    if as_json:
        told = {"frames": len(frames), "width": width, "height": height, "engine": network.engine}
        click.echo(json.dumps({**told, "fps": rates, "ratio": ratio, "peak_mib": memory}))
        return
    click.echo(f"{clip.name}: {len(frames)} frames of {width} x {height}, {network.engine}")
    for name, rate in rates.items():
        click.echo(f"{name:16} {rate:8.2f} fps {1000 / rate:9.1f} ms a frame")
    click.echo(f"derain_video takes {ratio:.2f} of the steps' sum; peak memory {memory:.0f} MiB")


def _decode(clip: Path, count: int) -> tuple[list[Any], float]:
    """Return the first frames, and the time at which the next one begins."""
    frames: list[Any] = []
    container: Any
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            if len(frames) == count:
                return frames, float(frame.time)
            frames.append(frame.to_ndarray(format="rgb24"))
    return frames, float("inf")


def _fuse(frames: list[Any], answers: list[Any]) -> None:
    class Recorded(FrameNetwork):
        """Network whose answers are known."""

        def __init__(self) -> None:
            self._answers = iter(answers)

        def derain(self, frame: Any) -> Any:  # noqa: ARG002 - does nothing
            return next(self._answers)

    derainer = TemporalDerainer(Recorded(), always=True, fusion=FusionModel())
    for frame in frames:
        derainer.push(frame)
    list(derainer.flush())


def _encode(frames: list[Any]) -> None:
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
