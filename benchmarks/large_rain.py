"""Rain in a picture of 12 megapixels: `python benchmarks/large_rain.py --sheet docs/images/large_rain.jpg`.

Contract: the rain is that of `crdnet.rain`, with streaks eight times as long and as wide as in a picture of 500
pixels. The picture must be as sharp as a photograph, since an enlarged one tells its size by its blur, and free, so it
is drawn: hills under a sky, of noise with detail at every size. Printed are what is sensed, and the gain in PSNR by
the sensed size and at full size alone. It is smoother than a photograph, which makes the gain larger.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from crdnet import Derainer
from crdnet.metrics import psnr
from crdnet.rain import LineStreaks, RainSpec, make_rainy_pair

Picture = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
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
PANEL_WIDTH, PANEL_GAP, CROP_HEIGHT, QUALITY = 600, 8, 400, 78
CROP_LEFT, CROP_TOP = 1500, 1250
PROTOCOL = "restormer-y"


def noise(height: int, width: int, coarsest: int, fade: float, rng: np.random.Generator) -> Plane:
    """Return noise (h, w) in [0, 1] whose detail at each size is `fade` times that at twice the size.

    Args:
        height: In pixels.
        width: In pixels.
        coarsest: Pixels of the largest detail; the smallest is one.
        fade: Above 0, below 1; 0.5 is as rough as the outline of a hill, 0.8 as its woods.
        rng: Decides everything.
    """
    total = np.zeros((height, width), np.float32)
    size, weight = coarsest, 1.0
    while size >= 1:
        grid = rng.random((height // size + 2, width // size + 2), dtype=np.float32)
        shape = (grid.shape[1] * size, grid.shape[0] * size)
        total += (
            weight
            * np.asarray(Image.fromarray(grid).resize(shape, Image.Resampling.BICUBIC))[
                :height, :width
            ]
        )
        size, weight = size // 2, weight * fade
    low, high = np.percentile(total, [0.5, 99.5]).tolist()
    stretched: Plane = np.clip((total - low) / (high - low), 0, 1)
    return stretched


def landscape(rng: np.random.Generator) -> Picture:
    """Return hills under a cloudy sky (3000, 4000, 3), each nearer range darker, greener and rougher."""
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None]
    down = (rows / HEIGHT)[..., None]
    clouds = noise(HEIGHT, WIDTH, 1024, 0.5, rng)[..., None]
    scene = BLUE_SKY * (1 - clouds) + PALE_SKY * clouds + 30 * down
    ranges = zip((0.36, 0.46, 0.57, 0.72), (0.10, 0.14, 0.14, 0.10), strict=True)
    for near, (top, rise) in enumerate(ranges):
        outline = HEIGHT * (top + rise * (noise(1, WIDTH, 1024, 0.5, rng) - 0.5))
        woods = noise(HEIGHT, WIDTH, 256, 0.82, rng)[..., None]
        share = near / 3
        colour = (1 - share) * FAR_HILLS + share * NEAR_HILLS
        lit = colour * (1 + (0.2 + 0.9 * share) * (woods - 0.5))
        scene = np.where((rows > outline)[..., None], lit, scene)
    drawn: Picture = np.clip(np.rint(scene), 0, 255).astype(np.uint8)
    return drawn


def side_by_side(rainy: Picture, derained: Picture) -> Image.Image:
    """Return both pictures reduced, and below them a part of each, pixel for pixel."""
    high = PANEL_WIDTH * HEIGHT // WIDTH
    page = Image.new("RGB", (2 * PANEL_WIDTH + PANEL_GAP, high + PANEL_GAP + CROP_HEIGHT), "white")
    for number, pixels in enumerate((rainy, derained)):
        picture, left = Image.fromarray(pixels), number * (PANEL_WIDTH + PANEL_GAP)
        page.paste(picture.resize((PANEL_WIDTH, high), Image.Resampling.LANCZOS), (left, 0))
        box = (CROP_LEFT, CROP_TOP, CROP_LEFT + PANEL_WIDTH, CROP_TOP + CROP_HEIGHT)
        page.paste(picture.crop(box), (left, high + PANEL_GAP))
    return page


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default")
    parser.add_argument("--sheet", type=Path, help="where to put the pictures before and after")
    arguments = parser.parse_args()
    clean = landscape(np.random.default_rng(SEED))
    pair = make_rainy_pair(clean, RAIN, np.random.default_rng(SEED))
    derainer = Derainer(arguments.model)
    result = derainer.run(pair.rainy)
    colours: npt.NDArray[np.float32] = np.divide(pair.rainy, 255, dtype=np.float32)
    alone = np.rint(np.clip(derainer.estimate(colours, scale=1.0), 0, 1) * 255).astype(np.uint8)
    before, after, at_full_size = (
        psnr(each, clean, PROTOCOL) for each in (pair.rainy, result.image, alone)
    )
    print(f"rain: {pair.density.name}, intensity {pair.intensity:.1f}")
    print(f"sensed: {result.density!r}, {result.sensed}")
    print(
        f"PSNR ({PROTOCOL}): rainy {before:.2f} dB, derained {after:.2f} dB, gain {after - before:+.2f} dB"
    )
    print(f"at full size alone {at_full_size - before:+.2f} dB")
    print(f"without rain it is sensed {derainer.sense(clean).density!r}")
    if arguments.sheet:
        side_by_side(pair.rainy, result.image).save(arguments.sheet, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main()
