"""How the intensity of rain is best measured on pairs that JPEG went over.

    python benchmarks/intensity.py LOSSLESS [--jpeg FOLDER --layout clean-rainy]

Contract: the truth is the mean absolute change of luma of lossless pairs. They are compressed here, rainy and clean
picture with the same quality, and graded again by three measures of the change: its absolute value, the absolute
value of its mean over 3x3 pixels (`crdnet.training.sensing.map_intensity`, what the density head is taught), and the
positive part of that mean. Dry pictures are compressed twice in one file, side by side, as Rain800 keeps its pairs:
there the blocks of the two halves lie differently, and all that is measured is JPEG's own. Pairs of `--jpeg` were
compressed by others, and nobody knows their truth: counted is where the grade leaves that of the absolute value.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import avg_pool2d

from crdnet.data import find_pairs
from crdnet.density import INTENSITY_THRESHOLDS
from crdnet.errors import CRDNetError
from crdnet.nn import luma_channel
from crdnet.rain import compress, decompress, measure_intensity
from crdnet.training.sensing import map_intensity

Picture = npt.NDArray[np.uint8]
QUALITIES = (90, 75, 60)
MEASURES = ("absolute change", "absolute mean over 3x3", "positive part of the mean")


def intensities(rainy: Picture, clean: Picture) -> list[float]:
    """Return the intensity of a pair by each of the measures."""
    ours, theirs = (
        torch.from_numpy(each.transpose(2, 0, 1)[None] / np.float32(255)) for each in (rainy, clean)
    )
    change = 255 * (luma_channel(ours) - luma_channel(theirs))
    mean = avg_pool2d(change, 3, stride=1, padding=1, count_include_pad=False)
    taught = map_intensity(ours, theirs, cell=1)
    return [measure_intensity(rainy, clean), taught.mean().item(), mean.clamp(min=0).mean().item()]


def lossy(picture: Picture, quality: int) -> Picture:
    return decompress(compress(picture, quality))


def side_by_side(picture: Picture, quality: int) -> tuple[Picture, Picture]:
    """Return both halves of a file that holds a picture twice."""
    both = lossy(np.concatenate([picture, picture], axis=1), quality)
    return both[:, : picture.shape[1]], both[:, picture.shape[1] :]


def row(name: str, truths: Sequence[float], measured: Sequence[Sequence[float]]) -> None:
    """Print how many grades each measure changes, at which thresholds, and how far it is off."""
    cells = []
    for intensity in np.transpose(measured):
        truth = np.asarray(truths)
        crossed = [
            int(((truth >= each) != (intensity >= each)).sum()) for each in INTENSITY_THRESHOLDS
        ]
        off = 100 * np.median(np.abs(intensity - truth) / truth)
        cells.append(f"{', '.join(map(str, crossed))}; {off:.1f} %")
    print(f"| {name} | {len(truths)} | {' | '.join(cells)} |")


def heading(first: str, says: str) -> None:
    print(f"\n{says}\n\n| {first} | pairs | {' | '.join(MEASURES)} |\n|---|---|---|---|---|")


def pairs_of(folder: Path, layout: str) -> Iterator[tuple[Picture, Picture]]:
    for pair in find_pairs(folder, layout):
        loaded = pair.load()
        yield loaded.rainy, loaded.clean


@click.command()
@click.argument("lossless", type=click.Path(path_type=Path))
@click.option(
    "--jpeg", type=click.Path(path_type=Path), help="Folder of pairs that others compressed."
)
@click.option("--layout", default="auto", show_default=True, help="Layout of --jpeg.")
def main(lossless: Path, jpeg: Path | None, layout: str) -> None:
    """Grade the pairs of the folder LOSSLESS before and after JPEG."""
    try:
        compressed_here(lossless)
        if jpeg is not None:
            compressed_by_others(jpeg, layout)
    except CRDNetError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


def compressed_here(folder: Path) -> None:
    pairs = list(pairs_of(folder, "auto"))
    truths = [measure_intensity(*pair) for pair in pairs]
    heading(
        "JPEG",
        "Grades changed (at the thresholds 1, 10, 30); median error of S, in grey levels where S is below 1.",
    )
    row("none", truths, [intensities(*pair) for pair in pairs])
    for quality in QUALITIES:
        measured = [
            intensities(lossy(rainy, quality), lossy(clean, quality)) for rainy, clean in pairs
        ]
        row(f"quality {quality}", truths, measured)

    dry = list({clean.tobytes(): clean for _, clean in pairs}.values())
    heading("JPEG", "The same picture twice in one file: median and largest S.")
    for quality in QUALITIES:
        found = np.transpose([intensities(*side_by_side(clean, quality)) for clean in dry])
        cells = [f"{np.median(each):.2f}, {each.max():.2f}" for each in found]
        print(f"| dry, quality {quality} | {len(dry)} | {' | '.join(cells)} |")


def compressed_by_others(folder: Path, layout: str) -> None:
    measured = [intensities(*pair) for pair in pairs_of(folder, layout)]
    heading("folder", "The same, against the absolute change.")
    row(folder.name, [found[0] for found in measured], measured)
    shares = [positive / absolute for absolute, _, positive in measured]
    print(
        f"\nPositive part / absolute change: median {np.median(shares):.2f}, least {min(shares):.2f}"
    )


if __name__ == "__main__":
    main()
