"""Measure the effect of a model on images without rain, by kind.

    pip install 'crdnet[video]' matplotlib==3.10.3 reportlab==5.1.0 pypdfium2==5.15.2
    python -m benchmarks.quality.dry_images collect FOLDER [--data ROOT]
    python -m benchmarks.quality.dry_images measure FOLDER [--always] [--csv FILE]

Contract. `collect` writes the images of dry_images.csv and their list `images.csv` (file, kind,
source, licence) to FOLDER. It downloads about 700 MB of packages to FOLDER/packages. Without
--data, images from folders under ROOT (val_synth/clean, rain800/val, detect/images, video/dry) are
left out. Existing images are kept. A package version that its archive no longer holds is reported,
and the rest is collected; see `dry_collection.py`. `measure` processes each image like a file of
`crdnet derain`, which leaves a dry image alone. Printed by kind are the number of images called
rainy (a density other than NONE), of those left alone, and the PSNR of the output against the input
on luma (restormer-y): the mean of the changed images, the worst, and the number below `HARMED` dB.
The latter are listed, worst first. --always switches the gate off and thus measures the network
alone. --csv writes all figures.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from math import inf, isinf
from pathlib import Path

import click
import numpy as np

from benchmarks.helpers import file_type, folder_type, model_option, path_type, report_errors
from benchmarks.quality.dry_collection import MANIFEST, collect_images
from crdnet import Derainer, RainDensity
from crdnet.data import read_rgb
from crdnet.metrics import score

HARMED = 36.0
"""PSNR in dB below which an image without rain counts as harmed."""
LIST = "images.csv"


@dataclass(frozen=True)
class Outcome:
    """Sensed intensity and output of one dry image."""

    file: str
    kind: str
    density: str
    intensity: float
    left_alone: bool
    psnr: float
    """PSNR of the output against the input, in dB; infinite where they are equal."""

    @property
    def is_rainy(self) -> bool:
        """True if the model calls the dry image rainy."""
        return self.density != RainDensity.NONE.name


def judge_image(derainer: Derainer, folder: Path, file: str, kind: str, *, always: bool) -> Outcome:
    """Derain an image and compare the output with the input."""
    image = read_rgb(folder / file)
    result = derainer.run(image, always=always)
    if result.density is None or result.intensity is None:
        raise click.UsageError("the model senses no rain; choose one that does")
    psnr = inf
    if not np.array_equal(result.image, image):
        before, after = (each / np.float32(255) for each in (image, result.image))
        psnr = score(after, before, "restormer-y").psnr
    return Outcome(file, kind, result.density.name, result.intensity, result.left_alone, psnr)


def tabulate_outcomes(outcomes: Sequence[Outcome]) -> Iterable[str]:
    """Yield a table by kind, then the images that were harmed."""
    heading = f"{'kind':14} {'images':>6} {'rainy':>13} {'left alone':>13}"
    yield f"{heading} {'mean':>6} {'worst':>6} {'harmed':>6}"
    for kind in (*sorted({outcome.kind for outcome in outcomes}), None):
        among = [outcome for outcome in outcomes if kind in (None, outcome.kind)]
        rainy, alone = sum(each.is_rainy for each in among), sum(each.left_alone for each in among)
        changed = [each.psnr for each in among if not isinf(each.psnr)]
        mean, worst = (
            f"{each:6.2f}" for each in ((np.mean(changed), min(changed)) if changed else (inf, inf))
        )
        harmed = sum(psnr < HARMED for psnr in changed)
        shares = " ".join(f"{count:5d} ({count / len(among):4.0%})" for count in (rainy, alone))
        yield f"{kind or 'all':14} {len(among):6d} {shares} {mean} {worst} {harmed:6d}"
    harmed_images = sorted(
        (each for each in outcomes if each.psnr < HARMED), key=lambda each: each.psnr
    )
    yield f"below {HARMED:g} dB: {len(harmed_images)}"
    for each in harmed_images:
        sensed = f"{each.density:6} S = {each.intensity:4.1f}"
        yield f"  {each.psnr:5.2f} dB  {sensed}  {each.kind:12} {each.file}"


@click.group(help=__doc__.splitlines()[0])
def main() -> None: ...


@main.command("collect")
@click.argument("folder", type=folder_type)
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--manifest", default=MANIFEST, type=path_type, help="Another list of images.")
def collect_command(folder: Path, data: Path | None, manifest: Path) -> None:
    """Collect the images without rain from packages, drawings and data."""
    click.echo(collect_images(folder, data, manifest))


@main.command("measure")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@model_option
@click.option("--always", is_flag=True, help="Derain dry images too.")
@click.option(
    "--csv", "table", type=file_type, help="Write the figures of every image to this file."
)
@report_errors()
def measure_command(folder: Path, model: str, always: bool, table: Path | None) -> None:
    """Measure a model on a collected folder."""
    derainer = Derainer(model)
    with (folder / LIST).open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise click.UsageError(f"{folder / LIST} names no image; build the folder with `collect`")
    outcomes = [
        judge_image(derainer, folder, row["file"], row["kind"], always=always) for row in rows
    ]
    if table is not None:
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Outcome)])
            writer.writeheader()
            writer.writerows(asdict(outcome) for outcome in outcomes)
    for line in tabulate_outcomes(outcomes):
        click.echo(line)


if __name__ == "__main__":
    main()
