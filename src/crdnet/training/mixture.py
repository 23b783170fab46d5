"""Batches of three kinds: rain put on photographs, real pairs of a data set, and dry pictures.

Everything about a sample follows from (seed, epoch, index): its kind, its picture, how large it is shown, its
crop, its rain, its exposure, its JPEG. So a run that was killed and resumed at an epoch sees the same batches as
one that never stopped, whatever the number of workers.
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

from crdnet.data import LoadedPair, Pair, find_pairs, list_images, read_rgb
from crdnet.density import RainDensity, rain_strength
from crdnet.errors import DataError, RecipeError
from crdnet.rain import (
    LOOKALIKES,
    LayerBank,
    StreakLibrary,
    captured,
    compress,
    decompress,
    defocused,
    graded,
    random_drops,
)
from crdnet.training.pairs import Batch, WholePairs, collate, to_batch, training_loader

Picture = npt.NDArray[np.uint8]
"""RGB (h, w, 3)."""

SampleKind = Literal["synthetic", "real", "camera", "drops", "dry"]

_ROTATED = 0.25
"""Share of the samples that are rotated."""

WET = (RainDensity.LIGHT, RainDensity.MEDIUM, RainDensity.HEAVY)


@dataclass(frozen=True)
class BankSpec:
    """The streak layers that synthetic rain is taken from; see `crdnet.rain.LayerBank.draw`.

    Attributes:
        per_density: Layers for each of light, medium and heavy.
        side: Pixels of a layer, at least the largest crop.
        scales: How large the rain is, against that in a picture of 500 px.
    """

    per_density: int = 96
    side: int = 320
    scales: tuple[float, ...] = (0.6, 1.0, 1.6, 2.5, 4.0)


@dataclass(frozen=True)
class MixtureSpec:
    """What a batch is mixed of, and what is done to its pictures.

    Attributes:
        synthetic: Share of photographs with rain of the field's data sets put on them.
        camera: Share of photographs with rain as a camera records it (`crdnet.rain.CameraRain`).
        drops: Share of photographs with streaks drawn from wide distributions
            (`crdnet.rain.random_drops`).
        real: Share of pairs of the data set; without one, their share is synthetic.
        lookalikes: Share of the dry samples with a fence, hair, text or lamps in them, which are no rain; a tenth
            of this share of the synthetic samples has one behind the rain.
        borrowed: Share of the synthetic and the dry samples whose photograph is the clean picture of a pair: more
            scenes than photographs alone have.
        zoom: Smallest and largest factor by which pictures are resized, both pictures of a pair alike.
        rotation: Largest angle by which a quarter of the samples is rotated, in degrees, both pictures alike.
        exposure: Largest change of exposure, in stops up or down, both pictures alike.
        jpeg: Share of the synthetic and the dry samples that go through JPEG, with the same tables for both pictures.
        jpeg_quality: Lowest and highest quality.
        capture: Share of the camera, drops and dry samples that are blurred, noisy or sharpened, both
            images alike.
        grading: Share of all samples whose colours are graded after the rain: another white balance,
            saturation and tone, both images alike.
        defocus: Share of the camera and drops samples whose background is out of focus.
    """

    synthetic: float = 0.6
    camera: float = 0.0
    drops: float = 0.0
    real: float = 0.3
    lookalikes: float = 0.4
    borrowed: float = 0.0
    zoom: tuple[float, float] = (0.5, 2.0)
    rotation: float = 8.0
    exposure: float = 0.5
    jpeg: float = 0.5
    jpeg_quality: tuple[int, int] = (60, 98)
    capture: float = 0.0
    defocus: float = 0.0
    grading: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        shares = {name: getattr(self, name) for name in ("synthetic", "camera", "drops", "real")}
        # Decimal shares that sum to 1 may exceed it in binary by a rounding.
        if not (all(share >= 0 for share in shares.values()) and sum(shares.values()) <= 1 + 1e-9):
            got = ", ".join(f"{name} {share}" for name, share in shares.items())
            raise RecipeError(f"shares are at least 0 and sum to at most 1, got {got}")
        if not 0 < self.zoom[0] <= self.zoom[1] < inf:
            raise RecipeError(f"zoom is a low and a high factor above 0 and finite, got {self.zoom}")
        if not 1 <= self.jpeg_quality[0] <= self.jpeg_quality[1] <= 100:
            raise RecipeError(f"jpeg_quality is a low and a high number of 1 to 100, got {self.jpeg_quality}")
        if not (0 <= self.exposure < inf and 0 <= self.rotation <= 45):
            raise RecipeError(
                "exposure is at least 0 and finite, rotation in 0 to 45 degrees, got "
                f"{self.exposure}, {self.rotation}"
            )
        for name in ("jpeg", "lookalikes", "borrowed", "capture", "defocus", "grading"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"{name} is a share in 0 to 1, got {getattr(self, name)}")


class Mixture(Dataset[Batch]):
    """Samples addressed by (epoch, index).

    Args:
        photographs: Paths of pictures without rain.
        pairs: Real pairs; may be empty.
        bank: Where synthetic rain comes from.
        spec: What is mixed.
        sides: Side of the crops of an epoch, from the epoch given on; the first is from 0 on.
        length: Samples of an epoch.
        seed: Of everything.
        in_memory: Whether all pictures are decoded once and kept.
    """

    def __init__(
        self,
        photographs: Sequence[Path],
        pairs: Sequence[Pair],
        bank: LayerBank,
        spec: MixtureSpec,
        sides: Sequence[tuple[int, int]],
        length: int,
        seed: int,
        *,
        in_memory: bool = False,
    ) -> None:
        self.photographs = photographs
        self.pairs = pairs
        self.bank = bank
        self.spec = spec
        self.sides = sides
        self.length = length
        self.seed = seed
        self._photographs = [read_rgb(path) for path in photographs] if in_memory else None
        self._pairs = [pair.load() for pair in pairs] if in_memory else None

    def __len__(self) -> int:
        return self.length

    def side(self, epoch: int) -> int:
        """Return the side of the crops of an epoch."""
        return next(side for first, side in reversed(self.sides) if epoch >= first)

    def __getitem__(self, address: tuple[int, int]) -> Batch:
        rng = np.random.default_rng((self.seed, *address))
        side = self.side(address[0])
        kind = self._kind(rng)
        if kind == "real":
            name, loaded = self._any_pair(rng)
            rainy, clean = self._graded(self._shown((loaded.rainy, loaded.clean), side, rng), rng)
        else:
            name, clean = self._background(rng)
            (clean,) = self._shown((clean,), side, rng)
            if rng.random() < self.spec.lookalikes * (1 if kind == "dry" else 0.1):
                clean = list(LOOKALIKES.values())[int(rng.integers(len(LOOKALIKES)))](clean, rng)
            rainy, clean = self._made(kind, clean, rng)
        density = RainDensity.from_strength(rain_strength(rainy, clean))
        return to_batch(LoadedPair(rainy, clean, density), name)

    def _kind(self, rng: np.random.Generator) -> SampleKind:
        shares = {
            "synthetic": self.spec.synthetic,
            "real": self.spec.real,
            "camera": self.spec.camera,
            "drops": self.spec.drops,
        }
        if not self.pairs:
            shares["synthetic"] += shares.pop("real")
        drawn = rng.random()
        for kind, share in shares.items():
            if drawn < share:
                return cast(SampleKind, kind)
            drawn -= share
        return "dry"

    def _made(self, kind: SampleKind, clean: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
        """Return a crop with rain of a kind, and the crop without it."""
        if kind == "synthetic":
            return self._graded(self._rained_on(clean, rng), rng)
        rainy = clean
        if kind != "dry":
            if rng.random() < self.spec.defocus:
                clean = defocused(clean, rng)
            rainy, clean = random_drops(clean, rng, physical=kind == "camera")
        rainy, clean = self._graded((rainy, clean), rng)
        if rng.random() < self.spec.capture:
            rainy, clean = captured((rainy, clean), rng)
        quality = self._quality(rng)
        if quality is not None:
            rainy, clean = (decompress(compress(each, quality)) for each in (rainy, clean))
        return rainy, clean

    def _graded(self, images: Sequence[Picture], rng: np.random.Generator) -> tuple[Picture, Picture]:
        """Return the rainy and the clean crop, their colours changed in a share of the samples."""
        if self.spec.grading and rng.random() < self.spec.grading:
            images = graded(images, rng)
        rainy, clean = images
        return rainy, clean

    def _any_pair(self, rng: np.random.Generator) -> tuple[str, LoadedPair]:
        which = int(rng.integers(len(self.pairs)))
        return self.pairs[which].name, self._pairs[which] if self._pairs else self.pairs[which].load()

    def _background(self, rng: np.random.Generator) -> tuple[str, Picture]:
        """Return the name and the pixels of a photograph, or of the clean picture of a pair."""
        if self.pairs and self.spec.borrowed and rng.random() < self.spec.borrowed:
            name, loaded = self._any_pair(rng)
            return name, loaded.clean
        which = int(rng.integers(len(self.photographs)))
        path = self.photographs[which]
        return str(path), self._photographs[which] if self._photographs else read_rgb(path)

    def _rained_on(self, clean: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
        density = WET[int(rng.integers(len(WET)))]
        pair = self.bank.rainy_pair(clean, density, rng, jpeg_quality=self._quality(rng))
        return pair.rainy, pair.clean

    def _quality(self, rng: np.random.Generator) -> int | None:
        low, high = self.spec.jpeg_quality
        quality = int(rng.integers(low, high + 1))
        return quality if rng.random() < self.spec.jpeg else None

    def _shown(self, pictures: Sequence[Picture], side: int, rng: np.random.Generator) -> list[Picture]:
        """Return the same crop of pictures of one size: resized, rotated, mirrored, exposed otherwise, all alike."""
        height, width = pictures[0].shape[:2]
        low, high = (log(factor) for factor in self.spec.zoom)
        zoom = exp(rng.uniform(low, high))
        angle = rng.uniform(-self.spec.rotation, self.spec.rotation) if rng.random() < _ROTATED else 0.0
        drawn = side_before_rotation(side, angle)
        seen = min(max(1, round(drawn / zoom)), height, width)
        top, left = int(rng.integers(height - seen + 1)), int(rng.integers(width - seen + 1))
        mirror = slice(None, None, -1 if rng.random() < 0.5 else 1)
        curve = _exposure(2.0 ** rng.uniform(-self.spec.exposure, self.spec.exposure))
        return [
            curve[
                rotated_middle(_resized(picture[top : top + seen, left : left + seen], drawn), angle, side)[
                    :, mirror
                ]
            ]
            for picture in pictures
        ]


def _resized(picture: Picture, side: int) -> Picture:
    if picture.shape[0] == side:
        return picture
    resized = Image.fromarray(np.ascontiguousarray(picture)).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(resized)


def side_before_rotation(side: int, angle: float) -> int:
    """Return the side of the square around one of `side` that is rotated by so many degrees: no corner is missing."""
    return ceil(side * (cos(radians(angle)) + sin(radians(abs(angle)))))


def rotated_middle(picture: Picture, angle: float, side: int) -> Picture:
    """Return the middle square of a picture that was rotated about its middle by so many degrees, 45 at most."""
    if angle:
        picture = np.asarray(Image.fromarray(picture).rotate(angle, Image.Resampling.BICUBIC))
    first = (picture.shape[0] - side) // 2
    return picture[first : first + side, first : first + side]


def _exposure(factor: float) -> npt.NDArray[np.uint8]:
    """Return a table of 256 levels that changes the exposure and lets bright levels roll off instead of clip.

    Dark levels are multiplied by the factor; black and white stay where they are.
    """
    levels = np.arange(256) / 255
    curve = 1 - (1 - levels) ** factor if factor >= 1 else levels * (factor + (1 - factor) * levels)
    return np.rint(255 * curve).astype(np.uint8)


class MixedData(pl.LightningDataModule):
    """Synthetic, real and dry pictures, mixed.

    Args:
        root: Folder of photographs without rain, searched through; none of them may be used for validation.
        pairs: Folder of real pairs; `None` trains without.
        validation: Folder of the validation pairs, of other scenes; `None` trains without validation.
        streaks: Folder of photorealistic streak pictures; `None` draws all rain.
        layout: Layout of `pairs`; `auto` finds out.
        validation_layout: Layout of `validation`.
        mixture: What a batch is mixed of.
        bank: The streak layers.
        sides: Pairs (epoch, side): the side of the crops from that epoch on, in pixels, a multiple of what the
            network needs.
        epoch_length: Samples of an epoch.
        batch_size: Samples per training batch of a process.
        workers: Processes that load; 0 loads in the training process.
        in_memory: Whether all pictures are decoded once and kept, three bytes a pixel.
        seed: Of everything.
    """

    def __init__(
        self,
        root: Path,
        pairs: Path | None = None,
        validation: Path | None = None,
        streaks: Path | None = None,
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
                "batch_size is at least 1, workers at least 0 and epoch_length at least batch_size, got "
                f"{batch_size}, {workers} and {epoch_length}"
            )
        epochs = [epoch for epoch, _ in sides]
        if not sides or epochs[0] != 0 or epochs != sorted(set(epochs)):
            raise RecipeError(f"sides begin at epoch 0 and their epochs rise, got {list(sides)}")
        if not all(0 < side <= bank.side for _, side in sides):
            raise RecipeError(
                f"crops are at least one pixel and at most the bank's layers, got sides {list(sides)} and "
                f"data.bank.side {bank.side}"
            )
        self.root = root
        self.pairs = pairs
        self.validation = validation
        self.streaks = streaks
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
        self.first_epoch = 0  # that a run begins or goes on with
        self._samples: Mixture | None = None
        self._validation_pairs: WholePairs | None = None

    def check_sides(self, multiple: int) -> None:
        """Refuse crops that a network cannot take, in whichever epoch, whose sides must be multiples of a number."""
        if any(side % multiple for _, side in self.sides):
            raise RecipeError(
                f"this network needs crops whose sides are multiples of {multiple}, got sides {list(self.sides)}; "
                "change data.sides"
            )

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Read everything, so that what is missing stops the run before it starts, and draw the bank."""
        if self._samples is not None:
            return
        if self.validation is not None:
            self._validation_pairs = WholePairs(find_pairs(self.validation, self.validation_layout))
        found = [] if self.pairs is None else find_pairs(self.pairs, self.layout)
        library = None if self.streaks is None else StreakLibrary.read(self.streaks)
        photographs = _photographs_of(self.root)
        bank = LayerBank.draw(
            np.random.default_rng(self.seed),
            per_density=self.bank.per_density,
            side=self.bank.side,
            scales=self.bank.scales,
            library=library,
        )
        self._samples = Mixture(
            photographs,
            found,
            bank,
            self.mixture,
            self.sides,
            self.epoch_length,
            self.seed,
            in_memory=self.in_memory,
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the mixture; the last, smaller batch of an epoch is dropped."""
        assert self._samples is not None
        return training_loader(
            self._samples,
            self.epoch_length,
            self.batch_size,
            self.workers,
            self.seed,
            self.first_epoch,
            self.trainer,
        )

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        """Return whole pictures, one at a time since their sizes differ."""
        if self._validation_pairs is None:
            return []
        return [DataLoader(self._validation_pairs, batch_size=1, collate_fn=collate)]


def _photographs_of(root: Path) -> list[Path]:
    photographs = [root / path for path in list_images(root).images]
    if not photographs:
        raise DataError(f"{root} holds no pictures; name a folder of photographs without rain")
    return photographs
