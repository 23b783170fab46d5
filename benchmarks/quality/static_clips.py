"""Measure real rain left in clips, and the gain on camera rain drawn on dry clips.

    python benchmarks/quality/static_clips.py CLIP... [--dry CLIP]... [--model NAME] [--save FOLDER]

Contract: a CLIP is a video, or a folder of images, of a static camera in rain. Each frame is derained
alone, as `crdnet derain` derains a file, and compared with the temporal median (`crdnet.evaluation.clips`).
Each --dry clip without rain gets camera rain of 5, 25 and 60 mm/h (`--exposure`, 26 mm, other drops in
every frame) on five frames; PSNR on luma (restormer-y) against the clean frame is compared before and
after. Intervals are by bootstrap over frames.
"""

from pathlib import Path

import click
import numpy as np

from crdnet import Derainer
from crdnet.cli.clips import evaluate_clips
from crdnet.evaluation import Frame, read_frames
from crdnet.metrics import score
from crdnet.rain import CameraRain, make_rainy_pair

RATES = (5.0, 25.0, 60.0)
"""Millimetres per hour: moderate, heavy and violent rain."""
FRAMES, STEP = 5, 4
"""Frames of a dry clip that are rained on, and how far apart they lie."""


@click.command(help=__doc__.splitlines()[0])
@click.argument("clips", nargs=-1, type=click.Path(path_type=Path))
@click.option("--dry", multiple=True, type=click.Path(path_type=Path), help="Clip without rain.")
@click.option("-m", "--model", default="default", show_default=True)
@click.option("--exposure", default=1 / 250, show_default=True, help="Of camera rain, in seconds.")
@click.option("--save", type=click.Path(path_type=Path), help="Folder for images side by side.")
def main(
    *,
    clips: tuple[Path, ...],
    dry: tuple[Path, ...],
    model: str,
    exposure: float,
    save: Path | None,
) -> None:
    derainer = Derainer(model)

    def derain(frame: Frame) -> Frame:
        derained: Frame = derainer.run(frame, always=False).image
        return derained

    if clips:
        evaluate_clips(
            clips,
            derain,
            seed=0,
            save=save,
            output=None,
            overwrite=True,
            print_json=False,
            quiet=False,
            about={"model": model},
        )
    if dry:
        click.echo(f"{'dry clips with camera rain':28} {'rainy':>7} {'derained':>9} {'gain':>6}")
    for rate in RATES if dry else ():
        rain = CameraRain(millimetres_per_hour=rate, exposure_seconds=exposure)
        pairs = [_psnr(derainer, path, rain) for path in dry]
        before, after = (float(np.mean([each[which] for each in pairs])) for which in (0, 1))
        click.echo(f"{rate:4g} mm/h {'':18} {before:7.2f} {after:9.2f} {after - before:+6.2f}")


def _psnr(derainer: Derainer, path: Path, rain: CameraRain) -> tuple[float, float]:
    """Return the mean PSNR of a dry clip's frames in rain, before and after deraining."""
    scores = []
    for number, clean in enumerate(read_frames(path, count=FRAMES * STEP)[::STEP]):
        rainy = make_rainy_pair(clean, rain, np.random.default_rng(number)).rainy
        derained = derainer.run(rainy, always=False).image
        truth, before, after = (each / np.float32(255) for each in (clean, rainy, derained))
        scores.append([score(each, truth, "restormer-y").psnr for each in (before, after)])
    rainy_mean, derained_mean = np.mean(scores, axis=0).tolist()
    return rainy_mean, derained_mean


if __name__ == "__main__":
    main()
