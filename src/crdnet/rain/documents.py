"""Drawings without rain: charts, tables, line drawings, facades, blinds and corrugated iron.

They replace or cover an image and are hard negatives for training and tests, like
`crdnet.rain.lookalikes`: the network must return them unchanged.
"""

from collections.abc import Callable
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from crdnet.rain.compose import RgbImage, check_image
from crdnet.rain.random_numbers import draw_log_uniform

Colour = tuple[int, int, int]

# Factor of supersampling, for smooth edges.
_FINE = 2
_WORDS = (
    "total",
    "2019",
    "Q3",
    "index",
    "rate",
    "mean",
    "12.5",
    "0.03",
    "north",
    "EUR",
    "%",
    "n=41",
)


class _Sheet:
    """Paper with a pen, supersampled by `_FINE`."""

    def __init__(
        self,
        shape: tuple[int, ...],
        rng: np.random.Generator,
        *,
        dark: float = 0.15,
    ) -> None:
        self.height, self.width = (_FINE * side for side in shape[:2])
        self.rng = rng
        night = rng.random() < dark
        paper = int(rng.integers(0, 50)) if night else int(rng.integers(225, 256))
        if rng.random() < 0.4 and not night:
            paper = 255
        self.paper: Colour = (paper, paper, paper)
        ink = int(rng.integers(170, 256)) if night else int(rng.integers(0, 120))
        self.ink: Colour = (ink, ink, ink)
        self.image = Image.new("RGB", (self.width, self.height), self.paper)
        self.pen = ImageDraw.Draw(self.image)

    def pick_colour(self) -> Colour:
        """Pick a random colour."""
        red, green, blue = self.rng.integers(0, 256, 3).tolist()
        return red, green, blue

    def pick_thickness(self, most: float = 4.0) -> int:
        """Pick a random line width, in pixels of the sheet."""
        return max(1, round(self.rng.uniform(0.4, most) * _FINE))

    def write_word(self, x: float, y: float, size: int) -> None:
        """Write a random word at a position, all in pixels of the sheet."""
        font = ImageFont.load_default(size)
        word = _WORDS[int(self.rng.integers(len(_WORDS)))]
        self.pen.text((x, y), word, fill=self.ink, font=font)

    def render(self) -> RgbImage:
        """Downsample the sheet to the size of the image."""
        return np.asarray(self.image.reduce(_FINE))


def draw_line_chart(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Draw a chart of curves with a grid and words, of the size of an image (h, w, 3)."""
    check_image(image)
    sheet = _Sheet(image.shape, rng)
    _draw_grid(sheet)
    steps = int(rng.integers(8, 200))
    xs = np.linspace(-0.05, 1.05, steps) * sheet.width
    for _ in range(int(rng.integers(1, 7))):
        # A random walk looks like measured data.
        walk = np.cumsum(rng.normal(0, 1, steps)) + rng.normal(0, rng.uniform(0, 4), steps)
        spread = max(float(np.ptp(walk)), 1e-6)
        ys = sheet.height * (
            rng.uniform(0, 0.5)
            + rng.uniform(
                0.2,
                0.8,
            )
            * (walk - walk.min())
            / spread
        )
        points = list(zip(xs.tolist(), ys.tolist(), strict=True))
        sheet.pen.line(points, fill=sheet.pick_colour(), width=sheet.pick_thickness(3.0))
        if rng.random() < 0.3:
            for x, y in points[:: int(rng.integers(1, 5))]:
                sheet.pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=sheet.pick_colour())
    return sheet.render()


def draw_bar_chart(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Draw a chart of vertical or horizontal bars, of the size of an image (h, w, 3)."""
    check_image(image)
    sheet = _Sheet(image.shape, rng)
    if rng.random() < 0.7:
        _draw_grid(sheet)
    level = rng.random() < 0.3
    length, across = (sheet.width, sheet.height) if level else (sheet.height, sheet.width)
    pitch = _FINE * draw_log_uniform(3.0, 60.0, rng)
    thick = pitch * rng.uniform(0.1, 0.95)
    colours = [sheet.pick_colour() for _ in range(int(rng.integers(1, 5)))]
    heights = np.abs(rng.normal(0.4, 0.3, int(across / pitch) + 1)) * length
    for number, height in enumerate(heights.tolist()):
        start = number * pitch
        end = start + thick
        box = (0, start, height, end) if level else (start, length - height, end, length)
        sheet.pen.rectangle(box, fill=colours[number % len(colours)])
    return sheet.render()


def draw_spreadsheet(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Draw a ruled table with words in its cells, of the size of an image (h, w, 3)."""
    check_image(image)
    sheet = _Sheet(image.shape, rng)
    row, column = (_FINE * rng.uniform(low, high) for low, high in ((8, 40), (12, 120)))
    rule = tuple(int(rng.integers(120, 235)) for _ in range(1)) * 3
    colour: Colour = (rule[0], rule[1], rule[2]) if rng.random() < 0.6 else sheet.ink
    thickness = sheet.pick_thickness(1.5)
    size = max(6, round(row * rng.uniform(0.35, 0.7)))
    # A random start shows cut cells at the border, as in crops of tables.
    for y in np.arange(rng.uniform(-row, 0), sheet.height, row).tolist():
        if rng.random() < 0.15:
            sheet.pen.rectangle((0, y, sheet.width, y + row), fill=sheet.pick_colour())
        if rng.random() < 0.95:
            sheet.pen.line((0, y, sheet.width, y), fill=colour, width=thickness)
        for x in np.arange(rng.uniform(-column, 0), sheet.width, column).tolist():
            if rng.random() < 0.6:
                sheet.write_word(x + 0.1 * column, y + 0.15 * row, size)
    for x in np.arange(rng.uniform(-column, 0), sheet.width, column).tolist():
        sheet.pen.line((x, 0, x, sheet.height), fill=colour, width=thickness)
    return sheet.render()


def draw_line_drawing(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Draw hatching, curves and outlines in ink, of the size of an image (h, w, 3)."""
    check_image(image)
    sheet = _Sheet(image.shape, rng)
    for _ in range(int(rng.integers(2, 9))):
        x, y = rng.uniform(0, sheet.width), rng.uniform(0, sheet.height)
        reach = _FINE * draw_log_uniform(10.0, 150.0, rng)
        kind = rng.random()
        if kind < 0.5:
            _draw_hatching(sheet, x, y, reach)
        elif kind < 0.75:
            box = (x, y, x + reach, y + reach * rng.uniform(0.3, 2))
            sheet.pen.rectangle(box, outline=sheet.ink, width=sheet.pick_thickness())
        else:
            turns = np.cumsum(rng.normal(0, 0.4, 40))
            xs = x + np.cumsum(np.cos(turns)) * reach / 20
            ys = y + np.cumsum(np.sin(turns)) * reach / 20
            points = list(zip(xs.tolist(), ys.tolist(), strict=True))
            sheet.pen.line(points, fill=sheet.ink, width=sheet.pick_thickness(3.0))
    return sheet.render()


def draw_facade(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Draw a building with rows of windows and fine bars, of the size of an image (h, w, 3)."""
    check_image(image)
    sheet = _Sheet(image.shape, rng)
    wall = np.clip(rng.uniform(60, 240) + rng.normal(0, 15, 3), 0, 255).astype(int).tolist()
    sheet.pen.rectangle((0, 0, sheet.width, sheet.height), fill=tuple(wall))
    storey = _FINE * draw_log_uniform(12.0, 90.0, rng)
    bay = storey * rng.uniform(0.25, 1.6)
    glass, bars = sheet.pick_colour(), int(rng.integers(0, 6))
    bar = tuple(int(min(255, max(0, each + rng.choice([-60, 60])))) for each in wall)
    high, wide = rng.uniform(0.4, 0.95), rng.uniform(0.3, 0.9)
    for y in np.arange(rng.uniform(-storey, 0), sheet.height, storey).tolist():
        for x in np.arange(rng.uniform(-bay, 0), sheet.width, bay).tolist():
            shade = tuple(int(np.clip(each + rng.normal(0, 20), 0, 255)) for each in glass)
            sheet.pen.rectangle((x, y, x + wide * bay, y + high * storey), fill=shade)
            for number in range(bars):
                at = x + wide * bay * (number + 0.5) / bars
                sheet.pen.line(
                    (at, y, at, y + high * storey),
                    fill=bar,
                    width=sheet.pick_thickness(1.2),
                )
    if rng.random() < 0.5:
        fin = _FINE * draw_log_uniform(2.5, 20.0, rng)
        for x in np.arange(0, sheet.width, fin).tolist():
            sheet.pen.line(
                (x, 0, x, sheet.height), fill=bar, width=max(1, round(fin * rng.uniform(0.1, 0.5)))
            )
    drawn = sheet.render().astype(np.float32)
    # A gradient from side to side, as from the sun.
    slope = 1 + rng.uniform(-0.3, 0.3) * np.linspace(-1, 1, drawn.shape[1])
    lit: RgbImage = np.clip(
        drawn * slope[:, np.newaxis] + rng.normal(0, 2, drawn.shape),
        0,
        255,
    ).astype(np.uint8)
    return _turn(lit, rng, 12.0)


def shade_corrugated(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Shade an image (h, w, 3) by ridges, like corrugated iron, blinds, curtains or siding."""
    check_image(image)
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    angle = rng.normal(0, 0.15) + (pi / 2 if rng.random() < 0.3 else 0.0)
    pitch = draw_log_uniform(3.0, 30.0, rng)
    place = (columns * cos(angle) + rows * sin(angle)) / pitch
    place += rng.uniform(0, 0.6) * np.sin(
        2 * pi * (rows * cos(angle) - columns * sin(angle)) / (20 * pitch),
    )
    wave = np.sin(2 * pi * place)
    sharpness = rng.uniform(0.5, 6)
    shade = 1 + rng.uniform(0.08, 0.5) * np.tanh(sharpness * wave) / np.tanh(sharpness)
    if rng.random() < 0.5:
        level = np.clip(rng.uniform(50, 220) + rng.normal(0, 12, 3), 0, 255)
        flat = np.broadcast_to(level, image.shape)
        mixed = rng.uniform(0, 0.4) * image + rng.uniform(0.6, 1) * flat
    else:
        mixed = image.astype(np.float64)
    ridged: RgbImage = np.clip(mixed * shade[..., np.newaxis], 0, 255).astype(np.uint8)
    return ridged


def add_bright_sky(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Add a white or grey sky, sometimes clipped, to the upper part of an image (h, w, 3)."""
    check_image(image)
    height = image.shape[0]
    horizon = height * rng.uniform(0.2, 0.9) + np.cumsum(rng.normal(0, 1.0, image.shape[1]))
    rows = np.arange(height)[:, np.newaxis]
    covered = np.clip((horizon - rows) / rng.uniform(1, 12) + 0.5, 0, 1)[..., np.newaxis]
    top, bottom = rng.uniform(170, 275, 2)
    sky = top + (bottom - top) * np.linspace(0, 1, height)[:, np.newaxis, np.newaxis]
    sky = sky + rng.normal(0, 4, 3) + rng.normal(0, rng.uniform(0, 2), image.shape)
    mixed: RgbImage = np.clip(image * (1 - covered) + sky * covered, 0, 255).astype(np.uint8)
    return mixed


DOCUMENTS: dict[str, Callable[[RgbImage, np.random.Generator], RgbImage]] = {
    "line_chart": draw_line_chart,
    "bar_chart": draw_bar_chart,
    "spreadsheet": draw_spreadsheet,
    "line_drawing": draw_line_drawing,
    "facade": draw_facade,
    "corrugated": shade_corrugated,
    "bright_sky": add_bright_sky,
}
"""Drawings by name; each returns a new image of the same shape from a generator."""


def _draw_grid(sheet: _Sheet) -> None:
    rng = sheet.rng
    grey = int(rng.integers(100, 240))
    for upright in (True, False):
        if rng.random() < 0.6:
            pitch = _FINE * rng.uniform(8, 80)
            span = sheet.width if upright else sheet.height
            for at in np.arange(rng.uniform(0, pitch), span, pitch).tolist():
                ends = (at, 0, at, sheet.height) if upright else (0, at, sheet.width, at)
                sheet.pen.line(ends, fill=(grey, grey, grey), width=sheet.pick_thickness(1.2))
    for _ in range(int(rng.integers(0, 8))):
        size = round(_FINE * rng.uniform(7, 18))
        sheet.write_word(rng.uniform(0, sheet.width), rng.uniform(0, sheet.height), size)


def _draw_hatching(sheet: _Sheet, x: float, y: float, reach: float) -> None:
    """Draw parallel strokes, often vertical, like speed lines and shading."""
    rng = sheet.rng
    angle = pi / 2 + (rng.normal(0, 0.2) if rng.random() < 0.6 else rng.uniform(-pi, pi))
    pitch, thickness = _FINE * rng.uniform(2, 12), sheet.pick_thickness(2.0)
    for offset in np.arange(0, reach, pitch).tolist():
        length = reach * rng.uniform(0.3, 1.5)
        start = (x + offset * sin(angle), y - offset * cos(angle))
        end = (start[0] + length * cos(angle), start[1] + length * sin(angle))
        sheet.pen.line((*start, *end), fill=sheet.ink, width=thickness)


def _turn(image: RgbImage, rng: np.random.Generator, degrees: float) -> RgbImage:
    """Rotate half of the images about the middle; the corners keep the original pixels."""
    if rng.random() < 0.5:
        return image
    angle = rng.uniform(-degrees, degrees)
    turned = Image.fromarray(image).convert("RGBA").rotate(angle, Image.Resampling.BICUBIC)
    whole = Image.fromarray(image)
    whole.paste(turned, (0, 0), turned)
    return np.asarray(whole)
