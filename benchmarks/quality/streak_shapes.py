"""Measure which streaks a model takes out, by their direction, size and number.

    python benchmarks/quality/streak_shapes.py CLEAN [--model NAME] [--scale S] [--every N]

Contract: every Nth image of the folder CLEAN (without rain, none trained on; its middle 304 x 304 pixels)
gets single drops in linear light (`crdnet.rain.draw_streaks`) of one direction, somewhat brighter than
its bright parts. Printed are the gain in PSNR on luma (restormer-y), and the contrast left: what remains
of the added light on pixels that became brighter by 12 grey levels or more, as a share. Nothing is gated;
without --scale the network sees each image at the size at which it senses the rain.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt

from crdnet import Derainer
from crdnet.data import list_images, read_rgb
from crdnet.density import luma
from crdnet.metrics import score
from crdnet.rain import Streaks, compose_drops, draw_streaks
from crdnet.rain.drops import OPAQUE, decode_srgb

Image = npt.NDArray[np.uint8]
SIDE = 304
VISIBLE = 12
"""Grey levels that a pixel must have gained to count in the contrast."""
ANGLES = (0, 15, 30, 45, 60, 75)
"""Degrees from straight down, of 40 streaks of 1.5 x 50 pixels."""
SIZES = ((1.0, 4), (1.0, 8), (1.0, 25), (2.0, 80), (1.5, 300), (5.0, 20), (5.0, 120), (10.0, 200))
"""Width and length in pixels."""
NUMBERS = (2, 40)


class Kind(NamedTuple):
    """Number, size in pixels and direction of the streaks drawn on one scene."""

    number: int
    width: float
    length: int
    angle: int | None = None
    """Degrees from straight down to either side; None draws it from a normal distribution."""


@click.command(help=__doc__.splitlines()[0])
@click.argument("clean", type=click.Path(exists=True, path_type=Path))
@click.option("-m", "--model", default="default", show_default=True)
@click.option(
    "--scale", type=click.Choice(["1", "0.5", "0.25"]), help="At which the network sees images."
)
@click.option("--every", default=2, show_default=True, help="Take every Nth image.")
def main(*, clean: Path, model: str, scale: str | None, every: int) -> None:
    derainer = Derainer(model)
    scenes = [_middle(read_rgb(clean / path)) for path in list_images(clean).images[::every]]
    size = None if scale is None else float(scale)
    click.echo(f"{len(scenes)} images\n{'':28} {'rainy':>7} {'gain':>6} {'left':>6}")
    vertical = None
    for angle in ANGLES:
        before, gain, left = _means(derainer, scenes, Kind(40, 1.5, 50, angle), size)
        vertical = gain if vertical is None else vertical
        share = f"{gain / vertical:7.0%} of the gain at 0"
        click.echo(f"{f'{angle} degrees':28} {before:7.2f} {gain:+6.2f} {left:6.2f} {share}")
    for number in NUMBERS:
        for width, length in SIZES:
            before, gain, left = _means(derainer, scenes, Kind(number, width, length), size)
            name = f"{number} of {width:g} x {length} px"
            click.echo(f"{name:28} {before:7.2f} {gain:+6.2f} {left:6.2f}")


def _middle(image: Image) -> Image:
    top, left = ((side - min(side, SIDE)) // 2 for side in image.shape[:2])
    return image[top : top + SIDE, left : left + SIDE]


def _means(
    derainer: Derainer, scenes: list[Image], kind: Kind, scale: float | None
) -> tuple[float, float, float]:
    """Return PSNR before, gain and contrast left, means over the scenes."""
    rows = list(_scores(derainer, scenes, kind, scale))
    before, gain, left = np.nanmean(rows, axis=0).tolist()
    return before, gain, left


def _scores(
    derainer: Derainer, scenes: list[Image], kind: Kind, scale: float | None
) -> Iterator[tuple[float, float, float]]:
    for seed, scene in enumerate(scenes):
        rainy = _rained_on(scene, kind, np.random.default_rng(seed))
        truth, before = (each.astype(np.float32) / np.float32(255) for each in (scene, rainy))
        after = np.clip(derainer.estimate(before, scale=scale), 0, 1)
        added = 255 * (luma(before) - luma(truth))
        seen = added >= VISIBLE
        remains = 255 * (luma(after) - luma(truth))[seen].sum()
        left = max(0.0, float(remains / added[seen].sum())) if seen.any() else np.nan
        psnr = [score(each, truth, "restormer-y").psnr for each in (before, after)]
        yield psnr[0], psnr[1] - psnr[0], left


def _rained_on(scene: Image, kind: Kind, rng: np.random.Generator) -> Image:
    """Return a scene with streaks of a direction, or of one within some 12 degrees of straight down."""
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


if __name__ == "__main__":
    main()
