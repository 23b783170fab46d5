"""Things in dry pictures that a network takes for rain: fences, walls, hair, grass, text, dots and point lights.

Drawn on photographs, they are the hard negatives of training and of the tests: what comes out of the network must be
what went in.
"""

from collections.abc import Callable
from math import cos, pi, radians, sin

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from crdnet.rain.chance import log_between
from crdnet.rain.compose import check_picture
from crdnet.rain.documents import DOCUMENTS

Picture = npt.NDArray[np.uint8]
"""RGB (h, w, 3)."""

_FINE = 2
"""How much finer than the picture shapes are drawn, so that their edges are smooth."""
_NEAR_VERTICAL = 25.0
"""Degrees from the vertical within which rain falls, and what is most like it stands."""
_GLOWS = 6
"""How often a glow falls to 1/e until nothing is left of it: to a level of 255 at most."""
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789|/!-"))


def fence(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture (h, w, 3) behind a fence: parallel bars, or two crossing sets; everywhere or in a part."""
    check_picture(picture)
    height, width = picture.shape[:2]
    mask, pen = _sheet(height, width)
    first = _upright(rng) if rng.random() < 0.4 else rng.uniform(-90, 90)
    angles = [first] if rng.random() < 0.6 else [first, first + rng.uniform(40, 140)]
    period = log_between(4.0, 40.0, rng)
    thickness = rng.uniform(min(1, 0.3 * period), 0.7 * period)
    for angle in angles:
        _bars(pen, height, width, angle, period, thickness)
    return _painted(picture, _in_a_part(mask, rng), rng, opacity=rng.uniform(0.6, 1), bright=0.6)


def wall(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture (h, w, 3) with the joints of masonry on it: long level lines, and short upright ones between."""
    check_picture(picture)
    height, width = picture.shape[:2]
    mask, pen = _sheet(height, width)
    course = _FINE * log_between(6.0, max(7.0, min(60.0, height / 2)), rng)
    stone = course * rng.uniform(0.5, 3)
    joint = max(1, round(course * rng.uniform(0.05, 0.25)))
    shift = rng.uniform(0, stone)
    for row, top in enumerate(np.arange(-rng.uniform(0, course), _FINE * height, course).tolist()):
        pen.line((0, top, _FINE * width, top), fill=255, width=joint)
        first = shift + (row % 2) * stone / 2 - 2 * stone
        for x in np.arange(first, _FINE * width, stone).tolist():
            at = x + rng.normal(0, 0.05 * stone)
            pen.line((at, top, at + rng.normal(0, 0.05 * course), top + course), fill=255, width=joint)
    return _painted(picture, _in_a_part(mask, rng), rng, opacity=rng.uniform(0.4, 1), bright=0.7)


def dots(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture (h, w, 3) behind a grid of dots: a halftone, a sieve, studs."""
    check_picture(picture)
    height, width = picture.shape[:2]
    mask, pen = _sheet(height, width)
    pitch = _FINE * log_between(4.0, 16.0, rng)
    radius = pitch * rng.uniform(0.15, 0.45)
    angle = rng.uniform(0, pi / 2)
    reach = int((_FINE * (height + width)) / pitch) // 2 + 1
    steps = np.arange(-reach, reach + 1) * pitch
    xs = (steps[:, None] * cos(angle) - steps * sin(angle)).ravel() + _FINE * width / 2
    ys = (steps[:, None] * sin(angle) + steps * cos(angle)).ravel() + _FINE * height / 2
    seen = (abs(xs - _FINE * width / 2) < _FINE * width) & (abs(ys - _FINE * height / 2) < _FINE * height)
    for x, y in zip(xs[seen].tolist(), ys[seen].tolist(), strict=True):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return _painted(picture, _in_a_part(mask, rng), rng, opacity=rng.uniform(0.4, 1))


def blades(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture (h, w, 3) behind blades of grass or leaves: tapered, bent strokes of one hue."""
    check_picture(picture)
    height, width = picture.shape[:2]
    sheet = Image.new("RGB", (_FINE * width, _FINE * height))
    mask, pen = _sheet(height, width)
    brush = ImageDraw.Draw(sheet)
    hue = rng.uniform(0, 1, 3) ** rng.uniform(0.2, 1.5)
    length, thickness = _FINE * log_between(15.0, 120.0, rng), _FINE * log_between(1.0, 6.0, rng)
    spread = rng.uniform(5, 40)
    for _ in range(int(rng.integers(5, 150))):
        colour = tuple(
            np.clip(255 * hue * rng.uniform(0.3, 1.2) + rng.normal(0, 8, 3), 0, 255).astype(int).tolist()
        )
        x, y = rng.uniform(0, _FINE * width), rng.uniform(0, 1.5 * _FINE * height)
        lean, bend = radians(rng.normal(0, spread)), radians(rng.normal(0, 20))
        reach, base = length * rng.uniform(0.5, 1.5), thickness * rng.uniform(0.5, 1.5) / 2
        middle = (x + reach / 2 * sin(lean), y - reach / 2 * cos(lean))
        tip = (middle[0] + reach / 2 * sin(lean + bend), middle[1] - reach / 2 * cos(lean + bend))
        outline = [
            (x - base, y),
            (middle[0] - 0.7 * base, middle[1]),
            tip,
            (middle[0] + 0.7 * base, middle[1]),
            (x + base, y),
        ]
        pen.polygon(outline, fill=255)
        brush.polygon(outline, fill=colour)
    covered = rng.uniform(0.7, 1) / 255 * np.asarray(mask.reduce(_FINE), np.float32)[:, :, None]
    return _mixed(picture, np.asarray(sheet.reduce(_FINE), np.float32), covered)


def hair(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture (h, w, 3) behind a strand of hair: fine curves that run beside each other."""
    check_picture(picture)
    height, width = picture.shape[:2]
    mask, pen = _sheet(height, width)
    reach = _FINE * (height + width)
    direction = radians(_upright(rng)) if rng.random() < 0.5 else rng.uniform(-pi, pi)
    bend = rng.choice([-1, 1]) * rng.uniform(0.5, 1.5)
    steps = np.linspace(-0.5, 0.5, 24)
    for _ in range(int(log_between(2.0, 60.0, rng))):
        angle = direction + rng.normal(0, 0.06)
        x0, y0 = rng.uniform(0, _FINE * width), rng.uniform(0, _FINE * height)
        headings = angle + (bend + rng.normal(0, 0.1)) * steps
        xs = x0 + reach * np.cumsum(np.cos(headings)) / len(steps) - 0.5 * reach * cos(angle)
        ys = y0 + reach * np.cumsum(np.sin(headings)) / len(steps) - 0.5 * reach * sin(angle)
        pen.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=255, width=int(rng.integers(1, 4)))
    # Bright straight threads are rain; hair is mostly dark.
    return _painted(picture, mask, rng, opacity=rng.uniform(0.5, 1), bright=0.2)


def text(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture (h, w, 3) with lines of letters on it, or a page of them in its place."""
    check_picture(picture)
    height, width = picture.shape[:2]
    mask, pen = _sheet(height, width)
    size = round(log_between(6.0, 40.0, rng)) * _FINE
    font = ImageFont.load_default(size)
    for top in range(int(rng.integers(size)) - size, _FINE * height, round(size * rng.uniform(1.1, 2))):
        letters = "".join(rng.choice(_LETTERS, int(3 * _FINE * width / size) + 1))
        pen.text((-float(rng.integers(size)), top), letters, fill=255, font=font)
    if rng.random() < 0.5:
        return _painted(picture, mask, rng, opacity=1.0)
    paper, ink = (255 - int(rng.integers(60)), int(rng.integers(90)))[:: 1 if rng.random() < 0.7 else -1]
    covered = np.asarray(mask.reduce(_FINE), np.float32)[:, :, None] / np.float32(255)
    return _mixed(np.full_like(picture, paper), np.full(3, ink, np.float32), covered)


def point_lights(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture (h, w, 3) at night, with lamps in it: bright discs in a glow."""
    check_picture(picture)
    height, width = picture.shape[:2]
    night = picture.astype(np.float32) * rng.uniform(0.08, 0.4)
    for _ in range(int(rng.integers(1, 2 + height * width // 1500))):
        y, x, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0.4, 4)
        reach = radius + _GLOWS * (2 * radius + 1)
        top, left = (max(0, int(at - reach)) for at in (y, x))
        seen = night[top : int(y + reach) + 1, left : int(x + reach) + 1]
        rows, columns = np.ogrid[top : top + seen.shape[0], left : left + seen.shape[1]]
        distance = np.hypot(rows - y, columns - x).astype(np.float32)
        lamp = np.clip(radius + 0.5 - distance, 0, 1)
        glow = rng.uniform(0.1, 0.6) * np.exp(-distance / (2 * radius + 1))
        colour = 255 - rng.uniform(0, 140) * np.array([0, rng.uniform(0, 1), 1], np.float32)
        seen += np.maximum(lamp, glow)[:, :, None] * (colour if rng.random() < 0.7 else colour[::-1])
    lit: Picture = np.clip(np.rint(night), 0, 255).astype(np.uint8)
    return lit


LOOKALIKES: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "fence": fence,
    "wall": wall,
    "hair": hair,
    "blades": blades,
    "dots": dots,
    "text": text,
    "point_lights": point_lights,
    **DOCUMENTS,
}
"""Each returns a new picture of the same shape; the generator decides everything about it."""


def _sheet(height: int, width: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    mask = Image.new("L", (_FINE * width, _FINE * height))
    return mask, ImageDraw.Draw(mask)


def _upright(rng: np.random.Generator) -> float:
    """Return the degrees of a line that stands like rain."""
    return 90 + rng.uniform(-_NEAR_VERTICAL, _NEAR_VERTICAL)


def _in_a_part(mask: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a mask that is kept, in four cases of ten only within a rectangle."""
    if rng.random() < 0.6:
        return mask
    width, height = (round(side * rng.uniform(0.3, 0.9)) for side in mask.size)
    left, top = (
        round(rng.uniform(0, whole - side)) for whole, side in zip(mask.size, (width, height), strict=True)
    )
    part = Image.new("L", mask.size)
    part.paste(mask.crop((left, top, left + width, top + height)), (left, top))
    return part


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
    return _mixed(picture, colour, covered)


def _mixed(picture: Picture, colours: npt.NDArray[np.float32], covered: npt.NDArray[np.float32]) -> Picture:
    """Return the picture with other colours where it is covered."""
    mixed: Picture = np.rint(picture.astype(np.float32) * (1 - covered) + colours * covered).astype(np.uint8)
    return mixed
