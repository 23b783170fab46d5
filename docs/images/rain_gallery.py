"""Make the images of docs/rain.md: `python docs/images/rain_gallery.py` (needs scikit-image).

The photographs come with scikit-image and are free: the rocket (SpaceX) and the astronaut (NASA)
are in the public domain, the cat (Stefan van der Walt) and the coffee (Rachel Michetti) are CC0.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import skimage.data
from PIL import Image

from crdnet.density import RainDensity
from crdnet.rain import Haze, LineStreaks, NoiseStreaks, RainSpec, make_rainy_pair

RgbImage = npt.NDArray[np.uint8]
FOLDER = Path(__file__).parent
SIDE = 250
QUALITY = 78

KINDS = {
    "drizzle": RainSpec((LineStreaks(14_000.0, 16.0, 0.9, 6.0, 5.0, 0.6, 0.6),)),
    "two distances": RainSpec(
        (
            LineStreaks(9_000.0, 22.0, 1.0, -12.0, 3.0, 0.5, 0.45),
            LineStreaks(1_200.0, 60.0, 2.4, -12.0, 3.0, 0.2, 0.8),
        )
    ),
    "long sheets": RainSpec((LineStreaks(2_200.0, 170.0, 1.6, 28.0, 1.5, 0.3, 0.6),)),
    "near drops": RainSpec(
        (
            LineStreaks(300.0, 120.0, 7.5, 8.0, 3.0, 0.0, 0.6),
            LineStreaks(4_000.0, 25.0, 1.0, 8.0, 3.0, 0.5, 0.5),
        )
    ),
    "crossing": RainSpec(
        (
            LineStreaks(1_500.0, 60.0, 1.5, -18.0, 1.0, 0.8, 0.7),
            LineStreaks(1_500.0, 40.0, 1.5, 14.0, 1.0, 0.8, 0.7),
        ),
        blend=0.0,
    ),
    "noise": RainSpec((NoiseStreaks(0.8, 34.0, 1.2, 16.0, 0.9),)),
    "haze": RainSpec((LineStreaks(9_000.0, 34.0, 1.4, 10.0, 3.0, 0.4, 0.6),), haze=Haze(0.6, 0.85)),
    "scale 3": RainSpec((LineStreaks(6_000.0, 30.0, 1.2, 10.0, 3.0, 0.5, 0.6),), scale=3.0),
}
"""Rain of each image in rain_kinds.jpg, row by row."""


def load_photographs() -> list[RgbImage]:
    """Return the rocket, the cat, the coffee and the astronaut as squares."""
    rocket, cat = skimage.data.rocket()[107:427, 120:440], skimage.data.chelsea()[:, 70:370]
    coffee, astronaut = skimage.data.coffee()[:, 100:500], skimage.data.astronaut()[:440, 30:470]
    squares = (
        Image.fromarray(each).resize((SIDE, SIDE)) for each in (rocket, cat, coffee, astronaut)
    )
    return [np.asarray(each, dtype=np.uint8) for each in squares]


def arrange_grid(images: list[RgbImage], columns: int) -> Image.Image:
    """Arrange images of one size in rows."""
    rows = [
        np.concatenate(images[at : at + columns], axis=1) for at in range(0, len(images), columns)
    ]
    return Image.fromarray(np.concatenate(rows))


def main() -> None:
    """Write rain_densities.jpg and rain_kinds.jpg."""
    clean = load_photographs()
    by_density = [
        make_rainy_pair(photograph, density, np.random.default_rng([4, density, number])).rainy
        for density in RainDensity
        for number, photograph in enumerate(clean)
    ]
    arrange_grid(by_density, 4).save(FOLDER / "rain_densities.jpg", quality=QUALITY, optimize=True)
    by_kind = [
        make_rainy_pair(
            clean[0] if number % 2 else clean[3], spec, np.random.default_rng(number)
        ).rainy
        for number, spec in enumerate(KINDS.values())
    ]
    arrange_grid(by_kind, 4).save(FOLDER / "rain_kinds.jpg", quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main()
