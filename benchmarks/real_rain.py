"""How much of real rain a model takes out, measured on streaks that were marked by hand.

    python benchmarks/real_rain.py DATA [--model paper] [--sheet before_after.jpg] [--json]

Contract: DATA holds the photographs that real_rain_marks.json names. Nobody knows what they would show without rain,
so streaks were marked in 20 crops of 20 photographs, each a line with a width, and places that show no streak. Each
photograph is derained whole. The contrast of a streak is the mean luma of the pixels whose centres lie on its stroke,
less that of two bands along it, 1 to 3 pixels away, each side counting the same so that a slope of the background
cancels. A crop's ratio is the mean contrast of its streaks after deraining over that before: 1 is untouched, 0 gone,
below 0 a dark trace. What is done to the rest is the mean absolute change of the colours where there is no streak.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageOps

from crdnet import CRDNetError, Derainer
from crdnet.data import read_rgb
from crdnet.density import luma
from crdnet.files import write_whole

Picture = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.floating]
MARKS = Path(__file__).with_name("real_rain_marks.json")
NEAR, FAR = 1.0, 3.0
"""Where the bands beside a stroke begin and end, in pixels from its edge: off its soft border, before the next one."""
RESAMPLES = 10_000
SHEET_SIDE, SHEET_COLUMNS, SHEET_GAP, SHEET_QUALITY = 160, 4, 6, 72


class MarksError(Exception):
    """The photographs are not those that were marked."""


class Box(NamedTuple):
    """A rectangle in pixels of the whole upright picture; right and bottom lie outside."""

    left: int
    top: int
    right: int
    bottom: int

    def cut(self, picture: Picture) -> Picture:
        """Return the part of a picture (h, w, 3) that lies inside."""
        return picture[self.top : self.bottom, self.left : self.right]


class Streak(NamedTuple):
    """A marked streak: the middle line between two pixel positions, and how wide it looks."""

    x0: float
    y0: float
    x1: float
    y1: float
    width: float


@dataclass(frozen=True)
class MarkedCrop:
    """What was marked in a photograph."""

    picture: str
    size: tuple[int, int]
    """Width and height of the photograph, to notice another one of the same name."""
    rain: str
    crop: Box
    streaks: tuple[Streak, ...]
    dry: tuple[Box, ...]
    """Places without a visible streak; none where it rains everywhere."""


@dataclass(frozen=True)
class CropResult:
    """What a model did to the streaks of one crop, and around them. Grey levels are those of 255."""

    picture: str
    rain: str
    before: float
    """Mean contrast of the streaks, in grey levels."""
    after: float
    dry_change: float | None
    """Mean absolute change of the colours where there is no streak, in grey levels; None without such a place."""
    density: str | None
    strength: float | None
    scale: float | None
    left_alone: bool

    @property
    def ratio(self) -> float:
        """Contrast after over contrast before: 1 is untouched, 0 gone, below 0 a dark trace."""
        return self.after / self.before


class Interval(NamedTuple):
    """A figure of the set and its 95 % bootstrap interval over crops."""

    value: float
    low: float
    high: float


def read_marks(path: Path = MARKS) -> list[MarkedCrop]:
    return [
        MarkedCrop(
            picture=entry["picture"],
            size=(entry["size"][0], entry["size"][1]),
            rain=entry["rain"],
            crop=Box(*entry["crop"]),
            streaks=tuple(Streak(*streak) for streak in entry["streaks"]),
            dry=tuple(Box(*box) for box in entry["dry"]),
        )
        for entry in json.loads(path.read_text())
    ]


def contrast(plane: Plane, streak: Streak) -> float:
    """Return how much brighter a streak is than what lies beside it.

    Args:
        plane: Luma of the whole picture (h, w).
        streak: Where it was marked.

    Returns:
        The difference, in the units of the plane; negative where the streak is darker.
    """
    reach = streak.width / 2 + FAR
    rows, columns = (
        slice(max(0, int(min(ends) - reach)), int(max(ends) + reach) + 2)
        for ends in ((streak.y0, streak.y1), (streak.x0, streak.x1))
    )
    around = plane[rows, columns]
    y, x = (
        np.mgrid[: around.shape[0], : around.shape[1]]
        + np.array([rows.start, columns.start])[:, None, None]
    )
    length = float(np.hypot(streak.x1 - streak.x0, streak.y1 - streak.y0))
    right, down = (streak.x1 - streak.x0) / length, (streak.y1 - streak.y0) / length
    along = (x - streak.x0) * right + (y - streak.y0) * down
    across = (y - streak.y0) * right - (x - streak.x0) * down
    beside = (along >= 0) & (along <= length)
    edge = streak.width / 2
    stroke = beside & (np.abs(across) <= edge)
    bands = [
        beside & (side * across > edge + NEAR) & (side * across <= edge + FAR) for side in (-1, 1)
    ]
    return float(around[stroke].mean() - np.mean([around[band].mean() for band in bands]))


def measure(
    marked: MarkedCrop, rainy: Picture, derained: Picture
) -> tuple[float, float, float | None]:
    """Return the mean contrast before, that after, and the change where there is no streak."""
    before, after = (
        float(np.mean([contrast(plane, streak) for streak in marked.streaks]))
        for plane in (luma(picture.astype(np.float64)) for picture in (rainy, derained))
    )
    changes = [
        np.abs(box.cut(rainy).astype(np.float64) - box.cut(derained)).ravel() for box in marked.dry
    ]
    return before, after, float(np.concatenate(changes).mean()) if changes else None


def judge(marked: MarkedCrop, folder: Path, derainer: Derainer) -> tuple[CropResult, Picture]:
    """Derain a photograph; return what became of its marks, and a strip of the crop before and after."""
    rainy = read_rgb(folder / marked.picture)
    if rainy.shape[1::-1] != marked.size:
        raise MarksError(
            f"{folder / marked.picture} has {rainy.shape[1]} x {rainy.shape[0]} pixels, the marked one "
            f"{marked.size[0]} x {marked.size[1]}; give the folder of the photographs that were marked"
        )
    result = derainer.run(rainy)
    before, after, dry_change = measure(marked, rainy, result.image)
    found = CropResult(
        picture=marked.picture,
        rain=marked.rain,
        before=before,
        after=after,
        dry_change=dry_change,
        density=None if result.density is None else result.density.name,
        strength=result.strength,
        scale=result.scale,
        left_alone=result.left_alone,
    )
    return found, np.stack([marked.crop.cut(rainy), marked.crop.cut(result.image)])


def interval(
    values: Sequence[float], statistic: Callable[..., Any], rng: np.random.Generator
) -> Interval:
    """Return a statistic of the crops with its percentile interval; crops are drawn with replacement."""
    drawn = statistic(rng.choice(values, (RESAMPLES, len(values))), axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(statistic(values)), float(low), float(high))


def summarise(results: Sequence[CropResult]) -> dict[str, Any]:
    """Return the figures of the set: ratios, and changes where there is no streak."""
    ratios = [found.ratio for found in results]
    changes = [found.dry_change for found in results if found.dry_change is not None]
    rng = np.random.default_rng(0)
    return {
        "crops": len(ratios),
        "ratio_median": interval(ratios, np.median, rng),
        "ratio_mean": interval(ratios, np.mean, rng),
        "halved": sum(abs(ratio) <= 0.5 for ratio in ratios),
        "crops_with_dry_places": len(changes),
        "dry_change_median": interval(changes, np.median, rng) if changes else None,
        "dry_change_mean": interval(changes, np.mean, rng) if changes else None,
        "dry_within_2": sum(change <= 2 for change in changes),
    }


def as_markdown(results: Sequence[CropResult], summary: dict[str, Any]) -> str:
    lines = [
        "| picture | rain | sensed | scale | contrast before | after | ratio | change where dry |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for found in results:
        sensed = (
            "-" if found.density is None else f"{found.density.lower()}, S = {found.strength:.1f}"
        )
        cells = [
            Path(found.picture).stem,
            found.rain,
            f"{sensed}, left alone" if found.left_alone else sensed,
            "-" if found.scale is None else f"{found.scale:g}",
            f"{found.before:.1f}",
            f"{found.after:.1f}",
            f"{found.ratio:.2f}",
            "-" if found.dry_change is None else f"{found.dry_change:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| of the set | median | mean | crops |", "|---|---|---|---|"]
    for name, key, met in (
        (
            "contrast after / before",
            "ratio",
            f"halved or better in {summary['halved']} of {summary['crops']}",
        ),
        (
            "change where dry",
            "dry_change",
            f"at most 2 levels in {summary['dry_within_2']} of {summary['crops_with_dry_places']}",
        ),
    ):
        figures = [_cell(summary[f"{key}_{statistic}"]) for statistic in ("median", "mean")]
        lines.append(f"| {name} | {figures[0]} | {figures[1]} | {met} |")
    return "\n".join(lines)


def _cell(figure: Interval | None) -> str:
    return "-" if figure is None else f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"


def draw_sheet(names: Sequence[str], strips: Sequence[Picture]) -> Image.Image:
    """Return a sheet of the crops, before on the left and after on the right, with their names."""
    cell_width, cell_height = 2 * SHEET_SIDE + 2 * SHEET_GAP, SHEET_SIDE + 14
    rows = -(-len(strips) // SHEET_COLUMNS)
    sheet = Image.new("RGB", (SHEET_COLUMNS * cell_width, rows * cell_height), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (name, strip) in enumerate(zip(names, strips, strict=True)):
        row, column = divmod(index, SHEET_COLUMNS)
        left, top = column * cell_width, row * cell_height
        pen.text((left, top), f"{Path(name).stem}: before, after", fill="black")
        for side, picture in enumerate(strip):
            shown = ImageOps.contain(Image.fromarray(picture), (SHEET_SIDE, SHEET_SIDE))
            sheet.paste(shown, (left + side * (SHEET_SIDE + 2), top + 12))
    return sheet


@click.command()
@click.argument("data", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "-m",
    "--model",
    default="default",
    show_default=True,
    help="Name of a model or path of an .onnx file.",
)
@click.option(
    "--sheet", type=click.Path(path_type=Path, dir_okay=False), help="Draw the crops to a JPEG."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def main(data: Path, model: str, sheet: Path | None, as_json: bool) -> None:
    """Measure what a model does to the marked streaks of the photographs in the folder DATA."""
    try:
        report(data, model, sheet, as_json=as_json)
    except (CRDNetError, MarksError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


def report(data: Path, model: str, sheet: Path | None, *, as_json: bool) -> None:
    derainer = Derainer(Path(model) if model.endswith(".onnx") else model)
    judged = [judge(marked, data, derainer) for marked in read_marks()]
    results = [result for result, _ in judged]
    if sheet is not None:
        buffer = BytesIO()
        drawn = draw_sheet([result.picture for result in results], [strip for _, strip in judged])
        drawn.save(buffer, "JPEG", quality=SHEET_QUALITY)
        write_whole(sheet, buffer.getvalue())
    summary = summarise(results)
    if as_json:
        crops = [asdict(result) | {"ratio": result.ratio} for result in results]
        figures = {
            key: value._asdict() if isinstance(value, Interval) else value
            for key, value in summary.items()
        }
        print(json.dumps({"model": model, "set": figures, "crops": crops}, indent=2))
    else:
        print(as_markdown(results, summary))


if __name__ == "__main__":
    main()
