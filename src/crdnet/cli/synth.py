"""`crdnet synth`: rain on photographs, as pairs to train on."""

from fractions import Fraction
from pathlib import Path

import click
from click.core import ParameterSource

from crdnet._version import __version__
from crdnet.cli.progress import progress
from crdnet.data import list_images, read_rgb
from crdnet.errors import DataError, RecipeError
from crdnet.rain import (
    CameraRain,
    PairDrawer,
    PairFolder,
    PairPlan,
    StreakLibrary,
    describe_pairs,
    plan_pairs,
)
from crdnet.rain.spec import SCALE

EXIT_FAILED = 1
_QUALITY_OF_JPG = 90
_CAMERA_OPTIONS = ("rate", "exposure", "focal", "aperture", "focus", "wind", "distance")
_HELP = """\
Put rain on the photographs in a folder; write pairs that crdnet train and crdnet data check read.

\b
crdnet synth photos/ -o pairs/
crdnet synth photos/ -o pairs/ -r --density heavy --per-photo 4 --jpeg 85
crdnet synth photos/ -o pairs/ --camera --rate 25 --exposure 1/120 --focal 26

Writes input/ (rainy), target/ (clean), streaks/ (the light of the rain alone), labels.csv and manifest.json.
The same seed gives the same pixels on every machine. A run that was stopped goes on where it was; nothing
that exists is replaced unasked. Photographs that cannot be used are named, and the exit code is then 1.
"""


def _scale(ctx: click.Context, param: click.Parameter, value: str) -> float | None:
    """Turn the text of --scale into a number, or None for auto."""
    if value == "auto":
        return None
    try:
        scale = float(value)
    except ValueError:
        scale = float("nan")
    if not SCALE[0] <= scale <= SCALE[1]:
        rule = f"is neither 'auto' nor a number from {SCALE[0]:g} to {SCALE[1]:g}"
        raise click.BadParameter(f"{value!r} {rule}", ctx=ctx, param=param)
    return scale


def _quality(ctx: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    """Turn the text of --jpeg into a quality; `none` stays, None is for not given."""
    if value is None or value == "none":
        return value
    if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= 100):
        raise click.BadParameter(
            f"{value!r} is neither 'none' nor a quality from 1 to 100", ctx=ctx, param=param
        )
    return int(value)


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Turn 1/120 or 0.008 into seconds."""
    try:
        return float(Fraction(value.strip()))
    except (ValueError, ZeroDivisionError):
        rule = "is no time in seconds, such as 1/120 or 0.008"
        raise click.BadParameter(f"{value!r} {rule}", ctx=ctx, param=param) from None


@click.command(name="synth", help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("photos", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder for the pairs."
)
@click.option(
    "--density",
    type=click.Choice(["none", "light", "medium", "heavy", "mix"]),
    default="mix",
    show_default=True,
    help="How heavy the rain is; mix is light, medium and heavy, each as often.",
)
@click.option(
    "--per-photo",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    help="Pairs per photograph.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="What the rain follows from.",
)
@click.option(
    "--streaks",
    type=click.Path(path_type=Path),
    help="Folder of streak pictures, grey on black, to use beside the drawn streaks.",
)
@click.option(
    "--camera",
    is_flag=True,
    help="Rain of drops before a camera, by the physics of --rate and the camera below, instead of a density.",
)
@click.option(
    "--rate", type=float, default=25.0, show_default=True, help="Rain rate in mm/h, 0.1 to 200."
)
@click.option(
    "--exposure",
    callback=_seconds,
    default="1/120",
    show_default=True,
    help="Exposure time in seconds.",
)
@click.option(
    "--focal",
    type=float,
    default=26.0,
    show_default=True,
    help="Focal length in mm, as on a frame 36 mm wide.",
)
@click.option(
    "--aperture",
    type=float,
    default=3.0,
    show_default=True,
    help="Diameter of the lens opening in mm; 0 has everything in focus.",
)
@click.option(
    "--focus", type=float, default=5.0, show_default=True, help="Distance in focus in metres."
)
@click.option(
    "--wind",
    type=float,
    default=0.0,
    show_default=True,
    help="Wind in m/s, positive towards the right.",
)
@click.option(
    "--distance",
    type=float,
    default=30.0,
    show_default=True,
    help="Distance of the scene in metres.",
)
@click.option(
    "--scale",
    callback=_scale,
    default="auto",
    show_default=True,
    metavar="auto|F",
    help="Size of the streaks; auto is the longer side / 500 px, at least 1.",
)
@click.option(
    "--jpeg",
    callback=_quality,
    metavar="QUALITY|none",
    help=f"Send both pictures through JPEG.  [default: none; {_QUALITY_OF_JPG} for --format jpg]",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["png", "jpg"]),
    default="png",
    show_default=True,
    help="How the pairs are stored.",
)
@click.option("-r", "--recursive", is_flag=True, help="Look into the folders in PHOTOS too.")
@click.option("--overwrite", is_flag=True, help="Replace the pairs of an earlier run.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no summary.")
@click.option(
    "-v", "--verbose", is_flag=True, expose_value=False, help="Show where an error came from."
)
def command(
    *,
    photos: Path,
    output: Path,
    density: str,
    per_photo: int,
    seed: int,
    streaks: Path | None,
    camera: bool,
    rate: float,
    exposure: float,
    focal: float,
    aperture: float,
    focus: float,
    wind: float,
    distance: float,
    scale: float | None,
    jpeg: int | str | None,
    file_format: str,
    recursive: bool,
    overwrite: bool,
    quiet: bool,
) -> int:
    """Plan the pairs, make those that are not there yet, say what is there."""
    if file_format == "jpg" and jpeg == "none":
        raise click.UsageError("--format jpg is JPEG, which --jpeg none rules out; give a quality")
    quality = jpeg if isinstance(jpeg, int) else _QUALITY_OF_JPG if file_format == "jpg" else None
    rain = None
    _check_camera_usage(camera=camera)
    if camera:
        try:
            rain = CameraRain(rate, exposure, focal, aperture, focus, wind, scene_metres=distance)
        except RecipeError as error:
            raise click.UsageError(str(error)) from error
    _refuse_overlap(photos, output)
    jobs, failures = _plan(photos, file_format, per_photo, recursive=recursive)
    library = None if streaks is None else StreakLibrary.read(streaks)
    options = {
        "made_by": "crdnet synth",
        "version": __version__,
        "seed": seed,
        "density": "camera" if rain else density,
        "camera": None if rain is None else rain.as_dict(),
        "per_photo": per_photo,
        "streaks": None if library is None else library.digest,
        "scale": "auto" if scale is None else scale,
        "jpeg": quality,
        "format": file_format,
    }
    drawer = PairDrawer(rain or density, seed, library, scale, quality)
    with (
        PairFolder(output, options, overwrite=overwrite) as folder,
        progress(len(jobs), "pairs", quiet=quiet) as advance,
    ):
        for job in jobs:
            if not folder.has(job.place):
                try:
                    folder.write(job.place, *drawer.draw(read_rgb(photos / job.photo), job))
                except DataError as error:
                    failures.append(str(error))
            advance()
    if not quiet:
        click.echo(_printable(f"{output}: {describe_pairs(folder.records)}"))
    for failure in dict.fromkeys(failures):  # A photo of several pairs fails once.
        click.echo(_printable(f"Error: {failure}"), err=True)
    return EXIT_FAILED if failures else 0


def _check_camera_usage(*, camera: bool) -> None:
    """Refuse options of one kind of rain beside those of the other."""
    ctx = click.get_current_context()
    names = ("density", "streaks", "scale") if camera else _CAMERA_OPTIONS
    for name in names:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            beside = "does not go with" if camera else "goes with"
            raise click.UsageError(f"--{name} {beside} --camera")


def _refuse_overlap(photos: Path, output: Path) -> None:
    inside, outside = output.resolve(), photos.resolve()
    if inside.is_relative_to(outside):
        raise click.UsageError(
            f"-o {output} lies inside the input folder {photos}, and the next run would rain on its own pairs; "
            "name a folder beside it"
        )
    if any(outside.is_relative_to(inside / name) for name in ("input", "target", "streaks")):
        raise click.UsageError(
            f"the pairs would be written into the input folder {photos}; name another -o"
        )


def _plan(
    photos: Path, file_format: str, per_photo: int, *, recursive: bool
) -> tuple[list[PairPlan], list[str]]:
    """Return the pairs to make, and what is wrong with photographs that share a place."""
    listing = list_images(photos)
    images = [image for image in listing.images if recursive or len(image.parts) == 1]
    if not images:
        hint = "; --recursive looks into the folders in it" if listing.images else ""
        raise DataError(f"{photos}: no photographs in this folder{hint}")
    plans, clashes = plan_pairs(images, f".{file_format}", per_photo)
    return plans, [
        f"{photos / image}: its pair would be called like that of {owner}; rename one of them"
        for image, owner in clashes
    ]


def _printable(text: str) -> str:
    # A file's name need not be text; what cannot be printed is shown as an escape.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
