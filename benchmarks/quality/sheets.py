"""Sheets of images side by side, for the documentation."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from benchmarks.helpers import Rgb
from crdnet.files import write_whole

PART_SIDE, PART_GAP, LINE = 160, 4, 14
STRIP_SIDE, STRIP_COLUMNS, STRIP_GAP = 160, 4, 6
PANEL_WIDTH, PANEL_GAP, CROP_HEIGHT = 600, 8, 400
CROP_LEFT, CROP_TOP = 1500, 1250


class Triple(NamedTuple):
    """Rainy, derained and clean image with a title."""

    title: str
    rainy: Rgb
    derained: Rgb
    clean: Rgb


def find_strongest_part(rainy: Rgb, clean: Rgb) -> tuple[slice, slice]:
    """Return the square of `PART_SIDE` pixels in which the rain changes most, on a grid of 16."""
    change = np.abs(rainy.astype(np.float32) - clean).mean(2)
    sums = np.pad(change.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = (min(PART_SIDE, side) for side in change.shape)
    within = (
        sums[height:, width:]
        - sums[:-height, width:]
        - sums[height:, :-width]
        + sums[:-height, :-width]
    )
    coarse = within[::16, ::16]
    top, left = (16 * int(at) for at in np.unravel_index(coarse.argmax(), coarse.shape))
    return slice(top, top + height), slice(left, left + width)


def draw_triples(triples: Sequence[Triple]) -> Image.Image:
    """Return two columns of rainy, derained and clean parts under their titles."""
    wide, high = 3 * (PART_SIDE + PART_GAP) + PART_GAP, PART_SIDE + LINE + PART_GAP
    sheet = Image.new("RGB", (2 * wide, -(-len(triples) // 2) * high), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (title, *images) in enumerate(triples):
        top, left = index // 2 * high, index % 2 * wide
        pen.text((left, top), title, fill="black")
        part = find_strongest_part(images[0], images[2])
        for column, image in enumerate(images):
            place = (left + column * (PART_SIDE + PART_GAP), top + LINE)
            sheet.paste(Image.fromarray(image[part]), place)
    return sheet


def draw_strips(names: Sequence[str], strips: Sequence[Rgb]) -> Image.Image:
    """Return crops before and after under their names; a strip is both crops, (2, h, w, 3)."""
    cell_width, cell_height = 2 * STRIP_SIDE + 2 * STRIP_GAP, STRIP_SIDE + LINE
    rows = -(-len(strips) // STRIP_COLUMNS)
    sheet = Image.new("RGB", (STRIP_COLUMNS * cell_width, rows * cell_height), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (name, strip) in enumerate(zip(names, strips, strict=True)):
        row, column = divmod(index, STRIP_COLUMNS)
        left, top = column * cell_width, row * cell_height
        pen.text((left, top), f"{Path(name).stem}: before, after", fill="black")
        for side, crop in enumerate(strip):
            shown = ImageOps.contain(Image.fromarray(crop), (STRIP_SIDE, STRIP_SIDE))
            sheet.paste(shown, (left + side * (STRIP_SIDE + 2), top + 12))
    return sheet


def draw_panels(images: Sequence[Rgb]) -> Image.Image:
    """Return large images reduced, side by side, and below them a part of each at full size."""
    height, width = images[0].shape[:2]
    high = PANEL_WIDTH * height // width
    page_size = (2 * PANEL_WIDTH + PANEL_GAP, high + PANEL_GAP + CROP_HEIGHT)
    page = Image.new("RGB", page_size, "white")
    box = (CROP_LEFT, CROP_TOP, CROP_LEFT + PANEL_WIDTH, CROP_TOP + CROP_HEIGHT)
    for number, pixels in enumerate(images):
        image, left = Image.fromarray(pixels), number * (PANEL_WIDTH + PANEL_GAP)
        page.paste(image.resize((PANEL_WIDTH, high), Image.Resampling.LANCZOS), (left, 0))
        page.paste(image.crop(box), (left, high + PANEL_GAP))
    return page


def write_sheet(path: Path, sheet: Image.Image, quality: int) -> None:
    """Write a sheet as a JPEG."""
    buffer = BytesIO()
    sheet.save(buffer, "JPEG", quality=quality, optimize=True)
    write_whole(path, buffer.getvalue())
