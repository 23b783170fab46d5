"""Lookalikes of rain in dry images: fences, walls, hair, grass, text, dots, lights, stars.

Drawn on images without rain, they are hard negatives for training and tests: the network must
return them unchanged.
"""

from collections.abc import Callable
from math import cos, pi, radians, sin

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from crdnet.rain.compose import RgbImage, check_image
from crdnet.rain.documents import DOCUMENTS
from crdnet.rain.random_numbers import draw_log_uniform

# Factor of supersampling, for smooth edges.
_FINE = 2
# Largest angle from the vertical of the lookalikes that are most similar to rain, in degrees.
_NEAR_VERTICAL = 25.0
# Radius of a glow in units of its decay length; beyond it is less than a grey level of 255.
_GLOWS = 6
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789|/!-"))


def draw_fence(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Draw a fence of parallel or crossing bars over an image (h, w, 3), or over a part of it."""
    check_image(image)
    height, width = image.shape[:2]
    mask, pen = _make_mask(height, width)
    first = _draw_upright_angle(rng) if rng.random() < 0.4 else rng.uniform(-90, 90)
    angles = [first] if rng.random() < 0.6 else [first, first + rng.uniform(40, 140)]
    period = draw_log_uniform(4.0, 40.0, rng)
    thickness = rng.uniform(min(1, 0.3 * period), 0.7 * period)
    for angle in angles:
        _draw_bars(pen, height, width, angle, period, thickness)
    return _paint(image, _keep_part(mask, rng), rng, opacity=rng.uniform(0.6, 1), bright=0.6)


def draw_wall(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Draw joints of masonry over an image (h, w, 3), or over a part of it."""
    check_image(image)
    height, width = image.shape[:2]
    mask, pen = _make_mask(height, width)
    course = _FINE * draw_log_uniform(6.0, max(7.0, min(60.0, height / 2)), rng)
    stone = course * rng.uniform(0.5, 3)
    joint = max(1, round(course * rng.uniform(0.05, 0.25)))
    shift = rng.uniform(0, stone)
    for row, top in enumerate(np.arange(-rng.uniform(0, course), _FINE * height, course).tolist()):
        pen.line((0, top, _FINE * width, top), fill=255, width=joint)
        first = shift + (row % 2) * stone / 2 - 2 * stone
        for x in np.arange(first, _FINE * width, stone).tolist():
            at = x + rng.normal(0, 0.05 * stone)
            pen.line(
                (at, top, at + rng.normal(0, 0.05 * course), top + course),
                fill=255,
                width=joint,
            )
    return _paint(image, _keep_part(mask, rng), rng, opacity=rng.uniform(0.4, 1), bright=0.7)


def draw_dots(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Draw a grid of dots over an image (h, w, 3), like a halftone or a sieve."""
    check_image(image)
    height, width = image.shape[:2]
    mask, pen = _make_mask(height, width)
    pitch = _FINE * draw_log_uniform(4.0, 16.0, rng)
    radius = pitch * rng.uniform(0.15, 0.45)
    angle = rng.uniform(0, pi / 2)
    reach = int((_FINE * (height + width)) / pitch) // 2 + 1
    steps = np.arange(-reach, reach + 1) * pitch
    middle_x, middle_y = _FINE * width / 2, _FINE * height / 2
    xs = (steps[:, None] * cos(angle) - steps * sin(angle)).ravel() + middle_x
    ys = (steps[:, None] * sin(angle) + steps * cos(angle)).ravel() + middle_y
    seen = (abs(xs - middle_x) < _FINE * width) & (abs(ys - middle_y) < _FINE * height)
    for x, y in zip(xs[seen].tolist(), ys[seen].tolist(), strict=True):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return _paint(image, _keep_part(mask, rng), rng, opacity=rng.uniform(0.4, 1))


def draw_blades(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Draw blades of grass over an image (h, w, 3): tapered, bent strokes of one hue."""
    check_image(image)
    height, width = image.shape[:2]
    sheet = Image.new("RGB", (_FINE * width, _FINE * height))
    mask, pen = _make_mask(height, width)
    brush = ImageDraw.Draw(sheet)
    hue = rng.uniform(0, 1, 3) ** rng.uniform(0.2, 1.5)
    length, thickness = (
        _FINE * draw_log_uniform(15.0, 120.0, rng),
        _FINE * draw_log_uniform(1.0, 6.0, rng),
    )
    spread = rng.uniform(5, 40)
    for _ in range(int(rng.integers(5, 150))):
        level = 255 * hue * rng.uniform(0.3, 1.2) + rng.normal(0, 8, 3)
        colour = tuple(np.clip(level, 0, 255).astype(int).tolist())
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
    return _mix(image, np.asarray(sheet.reduce(_FINE), np.float32), covered)


def draw_hair(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Draw a strand of hair over an image (h, w, 3): fine, nearly parallel curves."""
    check_image(image)
    height, width = image.shape[:2]
    mask, pen = _make_mask(height, width)
    reach = _FINE * (height + width)
    direction = radians(_draw_upright_angle(rng)) if rng.random() < 0.5 else rng.uniform(-pi, pi)
    # One bend for the strand, with little variation: hairs of a strand run together.
    bend = rng.choice([-1, 1]) * rng.uniform(0.5, 1.5)
    steps = np.linspace(-0.5, 0.5, 24)
    for _ in range(int(draw_log_uniform(2.0, 60.0, rng))):
        angle = direction + rng.normal(0, 0.06)
        x0, y0 = rng.uniform(0, _FINE * width), rng.uniform(0, _FINE * height)
        headings = angle + (bend + rng.normal(0, 0.1)) * steps
        xs = x0 + reach * np.cumsum(np.cos(headings)) / len(steps) - 0.5 * reach * cos(angle)
        ys = y0 + reach * np.cumsum(np.sin(headings)) / len(steps) - 0.5 * reach * sin(angle)
        pen.line(
            list(zip(xs.tolist(), ys.tolist(), strict=True)),
            fill=255,
            width=int(rng.integers(1, 4)),
        )
    # Hair is mostly dark, since bright straight threads would be rain.
    return _paint(image, mask, rng, opacity=rng.uniform(0.5, 1), bright=0.2)


def draw_text(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Draw lines of letters over an image (h, w, 3), or replace it by a page of them."""
    check_image(image)
    height, width = image.shape[:2]
    mask, pen = _make_mask(height, width)
    size = round(draw_log_uniform(6.0, 40.0, rng)) * _FINE
    font = ImageFont.load_default(size)
    for top in range(
        int(rng.integers(size)) - size,
        _FINE * height,
        round(size * rng.uniform(1.1, 2)),
    ):
        letters = "".join(rng.choice(_LETTERS, int(3 * _FINE * width / size) + 1))
        pen.text((-float(rng.integers(size)), top), letters, fill=255, font=font)
    if rng.random() < 0.5:
        return _paint(image, mask, rng, opacity=1.0)
    paper, ink = (
        255 - int(rng.integers(60)),
        int(rng.integers(90)),
    )[:: 1 if rng.random() < 0.7 else -1]
    covered = np.asarray(mask.reduce(_FINE), np.float32)[:, :, None] / np.float32(255)
    return _mix(np.full_like(image, paper), np.full(3, ink, np.float32), covered)


def draw_point_lights(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Darken an image (h, w, 3) and draw lamps: bright discs in a glow."""
    check_image(image)
    height, width = image.shape[:2]
    night = image.astype(np.float32) * rng.uniform(0.08, 0.4)
    for _ in range(int(rng.integers(1, 2 + height * width // 1500))):
        y, x, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0.4, 4)
        # Only the part of the image that the glow reaches is touched, for speed.
        reach = radius + _GLOWS * (2 * radius + 1)
        top, left = (max(0, int(at - reach)) for at in (y, x))
        seen = night[top : int(y + reach) + 1, left : int(x + reach) + 1]
        rows, columns = np.ogrid[top : top + seen.shape[0], left : left + seen.shape[1]]
        distance = np.hypot(rows - y, columns - x).astype(np.float32)
        lamp = np.clip(radius + 0.5 - distance, 0, 1)
        glow = rng.uniform(0.1, 0.6) * np.exp(-distance / (2 * radius + 1))
        colour = 255 - rng.uniform(0, 140) * np.array([0, rng.uniform(0, 1), 1], np.float32)
        colour = colour if rng.random() < 0.7 else colour[::-1]
        seen += np.maximum(lamp, glow)[:, :, None] * colour
    lit: RgbImage = np.clip(np.rint(night), 0, 255).astype(np.uint8)
    return lit


def draw_stars(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Draw stars over a night sky, or over a darkened image (h, w, 3).

    Stars are round points whose number grows as their brightness falls; the brightest have a halo.
    Snow and confetti in front of a dark ground look alike.
    """
    check_image(image)
    height, width = image.shape[:2]
    sky = image.astype(np.float32) * rng.uniform(0.02, 0.3)
    if rng.random() < 0.6:
        # A plain sky, brighter towards the horizon.
        rise = np.linspace(rng.uniform(0, 0.5), 1, height, dtype=np.float32)[:, None, None]
        sky = np.broadcast_to(rise * rng.uniform(0, 60, 3).astype(np.float32), image.shape).copy()
    number = max(1, round(height * width * draw_log_uniform(2e-4, 1.2e-2, rng)))
    # Ten times fainter stars are some six times as many.
    levels = rng.uniform(6, 60) * (1 - rng.random(number)) ** -0.8
    sharpness = draw_log_uniform(0.4, 1.3, rng)
    for level, y, x in zip(
        levels, rng.uniform(0, height, number), rng.uniform(0, width, number), strict=True
    ):
        colour = np.minimum(level * np.exp(rng.normal(0, 0.12, 3)), 1500).astype(np.float32)
        reach = int(4 * sharpness * (1.5 if level > 400 else 1)) + 1
        top, left = max(0, int(y) - reach), max(0, int(x) - reach)
        seen = sky[top : int(y) + reach + 1, left : int(x) + reach + 1]
        rows, columns = np.ogrid[top : top + seen.shape[0], left : left + seen.shape[1]]
        squared = (rows - y) ** 2 + (columns - x) ** 2
        spot = np.exp(-squared / (2 * sharpness**2)).astype(np.float32)
        seen += spot[:, :, None] * colour
    starry: RgbImage = np.clip(np.rint(sky), 0, 255).astype(np.uint8)
    return starry


LOOKALIKES: dict[str, Callable[[RgbImage, np.random.Generator], RgbImage]] = {
    "fence": draw_fence,
    "wall": draw_wall,
    "hair": draw_hair,
    "blades": draw_blades,
    "dots": draw_dots,
    "text": draw_text,
    "point_lights": draw_point_lights,
    "stars": draw_stars,
    **DOCUMENTS,
}
"""Lookalikes by name; each returns a new image of the same shape from a generator."""


def _make_mask(height: int, width: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    mask = Image.new("L", (_FINE * width, _FINE * height))
    return mask, ImageDraw.Draw(mask)


def _draw_upright_angle(rng: np.random.Generator) -> float:
    """Draw the angle of a nearly vertical line, in degrees from the horizontal."""
    return 90 + rng.uniform(-_NEAR_VERTICAL, _NEAR_VERTICAL)


def _keep_part(mask: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the mask, in four of ten cases limited to a random rectangle."""
    if rng.random() < 0.6:
        return mask
    width, height = (round(side * rng.uniform(0.3, 0.9)) for side in mask.size)
    left, top = (
        round(rng.uniform(0, whole - side))
        for whole, side in zip(
            mask.size,
            (width, height),
            strict=True,
        )
    )
    part = Image.new("L", mask.size)
    part.paste(mask.crop((left, top, left + width, top + height)), (left, top))
    return part


def _draw_bars(
    pen: ImageDraw.ImageDraw, height: int, width: int, angle: float, period: float, thickness: float
) -> None:
    along, across = (
        (cos(radians(angle)), sin(radians(angle))),
        (-sin(radians(angle)), cos(radians(angle))),
    )
    middle, reach = (_FINE * width / 2, _FINE * height / 2), _FINE * (height + width)
    for offset in np.arange(-reach / 2, reach / 2, _FINE * period).tolist():
        x, y = middle[0] + offset * across[0], middle[1] + offset * across[1]
        ends = (
            x - reach * along[0],
            y - reach * along[1],
            x + reach * along[0],
            y + reach * along[1],
        )
        pen.line(ends, fill=255, width=max(1, round(_FINE * thickness)))


def _paint(
    image: RgbImage,
    mask: Image.Image,
    rng: np.random.Generator,
    *,
    opacity: float,
    bright: float = 0.5,
) -> RgbImage:
    """Paint the white part of a mask in one colour, which is bright with a given probability."""
    covered = opacity / 255 * np.asarray(mask.reduce(_FINE), np.float32)[:, :, None]
    level = rng.uniform(170, 255) if rng.random() < bright else rng.uniform(0, 80)
    colour = np.clip(level + rng.normal(0, 12, 3), 0, 255).astype(np.float32)
    return _mix(image, colour, covered)


def _mix(
    image: RgbImage,
    colours: npt.NDArray[np.float32],
    covered: npt.NDArray[np.float32],
) -> RgbImage:
    """Blend an image with colours by a share (h, w, 1) in [0, 1]."""
    mixed = image.astype(np.float32) * (1 - covered) + colours * covered
    blended: RgbImage = np.rint(mixed).astype(np.uint8)
    return blended
