"""Dry test images: pages of text, ink drawings and screens.

Each function draws one image from a generator, so that a seed gives the same image with the same
fonts and libraries. No model is trained on these images; training uses the drawings of
`crdnet.rain.documents`. PDF pages are set by reportlab and rendered by pdfium; the others are drawn
with Pillow.
"""

from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from math import cos, pi, sin

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

Image = npt.NDArray[np.uint8]
_TEXT = (
    "the of and water light between lens rain measured which from image at each figure value sky "
    "was camera they result glass small over table street time method under sun more colour edge "
    "than two network house"
)
WORDS = _TEXT.split()
FINE = 3
"""Supersampling factor: ink is drawn so many times finer, then reduced to smooth its edges."""


def draw_page(name: str, seed: int) -> Image:
    """Return a page, a drawing or a screen as RGB (h, w, 3)."""
    return PAGES[name](np.random.default_rng((seed, *name.encode())))


def _sentence(rng: np.random.Generator, words: int) -> str:
    return " ".join(rng.choice(WORDS, words)).capitalize() + "."


def _pdf(rng: np.random.Generator) -> Image:
    """Return a part of a page of two columns with headings, or of an invoice with a ruled table."""
    import pypdfium2  # noqa: PLC0415 - only PDF pages need it
    from reportlab.lib.pagesizes import A4  # noqa: PLC0415 - likewise
    from reportlab.pdfgen.canvas import Canvas  # noqa: PLC0415 - likewise

    file = BytesIO()
    canvas = Canvas(file, pagesize=A4, invariant=True)
    face = str(rng.choice(["Helvetica", "Times-Roman", "Courier"]))
    size = int(rng.integers(8, 13))
    canvas.setFont(face, 2 * size)
    canvas.drawString(60, 780, _sentence(rng, 4))
    canvas.setFont(face, size)
    if rng.random() < 0.7:
        columns = int(rng.integers(1, 3))
        for column in range(columns):
            for line in range(int(680 / (1.25 * size))):
                if rng.random() < 0.9:
                    words = int(rng.integers(5, 8)) * (3 - columns)
                    at = 60 + column * 250, 750 - 1.25 * size * line
                    canvas.drawString(*at, _sentence(rng, words)[: int(480 / columns / size * 2)])
    else:
        rows = [750 - 1.8 * size * row for row in range(int(rng.integers(12, 30)))]
        canvas.grid([60, 260, 340, 420, 530], rows)
        for row in rows[1:]:
            for left in (64, 264, 344, 424):
                canvas.drawString(left, row + 0.5 * size, f"{rng.gamma(2, 50):.2f}")
    canvas.save()
    page = pypdfium2.PdfDocument(file.getvalue())[0].render(scale=rng.uniform(0.9, 2.2)).to_numpy()
    height, width = 640, int(rng.choice([480, 640]))
    page = page[40 : 40 + height, 30 : 30 + width, 2::-1]
    rendered: Image = np.ascontiguousarray(page)
    return rendered


def _scan(rng: np.random.Generator) -> Image:
    """Return a page of text as a scanner or a camera sees it: turned a little, shaded and noisy."""
    page = Pillow.fromarray(_pdf(rng)).rotate(
        rng.normal(0, 1.5), Pillow.Resampling.BICUBIC, fillcolor="white"
    )
    grey = np.asarray(page, np.float32)
    shade = np.linspace(1, rng.uniform(0.6, 0.95), grey.shape[1])[:, np.newaxis] * rng.uniform(
        0.8, 1
    )
    paper = np.array([1, rng.uniform(0.93, 1), rng.uniform(0.82, 1)])
    return _rounded(grey * shade * paper + rng.normal(0, rng.uniform(1, 5), grey.shape))


def _letter(rng: np.random.Generator) -> Image:
    """Return a page of a light or dark theme in Pillow's own font, some with a ruled form."""
    dark = rng.random() < 0.4
    paper, ink = ((24, 26, 30), (215, 215, 210)) if dark else ((255, 255, 255), (20, 20, 20))
    image = Pillow.new("RGB", (int(rng.integers(420, 720)), int(rng.integers(420, 720))), paper)
    pen, size = ImageDraw.Draw(image), int(rng.integers(10, 26))
    font = ImageFont.load_default(size)
    is_form = rng.random() < 0.4
    for top in range(size, image.height, round(1.5 * size)):
        if rng.random() < 0.85:
            pen.text((size, top), _sentence(rng, 2 if is_form else 20), fill=ink, font=font)
        if is_form:
            pen.line((size, top + 1.3 * size, image.width - size, top + 1.3 * size), fill=ink)
    return np.asarray(image)


class _Ink:
    """White paper and a black pen, drawn `FINE` times finer than the image."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.width, self.height = (FINE * int(rng.integers(360, 640)) for _ in range(2))
        self.image = Pillow.new("L", (self.width, self.height), 255)
        self.pen = ImageDraw.Draw(self.image)

    def finished(self) -> Image:
        grey = np.asarray(self.image.reduce(FINE))
        return np.repeat(grey[..., np.newaxis], 3, axis=2)


def _screentone(rng: np.random.Generator) -> Image:
    """Return panels of a comic filled with dots of a shaded size, or with lines of speed."""
    ink = _Ink(rng)
    rows = int(rng.integers(1, 4))
    width, height = ink.width // 2 - 40, ink.height // rows - 40
    for number in range(2 * rows):
        panel = Pillow.new("L", (width, height), 255)
        pen = ImageDraw.Draw(panel)
        if rng.random() < 0.6:
            pitch, ends = FINE * rng.uniform(4, 9), rng.uniform(0, 0.7, 2)
            for y in np.arange(0, height, pitch):
                radius = pitch / 2 * np.interp(y, (0, height), ends)
                for x in np.arange(0, width, pitch):
                    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
        else:
            for angle in rng.uniform(0, 2 * pi, int(rng.integers(60, 300))):
                points = [
                    (width / 2 + radius * cos(angle), height / 2 + radius * sin(angle))
                    for radius in (rng.uniform(60, 200), 2000)
                ]
                pen.line(points, fill=0, width=int(rng.integers(1, 8)))
        pen.rectangle((0, 0, width - 1, height - 1), outline=0, width=8)
        ink.image.paste(panel, (20 + number % 2 * (width + 40), 20 + number // 2 * (height + 40)))
    return ink.finished()


def _engraving(rng: np.random.Generator) -> Image:
    """Return balls shaded by hatching and by crossed hatching, as engravers shade."""
    ink = _Ink(rng)
    for _ in range(int(rng.integers(2, 6))):
        x, y = rng.uniform(0.2, 0.8) * ink.width, rng.uniform(0.2, 0.8) * ink.height
        radius, pitch = rng.uniform(150, 500), FINE * rng.uniform(3, 8)
        for angle in rng.uniform(0, pi, int(rng.integers(1, 3))):
            for offset in np.arange(-radius, radius, pitch):
                half = (radius**2 - offset**2) ** 0.5
                reach = half * rng.uniform(0.4, 1)
                foot = x - offset * sin(angle), y + offset * cos(angle)
                start = foot[0] - half * cos(angle), foot[1] - half * sin(angle)
                end = (
                    foot[0] + (reach - half / 3) * cos(angle),
                    foot[1] + (reach - half / 3) * sin(angle),
                )
                ink.pen.line((start, end), fill=0, width=int(rng.integers(2, 7)))
        ink.pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=0, width=6)
    return ink.finished()


def _floor_plan(rng: np.random.Generator) -> Image:
    """Return a plan of rooms with walls, doors, stairs and measures."""
    ink = _Ink(rng)
    font = ImageFont.load_default(30)
    xs, ys = (np.cumsum(rng.uniform(150, 500, 9)) for _ in range(2))
    for x0, x1 in pairwise(xs.tolist()):
        for y0, y1 in pairwise(ys.tolist()):
            ink.pen.rectangle((x0, y0, x1, y1), outline=0, width=int(rng.choice([4, 12])))
            if rng.random() < 0.4:
                ink.pen.arc((x0 - 90, y0 - 90, x0 + 90, y0 + 90), 0, 90, fill=0, width=3)
            elif rng.random() < 0.3:
                for step in np.arange(x0, x1, 25):
                    ink.pen.line((step, y0, step, y1), fill=0, width=3)
            ink.pen.text((x0 + 30, y1 - 50), f"{(x1 - x0) / 90:.2f} m", fill=0, font=font)
    return ink.finished()


def _score(rng: np.random.Generator) -> Image:
    """Return a sheet of music: staves, bars, stems and heads of notes."""
    ink = _Ink(rng)
    gap = FINE * rng.uniform(4, 8)
    for top in np.arange(2 * gap, ink.height, 10 * gap):
        for line in range(5):
            ink.pen.line((0, top + line * gap, ink.width, top + line * gap), fill=0, width=4)
        for x in np.arange(gap, ink.width, rng.uniform(2.5, 6) * gap):
            y = top + gap / 2 * rng.integers(0, 9)
            ink.pen.ellipse((x - 0.6 * gap, y - 0.4 * gap, x + 0.6 * gap, y + 0.4 * gap), fill=0)
            ink.pen.line((x + 0.55 * gap, y, x + 0.55 * gap, y - 3.5 * gap), fill=0, width=5)
            if rng.random() < 0.2:
                ink.pen.line((x + 2 * gap, top, x + 2 * gap, top + 4 * gap), fill=0, width=5)
    return ink.finished()


def _code(rng: np.random.Generator) -> Image:
    """Return an editor or a terminal with coloured words, line numbers and a side bar."""
    dark = rng.random() < 0.6
    paper = tuple(
        int(each) for each in (rng.integers(12, 45, 3) if dark else rng.integers(243, 256, 3))
    )
    image = Pillow.new("RGB", (760, 520), paper)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(int(rng.integers(10, 16)))
    low, high = (130, 256) if dark else (0, 150)
    side = tuple(each + 12 if dark else each - 14 for each in paper)
    pen.rectangle((0, 0, 150, 520), fill=side)
    pen.rectangle((0, 0, 760, 26), fill=side)
    for row in range(34, 510, 17):
        pen.text((160, row), f"{row // 17}", fill=(128, 128, 128), font=font)
        x = 190.0 + 24 * int(rng.integers(0, 4))
        for word in rng.choice(WORDS, int(rng.integers(0, 9))):
            red, green, blue = rng.integers(low, high, 3).tolist()
            pen.text((x, row), str(word), fill=(red, green, blue), font=font)
            x += pen.textlength(str(word) + "  ", font=font)
        if rng.random() < 0.6:
            pen.text((12, row), str(rng.choice(WORDS)) + ".py", fill=(128, 128, 128), font=font)
    return np.asarray(image)


def _spreadsheet(rng: np.random.Generator) -> Image:
    """Return a window of a spreadsheet: letters and numbers of cells, fine rules, tool buttons."""
    image = Pillow.new("RGB", (int(rng.integers(560, 800)), int(rng.integers(400, 600))), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(int(rng.integers(9, 13)))
    row, column = int(rng.integers(14, 24)), int(rng.integers(44, 90))
    pen.rectangle((0, 0, image.width, 60), fill=(240, 240, 240))
    for x in range(8, image.width, 26):
        red, green, blue = rng.integers(60, 220, 3).tolist()
        pen.rounded_rectangle((x, 8, x + 16, 24), 3, fill=(red, green, blue))
    for y in range(60, image.height, row):
        pen.line((0, y, image.width, y), fill=(205, 205, 205))
        for x in range(30, image.width, column):
            if rng.random() < 0.6:
                pen.text((x + 4, y + 2), f"{rng.normal(0, 900):.1f}", fill="black", font=font)
    for number, x in enumerate(range(30, image.width, column)):
        pen.line((x, 40, x, image.height), fill=(205, 205, 205))
        pen.text((x + column / 2, 44), chr(65 + number % 26), fill=(90, 90, 90), font=font)
    return np.asarray(image)


def _desktop(rng: np.random.Generator) -> Image:
    """Return windows with buttons, lists and sliders on a coloured ground."""
    top, bottom = rng.integers(0, 256, (2, 3))
    slope = np.linspace(0, 1, 540)[:, np.newaxis, np.newaxis]
    image = Pillow.fromarray(_rounded((1 - slope) * top + slope * bottom + np.zeros((540, 800, 3))))
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for _ in range(int(rng.integers(2, 5))):
        x, y = int(rng.integers(0, 500)), int(rng.integers(0, 300))
        wide, high = int(rng.integers(200, 420)), int(rng.integers(150, 330))
        pen.rounded_rectangle(
            (x, y, x + wide, y + high), 6, fill=(246, 246, 246), outline=(90, 90, 90)
        )
        pen.rectangle((x, y, x + wide, y + 22), fill=(70, 110, 170))
        for line in range(y + 32, y + high - 20, 22):
            choice = rng.random()
            if choice < 0.5:
                pen.text(
                    (x + 12, line), _sentence(rng, 4)[: wide // 9], fill=(30, 30, 30), font=font
                )
            elif choice < 0.8:
                pen.rounded_rectangle(
                    (x + 12, line, x + 80, line + 16), 4, fill=(225, 225, 225), outline="grey"
                )
            else:
                pen.line((x + 12, line + 8, x + wide - 12, line + 8), fill=(60, 140, 220), width=3)
    return np.asarray(image)


def _weave(rng: np.random.Generator) -> Image:
    """Return woven cloth: threads over and under each other, of uneven thickness."""
    rows, columns = np.mgrid[:480, :560] / rng.uniform(3, 9)
    over = (np.floor(rows) + np.floor(columns) * int(rng.integers(1, 4))) % 2
    along = np.where(over, np.sin(pi * (rows % 1)), np.sin(pi * (columns % 1)))
    uneven = rng.normal(0, 0.1, (480, 1)) + rng.normal(0, 0.1, (1, 560))
    shade = (0.55 + 0.4 * along + uneven)[..., np.newaxis]
    return _rounded(shade * rng.uniform(60, 240, 3) + rng.normal(0, 5, (480, 560, 3)))


def _grain(rng: np.random.Generator) -> Image:
    """Return brushed metal, planks or fur: noise drawn out in one direction."""
    noise = rng.normal(0, 1, (480, 560))
    length = int(rng.integers(5, 80))
    upright = rng.random() < 0.5
    along = np.cumsum(noise, axis=0 if upright else 1)
    drawn = along - np.roll(along, length, axis=0 if upright else 1)
    shade = rng.uniform(60, 200, 3) + rng.uniform(5, 25) * (drawn / drawn.std())[..., np.newaxis]
    return _rounded(shade[80:, 80:])


def _rounded(colours: npt.NDArray[np.floating]) -> Image:
    image: Image = np.clip(np.rint(colours), 0, 255).astype(np.uint8)
    return image


PAGES: dict[str, Callable[[np.random.Generator], Image]] = {
    "pdf": _pdf,
    "scan": _scan,
    "letter": _letter,
    "screentone": _screentone,
    "engraving": _engraving,
    "floor-plan": _floor_plan,
    "score": _score,
    "code": _code,
    "spreadsheet": _spreadsheet,
    "desktop": _desktop,
    "weave": _weave,
    "grain": _grain,
}
