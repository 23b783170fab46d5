"""Measure how well a model removes drawn rain: by shape, by size, and in a large image.

    python -m benchmarks.quality.streaks shapes CLEAN [--scale S] [--every N]
    python -m benchmarks.quality.streaks sizes CLEAN [--every N]
    python -m benchmarks.quality.streaks large [--sheet docs/images/large_rain.jpg]

Contract. `shapes`: the folder CLEAN holds images without rain that no model was trained on. The
middle 304 x 304 pixels of every Nth image get single drops in linear light
(`crdnet.rain.draw_streaks`) of one direction, somewhat brighter than the bright parts of the image.
Printed are the gain in PSNR on luma (restormer-y), and the contrast left: the share of the added
light that remains on pixels that became brighter by 12 grey levels or more. The gate is off.
Without --scale, each image is derained at the scale that sensing chooses. `sizes`: every Nth image
of CLEAN gets light, medium or heavy rain of `crdnet.rain`, 1.5 to 8 times as large as in an image
of 500 pixels. Printed are the gains at full size, at the scale that sensing chooses, and at the
best scale. `large`: rain of `crdnet.rain` with streaks eight times as long and as wide as in an
image of 500 pixels. The image must be as sharp as a photograph, because sensing recognises an
enlarged one by its blur, and free of rights. It is therefore drawn: hills under a sky, made of
noise with detail at every size. It is smoother than a photograph, which makes the gain larger.
Printed are the sensed density, and the gain in PSNR at the chosen scale and at full size.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from benchmarks.helpers import (
    Rgb,
    file_type,
    model_option,
    quantise_colours,
    report_errors,
)
from benchmarks.quality.sheets import draw_panels, write_sheet
from crdnet import Derainer
from crdnet.data import list_images, read_rgb
from crdnet.density import RAINY_GRADES, luma
from crdnet.metrics import psnr, score
from crdnet.rain import (
    LineStreaks,
    RainSpec,
    Streaks,
    compose_drops,
    draw_streaks,
    make_rainy_pair,
)
from crdnet.rain.drops import OPAQUE, decode_srgb
from crdnet.runtime.scales import list_reductions

Plane = npt.NDArray[np.float32]
PROTOCOL = "restormer-y"
SHEET_QUALITY = 78
WIDTH, HEIGHT = 4000, 3000
PALE_SKY, BLUE_SKY = np.array([[178, 184, 190], [96, 124, 158]], np.float32)
FAR_HILLS, NEAR_HILLS = np.array([[128, 146, 164], [62, 74, 40]], np.float32)
SEED = 5
RAIN = RainSpec(
    (
        LineStreaks(6_000.0, 24.0, 1.0, -12.0, 3.0, 0.4, 0.5),
        LineStreaks(700.0, 70.0, 2.4, -12.0, 3.0, 0.2, 0.7),
    ),
    scale=8.0,
)
"""Far and near drops."""
SIDE = 304
VISIBLE = 12
"""Grey levels that a pixel must have gained to count in the contrast."""
ANGLES = (0, 15, 30, 45, 60, 75)
"""Degrees from straight down, of 40 streaks of 1.5 x 50 pixels."""
SIZES = ((1.0, 4), (1.0, 8), (1.0, 25), (2.0, 80), (1.5, 300), (5.0, 20), (5.0, 120), (10.0, 200))
"""Width and length in pixels."""
NUMBERS = (2, 40)
ENLARGEMENTS = (1.5, 2.5, 4.0, 6.0, 8.0)
"""Sizes of rain, in those of rain in an image of 500 pixels."""


class Kind(NamedTuple):
    """Number, size in pixels and direction of the streaks drawn on one scene."""

    number: int
    width: float
    length: int
    angle: int | None = None
    """Degrees from straight down to either side; None draws it from a normal distribution."""


def cut_middle(image: Rgb) -> Rgb:
    top, left = ((side - min(side, SIDE)) // 2 for side in image.shape[:2])
    return image[top : top + SIDE, left : left + SIDE]


def average_scores(
    derainer: Derainer, scenes: list[Rgb], kind: Kind, scale: float | None
) -> tuple[float, float, float]:
    """Return PSNR before, gain and contrast left, means over the scenes."""
    rows = list(score_scenes(derainer, scenes, kind, scale))
    before, gain, left = np.nanmean(rows, axis=0).tolist()
    return before, gain, left


def score_scenes(
    derainer: Derainer, scenes: list[Rgb], kind: Kind, scale: float | None
) -> Iterator[tuple[float, float, float]]:
    for seed, scene in enumerate(scenes):
        rainy = draw_rain(scene, kind, np.random.default_rng(seed))
        truth, before = (each.astype(np.float32) / np.float32(255) for each in (scene, rainy))
        after = np.clip(derainer.estimate(before, scale=scale), 0, 1)
        added = 255 * (luma(before) - luma(truth))
        seen = added >= VISIBLE
        remains = 255 * (luma(after) - luma(truth))[seen].sum()
        left = max(0.0, float(remains / added[seen].sum())) if seen.any() else np.nan
        psnr = [score(each, truth, "restormer-y").psnr for each in (before, after)]
        yield psnr[0], psnr[1] - psnr[0], left


def draw_rain(scene: Rgb, kind: Kind, rng: np.random.Generator) -> Rgb:
    """Return a scene with streaks of the given direction, or of a nearly vertical one."""
    height, wide = scene.shape[:2]
    direction = rng.normal(0, 12) if kind.angle is None else kind.angle * rng.choice([-1, 1])
    number = kind.number
    streaks = Streaks(
        row=rng.uniform(0, height, number),
        column=rng.uniform(0, wide, number),
        length=kind.length * np.exp(rng.normal(0, 0.2, number)),
        width=kind.width * np.exp(rng.normal(0, 0.2, number)),
        angle_degrees=direction + rng.normal(0, 1, number),
        opacity=np.full(number, 0.3),
        blur=np.full(number, 0.5 * kind.width),
        beads=np.zeros(number),
        taper=np.zeros(number),
    )
    bright = 1.2 * np.percentile(decode_srgb(scene).mean(2), 95) + OPAQUE / 8
    light = np.full(3, min(bright, OPAQUE), np.uint16)
    return compose_drops(scene, draw_streaks(streaks, height, wide), light)


def draw_noise(
    height: int, width: int, coarsest: int, fade: float, rng: np.random.Generator
) -> Plane:
    """Return noise (h, w) in [0, 1] with detail at every size.

    Args:
        height: In pixels.
        width: In pixels.
        coarsest: Pixels of the largest detail; the smallest is one.
        fade: Detail at a size over that at twice the size, between 0 and 1: 0.5 is as rough as
            the outline of a hill, 0.8 as its woods.
        rng: Source of randomness.
    """
    total = np.zeros((height, width), np.float32)
    size, weight = coarsest, 1.0
    while size >= 1:
        grid = rng.random((height // size + 2, width // size + 2), dtype=np.float32)
        shape = (grid.shape[1] * size, grid.shape[0] * size)
        total += (
            weight
            * np.asarray(Pillow.fromarray(grid).resize(shape, Pillow.Resampling.BICUBIC))[
                :height, :width
            ]
        )
        size, weight = size // 2, weight * fade
    low, high = np.percentile(total, [0.5, 99.5]).tolist()
    stretched: Plane = np.clip((total - low) / (high - low), 0, 1)
    return stretched


def draw_landscape(rng: np.random.Generator) -> Rgb:
    """Return hills under a cloudy sky; nearer ranges are darker, greener and rougher."""
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None]
    down = (rows / HEIGHT)[..., None]
    clouds = draw_noise(HEIGHT, WIDTH, 1024, 0.5, rng)[..., None]
    scene = BLUE_SKY * (1 - clouds) + PALE_SKY * clouds + 30 * down
    ranges = zip((0.36, 0.46, 0.57, 0.72), (0.10, 0.14, 0.14, 0.10), strict=True)
    for near, (top, rise) in enumerate(ranges):
        outline = HEIGHT * (top + rise * (draw_noise(1, WIDTH, 1024, 0.5, rng) - 0.5))
        woods = draw_noise(HEIGHT, WIDTH, 256, 0.82, rng)[..., None]
        share = near / 3
        colour = (1 - share) * FAR_HILLS + share * NEAR_HILLS
        lit = colour * (1 + (0.2 + 0.9 * share) * (woods - 0.5))
        scene = np.where((rows > outline)[..., None], lit, scene)
    drawn: Rgb = np.clip(np.rint(scene), 0, 255).astype(np.uint8)
    return drawn


@click.group(help=__doc__.splitlines()[0])
def main() -> None: ...


@main.command("shapes")
@click.argument("clean", type=click.Path(exists=True, path_type=Path))
@model_option
@click.option(
    "--scale",
    type=click.Choice(["1", "0.5", "0.25"]),
    help="Scale at which the network sees images.",
)
@click.option("--every", default=2, show_default=True, help="Use every Nth image.")
@report_errors()
def shapes_command(clean: Path, model: str, scale: str | None, every: int) -> None:
    """Measure the gain and the contrast left by direction, size and number of streaks."""
    derainer = Derainer(model)
    scenes = [cut_middle(read_rgb(clean / path)) for path in list_images(clean).images[::every]]
    size = None if scale is None else float(scale)
    click.echo(f"{len(scenes)} images\n{'':28} {'rainy':>7} {'gain':>6} {'left':>6}")
    vertical = None
    for angle in ANGLES:
        before, gain, left = average_scores(derainer, scenes, Kind(40, 1.5, 50, angle), size)
        vertical = gain if vertical is None else vertical
        share = f"{gain / vertical:7.0%} of the gain at 0"
        click.echo(f"{f'{angle} degrees':28} {before:7.2f} {gain:+6.2f} {left:6.2f} {share}")
    for number in NUMBERS:
        for width, length in SIZES:
            before, gain, left = average_scores(derainer, scenes, Kind(number, width, length), size)
            name = f"{number} of {width:g} x {length} px"
            click.echo(f"{name:28} {before:7.2f} {gain:+6.2f} {left:6.2f}")


@main.command("sizes")
@click.argument("clean", type=click.Path(exists=True, path_type=Path))
@model_option
@click.option("--every", default=2, show_default=True, help="Use every Nth image.")
@report_errors()
def sizes_command(clean: Path, model: str, every: int) -> None:
    """Measure the gain by the size of rain, at the chosen scale and at the best."""
    derainer = Derainer(model)
    scenes = [read_rgb(clean / path) for path in list_images(clean).images[::every]]
    click.echo(f"{len(scenes)} images\n{'':10} {'rainy':>7} {'full':>7} {'chosen':>7} {'best':>7}")
    for size in ENLARGEMENTS:
        rows = [score_scales(derainer, scene, size, seed) for seed, scene in enumerate(scenes)]
        before, *gains = np.mean(rows, axis=0).tolist()
        click.echo(f"{f'{size:g} times':10} {before:7.2f} " + " ".join(f"{g:+7.2f}" for g in gains))


def score_scales(
    derainer: Derainer, scene: Rgb, size: float, seed: int
) -> tuple[float, float, float, float]:
    """Return PSNR of a scene with rain, and the gains at full size, chosen scale and best scale."""
    rng = np.random.default_rng((SEED, seed))
    density = RAINY_GRADES[seed % len(RAINY_GRADES)]
    pair = make_rainy_pair(scene, density, rng, scale=size)
    colours: Plane = np.divide(pair.rainy, 255, dtype=np.float32)
    before = psnr(pair.rainy, pair.clean, PROTOCOL)
    gains = {
        each: psnr(
            quantise_colours(derainer.estimate(colours, scale=1 / each)), pair.clean, PROTOCOL
        )
        - before
        for each in list_reductions(*scene.shape[:2])
    }
    chosen = derainer.sense(pair.rainy).reduction
    return before, gains[1], gains[chosen], max(gains.values())


@main.command("large")
@model_option
@click.option("--sheet", type=file_type, help="Draw the images before and after to a JPEG.")
@report_errors()
def large_command(model: str, sheet: Path | None) -> None:
    """Measure the gain on a drawn image of 12 megapixels."""
    clean = draw_landscape(np.random.default_rng(SEED))
    pair = make_rainy_pair(clean, RAIN, np.random.default_rng(SEED))
    derainer = Derainer(model)
    result = derainer.run(pair.rainy)
    colours: Plane = np.divide(pair.rainy, 255, dtype=np.float32)
    alone = quantise_colours(derainer.estimate(colours, scale=1.0))
    before, after, at_full_size = (
        psnr(each, clean, PROTOCOL) for each in (pair.rainy, result.image, alone)
    )
    gain = after - before
    print(f"rain: {pair.density.name}, S = {pair.intensity:.1f}")
    print(f"sensed: {result.density!r}, {result.sensed}")
    print(f"PSNR ({PROTOCOL}): rainy {before:.2f}, derained {after:.2f} dB, gain {gain:+.2f} dB")
    print(f"at full size alone {at_full_size - before:+.2f} dB")
    print(f"without rain it is sensed {derainer.sense(clean).density!r}")
    if sheet is not None:
        write_sheet(sheet, draw_panels([pair.rainy, result.image]), SHEET_QUALITY)


if __name__ == "__main__":
    main()
