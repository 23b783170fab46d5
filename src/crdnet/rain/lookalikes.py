"""Things in dry pictures that a network takes for rain: fences, hair, text and point lights.

Drawn on photographs, they are the hard negatives of training and of the tests: what comes out of the network must be
what went in.
"""

from collections.abc import Callable
from math import cos, pi, radians, sin

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from crdnet.rain.compose import check_picture

Picture = npt.NDArray[np.uint8]
"""RGB (h, w, 3)."""

_FINE = 2
"""How much finer than the picture shapes are drawn, so that their edges are smooth."""
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789|/!-"))


def fence(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture (h, w, 3) behind a fence: parallel bars, or two crossing sets of them."""
    check_picture(picture)
    height, width = picture.shape[:2]
    mask, pen = _sheet(height, width)
    first = rng.uniform(-90, 90)
    angles = [first] if rng.random() < 0.5 else [first, first + rng.uniform(40, 140)]
    period = rng.uniform(5, 40)
    thickness = rng.uniform(1, 0.5 * period)
    for angle in angles:
        _bars(pen, height, width, angle, period, thickness)
    return _painted(picture, mask, rng, opacity=rng.uniform(0.7, 1))


def hair(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture (h, w, 3) behind a strand of hair: fine curves that run beside each other."""
    check_picture(picture)
    height, width = picture.shape[:2]
    mask, pen = _sheet(height, width)
    reach, direction = _FINE * (height + width), rng.uniform(-pi, pi)
    bend = rng.choice([-1, 1]) * rng.uniform(0.5, 1.5)
    steps = np.linspace(-0.5, 0.5, 24)
    for _ in range(int(rng.integers(4, 60))):
        angle = direction + rng.normal(0, 0.06)
        x0, y0 = rng.uniform(0, _FINE * width), rng.uniform(0, _FINE * height)
        headings = angle + (bend + rng.normal(0, 0.1)) * steps
        xs = x0 + reach * np.cumsum(np.cos(headings)) / len(steps) - 0.5 * reach * cos(angle)
        ys = y0 + reach * np.cumsum(np.sin(headings)) / len(steps) - 0.5 * reach * sin(angle)
        pen.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=255, width=int(rng.integers(1, 4)))
    return _painted(picture, mask, rng, opacity=rng.uniform(0.5, 1), bright=0.3)


def text(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture (h, w, 3) with lines of letters on it."""
    check_picture(picture)
    height, width = picture.shape[:2]
    mask, pen = _sheet(height, width)
    size = int(rng.integers(8, 40)) * _FINE
    font = ImageFont.load_default(size)
    for top in range(int(rng.integers(size)) - size, _FINE * height, round(size * rng.uniform(1.1, 2))):
        letters = "".join(rng.choice(_LETTERS, int(3 * _FINE * width / size) + 1))
        pen.text((-float(rng.integers(size)), top), letters, fill=255, font=font)
    return _painted(picture, mask, rng, opacity=1.0)


def point_lights(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture (h, w, 3) at night, with lamps in it: bright discs in a glow."""
    check_picture(picture)
    height, width = picture.shape[:2]
    night = picture.astype(np.float32) * rng.uniform(0.08, 0.4)
    rows, columns = np.ogrid[:height, :width]
    for _ in range(int(rng.integers(1, 2 + height * width // 1500))):
        y, x, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0.4, 4)
        distance = np.hypot(rows - y, columns - x).astype(np.float32)
        lamp = np.clip(radius + 0.5 - distance, 0, 1)
        glow = rng.uniform(0.1, 0.6) * np.exp(-distance / (2 * radius + 1))
        colour = 255 - rng.uniform(0, 140) * np.array([0, rng.uniform(0, 1), 1], np.float32)
        night += np.maximum(lamp, glow)[:, :, None] * (colour if rng.random() < 0.7 else colour[::-1])
    lit: Picture = np.clip(np.rint(night), 0, 255).astype(np.uint8)
    return lit


LOOKALIKES: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "fence": fence,
    "hair": hair,
    "text": text,
    "point_lights": point_lights,
}
"""Each returns a new picture of the same shape; the generator decides everything about it."""


def _sheet(height: int, width: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    mask = Image.new("L", (_FINE * width, _FINE * height))
    return mask, ImageDraw.Draw(mask)


def _bars(
    pen: ImageDraw.ImageDraw, height: int, width: int, angle: float, period: float, thickness: float
) -> None:
    along, across = (cos(radians(angle)), sin(radians(angle))), (-sin(radians(angle)), cos(radians(angle)))
    middle, reach = (_FINE * width / 2, _FINE * height / 2), _FINE * (height + width)
    for offset in np.arange(-reach / 2, reach / 2, _FINE * period).tolist():
        x, y = middle[0] + offset * across[0], middle[1] + offset * across[1]
        ends = (x - reach * along[0], y - reach * along[1], x + reach * along[0], y + reach * along[1])
        pen.line(ends, fill=255, width=max(1, round(_FINE * thickness)))


def _painted(
    picture: Picture, mask: Image.Image, rng: np.random.Generator, *, opacity: float, bright: float = 0.5
) -> Picture:
    """Return the picture with one colour, bright in so many cases of 1, where the mask is white."""
    covered = opacity / 255 * np.asarray(mask.reduce(_FINE), np.float32)[:, :, None]
    level = rng.uniform(170, 255) if rng.random() < bright else rng.uniform(0, 80)
    colour = np.clip(level + rng.normal(0, 12, 3), 0, 255).astype(np.float32)
    mixed = picture.astype(np.float32) * (1 - covered) + colour * covered
    painted: Picture = np.rint(mixed).astype(np.uint8)
    return painted
