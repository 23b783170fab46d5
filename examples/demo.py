"""Derain the example images; `make demo` runs this.

Every image is scored against its clean original before and after, under the protocol `restormer-y`,
and all images are shown side by side on one sheet. The base installation is enough.

    python examples/demo.py                       the default model, results in demo/
    python examples/demo.py --model my.onnx       a model of yours
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from PIL import Image

from crdnet import CRDNetError, Derainer, RainDensity
from crdnet.metrics import score

Pixels = npt.NDArray[np.uint8]

EXAMPLES = Path(__file__).resolve().parent
NAMES = ("light.jpg", "medium.jpg", "heavy.jpg")
PROTOCOL = "restormer-y"
SHEET = "before_after.png"
GAP_PIXELS = 8


@dataclass(frozen=True)
class Result:
    """Result of one example."""

    name: str
    rainy: Pixels
    derained: Pixels
    psnr_before: float
    psnr_after: float
    density: RainDensity | None
    seconds: float
    output: Path


def derain_example(derainer: Derainer, name: str, folder: Path) -> Result:
    """Derain one example image into a folder and score it."""
    source = EXAMPLES / name
    output = folder / f"{source.stem}_derained{source.suffix}"
    record = derainer.derain_file(source, output, overwrite=True)
    # The written file is scored, so the loss of its compression counts too.
    paths = (source, output, EXAMPLES / "clean" / name)
    rainy, derained, clean = (_read_pixels(path) for path in paths)
    return Result(
        name=name,
        rainy=rainy,
        derained=derained,
        psnr_before=score(rainy, clean, PROTOCOL).psnr,
        psnr_after=score(derained, clean, PROTOCOL).psnr,
        density=record.density,
        seconds=record.seconds or 0.0,
        output=output,
    )


def format_table(results: Sequence[Result]) -> str:
    """Format the results as text, one line per image."""
    lines = [
        f"{'image':12} {'rain sensed':12} {'PSNR before':>11} {'after':>9} {'gain':>9} "
        f"{'time':>7}  result"
    ]
    for each in results:
        density = "-" if each.density is None else each.density.name.lower()
        gain = each.psnr_after - each.psnr_before
        lines.append(
            f"{each.name:12} {density:12} {each.psnr_before:8.2f} dB {each.psnr_after:6.2f} dB "
            f"{gain:+6.2f} dB {each.seconds:5.2f} s  {each.output}"
        )
    return "\n".join(lines)


def draw_sheet(results: Sequence[Result]) -> Image.Image:
    """Draw one image with a row for each result: rainy on the left, derained on the right."""
    width = max(each.rainy.shape[1] for each in results)
    height = sum(each.rainy.shape[0] for each in results) + GAP_PIXELS * (len(results) - 1)
    page = Image.new("RGB", (2 * width + GAP_PIXELS, height), "white")
    top = 0
    for each in results:
        page.paste(Image.fromarray(each.rainy), (width - each.rainy.shape[1], top))
        page.paste(Image.fromarray(each.derained), (width + GAP_PIXELS, top))
        top += each.rainy.shape[0] + GAP_PIXELS
    return page


def _read_pixels(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@click.command()
@click.option("-m", "--model", default="default", help="Name of a model or path of an .onnx file.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    help="Folder of the results.",
)
def main(model: str, folder: Path) -> None:
    """Derain the example images."""
    try:
        derainer = Derainer(model=model)
        # Opens the model now, so that the time of the first image does not include it.
        derainer.session  # noqa: B018
        results = [derain_example(derainer, name, folder) for name in NAMES]
    except CRDNetError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    draw_sheet(results).save(folder / SHEET)
    print(format_table(results))
    print(f"\nPSNR under {PROTOCOL}, against the clean images in {EXAMPLES / 'clean'}")
    print(f"before and after, side by side: {folder / SHEET}")


if __name__ == "__main__":
    main()
