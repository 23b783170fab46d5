"""Planning and drawing of the pairs of a data set from photographs."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from crdnet._version import __version__
from crdnet.density import RainDensity
from crdnet.errors import DataError
from crdnet.rain.camera import CameraRain
from crdnet.rain.compose import RgbImage
from crdnet.rain.dataset import PairFolder, PairPlace, make_rng
from crdnet.rain.layers import StreakLibrary
from crdnet.rain.spec import choose_rain_scale
from crdnet.rain.synthesis import RainyPair, make_rainy_pair

MIX = "mix"
"""Name of the mixture of light, medium and heavy rain in equal shares."""
_MIX = (RainDensity.LIGHT, RainDensity.MEDIUM, RainDensity.HEAVY)


@dataclass(frozen=True)
class PairPlan:
    """Pair to draw."""

    photo: PurePosixPath
    """Path of the clean image below its folder."""
    variant: int
    """Number of the pair of this image, from 1."""
    place: PairPlace


def plan_pairs(
    photos: Iterable[PurePosixPath], suffix: str, per_photo: int
) -> tuple[list[PairPlan], list[tuple[PurePosixPath, PurePosixPath]]]:
    """Return the pairs to draw, and each image that is left out with the image that has its path.

    Args:
        photos: Paths of the clean images below their folder.
        suffix: Suffix of the files, such as .png.
        per_photo: Number of pairs of each image.
    """
    plans: list[PairPlan] = []
    clashes: list[tuple[PurePosixPath, PurePosixPath]] = []
    # On some systems A.png and a.png are one file.
    owners: dict[str, PurePosixPath] = {}
    for photo in photos:
        owner = owners.setdefault(photo.with_suffix("").as_posix().casefold(), photo)
        if owner != photo:
            clashes.append((photo, owner))
            continue
        for variant in range(1, per_photo + 1):
            place = PairPlace.from_source(photo, suffix, None if per_photo == 1 else variant)
            plans.append(PairPlan(photo, variant, place))
    return plans, clashes


@dataclass(frozen=True)
class PairDrawer:
    """Settings and method for drawing rain on clean images.

    Attributes:
        rain: Camera rain, the name of a density in lower case, or `MIX`.
        seed: Seed of the whole data set.
        library: Streak images to use besides the drawn streaks.
        scale: Scale of the streaks; None derives it from the size of the image.
        jpeg_quality: Quality at which both images go through JPEG; None for no JPEG.
    """

    rain: CameraRain | str
    seed: int
    library: StreakLibrary | None = None
    scale: float | None = None
    jpeg_quality: int | None = None

    def draw(self, clean: RgbImage, plan: PairPlan) -> tuple[RainyPair, dict[str, object]]:
        """Return a pair, and its entry in the manifest."""
        photo = plan.photo.as_posix()
        rng = make_rng(self.seed, photo, plan.variant)
        about: dict[str, object] = {"photo": photo, "variant": plan.variant}
        quality = self.jpeg_quality
        if isinstance(self.rain, CameraRain):
            return make_rainy_pair(clean, self.rain, rng, jpeg_quality=quality), about
        asked = (
            _MIX[int(rng.integers(len(_MIX)))]
            if self.rain == MIX
            else RainDensity[self.rain.upper()]
        )
        scale = choose_rain_scale(*clean.shape[:2]) if self.scale is None else self.scale
        pair = make_rainy_pair(
            clean, asked, rng, scale=scale, library=self.library, jpeg_quality=quality
        )
        return pair, {**about, "asked": asked.name.lower()}


@dataclass(frozen=True)
class PairOptions:
    """Options of a data set of pairs that is drawn from photographs.

    Attributes:
        rain: Camera rain, the name of a density in lower case, or `MIX`.
        seed: Seed of the whole data set.
        per_photo: Number of pairs of each image.
        streaks: Folder of streak images to use besides the drawn streaks.
        scale: Scale of the streaks; None derives it from the size of the image.
        jpeg_quality: Quality at which both images go through JPEG; None for no JPEG.
        format: Format of the files, png or jpg.
    """

    rain: CameraRain | str = MIX
    seed: int = 0
    per_photo: int = 1
    streaks: Path | None = None
    scale: float | None = None
    jpeg_quality: int | None = None
    format: str = "png"

    def as_dict(self, library: StreakLibrary | None) -> dict[str, Any]:
        """Return the options that determine the pixels, as JSON values for the manifest."""
        camera = self.rain if isinstance(self.rain, CameraRain) else None
        return {
            "made_by": "crdnet synth",
            "version": __version__,
            "seed": self.seed,
            "density": "camera" if camera else self.rain,
            "camera": None if camera is None else camera.as_dict(),
            "per_photo": self.per_photo,
            "streaks": None if library is None else library.digest,
            "scale": "auto" if self.scale is None else self.scale,
            "jpeg": self.jpeg_quality,
            "format": self.format,
        }


def draw_pairs(
    photos: Path,
    images: Iterable[PurePosixPath],
    output: Path,
    options: PairOptions,
    *,
    read: Callable[[Path], RgbImage],
    overwrite: bool = False,
    track: Callable[[Sequence[PairPlan]], Iterable[PairPlan]] = iter,
) -> tuple[Sequence[Mapping[str, Any]], list[str]]:
    """Draw rain on photographs, and write the pairs that are not in the folder yet.

    Args:
        photos: Folder of the photographs.
        images: Paths of the photographs below it.
        output: Folder of the data set.
        options: Options of the data set.
        read: Function that reads a photograph, such as `crdnet.data.read_rgb`.
        overwrite: If True, replace the pairs of an earlier run.
        track: Wrapper that yields the pairs and may show progress.

    Returns:
        The entries of the manifest, and a message for each photograph that could not be used.

    Raises:
        OutputError: The folder holds content that must not be replaced.
    """
    plans, clashes = plan_pairs(images, f".{options.format}", options.per_photo)
    failures = [
        f"{photos / image}: its pair would be called like that of {owner}; rename one of them"
        for image, owner in clashes
    ]
    library = None if options.streaks is None else StreakLibrary.read(options.streaks)
    drawer = PairDrawer(options.rain, options.seed, library, options.scale, options.jpeg_quality)
    with PairFolder(output, options.as_dict(library), overwrite=overwrite) as folder:
        for plan in track(plans):
            if folder.has(plan.place):
                continue
            try:
                folder.write(plan.place, *drawer.draw(read(photos / plan.photo), plan))
            except DataError as error:
                failures.append(str(error))
    return folder.records, list(dict.fromkeys(failures))  # a photo of several pairs fails once


def describe_pairs(records: Sequence[Mapping[str, Any]]) -> str:
    """Describe the number of pairs of each density in the entries of a manifest."""
    counts = Counter(record["density"] for record in records)
    names = [grade.name.lower() for grade in RainDensity]
    densities = ", ".join(f"{name} {counts[name]}" for name in names if counts[name])
    pairs = "1 pair" if len(records) == 1 else f"{len(records)} pairs"
    less = sum(record["density"] != record.get("asked", record["density"]) for record in records)
    note = f"; {less} could not be given the density asked for" if less else ""
    return f"{pairs} ({densities}){note}" if records else "no pairs"
