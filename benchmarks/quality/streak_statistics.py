"""Width, length, contrast and number of the streaks in clips, real and drawn.

    python benchmarks/quality/streak_statistics.py CLIP... [--rate 25] [--exposure 1/120] [--focal 26]

Contract: streaks are found as in `crdnet.evaluation.clips`: bright for one frame of a static camera. Each
connected region of at least `SMALLEST` pixels is one streak; length and width are the axes of the
ellipse with its second moments, contrast is its mean residual. The drawn row has camera rain
(`crdnet.rain.CameraRain`) on the clip's own median frame, in as many frames. Medians; in brackets the
10th and the 90th percentile. Needs scikit-image (the extra `dev`).
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np
from skimage import measure

from crdnet.evaluation import Frame, StaticClip, read_frames
from crdnet.rain import CameraRain, make_rainy_pair

SMALLEST = 4
FRAMES = 40
COLUMNS = ("length, px", "width, px", "contrast, levels")


@click.command(help=__doc__.splitlines()[0])
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--rate", default=25.0, show_default=True, help="Millimetres per hour.")
@click.option("--exposure", default="1/120", show_default=True, help="Seconds.")
@click.option("--focal", default=26.0, show_default=True, help="Equivalent focal length in mm.")
def main(*, clips: tuple[Path, ...], rate: float, exposure: str, focal: float) -> None:
    rain = CameraRain(rate, float(Fraction(exposure)), focal)
    click.echo(
        f"{'clip':24} {'':6} {'number per megapixel':>21} "
        + " ".join(f"{each:>22}" for each in COLUMNS)
    )
    for path in clips:
        frames = read_frames(path, start=3, count=FRAMES)
        median = np.median(np.stack(frames), axis=0).astype(np.uint8)
        drawn = [
            make_rainy_pair(median, rain, np.random.default_rng(number)).rainy
            for number in range(len(frames))
        ]
        for name, shown in (("real", frames), ("drawn", drawn)):
            click.echo(f"{path.name:24} {name:6} {_row(path.name, shown)}")


def _row(name: str, frames: Sequence[Frame]) -> str:
    clip = StaticClip.from_frames(name, frames)
    streaks = []
    for index in range(1, len(clip.frames) - 1):
        residual = clip.compute_residual(clip.frames[index])
        regions: Any = measure
        for region in regions.regionprops(regions.label(clip.find_streaks(index)), residual):
            if region.area >= SMALLEST:
                axes = region.axis_major_length, max(region.axis_minor_length, 1.0)
                streaks.append((*axes, region.intensity_mean))
    pixels = clip.still.sum() * (len(clip.frames) - 2)
    if not streaks:
        return f"{0:21.0f}"
    low, middle, high = np.percentile(streaks, [10, 50, 90], axis=0)
    cells = [f"{m:.1f} [{a:.1f}, {b:.1f}]" for a, m, b in zip(low, middle, high, strict=True)]
    return f"{1e6 * len(streaks) / pixels:21.0f} " + " ".join(f"{cell:>22}" for cell in cells)


if __name__ == "__main__":
    main()
