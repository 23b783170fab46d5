"""A photograph of twelve megapixels, whole command: `python benchmarks/whole.py`.

Contract: a JPEG of 4000 x 3000 pixels, made of an example picture repeated, so that its rain is found at full size,
which is the dearest case. In turn, `--rounds` times: `crdnet derain` in a process of its own, from start to end,
and the network alone on the same pixels, decoded, padded and made floats beforehand, in one piece. Printed are the
medians, their ratio, and the peak memory (VmHWM) of the command.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from large import repeated

from crdnet.runtime import Session, find_model, usable_cpus
from crdnet.sizes import pad_to_multiple

HEIGHT, WIDTH = 3000, 4000
COMMAND = """
import sys
from crdnet.cli import main
try:
    main()
finally:
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
"""
"""Tells its peak of memory itself: that of a child, as its parent is told it, may be one that its parent had."""


def derain(source: Path, model: str, device: str) -> tuple[float, float]:
    """Return the seconds that the command takes, and the megabytes."""
    options = (
        "-o",
        source.with_name("derained.jpg"),
        "-m",
        model,
        "-d",
        device,
        "--always",
        "--overwrite",
        "-q",
    )
    began = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "derain", source, *options],
        check=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    return perf_counter() - began, int(done.stderr.split()[-1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="default")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    picture = repeated(HEIGHT, WIDTH)
    session = Session(find_model(arguments.model), arguments.device, usable_cpus())
    floats = pad_to_multiple(picture.numpy() / np.float32(255), session.info.size_multiple)
    session(floats)
    commands, networks, megabytes = list[float](), list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "photo.jpg"
        picture.jpegsave(str(source), Q=90)
        for _ in range(arguments.rounds):
            seconds, peak = derain(source, arguments.model, arguments.device)
            commands.append(seconds)
            megabytes.append(peak)
            began = perf_counter()
            session(floats)
            networks.append(perf_counter() - began)
    whole, alone = median(commands), median(networks)
    print(
        f"crdnet derain, 12 megapixels, on {session.device}: {whole:.2f} s, peak memory {max(megabytes):.0f} MB"
    )
    print(f"network alone: {alone:.2f} s; the command takes {whole / alone:.2f} times as long")


if __name__ == "__main__":
    main()
