"""Measure drawn rain: the presets by density, and streaks compared with those of real clips.

    python -m benchmarks.quality.rain presets VAL_SYNTH [--streaks FOLDER]
    python -m benchmarks.quality.rain streaks CLIP... [--rate 25] [--exposure 1/120] [--focal 26]

Contract. `presets`: each photograph of VAL_SYNTH/clean gets three pairs of every density at scale
1, one of them from the folder of streaks if given. The pairs of the set itself, whose rain was made
by other programs, are measured for comparison. Then a bank of layers draws rain on crops of 128 x
128 pixels of the same photographs. Printed are medians and ranges; PSNR is that of `restormer-y`.
`streaks`: streaks are found as in `crdnet.evaluation.clips`: bright for one frame of a static
camera. Each connected region of at least `SMALLEST` pixels is one streak; length and width are the
axes of the ellipse with its second moments, contrast is its mean residual. The drawn row has camera
rain (`crdnet.rain.CameraRain`) on the median frame of the clip, in the same number of frames.
Printed are medians, in brackets the 10th and the 90th percentile. Needs scikit-image (the extra
`dev`).
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from skimage import measure

from benchmarks.helpers import Rgb, path_type, report_errors
from crdnet.data import Frame, Pair, find_pairs, read_frames
from crdnet.density import RainDensity
from crdnet.evaluation import StaticClip
from crdnet.metrics import psnr
from crdnet.rain import CameraRain, LayerBank, StreakLibrary, make_rainy_pair, measure_intensity

SMALLEST = 4
FRAMES = 40
COLUMNS = ("length, px", "width, px", "contrast, levels")
WET = (RainDensity.LIGHT, RainDensity.MEDIUM, RainDensity.HEAVY)
CHANGED_LEVELS = 8
CROP = 128
CROPS = 300


class Rained(NamedTuple):
    """Effect of rain on one image."""

    intensity: float
    """S, in grey levels."""
    changed: float
    """Share of pixels whose mean colour changed by more than `CHANGED_LEVELS`."""
    psnr: float


def measure_rain(rainy: Rgb, clean: Rgb) -> Rained:
    change = np.abs(rainy.astype(np.int16) - clean).mean(2)
    changed = float((change > CHANGED_LEVELS).mean())
    return Rained(measure_intensity(rainy, clean), changed, psnr(rainy, clean, "restormer-y"))


def format_row(images: Iterable[Rained]) -> str:
    intensities, shares, decibels = zip(*images, strict=True)
    intensity = f"{np.median(intensities):.1f} ({min(intensities):.1f}-{max(intensities):.1f})"
    return f"{intensity} | {np.median(shares):.2f} | {np.median(decibels):.1f} dB"


def draw_pairs(
    scenes: list[Rgb], grade: RainDensity, library: StreakLibrary | None
) -> tuple[list[Rained], int]:
    """Return three pairs of each scene, measured, and how many have the requested density."""
    images, hits = [], 0
    for scene, clean in enumerate(scenes):
        for turn in range(3):
            rng = np.random.default_rng((scene, turn, grade))
            pair = make_rainy_pair(clean, grade, rng, library=library if turn == 2 else None)
            images.append(measure_rain(pair.rainy, pair.clean))
            hits += RainDensity.from_intensity(images[-1].intensity) is grade
    return images, hits


def count_hits(scenes: list[Rgb], grade: RainDensity, bank: LayerBank) -> int:
    """Return how many of `CROPS` crops have the requested density."""
    rng = np.random.default_rng((7, grade))
    hits = 0
    for number in range(CROPS):
        clean = scenes[number % len(scenes)]
        top, left = (int(rng.integers(side - CROP + 1)) for side in clean.shape[:2])
        pair = bank.make_pair(
            np.ascontiguousarray(clean[top : top + CROP, left : left + CROP]), grade, rng
        )
        hits += RainDensity.from_intensity(measure_intensity(pair.rainy, pair.clean)) is grade
    return hits


def format_streaks(name: str, frames: Sequence[Frame]) -> str:
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


@click.group(help=__doc__.splitlines()[0])
def main() -> None: ...


@main.command("presets")
@click.argument("data", metavar="VAL_SYNTH", type=path_type)
@click.option("--streaks", type=path_type, help="Folder of streak images.")
@report_errors()
def presets_command(data: Path, streaks: Path | None) -> None:
    """Measure the rain of the presets beside that of another set."""
    library = None if streaks is None else StreakLibrary.read(streaks)
    pairs = find_pairs(data)
    theirs: dict[RainDensity, list[Pair]] = {
        grade: [pair for pair in pairs if pair.density is grade] for grade in WET
    }
    scenes = [pair.load().clean for pair in theirs[RainDensity.LIGHT]]
    print("| grade | S | changed | PSNR (Y) of the input | there: S | changed | PSNR |")
    print("|---|---|---|---|---|---|---|")
    hits = 0
    for grade in WET:
        images, right = draw_pairs(scenes, grade, library)
        hits += right
        loaded = [pair.load() for pair in theirs[grade]]
        there = format_row(measure_rain(pair.rainy, pair.clean) for pair in loaded)
        print(f"| {grade.name.lower()} | {format_row(images)} | {there} |", flush=True)
    print(f"\n{hits} of {9 * len(scenes)} pairs have the requested density")
    bank = LayerBank.draw(np.random.default_rng(0), per_density=64, side=320, library=library)
    of_bank = ", ".join(str(count_hits(scenes, grade, bank)) for grade in WET)
    print(f"crops of a bank that have it, of {CROPS} each: {of_bank}")


@main.command("streaks")
@click.argument("clips", nargs=-1, required=True, type=path_type)
@click.option("--rate", default=25.0, show_default=True, help="Rain rate in mm/h.")
@click.option("--exposure", default="1/120", show_default=True, help="Exposure time in seconds.")
@click.option(
    "--focal", default=26.0, show_default=True, help="Focal length in mm, for a sensor 36 mm wide."
)
@report_errors()
def streaks_command(clips: tuple[Path, ...], rate: float, exposure: str, focal: float) -> None:
    """Measure width, length, contrast and number of streaks in clips, real and drawn."""
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
            click.echo(f"{path.name:24} {name:6} {format_streaks(path.name, shown)}")


if __name__ == "__main__":
    main()
