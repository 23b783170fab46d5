"""Measure a model on real rain: marked streaks, photographs graded by a person, and clips.

    python -m benchmarks.quality.real_rain marks PHOTOGRAPHS [--sheet before_after.jpg] [--json]
    python -m benchmarks.quality.real_rain grades PHOTOGRAPHS
    python -m benchmarks.quality.real_rain clips CLIP... [--dry CLIP]... [--save FOLDER]

Contract. `marks`: PHOTOGRAPHS holds the files that real_rain_marks.json names. Their scenes without
rain are unknown, so streaks were marked in 20 crops of 20 photographs. Each photograph is derained
whole; `marks.py` defines the measures. `grades`: PHOTOGRAPHS holds the files that
real_rain_grades.csv names. One person graded them by eye before seeing any output: light, medium or
heavy, rain or snow; none is dry. Each is sensed as by `crdnet sense`. Printed are the numbers of
equal densities, of those two apart, of photographs called NONE, and of those that `crdnet derain`
leaves alone; snow is counted separately. `clips`: a CLIP is a video, or a folder of images, of a
static camera in rain. Each frame is derained by itself, as `crdnet derain` derains a file, and
compared with the temporal median (`crdnet.evaluation.clips`). Five frames of each --dry clip get
camera rain of 5, 25 and 60 mm/h (`--exposure`, 26 mm, different drops in every frame). Printed is
the PSNR on luma (restormer-y) before and after deraining, and of the frames with the veil but
without the streaks. Intervals are by bootstrap over crops or frames.
"""

import csv
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click
import numpy as np

from benchmarks.helpers import (
    file_type,
    folder_type,
    json_option,
    model_option,
    path_type,
    report_errors,
)
from benchmarks.quality.marks import Interval, format_marks, judge, read_marks, summarise
from benchmarks.quality.sheets import draw_strips, write_sheet
from crdnet import Derainer, RainDensity
from crdnet.cli.progress import progress
from crdnet.data import Frame, read_frames, read_rgb
from crdnet.evaluation import ImageFolder, score_clips
from crdnet.metrics import score
from crdnet.rain import (
    CameraRain,
    compose_drops,
    compute_camera_veil,
    estimate_drop_light,
    make_rainy_pair,
)

GRADES = Path(__file__).with_name("real_rain_grades.csv")
SHEET_QUALITY = 72
RATES = (5.0, 25.0, 60.0)
"""Millimetres per hour: moderate, heavy and violent rain."""
FRAMES, STEP = 5, 4
"""Frames of a dry clip that get rain, and their distance."""


@click.group(help=__doc__.splitlines()[0])
def main() -> None: ...


@main.command("marks")
@click.argument("photographs", type=folder_type)
@model_option
@click.option("--sheet", type=file_type, help="Draw the crops to a JPEG.")
@json_option
@report_errors()
def marks_command(photographs: Path, model: str, sheet: Path | None, as_json: bool) -> None:
    """Measure the marked streaks of photographs before and after."""
    derainer = Derainer(Path(model) if model.endswith(".onnx") else model)
    judged = [judge(marked, photographs, derainer) for marked in read_marks()]
    results = [result for result, _ in judged]
    if sheet is not None:
        drawn = draw_strips([result.image for result in results], [strip for _, strip in judged])
        write_sheet(sheet, drawn, SHEET_QUALITY)
    summary = summarise(results)
    if not as_json:
        print(format_marks(results, summary))
        return
    crops = [asdict(result) | {"ratio": result.ratio} for result in results]
    figures = {
        key: value._asdict() if isinstance(value, Interval) else value
        for key, value in summary.items()
    }
    print(json.dumps({"model": model, "set": figures, "crops": crops}, indent=2))


@main.command("grades")
@click.argument("photographs", type=path_type)
@model_option
@click.option("--grades", default=GRADES, type=path_type, help="Another list of grades.")
@report_errors()
def grades_command(photographs: Path, model: str, grades: Path) -> None:
    """Compare the sensed density of photographs with the grade of a person."""
    derainer = Derainer(model)
    with grades.open(newline="") as file:
        rows = list(csv.DictReader(file))
    reports = {row["image"]: derainer.sense(read_rgb(photographs / row["image"])) for row in rows}
    for falls in ("rain", "snow"):
        graded = [
            (row["image"], RainDensity[row["grade"].upper()])
            for row in rows
            if row["falls"] == falls
        ]
        equal = far = 0
        missed, alone = [], []
        for name, by_eye in graded:
            report = reports[name]
            if report.density is None:
                raise click.UsageError(f"{model} senses no rain; choose a model that does")
            equal += report.density is by_eye
            far += abs(report.density - by_eye) >= 2
            missed += [name] if report.density is RainDensity.NONE else []
            alone += [name] if report.dry else []
        click.echo(
            f"{falls}: {len(graded)} photographs, grade equal {equal}, two apart or more {far}"
        )
        click.echo(f"  called NONE {len(missed)}: {' '.join(missed)}")
        click.echo(f"  left alone {len(alone)}: {' '.join(alone)}")


@main.command("clips")
@click.argument("clips", nargs=-1, type=path_type)
@click.option("--dry", multiple=True, type=path_type, help="Clip without rain.")
@model_option
@click.option(
    "--exposure", default=1 / 250, show_default=True, help="Exposure of camera rain in seconds."
)
@click.option("--save", type=path_type, help="Folder for images side by side.")
@report_errors()
def clips_command(
    clips: tuple[Path, ...],
    dry: tuple[Path, ...],
    model: str,
    exposure: float,
    save: Path | None,
) -> None:
    """Measure real rain left in clips, and the gain on camera rain drawn on dry clips."""
    derainer = Derainer(model)

    def derain(frame: Frame) -> Frame:
        derained: Frame = derainer.run(frame, always=False).image
        return derained

    if clips:
        report = score_clips(
            clips,
            derain,
            seed=0,
            about={"model": model},
            progress=partial(progress, quiet=False),
            folder=None if save is None else ImageFolder(save),
        )
        click.echo(report.as_text())
        for failure in report.failures:
            click.echo(f"Error: {failure}", err=True)
    if dry:
        click.echo(
            f"{'dry clips with camera rain':28} {'rainy':>7} {'derained':>9} {'gain':>6} "
            f"{'no streaks':>11} {'gain':>6}"
        )
    for rate in RATES if dry else ():
        rain = CameraRain(millimetres_per_hour=rate, exposure_seconds=exposure)
        scores = np.mean([measure_psnr(derainer, path, rain) for path in dry], axis=0)
        before, after, veiled = scores.tolist()
        click.echo(
            f"{rate:4g} mm/h {'':18} {before:7.2f} {after:9.2f} {after - before:+6.2f} "
            f"{veiled:11.2f} {veiled - before:+6.2f}"
        )


def measure_psnr(derainer: Derainer, path: Path, rain: CameraRain) -> tuple[float, float, float]:
    """Return the mean PSNR of a dry clip's frames in rain, in dB.

    Returns:
        Before deraining, after it, and of the frames with the veil alone: what a perfect removal of
        the streaks would reach.
    """
    scores = []
    for number, clean in enumerate(read_frames(path, count=FRAMES * STEP)[::STEP]):
        rainy = make_rainy_pair(clean, rain, np.random.default_rng(number)).rainy
        derained = derainer.run(rainy, always=False).image
        light, (height, width) = estimate_drop_light(rain, clean), clean.shape[:2]
        veil = compute_camera_veil(rain, height, width)
        veiled = compose_drops(clean, np.zeros_like(veil), light, veil)
        truth, *others = (each / np.float32(255) for each in (clean, rainy, derained, veiled))
        scores.append([score(each, truth, "restormer-y").psnr for each in others])
    before, after, without_streaks = np.mean(scores, axis=0).tolist()
    return before, after, without_streaks


if __name__ == "__main__":
    main()
