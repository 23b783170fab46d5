"""What rain the presets make: `python benchmarks/grades.py VAL_SYNTH [FOLDER OF STREAKS]`.

Contract: each photograph of VAL_SYNTH/clean gets three pairs of every grade, one of them from the folder of streaks
where it is given, at the scale 1; beside them stand the set's own pairs, whose rain was made by other programs. Then a
bank of layers gives crops of 128 x 128 of the same photographs. Medians and ranges; the PSNR is that of `restormer-y`.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crdnet.data import Pair, find_pairs
from crdnet.density import RainDensity
from crdnet.metrics import psnr
from crdnet.rain import LayerBank, StreakLibrary, make_rainy_pair, measure_intensity

Picture = npt.NDArray[np.uint8]
WET = (RainDensity.LIGHT, RainDensity.MEDIUM, RainDensity.HEAVY)
CHANGED_LEVELS = 8
CROP = 128
CROPS = 300


class Rained(NamedTuple):
    """What rain did to one picture."""

    intensity: float
    """S, in grey levels."""
    changed: float
    """Share of the pixels whose mean colour changed by more than `CHANGED_LEVELS`."""
    psnr: float


def measured(rainy: Picture, clean: Picture) -> Rained:
    change = np.abs(rainy.astype(np.int16) - clean).mean(2)
    changed = float((change > CHANGED_LEVELS).mean())
    return Rained(measure_intensity(rainy, clean), changed, psnr(rainy, clean, "restormer-y"))


def row(pictures: Iterable[Rained]) -> str:
    intensities, shares, decibels = zip(*pictures, strict=True)
    return (
        f"{np.median(intensities):.1f} ({min(intensities):.1f}-{max(intensities):.1f}) | {np.median(shares):.2f} | "
        f"{np.median(decibels):.1f} dB"
    )


def drawn(
    scenes: list[Picture], grade: RainDensity, library: StreakLibrary | None
) -> tuple[list[Rained], int]:
    """Return what three pairs of each scene are like, and how many have the grade that was asked for."""
    pictures, hits = [], 0
    for scene, clean in enumerate(scenes):
        for turn in range(3):
            rng = np.random.default_rng((scene, turn, grade))
            pair = make_rainy_pair(clean, grade, rng, library=library if turn == 2 else None)
            pictures.append(measured(pair.rainy, pair.clean))
            hits += RainDensity.from_intensity(pictures[-1].intensity) is grade
    return pictures, hits


def crops_of(scenes: list[Picture], grade: RainDensity, bank: LayerBank) -> int:
    """Return how many of `CROPS` crops have the grade that was asked for."""
    rng = np.random.default_rng((7, grade))
    hits = 0
    for number in range(CROPS):
        clean = scenes[number % len(scenes)]
        top, left = (int(rng.integers(side - CROP + 1)) for side in clean.shape[:2])
        pair = bank.make_pair(
            np.ascontiguousarray(clean[top : top + CROP, left : left + CROP]), grade, rng
        )
        hits += RainDensity.from_intensity(measure_intensity(pair.rainy, pair.clean)) is grade
    return hits


def main() -> None:
    folder = Path(sys.argv[1])
    library = StreakLibrary.read(sys.argv[2]) if len(sys.argv) > 2 else None
    pairs = find_pairs(folder)
    theirs: dict[RainDensity, list[Pair]] = {
        grade: [pair for pair in pairs if pair.density is grade] for grade in WET
    }
    scenes = [pair.load().clean for pair in theirs[RainDensity.LIGHT]]
    print(
        "| grade | S | changed | PSNR (Y) of the input | there: S | changed | PSNR |\n|---|---|---|---|---|---|---|"
    )
    hits = 0
    for grade in WET:
        pictures, right = drawn(scenes, grade, library)
        hits += right
        loaded = [pair.load() for pair in theirs[grade]]
        there = row(measured(pair.rainy, pair.clean) for pair in loaded)
        print(f"| {grade.name.lower()} | {row(pictures)} | {there} |", flush=True)
    print(f"\n{hits} of {9 * len(scenes)} pairs have the grade that was asked for")
    bank = LayerBank.draw(np.random.default_rng(0), per_density=64, side=320, library=library)
    of_bank = ", ".join(str(crops_of(scenes, grade, bank)) for grade in WET)
    print(f"crops from a bank that have it, of {CROPS} each: {of_bank}")


if __name__ == "__main__":
    main()
