"""`crdnet synth`: draw rain on photographs to make training pairs."""

from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from crdnet.cli import options
from crdnet.cli.messages import escape, report_errors
from crdnet.cli.progress import track
from crdnet.data import list_images, read_rgb
from crdnet.errors import DataError, RecipeError
from crdnet.rain import CameraRain, PairOptions, describe_pairs, draw_pairs
from crdnet.rain.spec import SCALE

_QUALITY_OF_JPG = 90
_CAMERA_OPTIONS = ("rate", "exposure", "focal", "aperture", "focus", "wind", "distance")
_HELP = """\
Add synthetic rain to the photographs in the folder PHOTOS; write training pairs.

\b
crdnet synth photos/ -o pairs/
crdnet synth photos/ -o pairs/ -r --density heavy --per-photo 4 --jpeg 85
crdnet synth photos/ -o pairs/ --camera --rate 25 --exposure 1/120 --focal 26

Writes input/ (rainy), target/ (clean), streaks/ (the rain layer alone), labels.csv and
manifest.json; crdnet train and crdnet data check read them. The same seed gives the same pixels on
every machine. Repeat the command to resume a stopped run. Existing files are replaced only with
--overwrite. Photographs that cannot be used are named, and the exit code is then 1.
"""


def _parse_seconds(text: str) -> float:
    """Parse 1/120 or 0.008 as seconds."""
    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError):
        rule = "is not a time in seconds such as 1/120 or 0.008"
        raise click.BadParameter(f"{text!r} {rule}") from None


def _add_number(name: str, default: float, told: str) -> options.Decorator:
    return click.option(name, type=float, default=default, help=told)


@click.command(name="synth", help=_HELP)
@click.argument("photos", type=options.PATH)
@click.option("-o", "--output", type=options.PATH, required=True, help="Folder for the pairs.")
@click.option(
    "--density",
    type=click.Choice(["none", "light", "medium", "heavy", "mix"]),
    default="mix",
    help="Density of the rain; mix: light, medium and heavy in equal shares.",
)
@click.option(
    "--per-photo", type=click.IntRange(1, 10_000), default=1, help="Pairs per photograph."
)
@options.seed
@click.option(
    "--streaks",
    type=options.PATH,
    help="Folder of streak images, grey on black, to use in addition to drawn streaks.",
)
@options.add_flag(
    "--camera", help="Simulate drops in front of a camera, instead of rain of a --density."
)
@_add_number("--rate", 25.0, "Rain rate in mm/h, 0.1 to 200.")
@click.option(
    "--exposure",
    type=_parse_seconds,
    metavar="SECONDS",
    default="1/120",
    help="Exposure time, such as 1/120.",
)
@_add_number("--focal", 26.0, "Focal length in mm, for a sensor 36 mm wide.")
@_add_number("--aperture", 3.0, "Diameter of the lens opening in mm; 0: everything is in focus.")
@_add_number("--focus", 5.0, "Focus distance in metres.")
@_add_number("--wind", 0.0, "Wind speed in m/s, positive to the right.")
@_add_number("--distance", 30.0, "Distance of the scene in metres.")
@click.option(
    "--scale",
    type=options.parse_number_or("auto", None, float, *SCALE),
    default="auto",
    metavar="auto|F",
    help="Scale of the streaks; auto: longer side of the image / 500 px, at least 1.",
)
@click.option(
    "--jpeg",
    type=options.parse_number_or("none", "none", int, 1, 100),
    metavar="QUALITY|none",
    help=f"Compress both images as JPEG.  [default: none; {_QUALITY_OF_JPG} for --format jpg]",
)
@click.option(
    "--format", type=click.Choice(["png", "jpg"]), default="png", help="File format of the pairs."
)
@options.recursive
@options.overwrite
@options.quiet
@options.traceback
def command(
    photos: Path, output: Path, recursive: bool, overwrite: bool, quiet: bool, **given: Any
) -> int:
    _check_camera_usage(camera=given["camera"])
    chosen = _choose_options(given)
    _refuse_overlap(photos, output)
    listing = list_images(photos)
    images = [image for image in listing.images if recursive or len(image.parts) == 1]
    if not images:
        hint = "; add --recursive to include its subfolders" if listing.images else ""
        raise DataError(f"{photos}: no photographs in this folder{hint}")
    records, failures = draw_pairs(
        photos,
        images,
        output,
        chosen,
        read=read_rgb,
        overwrite=overwrite,
        track=lambda plans: track(plans, "pairs", quiet=quiet),
    )
    if not quiet:
        click.echo(escape(f"{output}: {describe_pairs(records)}"))
    return report_errors(failures)


def _choose_options(given: dict[str, Any]) -> PairOptions:
    """Return the options of the pairs from those of the command line."""
    jpeg, format = given["jpeg"], given["format"]
    if format == "jpg" and jpeg == "none":
        raise click.UsageError("--format jpg needs a JPEG quality, not --jpeg none")
    rain: CameraRain | str = given["density"]
    if given["camera"]:
        *camera, distance = (given[name] for name in _CAMERA_OPTIONS)
        try:
            rain = CameraRain(*camera, scene_metres=distance)
        except RecipeError as error:
            raise click.UsageError(str(error)) from error
    default = _QUALITY_OF_JPG if format == "jpg" else None
    names = {field.name for field in fields(PairOptions)} & given.keys()
    return PairOptions(
        rain,
        jpeg_quality=jpeg if isinstance(jpeg, int) else default,
        **{name: given[name] for name in names},
    )


def _check_camera_usage(*, camera: bool) -> None:
    """Refuse options of one kind of rain together with those of the other."""
    ctx = click.get_current_context()
    names = ("density", "streaks", "scale") if camera else _CAMERA_OPTIONS
    for name in names:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            rule = "cannot be combined with" if camera else "needs"
            raise click.UsageError(f"--{name} {rule} --camera")


def _refuse_overlap(photos: Path, output: Path) -> None:
    inside, outside = output.resolve(), photos.resolve()
    if inside.is_relative_to(outside):
        raise click.UsageError(
            f"-o {output} lies inside the input folder {photos}, so the next run would add rain to "
            "its own pairs; name a folder outside it"
        )
    if any(outside.is_relative_to(inside / name) for name in ("input", "target", "streaks")):
        raise click.UsageError(
            f"the pairs would be written into the input folder {photos}; name another -o"
        )
