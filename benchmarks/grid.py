"""What a model makes of its held-out pictures, the usual ones and the worst: a sheet for the model's card.

    python benchmarks/grid.py DATA --sheet docs/images/default_grid.jpg [--model default]

Contract: DATA holds `rain800/val` and `val_synth`, neither trained on. All pictures of a set are derained, as arrays,
and put in the order of their gain in PSNR (`restormer-y`). Of each set the middle one and the worst are shown: the same
part, rainy, derained and without rain. Nothing is chosen by eye: the part is where the rain changes most.
"""

import argparse
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from crdnet import Derainer, metrics
from crdnet.data import Pair, find_pairs
from crdnet.files import write_whole

Picture = npt.NDArray[np.uint8]
SIDE, GAP, LINE, QUALITY = 160, 4, 14, 75


class Shown(NamedTuple):
    """A picture of a set and what became of it."""

    name: str
    rainy: Picture
    derained: Picture
    clean: Picture
    before: float
    """PSNR in dB."""
    after: float

    @property
    def gain(self) -> float:
        """Of PSNR, in dB."""
        return self.after - self.before


def derained(pair: Pair, derainer: Derainer) -> Shown:
    loaded = pair.load()
    result = derainer(loaded.rainy)
    before, after = (
        metrics.psnr(each, loaded.clean, "restormer-y") for each in (loaded.rainy, result)
    )
    return Shown(pair.name, loaded.rainy, result, loaded.clean, before, after)


def strongest(rainy: Picture, clean: Picture) -> tuple[slice, slice]:
    """Return the square of `SIDE` pixels, or what there is of it, in which the rain changes most, on a grid of 16."""
    change = np.abs(rainy.astype(np.float32) - clean).mean(2)
    sums = np.pad(change.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = (min(SIDE, side) for side in change.shape)
    within = (
        sums[height:, width:]
        - sums[:-height, width:]
        - sums[height:, :-width]
        + sums[:-height, :-width]
    )
    coarse = within[::16, ::16]
    top, left = (16 * int(at) for at in np.unravel_index(coarse.argmax(), coarse.shape))
    return slice(top, top + height), slice(left, left + width)


def sheet_of(rows: Sequence[tuple[str, Shown]]) -> Image.Image:
    """Return two columns of rainy, derained and clean parts, with what they are above them."""
    wide, high = 3 * (SIDE + GAP) + GAP, SIDE + LINE + GAP
    sheet = Image.new("RGB", (2 * wide, -(-len(rows) // 2) * high), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (what, shown) in enumerate(rows):
        top, left = index // 2 * high, index % 2 * wide
        pen.text((left, top), f"{what}: {shown.before:.1f} -> {shown.after:.1f} dB", fill="black")
        part = strongest(shown.rainy, shown.clean)
        for column, picture in enumerate((shown.rainy, shown.derained, shown.clean)):
            sheet.paste(Image.fromarray(picture[part]), (left + column * (SIDE + GAP), top + LINE))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--sheet", type=Path, required=True)
    parser.add_argument("--model", default="default")
    arguments = parser.parse_args()
    derainer = Derainer(arguments.model)
    synthetic = find_pairs(arguments.data / "val_synth")
    sets = {
        grade: [pair for pair in synthetic if pair.name.startswith(f"{grade}/")]
        for grade in ("light", "medium", "heavy")
    }
    sets["Rain800"] = find_pairs(arguments.data / "rain800" / "val", "clean-rainy")
    rows = []
    for name, pairs in sets.items():
        by_gain = sorted((derained(pair, derainer) for pair in pairs), key=lambda shown: shown.gain)
        for what, shown in (("middle", by_gain[len(by_gain) // 2]), ("worst", by_gain[0])):
            rows.append((f"{name}, {what}", shown))
            print(f"{name}, {what}: {shown.name}, {shown.before:.2f} -> {shown.after:.2f} dB")
    buffer = BytesIO()
    sheet_of(rows).save(buffer, "JPEG", quality=QUALITY)
    write_whole(arguments.sheet, buffer.getvalue())


if __name__ == "__main__":
    main()
