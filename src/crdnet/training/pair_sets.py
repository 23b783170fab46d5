"""Batches from one or several sets of pairs, with dry samples, augmentation and growing crops.

Every random choice about a sample follows from (seed, epoch, index). A run that is killed and
resumed therefore sees the same batches as an unbroken run, with any number of workers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset, Sampler

from crdnet.data import LoadedPair, Pair, find_pairs, list_images, match_patterns, read_rgb
from crdnet.density import RainDensity, compute_intensity
from crdnet.errors import DataError, RecipeError
from crdnet.rain import RgbImage, compress, decompress, grade_colours
from crdnet.training.batches import (
    Batch,
    EpochSampler,
    ValidationSets,
    collate,
    find_validation_sets,
    make_batch,
)
from crdnet.training.mixture import augment_images

Value = TypeVar("Value")


@dataclass(frozen=True)
class AugmentSpec:
    """Augmentation; both images of a pair are treated alike.

    Attributes:
        flip: Whether half of the crops are mirrored left to right.
        zoom: Smallest and largest factor of resizing.
        rotation: Largest angle of the quarter of the samples that are rotated, in degrees.
        exposure: Largest change of exposure, in stops up or down.
        grading: Share of the samples with another white balance, saturation and tone.
        jpeg: Share of the samples with JPEG compression.
        jpeg_quality: Lowest and highest quality of JPEG.
    """

    flip: bool = True
    zoom: tuple[float, float] = (1.0, 1.0)
    rotation: float = 0.0
    exposure: float = 0.0
    grading: float = 0.0
    jpeg: float = 0.0
    jpeg_quality: tuple[int, int] = (60, 98)

    def __post_init__(self) -> None:
        """Check the numbers."""
        shares_fit = all(0 <= share <= 1 for share in (self.grading, self.jpeg))
        if not (0 < self.zoom[0] <= self.zoom[1] < inf and shares_fit):
            raise RecipeError(
                "zoom is a low and a high factor above 0, grading and jpeg are shares in 0 to 1; "
                f"got {self.zoom}, {self.grading} and {self.jpeg}"
            )
        quality_fits = 1 <= self.jpeg_quality[0] <= self.jpeg_quality[1] <= 100
        if not (quality_fits and 0 <= self.rotation <= 45 and 0 <= self.exposure < inf):
            raise RecipeError(
                "jpeg_quality is a low and a high number of 1 to 100, rotation in 0 to 45 degrees, "
                f"exposure at least 0; got {self.jpeg_quality}, {self.rotation}, {self.exposure}"
            )


class SampledPairs(Dataset[Batch]):
    """Crops of pairs, drawn from several sets by their weights, and of dry images.

    Args:
        sets: Pairs of each set and its weight.
        dry: Further dry images; the clean images of the pairs are dry images too.
        dry_share: Share of the samples without rain.
        augment: Augmentation.
        sides: Pairs (epoch, side) of the crops.
        seed: Seed of all random choices.
        in_memory: Whether all pairs are decoded once and kept.
    """

    def __init__(
        self,
        sets: Sequence[tuple[Sequence[Pair], float]],
        dry: Sequence[Path],
        dry_share: float,
        augment: AugmentSpec,
        sides: Sequence[tuple[int, int]],
        seed: int,
        *,
        in_memory: bool = False,
    ) -> None:
        self.pairs = [list(pairs) for pairs, _ in sets]
        weights = np.array([weight for _, weight in sets], dtype=np.float64)
        self.weights = weights / weights.sum()
        self.dry = list(dry)
        self.dry_share = dry_share
        self.augment = augment
        self.sides = sides
        self.seed = seed
        self._loaded = (
            [[pair.load() for pair in pairs] for pairs in self.pairs] if in_memory else None
        )

    def __getitem__(self, address: tuple[int, int]) -> Batch:
        rng = np.random.default_rng((self.seed, *address))
        is_dry = rng.random() < self.dry_share
        if is_dry and self.dry and rng.random() < 0.5:
            path = self.dry[int(rng.integers(len(self.dry)))]
            name, rainy = str(path), read_rgb(path)
            clean = rainy
        else:
            name, loaded = self._draw_pair(rng)
            rainy, clean = (loaded.clean if is_dry else loaded.rainy), loaded.clean
        rainy, clean = self._augment((rainy, clean), choose_at(self.sides, address[0]), rng)
        density = RainDensity.from_intensity(compute_intensity(rainy, clean))
        return make_batch(LoadedPair(rainy, clean, density), name)

    def _draw_pair(self, rng: np.random.Generator) -> tuple[str, LoadedPair]:
        chosen = int(rng.choice(len(self.pairs), p=self.weights))
        which = int(rng.integers(len(self.pairs[chosen])))
        pair = self.pairs[chosen][which]
        return pair.name, self._loaded[chosen][which] if self._loaded else pair.load()

    def _augment(
        self, images: Sequence[RgbImage], side: int, rng: np.random.Generator
    ) -> list[RgbImage]:
        spec = self.augment
        images = augment_images(
            images, side, spec.zoom, spec.rotation, spec.exposure, rng, flip=spec.flip
        )
        if rng.random() < spec.grading:
            images = grade_colours(images, rng)
        if rng.random() < spec.jpeg:
            quality = int(rng.integers(spec.jpeg_quality[0], spec.jpeg_quality[1] + 1))
            images = [decompress(compress(each, quality)) for each in images]
        return list(images)


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Addresses of batches whose size follows from the epoch; every epoch has as many batches.

    Args:
        steps: Batches of an epoch.
        sizes: Pairs (epoch, samples in a batch of a process).
        seed: Seed of the shuffle.
        process: Index of this process.
        processes: Number of processes.
    """

    def __init__(
        self,
        steps: int,
        sizes: Sequence[tuple[int, int]],
        seed: int,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.steps = steps
        self.sizes = sizes
        # Lightning sets the epoch of the attribute `sampler`.
        self.sampler = EpochSampler(0, seed, process, processes)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        size = choose_at(self.sizes, self.sampler.epoch)
        self.sampler.length = self.steps * size * self.sampler.processes
        addresses = list(self.sampler)
        return (addresses[step * size : (step + 1) * size] for step in range(self.steps))


def choose_at(stages: Sequence[tuple[int, Value]], epoch: int) -> Value:
    """Return the value of the last stage (first epoch, value) that has begun."""
    return next(value for first, value in reversed(stages) if epoch >= first)


class PairSetsData(pl.LightningDataModule):
    """Data of one or several sets of pairs.

    Args:
        root: Set of pairs: a folder, a list file (.csv, .txt), or shards (.tar); or several sets
            with the weight of each, `{a: 3, b: 1}`.
        rainy: Pattern of rainy images, such as `in/*.png`, in place of `root`.
        clean: Pattern of their clean images, such as `gt/{stem}.png`.
        validation: Set of validation pairs, of other scenes, or a list of sets; `None` trains
            without validation.
        layout: Layout of the training sets; `auto` detects it.
        validation_layout: Layout of the validation sets; `auto` detects it.
        dry: Folder of further images without rain; may be left out.
        dry_share: Share of the samples without rain, which keep the network from changing dry
            images: clean images of the pairs, and half of them from `dry` if there is one.
        augment: Augmentation.
        sides: Pairs (epoch, side): side of the crops from that epoch on, in pixels.
        batch_sizes: Pairs (epoch, samples): samples per batch of a process from that epoch on.
        steps_per_epoch: Batches of an epoch.
        workers: Number of loading processes; 0 loads in the training process.
        in_memory: Whether all pairs are decoded once and kept, with six bytes per pixel.
        seed: Seed of all random choices.
    """

    def __init__(
        self,
        root: str | dict[str, float] | None = None,
        rainy: str | None = None,
        clean: str | None = None,
        validation: str | list[str] | None = None,
        layout: str = "auto",
        validation_layout: str = "auto",
        dry: Path | None = None,
        dry_share: float = 0.15,
        augment: AugmentSpec = AugmentSpec(),
        sides: tuple[tuple[int, int], ...] = ((0, 128),),
        batch_sizes: tuple[tuple[int, int], ...] = ((0, 8),),
        steps_per_epoch: int = 48,
        workers: int = 0,
        in_memory: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if (rainy is None) != (clean is None) or (root is None) == (rainy is None):
            raise RecipeError(
                "training pairs are --data.root, or --data.rainy together with --data.clean"
            )
        if isinstance(root, dict) and (not root or min(root.values()) <= 0):
            raise RecipeError(f"weights of training sets are above 0, got {root}")
        for name, stages in (("sides", sides), ("batch_sizes", batch_sizes)):
            epochs = [epoch for epoch, _ in stages]
            rises = bool(stages) and epochs[0] == 0 and epochs == sorted(set(epochs))
            if not rises or min(value for _, value in stages) < 1:
                raise RecipeError(
                    f"{name} begin at epoch 0, their epochs rise and their values are at least 1, "
                    f"got {list(stages)}"
                )
        if workers < 0 or steps_per_epoch < 1 or not 0 <= dry_share < 1:
            raise RecipeError(
                "workers is at least 0, steps_per_epoch at least 1 and dry_share in 0 to 1, "
                f"got {workers}, {steps_per_epoch} and {dry_share}"
            )
        self.root = root
        self.patterns = None if rainy is None or clean is None else (rainy, clean)
        self.validation = validation
        self.layout = layout
        self.validation_layout = validation_layout
        self.dry = dry
        self.dry_share = dry_share
        self.augment = augment
        self.sides = sides
        self.batch_sizes = batch_sizes
        self.steps_per_epoch = steps_per_epoch
        self.workers = workers
        self.in_memory = in_memory
        self.seed = seed
        self.first_epoch = 0  # epoch with which a run begins or resumes
        self.validation_sets = ValidationSets({})
        self._samples: SampledPairs | None = None

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
        """List the pairs, so that a missing image stops the run before it starts."""
        if self._samples is not None:
            return
        self.validation_sets = find_validation_sets(self.validation, self.validation_layout)
        dry = [] if self.dry is None else [self.dry / each for each in list_images(self.dry).images]
        if self.dry is not None and not dry:
            raise DataError(f"{self.dry} holds no images; name a folder of images without rain")
        self._samples = SampledPairs(
            self._find_sets(),
            dry,
            self.dry_share,
            self.augment,
            self.sides,
            self.seed,
            in_memory=self.in_memory,
        )

    def _find_sets(self) -> list[tuple[list[Pair], float]]:
        if self.patterns is not None:
            return [(match_patterns(*self.patterns), 1.0)]
        assert self.root is not None
        roots = self.root if isinstance(self.root, dict) else {self.root: 1.0}
        return [(find_pairs(root, self.layout), weight) for root, weight in roots.items()]

    @property
    def training_pairs(self) -> list[Pair]:
        """Pairs of all training sets."""
        assert self._samples is not None
        return [pair for pairs in self._samples.pairs for pair in pairs]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of sampled crops."""
        assert self._samples is not None
        trainer = self.trainer
        process, processes = (
            (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
        )
        batches = EpochBatches(
            self.steps_per_epoch, self.batch_sizes, self.seed, process, processes
        )
        batches.sampler.set_epoch(self.first_epoch)
        return DataLoader(
            self._samples,
            batch_sampler=batches,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            collate_fn=collate,
        )

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        """Return one loader of whole images per validation set."""
        return self.validation_sets.make_loaders()
