"""Add rain to the clean example images: `python examples/make_rainy.py`.

Writes light.jpg, medium.jpg and heavy.jpg. Rain in a photograph consists of streaks: a drop falls
during the exposure and leaves a bright, soft line, long and wide if it is near, short and thin if
it is far. The drops fall in about one direction. Each adds light to the background (a screen
blend), so bright parts hide it. Streaks are added until the mean change of luma, by which
`crdnet.density` grades rain, reaches its target. Heavy rain also gets a veil: the light of drops
that are too far away to be seen one by one.

Everything is drawn from a seed; numpy and Pillow are enough.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from crdnet.density import RainDensity, compute_intensity

Layer = npt.NDArray[np.float32]
"""Light of the streaks (h, w) in [0, 1]."""

FOLDER = Path(__file__).resolve().parent
JPEG_QUALITY = 88


@dataclass(frozen=True)
class Drops:
    """Drops at one distance."""

    share: float
    """Share of these drops among all streaks."""
    length: tuple[float, float]
    """Shortest and longest streak, as shares of the image's shorter side."""
    width: tuple[float, float]
    """Thinnest and thickest streak, likewise: the standard deviation of its cross-section."""
    light: tuple[float, float]
    """Faintest and brightest streak, in [0, 1]."""


FAR = Drops(share=0.78, length=(0.03, 0.09), width=(0.0010, 0.0016), light=(0.12, 0.38))
MIDDLE = Drops(share=0.195, length=(0.09, 0.20), width=(0.0014, 0.0024), light=(0.18, 0.50))
NEAR = Drops(share=0.025, length=(0.20, 0.40), width=(0.0026, 0.0045), light=(0.12, 0.30))


@dataclass(frozen=True)
class Rain:
    """Rain of one image."""

    intensity: float
    """Mean change of luma to reach, in grey levels of 255; see `crdnet.density`."""
    angle_degrees: float
    """Direction of fall: 0 straight down, positive towards the right."""
    spread_degrees: float
    """Standard deviation of the streaks' directions."""
    veil: float
    """Light of the drops that are too far away to be seen, added everywhere, in [0, 1]."""
    seed: int


RAINS = {
    RainDensity.LIGHT: Rain(
        intensity=5.0, angle_degrees=-8.0, spread_degrees=1.5, veil=0.0, seed=1
    ),
    RainDensity.MEDIUM: Rain(
        intensity=16.0, angle_degrees=12.0, spread_degrees=2.5, veil=0.015, seed=2
    ),
    RainDensity.HEAVY: Rain(
        intensity=38.0, angle_degrees=-16.0, spread_degrees=3.5, veil=0.06, seed=3
    ),
}


def add_rain(clean: npt.NDArray[np.uint8], rain: Rain) -> npt.NDArray[np.uint8]:
    """Add rain to an RGB image (h, w, 3); the same rain always gives the same image."""
    rng = np.random.default_rng(rain.seed)
    layer: Layer = np.full(clean.shape[:2], rain.veil, dtype=np.float32)
    rainy = clean
    while compute_intensity(rainy, clean) < rain.intensity:
        for streak in _sample_streaks(layer.shape, rain, rng, number=40):
            _add_streak(layer, streak)
        rainy = _blend_screen(clean, layer)
    return rainy


@dataclass(frozen=True)
class _Streak:
    row: float
    column: float
    length: float
    width: float
    light: float
    angle: float
    """Direction in radians, with the sign of `Rain.angle_degrees`."""


def _sample_streaks(
    shape: tuple[int, ...], rain: Rain, rng: np.random.Generator, number: int
) -> Iterator[_Streak]:
    """Yield streaks at random positions, some of which leave the image."""
    height, width = shape
    side = min(height, width)
    kinds = (FAR, MIDDLE, NEAR)
    for kind in rng.choice(len(kinds), size=number, p=[each.share for each in kinds]):
        drops = kinds[kind]
        yield _Streak(
            row=rng.uniform(-0.1, 1.1) * height,
            column=rng.uniform(-0.1, 1.1) * width,
            length=rng.uniform(*drops.length) * side,
            # A thinner line would fall between the pixels.
            width=max(0.4, rng.uniform(*drops.width) * side),
            light=rng.uniform(*drops.light),
            angle=np.radians(rng.normal(rain.angle_degrees, rain.spread_degrees)),
        )


def _add_streak(layer: Layer, streak: _Streak) -> None:
    """Draw one streak into the layer: a soft line that fades at both ends."""
    reach = streak.length / 2 + 3 * streak.width
    rows = _clip_span(streak.row, reach, layer.shape[0])
    columns = _clip_span(
        streak.column, abs(np.sin(streak.angle)) * reach + 3 * streak.width, layer.shape[1]
    )
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    down = np.arange(rows.start, rows.stop)[:, None] - streak.row
    right = np.arange(columns.start, columns.stop)[None] - streak.column
    along = down * np.cos(streak.angle) + right * np.sin(streak.angle)
    across = right * np.cos(streak.angle) - down * np.sin(streak.angle)
    profile = np.exp(-0.5 * (across / streak.width) ** 2)
    fade = np.clip(1 - (2 * along / streak.length) ** 2, 0, 1)
    part = layer[rows, columns]
    part += (1 - part) * np.float32(streak.light) * (profile * fade).astype(np.float32)


def _clip_span(centre: float, reach: float, size: int) -> slice:
    return slice(max(0, int(np.floor(centre - reach))), min(size, int(np.ceil(centre + reach)) + 1))


def _blend_screen(clean: npt.NDArray[np.uint8], layer: Layer) -> npt.NDArray[np.uint8]:
    """Return the screen blend of an image and white light."""
    dark = (1 - clean.astype(np.float32) / 255) * (1 - layer[..., None])
    return np.rint(255 * (1 - dark)).astype(np.uint8)


def main() -> None:
    for density, rain in RAINS.items():
        name = f"{density.name.lower()}.jpg"
        clean = np.asarray(Image.open(FOLDER / "clean" / name).convert("RGB"))
        Image.fromarray(add_rain(clean, rain)).save(
            FOLDER / name, quality=JPEG_QUALITY, optimize=True
        )
        stored = np.asarray(Image.open(FOLDER / name))
        print(
            f"{name}: intensity {compute_intensity(stored, clean):.1f} grey levels, "
            f"{(FOLDER / name).stat().st_size} bytes"
        )


if __name__ == "__main__":
    main()
