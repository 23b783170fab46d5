"""Measure `crdnet derain` on large images: a JPEG of 12 megapixels, and a TIFF larger than memory.

    python -m benchmarks.speed.large jpeg
    python -m benchmarks.speed.large tiff --megapixels 1000

Contract: the image is tiled from an example and written to a temporary folder; `crdnet derain
--always` runs on it in a separate process. `jpeg` (4000 x 3000; rain found at full size, the most
expensive case) alternates, `--rounds` times, the whole command with the network alone on the same
pixels, decoded, padded and converted to floats beforehand, in one piece. `tiff` (uncompressed,
square) compares the rate of the command with that of `Derainer.run` on eight megapixels of the same
image in memory. Printed are the times, their ratio, and the peak memory (VmHWM) of the command.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

import click
import numpy as np
import pyvips

import crdnet
from benchmarks.helpers import REPOSITORY, model_option, report_errors
from crdnet.data import read_rgb
from crdnet.runtime import Session, count_cpus, find_model
from crdnet.sizes import pad_to_multiple

EXAMPLE = REPOSITORY / "examples" / "medium.jpg"
JPEG_SIDES = (3000, 4000)
WHOLE_SIDES = (2816, 2832)
COMMAND = """
import sys
from crdnet.cli import main
try:
    main()
finally:
    status = open("/proc/self/status")
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")), file=sys.stderr)
"""
"""Prints its own peak memory: the figure that a parent gets may be a peak of its own."""


class Derained(NamedTuple):
    """Time and memory of one command."""

    seconds: float
    megabytes: float


def repeat_example(height: int, width: int) -> pyvips.Image:
    """Return an image of this size, tiled with an example."""
    tile = pyvips.Image.new_from_array(read_rgb(EXAMPLE))
    tiled = tile.replicate(-(-width // tile.width), -(-height // tile.height))
    return tiled.crop(0, 0, width, height)


def derain(source: Path, model: str, device: str) -> Derained:
    """Derain a file with the command line, in a process of its own."""
    output = source.with_name(f"derained{source.suffix}")
    options = ("-o", output, "-m", model, "-d", device, "--always", "--overwrite", "-q")
    began = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "derain", source, *options],
        check=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Derained(perf_counter() - began, int(done.stderr.split()[-1]) / 1024)


@click.group(help=__doc__.splitlines()[0])
def main() -> None: ...


device_option = click.option("-d", "--device", default="auto", show_default=True)


@main.command("jpeg")
@model_option
@device_option
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@report_errors()
def jpeg_command(model: str, device: str, rounds: int) -> None:
    """Time the whole command on a JPEG of 12 megapixels against the network alone."""
    image = repeat_example(*JPEG_SIDES)
    session = Session(find_model(model), device, count_cpus())
    floats = pad_to_multiple(image.numpy() / np.float32(255), session.info.size_multiple)
    session(floats)
    commands, networks = list[Derained](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "photograph.jpg"
        image.jpegsave(str(source), Q=90)
        for _ in range(rounds):
            commands.append(derain(source, model, device))
            began = perf_counter()
            session(floats)
            networks.append(perf_counter() - began)
    whole, alone = median(each.seconds for each in commands), median(networks)
    peak = max(each.megabytes for each in commands)
    print(f"crdnet derain, 12 megapixels, {session.device}: {whole:.2f} s, peak {peak:.0f} MB")
    print(f"network alone: {alone:.2f} s; the command takes {whole / alone:.2f} times as long")


@main.command("tiff")
@model_option
@device_option
@click.option("--megapixels", type=click.FloatRange(0.01), default=1000, show_default=True)
@report_errors()
def tiff_command(model: str, device: str, megapixels: float) -> None:
    """Measure memory and rate on a TIFF that is derained in bands."""
    side = round((megapixels * 1e6) ** 0.5)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "large.tiff"
        repeat_example(side, side).tiffsave(str(source), bigtiff=True)
        command = derain(source, model, device)
    derainer = crdnet.Derainer(model, device)
    pixels = np.ascontiguousarray(repeat_example(*WHOLE_SIDES).numpy())
    derainer.run(pixels[:512, :512])
    began = perf_counter()
    derainer.run(pixels)
    whole = pixels.shape[0] * pixels.shape[1] / 1e6 / (perf_counter() - began)
    rate = side * side / 1e6 / command.seconds
    print(
        f"{side} x {side}: {command.seconds:.0f} s, {rate:.2f} megapixels per second, "
        f"peak {command.megabytes * 1024 / 1e6:.2f} GB"
    )
    print(f"8 megapixels whole: {whole:.2f} megapixels per second; ratio {rate / whole:.2f}")


if __name__ == "__main__":
    main()
