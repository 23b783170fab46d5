"""Pictures too large for memory: `python benchmarks/large.py --megapixels 1000`.

Contract: an example picture, repeated over a TIFF of so many megapixels (uncompressed, in a temporary folder), goes
through `crdnet derain` in a process of its own; printed are its peak memory (VmHWM), its rate, and the rate of
`Derainer.run` on eight megapixels of the same picture in memory, which are taken whole. Reading, sensing and writing
count for the large picture, and `--always` makes sure that it is derained.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pyvips

import crdnet
from crdnet.data import read_rgb

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "medium.jpg"
WHOLE_SIDES = (2816, 2832)


def repeated(height: int, width: int) -> pyvips.Image:
    tile = pyvips.Image.new_from_array(read_rgb(EXAMPLE))
    return tile.replicate(-(-width // tile.width), -(-height // tile.height)).crop(
        0, 0, width, height
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", type=float, default=1000)
    parser.add_argument("--model", default="default")
    arguments = parser.parse_args()
    side = round((arguments.megapixels * 1e6) ** 0.5)
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "large.tiff", Path(folder) / "derained.tiff"
        repeated(side, side).tiffsave(str(source), bigtiff=True)
        began = perf_counter()
        subprocess.run(
            [
                sys.executable,
                "-m",
                "crdnet.cli",
                "derain",
                source,
                "-o",
                output,
                "-m",
                arguments.model,
                "--always",
            ],
            check=True,
        )
        seconds = perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    derainer = crdnet.Derainer(arguments.model)
    pixels = np.ascontiguousarray(repeated(*WHOLE_SIDES).numpy())
    derainer.run(pixels[:512, :512])
    began = perf_counter()
    derainer.run(pixels)
    whole = pixels.shape[0] * pixels.shape[1] / 1e6 / (perf_counter() - began)
    rate = side * side / 1e6 / seconds
    print(
        f"{side} x {side}: {seconds:.0f} s, {rate:.2f} megapixels a second, peak memory {peak:.2f} GB"
    )
    print(
        f"whole, 8 megapixels in memory: {whole:.2f} megapixels a second; the large one has {rate / whole:.2f} of it"
    )


if __name__ == "__main__":
    main()
