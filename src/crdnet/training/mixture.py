"""Mixed training batches: synthetic rain on dry images, real pairs of a data set, and dry images.

Every random choice about a sample follows from (seed, epoch, index): its kind, image, zoom, crop,
rain, exposure and JPEG. A run that is killed and resumed therefore sees the same batches as an
unbroken run, with any number of workers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, cos, exp, inf, log, radians, sin
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from crdnet.data import (
    LoadedPair,
    Pair,
    drop_repeated,
    find_pairs,
    list_images,
    read_frames,
    read_rgb,
)
from crdnet.density import RAINY_GRADES, RainDensity, compute_intensity
from crdnet.errors import DataError, RecipeError
from crdnet.rain import (
    LOOKALIKES,
    LayerBank,
    RecordedRain,
    RgbImage,
    StreakLibrary,
    add_random_drops,
    compress,
    decompress,
    defocus,
    draw_lamps,
    grade_colours,
    sample_lamps,
    simulate_capture,
)
from crdnet.training.batches import (
    Batch,
    ValidationSets,
    find_validation_sets,
    make_batch,
    make_training_loader,
)

SampleKind = Literal["synthetic", "real", "camera", "drops", "recorded", "dry"]

# Share of the samples that are rotated.
_ROTATED = 0.25
# Largest angle of the samples that are tilted with their rain, in degrees.
_TILT = 60.0
# Share of the samples of recorded rain that show lamps.
_LIT = 0.3
# Number of frames read from a clip, to bound the memory while its rain is cut.
_MOST_FRAMES = 600


@dataclass(frozen=True)
class BankSpec:
    """Streak layers for synthetic rain; see `crdnet.rain.LayerBank.draw`.

    Attributes:
        per_density: Number of layers for each of light, medium and heavy.
        side: Side of a layer in pixels, at least the side of the largest crop.
        scales: Scales of the rain; 1 is the size in an image of 500 px.
    """

    per_density: int = 96
    side: int = 320
    scales: tuple[float, ...] = (0.6, 1.0, 1.6, 2.5, 4.0)


@dataclass(frozen=True)
class MixtureSpec:
    """Shares of the kinds of samples, and the augmentation of their images.

    Samples that are none of synthetic, camera, drops, recorded or real are dry. Augmentation treats
    both images of a pair alike.

    Attributes:
        synthetic: Share of samples with rain in the style of the data sets of the field.
        camera: Share of samples with rain like a camera records it (`crdnet.rain.CameraRain`).
        drops: Share of samples with streaks from wide distributions
            (`crdnet.rain.add_random_drops`).
        recorded: Share of samples with rain that static cameras recorded
            (`crdnet.rain.RecordedRain`); without clips, this share has drops.
        real: Share of pairs of the data set; without a data set, this share is synthetic.
        lookalikes: Share of the dry samples that get a rain lookalike, such as a fence or hair. A
            tenth of this share of the rainy samples has one behind the rain.
        borrowed: Share of the samples with a background from the clean image of a pair, which adds
            scenes.
        zoom: Smallest and largest factor of resizing.
        rotation: Largest angle of the quarter of the backgrounds and pairs that are rotated, in
            degrees.
        tilted: Share of the samples that are rotated with their rain, by up to 60 degrees, so that
            every kind of rain occurs at steep slants. Dry samples are rotated too; otherwise a tilt
            would indicate rain.
        exposure: Largest change of exposure, in stops up or down.
        jpeg: Share of all samples except real pairs with JPEG compression, with equal tables for
            both images.
        jpeg_quality: Lowest and highest quality of JPEG.
        capture: Share of the camera, drops and dry samples that are blurred, noisy or sharpened.
        defocus: Share of the camera and drops samples with a background out of focus.
        grading: Share of the samples with graded colours after the rain: another white balance,
            saturation and tone.
    """

    synthetic: float = 0.6
    camera: float = 0.0
    drops: float = 0.0
    recorded: float = 0.0
    real: float = 0.3
    lookalikes: float = 0.4
    borrowed: float = 0.0
    zoom: tuple[float, float] = (0.5, 2.0)
    rotation: float = 8.0
    tilted: float = 0.0
    exposure: float = 0.5
    jpeg: float = 0.5
    jpeg_quality: tuple[int, int] = (60, 98)
    capture: float = 0.0
    defocus: float = 0.0
    grading: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        shares = {
            name: getattr(self, name)
            for name in ("synthetic", "camera", "drops", "recorded", "real")
        }
        # Decimal shares that sum to 1 may exceed it in binary by a rounding.
        if not (all(share >= 0 for share in shares.values()) and sum(shares.values()) <= 1 + 1e-9):
            got = ", ".join(f"{name} {share}" for name, share in shares.items())
            raise RecipeError(f"shares are at least 0 and sum to at most 1, got {got}")
        if not 0 < self.zoom[0] <= self.zoom[1] < inf:
            raise RecipeError(
                f"zoom is a low and a high factor above 0 and finite, got {self.zoom}",
            )
        if not 1 <= self.jpeg_quality[0] <= self.jpeg_quality[1] <= 100:
            raise RecipeError(
                f"jpeg_quality is a low and a high number of 1 to 100, got {self.jpeg_quality}",
            )
        if not (0 <= self.exposure < inf and 0 <= self.rotation <= 45):
            raise RecipeError(
                "exposure is at least 0 and finite, rotation in 0 to 45 degrees, got "
                f"{self.exposure}, {self.rotation}"
            )
        for name in (
            "tilted",
            "jpeg",
            "lookalikes",
            "borrowed",
            "capture",
            "defocus",
            "grading",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"{name} is a share in 0 to 1, got {getattr(self, name)}")


class Mixture(Dataset[Batch]):
    """Mixed samples with addresses (epoch, index).

    Args:
        backgrounds: Paths of images without rain.
        pairs: Real pairs; may be empty.
        bank: Streak layers of synthetic rain.
        recorded: Rain of static clips; `None` draws drops instead.
        spec: Shares and augmentation.
        sides: Pairs (epoch, side): side of the crops in pixels from that epoch on; the first epoch
            is 0.
        length: Number of samples in an epoch.
        seed: Seed of all random choices.
        in_memory: Whether all images are decoded once and kept.
    """

    def __init__(
        self,
        backgrounds: Sequence[Path],
        pairs: Sequence[Pair],
        bank: LayerBank,
        recorded: RecordedRain | None,
        spec: MixtureSpec,
        sides: Sequence[tuple[int, int]],
        length: int,
        seed: int,
        *,
        in_memory: bool = False,
    ) -> None:
        self.backgrounds = backgrounds
        self.pairs = pairs
        self.bank = bank
        self.recorded = recorded
        self.spec = spec
        self.sides = sides
        self.length = length
        self.seed = seed
        self._backgrounds = [read_rgb(path) for path in backgrounds] if in_memory else None
        self._pairs = [pair.load() for pair in pairs] if in_memory else None

    def __len__(self) -> int:
        return self.length

    def find_side(self, epoch: int) -> int:
        """Return the side of the crops of an epoch, in pixels."""
        return next(side for first, side in reversed(self.sides) if epoch >= first)

    def __getitem__(self, address: tuple[int, int]) -> Batch:
        rng = np.random.default_rng((self.seed, *address))
        final_side = self.find_side(address[0])
        kind = self._draw_kind(rng)
        # Without tilted samples no number is drawn, so that older recipes give the same samples.
        tilted = self.spec.tilted > 0 and rng.random() < self.spec.tilted
        tilt = rng.uniform(-_TILT, _TILT) if tilted else 0.0
        side = compute_side_before_rotation(final_side, tilt)
        if kind == "real":
            name, loaded = self._draw_pair(rng)
            rainy, clean = self._grade_colours(
                self._augment((loaded.rainy, loaded.clean), side, rng),
                rng,
            )
        else:
            name, clean = self._draw_background(rng)
            (clean,) = self._augment((clean,), side, rng)
            if rng.random() < self.spec.lookalikes * (1 if kind == "dry" else 0.1):
                clean = list(LOOKALIKES.values())[int(rng.integers(len(LOOKALIKES)))](clean, rng)
            rainy, clean = self._make_pair(kind, clean, rng)
        rainy, clean = (rotate_middle(image, tilt, final_side) for image in (rainy, clean))
        density = RainDensity.from_intensity(compute_intensity(rainy, clean))
        return make_batch(LoadedPair(rainy, clean, density), name)

    def _draw_kind(self, rng: np.random.Generator) -> SampleKind:
        shares = {
            "synthetic": self.spec.synthetic,
            "real": self.spec.real,
            "camera": self.spec.camera,
            "drops": self.spec.drops,
            "recorded": self.spec.recorded,
        }
        # Without pairs the shares of camera, drops and dry samples stay the same.
        if not self.pairs:
            shares["synthetic"] += shares.pop("real")
        if self.recorded is None:
            shares["drops"] += shares.pop("recorded")
        drawn = rng.random()
        for kind, share in shares.items():
            if drawn < share:
                return cast(SampleKind, kind)
            drawn -= share
        return "dry"

    def _make_pair(
        self, kind: SampleKind, clean: RgbImage, rng: np.random.Generator
    ) -> tuple[RgbImage, RgbImage]:
        """Return a crop with rain of a kind, and the clean crop."""
        if kind == "synthetic":
            return self._grade_colours(self._add_rain(clean, rng), rng)
        rainy = clean
        if kind != "dry":
            if rng.random() < self.spec.defocus:
                clean = defocus(clean, rng)
            if kind == "recorded":
                assert self.recorded is not None
                # Rain is hardly visible in front of bright scenes, and dark photographs are rare.
                clean = np.rint(clean * rng.uniform(0.25, 1.0)).astype(np.uint8)
                if rng.random() < _LIT:
                    height, width = clean.shape[:2]
                    clean = draw_lamps(clean, sample_lamps(height, width, rng), rng)
                rainy = self.recorded.add(clean, rng)
            else:
                rainy, clean = add_random_drops(clean, rng, physical=kind == "camera")
        rainy, clean = self._grade_colours((rainy, clean), rng)
        if rng.random() < self.spec.capture:
            rainy, clean = simulate_capture((rainy, clean), rng)
        quality = self._draw_quality(rng)
        if quality is not None:
            rainy, clean = (decompress(compress(each, quality)) for each in (rainy, clean))
        return rainy, clean

    def _grade_colours(
        self, images: Sequence[RgbImage], rng: np.random.Generator
    ) -> tuple[RgbImage, RgbImage]:
        """Grade the colours of the rainy and the clean crop in a share of the samples."""
        if self.spec.grading and rng.random() < self.spec.grading:
            images = grade_colours(images, rng)
        rainy, clean = images
        return rainy, clean

    def _draw_pair(self, rng: np.random.Generator) -> tuple[str, LoadedPair]:
        which = int(rng.integers(len(self.pairs)))
        loaded = self._pairs[which] if self._pairs else self.pairs[which].load()
        return self.pairs[which].name, loaded

    def _draw_background(self, rng: np.random.Generator) -> tuple[str, RgbImage]:
        """Return name and pixels of a background, or of the clean image of a pair."""
        if self.pairs and self.spec.borrowed and rng.random() < self.spec.borrowed:
            name, loaded = self._draw_pair(rng)
            return name, loaded.clean
        which = int(rng.integers(len(self.backgrounds)))
        path = self.backgrounds[which]
        return str(path), self._backgrounds[which] if self._backgrounds else read_rgb(path)

    def _add_rain(self, clean: RgbImage, rng: np.random.Generator) -> tuple[RgbImage, RgbImage]:
        density = RAINY_GRADES[int(rng.integers(len(RAINY_GRADES)))]
        pair = self.bank.make_pair(clean, density, rng, jpeg_quality=self._draw_quality(rng))
        return pair.rainy, pair.clean

    def _augment(
        self, images: Sequence[RgbImage], side: int, rng: np.random.Generator
    ) -> list[RgbImage]:
        spec = self.spec
        return augment_images(images, side, spec.zoom, spec.rotation, spec.exposure, rng)

    def _draw_quality(self, rng: np.random.Generator) -> int | None:
        low, high = self.spec.jpeg_quality
        # Drawn even if unused, so that the share does not change later random numbers.
        quality = int(rng.integers(low, high + 1))
        return quality if rng.random() < self.spec.jpeg else None


def augment_images(
    images: Sequence[RgbImage],
    side: int,
    zoom: tuple[float, float],
    rotation: float,
    exposure: float,
    rng: np.random.Generator,
    *,
    flip: bool = True,
) -> list[RgbImage]:
    """Crop, resize, rotate, mirror and expose images of one size, all alike.

    Args:
        images: Images (h, w, 3); smaller ones than the crop are enlarged.
        side: Side of the square crops, in pixels.
        zoom: Smallest and largest factor of resizing.
        rotation: Largest angle of the quarter that is rotated, in degrees.
        exposure: Largest change of exposure, in stops.
        rng: Generator of all choices.
        flip: Whether half of the crops are mirrored left to right.
    """
    height, width = images[0].shape[:2]
    # Uniform in the logarithm, so that halving is as likely as doubling.
    low, high = (log(factor) for factor in zoom)
    factor = exp(rng.uniform(low, high))
    angle = 0.0
    if rng.random() < _ROTATED:
        angle = rng.uniform(-rotation, rotation)
    drawn = compute_side_before_rotation(side, angle)
    seen = min(max(1, round(drawn / factor)), height, width)
    top, left = int(rng.integers(height - seen + 1)), int(rng.integers(width - seen + 1))
    mirrored = rng.random() < 0.5
    mirror = slice(None, None, -1 if flip and mirrored else 1)
    # Stops are powers of two.
    curve = _make_exposure_table(2.0 ** rng.uniform(-exposure, exposure))
    return [
        curve[
            rotate_middle(_resize(image[top : top + seen, left : left + seen], drawn), angle, side)[
                :, mirror
            ]
        ]
        for image in images
    ]


def _resize(image: RgbImage, side: int) -> RgbImage:
    if image.shape[0] == side:
        return image
    resized = Image.fromarray(np.ascontiguousarray(image)).resize(
        (side, side),
        Image.Resampling.BICUBIC,
    )
    return np.asarray(resized)


def compute_side_before_rotation(side: int, angle: float) -> int:
    """Return the side of the square whose rotation covers a square of `side`.

    Args:
        side: Side of the square to cover, in pixels.
        angle: Rotation in degrees, at most 90.
    """
    # No corner of the rotated square may lie outside.
    return ceil(side * (cos(radians(angle)) + sin(radians(abs(angle)))))


def rotate_middle(image: RgbImage, angle: float, side: int) -> RgbImage:
    """Rotate an image about its middle by at most 90 degrees, and return the middle square."""
    if angle:
        image = np.asarray(Image.fromarray(image).rotate(angle, Image.Resampling.BICUBIC))
    first = (image.shape[0] - side) // 2
    return image[first : first + side, first : first + side]


def _make_exposure_table(factor: float) -> npt.NDArray[np.uint8]:
    """Return a table of 256 levels that changes the exposure without clipping.

    Dark levels are multiplied by the factor, bright levels roll off, and black and white are fixed.
    """
    levels = np.arange(256) / 255
    curve = 1 - (1 - levels) ** factor if factor >= 1 else levels * (factor + (1 - factor) * levels)
    return np.rint(255 * curve).astype(np.uint8)


class MixedData(pl.LightningDataModule):
    """Data of mixed synthetic, real and dry samples.

    Args:
        root: Folder of images without rain, searched recursively; none may be used for validation.
        pairs: Folder of real pairs; `None` trains without them.
        validation: Set of validation pairs, of other scenes, or a list of sets; `None` trains
            without validation.
        streaks: Folder of photorealistic streak images; `None` draws all rain.
        recorded: Clips of rain before a static camera, files or folders of frames.
        layout: Layout of `pairs`; `auto` detects it.
        validation_layout: Layout of `validation`; `auto` detects it.
        mixture: Shares of the kinds of samples, and augmentation.
        bank: Streak layers.
        sides: Pairs (epoch, side): side of the crops from that epoch on, in pixels; a multiple of
            the size multiple of the network.
        epoch_length: Number of samples in an epoch.
        batch_size: Samples per training batch of a process.
        workers: Number of loading processes; 0 loads in the training process.
        in_memory: Whether all images are decoded once and kept, with three bytes per pixel.
        seed: Seed of all random choices.
    """

    def __init__(
        self,
        root: Path,
        pairs: Path | None = None,
        validation: str | list[str] | None = None,
        streaks: Path | None = None,
        recorded: list[Path] | None = None,
        layout: str = "auto",
        validation_layout: str = "auto",
        mixture: MixtureSpec = MixtureSpec(),
        bank: BankSpec = BankSpec(),
        sides: tuple[tuple[int, int], ...] = ((0, 64),),
        epoch_length: int = 4096,
        batch_size: int = 16,
        workers: int = 0,
        in_memory: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1 or workers < 0 or epoch_length < batch_size:
            raise RecipeError(
                "batch_size is at least 1, workers at least 0 and epoch_length at least "
                f"batch_size, got {batch_size}, {workers} and {epoch_length}",
            )
        # The side of an epoch is that of the last entry before it, so entries must be in order.
        epochs = [epoch for epoch, _ in sides]
        if not sides or epochs[0] != 0 or epochs != sorted(set(epochs)):
            raise RecipeError(f"sides begin at epoch 0 and their epochs rise, got {list(sides)}")
        if not all(0 < side <= bank.side for _, side in sides):
            raise RecipeError(
                f"crops are at least one pixel and at most the bank's layers, got sides "
                f"{list(sides)} and data.bank.side {bank.side}",
            )
        self.root = root
        self.pairs = pairs
        self.validation = validation
        self.streaks = streaks
        self.recorded = recorded
        self.layout = layout
        self.validation_layout = validation_layout
        self.mixture = mixture
        self.bank = bank
        self.sides = sides
        self.epoch_length = epoch_length
        self.batch_size = batch_size
        self.workers = workers
        self.in_memory = in_memory
        self.seed = seed
        self.first_epoch = 0  # epoch with which a run begins or resumes
        self._samples: Mixture | None = None
        self.validation_sets = ValidationSets({})

    def check_sides(self, multiple: int) -> None:
        """Refuse crops, in any epoch, with sides that are not multiples of `multiple`.

        Raises:
            RecipeError: A side is no multiple.
        """
        if any(side % multiple for _, side in self.sides):
            raise RecipeError(
                f"this network needs crops whose sides are multiples of {multiple}, "
                f"got sides {list(self.sides)}; change data.sides",
            )

    def setup(self, stage: str) -> None:  # noqa: ARG002 - of Lightning
        """List and load the data and draw the bank, so that missing data stops the run early."""
        # Lightning calls setup again when training starts.
        if self._samples is not None:
            return
        self.validation_sets = find_validation_sets(self.validation, self.validation_layout)
        found = [] if self.pairs is None else find_pairs(self.pairs, self.layout)
        library = None if self.streaks is None else StreakLibrary.read(self.streaks)
        backgrounds = _list_backgrounds(self.root)
        bank = LayerBank.draw(
            np.random.default_rng(self.seed),
            per_density=self.bank.per_density,
            side=self.bank.side,
            scales=self.bank.scales,
            library=library,
        )
        recorded = None
        if self.recorded:
            frames = (
                drop_repeated(read_frames(clip, count=_MOST_FRAMES)) for clip in self.recorded
            )
            recorded = RecordedRain.cut(frames)
        self._samples = Mixture(
            backgrounds,
            found,
            bank,
            recorded,
            self.mixture,
            self.sides,
            self.epoch_length,
            self.seed,
            in_memory=self.in_memory,
        )

    @property
    def training_pairs(self) -> list[Pair]:
        """Real pairs of the mixture."""
        assert self._samples is not None
        return list(self._samples.pairs)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of mixed samples; the last, smaller batch of an epoch is dropped."""
        assert self._samples is not None
        return make_training_loader(
            self._samples,
            self.epoch_length,
            self.batch_size,
            self.workers,
            self.seed,
            self.first_epoch,
            self.trainer,
        )

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        """Return one loader of whole images per validation set."""
        return self.validation_sets.make_loaders()


def _list_backgrounds(root: Path) -> list[Path]:
    backgrounds = [root / path for path in list_images(root).images]
    if not backgrounds:
        raise DataError(f"{root} holds no images; name a folder of images without rain")
    return backgrounds
