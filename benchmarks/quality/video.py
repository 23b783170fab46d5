"""Measure the gain from neighbouring frames in deraining video, on drawn and on real rain.

    python -m benchmarks.quality.video gain CLIP... [-n FRAMES] [--save FOLDER] [--sheet FILE]
    python -m benchmarks.quality.video real CLIP... [-n FRAMES] [--always] [--save FOLDER]

Contract of `gain`: each CLIP is a dry video. FRAMES of its frames are reduced to a fixed width and
get rain of each density: one spec per density (seed 10, 11, 12; its gain fitted on the first
frame), with different streaks in every frame. Every frame is derained by itself and with its
neighbours (`crdnet.video.TemporalDerainer`); `--fusion none` leaves out the model that improves
fused frames. Printed are the mean PSNR of luma (restormer-y) against the dry frames, and the
flicker: the mean absolute difference of the error of luma between successive frames. The first and
the last frame, which lack a neighbour, are left out. Dry rows are the clip without drawn rain. FILE
shows the middle of each clip in medium rain, at full size: rainy, derained by itself, derained with
neighbours, and the truth.

Contract of `real`: each CLIP, a video or a folder of images, shows real rain. Its frames are
derained by themselves and with their neighbours, with the gate of `crdnet video`. Printed is the
remaining contrast of streaks above the temporal median (`crdnet.evaluation.clips`), which needs a
static camera; a clip of a moving camera is only derained and saved.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.quality.sheets import write_sheet
from crdnet import Derainer, RainDensity
from crdnet.data import Frame, drop_repeated, read_frames
from crdnet.density import luma
from crdnet.errors import DataError
from crdnet.evaluation.clips import ClipScore, StaticClip, score_clip
from crdnet.metrics import score
from crdnet.rain import make_rainy_pair
from crdnet.video import FrameNetwork, FusionModel, TemporalDerainer
from crdnet.video.engine import Estimate, as_levels, as_pixels
from crdnet.video.temporal import Static

Levels = npt.NDArray[np.float32]
# Largest part of a frame on a sheet (height, width), in pixels.
_SHOWN = 180, 320
_SHEET_QUALITY = 88


@click.group(help=__doc__.splitlines()[0])
def main() -> None: ...


@main.command("gain", help="Measure the gain on dry clips with drawn rain.")
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-n", "--frames", "count", default=14, show_default=True, help="Frames of a clip.")
@click.option("--first", default=0, show_default=True, help="First frame.")
@click.option("--width", default=480, show_default=True, help="Width to reduce to, in pixels.")
@click.option("-m", "--model", default="default", show_default=True)
@click.option("-d", "--device", default="auto", show_default=True)
@click.option("--static", type=click.Choice(["auto", "on", "off"]), default="auto")
@click.option(
    "--fusion", default="video", show_default=True, help="Model of three frames, or none."
)
@click.option(
    "--save", type=click.Path(path_type=Path), help="Folder for rainy, single, fused, dry."
)
@click.option("--sheet", type=click.Path(path_type=Path), help="JPEG of a row for each clip.")
def measure_gain(
    *,
    clips: tuple[Path, ...],
    count: int,
    first: int,
    width: int,
    model: str,
    device: str,
    static: Static,
    fusion: str,
    save: Path | None,
    sheet: Path | None,
) -> None:
    network = FrameNetwork(Derainer(model, device=device))
    fuses = None if fusion == "none" else FusionModel(fusion)
    names = f"{'rainy':>6} {'single':>7} {'fused':>6} {'gain':>6} {'flicker':>16}"
    click.echo(f"{'clip':20} {'rain':7} {names}")
    gains, ratios, rows = [], [], []
    for path in clips:
        dry = [_reduce(frame, width) for frame in read_frames(path, first, count)]
        for density in RainDensity:
            rainy = _add_rain(dry, density)
            single, fused = _derain(network, rainy, static, fuses)
            before, alone, together = (_measure_psnr(each, dry) for each in (rainy, single, fused))
            flickers = [_measure_flicker(each, dry) for each in (single, fused)]
            if density is not RainDensity.NONE:
                gains.append(together - alone)
                ratios.append(flickers[1] / max(flickers[0], 1e-9))
            click.echo(
                f"{path.stem[:20]:20} {density.name.lower():7} "
                f"{before:6.2f} {alone:7.2f} {together:6.2f} {together - alone:+6.2f} "
                f"{flickers[0]:7.2f} -> {flickers[1]:5.2f}"
            )
            if save is not None:
                _save(save, f"{path.stem}_{density.name.lower()}", rainy, single, fused, dry)
            if density is RainDensity.MEDIUM:
                rows.append(_join_middle(rainy, single, fused, dry, within=_SHOWN))
    click.echo(
        f"mean gain {np.mean(gains):+.2f} dB; flicker {np.mean(ratios):.0%} of single frames'"
    )
    if sheet is not None:
        write_sheet(sheet, Image.fromarray(np.vstack(rows)), _SHEET_QUALITY)


@main.command("real", help="Measure the share of the rain that is left in real clips.")
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-n", "--frames", "count", default=24, show_default=True, help="Frames of a clip.")
@click.option("-d", "--device", default="auto", show_default=True)
@click.option("--always", is_flag=True, help="Derain dry frames too.")
@click.option("--save", type=click.Path(path_type=Path), help="Folder for rainy, single, fused.")
def measure_real(
    *, clips: tuple[Path, ...], count: int, device: str, always: bool, save: Path | None
) -> None:
    network, fusion = FrameNetwork(Derainer(device=device)), FusionModel()
    click.echo(
        f"{'clip':20} {'contrast':>8} {'single':>18} {'with neighbours':>18} {'flicker':>16}"
    )
    for path in clips:
        frames = drop_repeated(list(read_frames(path, 0, count)))
        single, fused = (
            [as_pixels(each, np.dtype(np.uint8)) for each in answers]
            for answers in _derain(network, frames, "auto", fusion, always=always)
        )
        if save is not None:
            _save(save, path.stem, frames, single, fused)
        clip = StaticClip.from_frames(path.name, frames)
        try:
            one, two = (_score(clip, each) for each in (single, fused))
        except DataError as error:
            click.echo(f"{path.stem[:20]:20} {error}")
            continue
        flickers = [_measure_flicker(each, [frames[0]] * len(frames)) for each in (single, fused)]
        left = [
            f"{each.left.mean:.2f} [{each.left.low:.2f}, {each.left.high:.2f}]"
            for each in (one, two)
        ]
        click.echo(
            f"{path.stem[:20]:20} {one.contrast:8.1f} {left[0]:>18} {left[1]:>18} "
            f"{flickers[0]:7.2f} -> {flickers[1]:5.2f}"
        )


def _score(clip: StaticClip, derained: Sequence[Frame]) -> ClipScore:
    # The first and the last frame are not asked for.
    answers = iter(derained[1:])
    return score_clip(clip, lambda _rainy: next(answers), np.random.default_rng(0))


def _reduce(frame: Frame, width: int) -> Frame:
    height = round(width * frame.shape[0] / frame.shape[1])
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS))


def _add_rain(dry: Sequence[Frame], density: RainDensity) -> list[Frame]:
    if density is RainDensity.NONE:
        return list(dry)
    spec = make_rainy_pair(dry[0], density, np.random.default_rng(9 + density)).spec
    return [
        make_rainy_pair(frame, spec, np.random.default_rng([int(density) - 1, number])).rainy
        for number, frame in enumerate(dry)
    ]


def _derain(
    network: FrameNetwork,
    rainy: Sequence[Frame],
    static: Static,
    fusion: FusionModel | None,
    *,
    always: bool = False,
) -> tuple[list[Levels], list[Levels]]:
    """Return the frames derained by themselves and with their neighbours, in grey levels."""
    answers: list[Levels] = []

    class Recorded(FrameNetwork):
        """Network that keeps its answers, so that it runs once for both."""

        def __init__(self) -> None:
            pass

        def derain(self, frame: Frame) -> Estimate:
            estimate = network.derain(frame)
            alone = estimate.report.dry and not always
            answers.append(as_levels(estimate.rainy if alone else estimate.derained))
            return estimate

    derainer = TemporalDerainer(Recorded(), static=static, fusion=fusion, always=always)
    fused = [each.derained for frame in rainy if (each := derainer.push(frame))]
    return answers, [*fused, *(each.derained for each in derainer.flush())]


def _measure_psnr(derained: Sequence[npt.NDArray[np.generic]], dry: Sequence[Frame]) -> float:
    pairs = list(zip(derained, dry, strict=True))[1:-1]
    scale = np.float32(1 / 255)
    values = [
        score(np.clip(np.asarray(one, np.float32) * scale, 0, 1), two * scale, "restormer-y").psnr
        for one, two in pairs
    ]
    return float(np.mean(np.minimum(values, 99)))


def _measure_flicker(derained: Sequence[Levels], dry: Sequence[Frame]) -> float:
    errors = [
        luma(np.asarray(one, np.float32)) - luma(two.astype(np.float32))
        for one, two in zip(derained, dry, strict=True)
    ][1:-1]
    return float(np.mean([np.abs(after - before).mean() for before, after in pairwise(errors)]))


def _save(folder: Path, name: str, *kinds: Sequence[npt.NDArray[np.generic]]) -> None:
    """Save the frame in the middle of each kind, from left to right."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_join_middle(*kinds)).save(folder / f"{name}.png")


def _join_middle(
    *kinds: Sequence[npt.NDArray[np.generic]], within: tuple[int, int] | None = None
) -> Frame:
    """Return the frame in the middle of each kind, or the middle part of it, side by side."""
    middle = [np.asarray(each[len(each) // 2], np.float32) for each in kinds]
    if within is not None:
        height, width = middle[0].shape[:2]
        top, left = max(height - within[0], 0) // 2, max(width - within[1], 0) // 2
        middle = [each[top : top + within[0], left : left + within[1]] for each in middle]
    joined: Frame = np.rint(np.clip(np.hstack(middle), 0, 255)).astype(np.uint8)
    return joined


if __name__ == "__main__":
    main()
