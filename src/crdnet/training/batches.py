"""Batches of pairs for training and validation.

The crop of an image follows from (seed, epoch, index) alone. A run that is killed and resumed
therefore sees the same batches as an unbroken run, with any number of workers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from crdnet.data import LoadedPair, Pair, find_pairs
from crdnet.errors import DataError, RecipeError


class Batch(NamedTuple):
    """Batch of pairs of one size."""

    rainy: Float[Tensor, "b 3 h w"]
    """Rainy colours in [0, 1]."""
    clean: Float[Tensor, "b 3 h w"]
    """Ground truth in [0, 1]."""
    codes: Float[Tensor, "b 3"]
    """Cumulative code of the density of each pair."""
    names: list[str]


@dataclass(frozen=True)
class CropSpec:
    """Crops of pairs for training.

    Attributes:
        side: Side of the square crop in pixels; `None` takes whole images.
        position: `centre`, or `random` with a new position in every epoch.
        flip: Whether half of the crops are mirrored left to right.
        repeats: Number of different crops of each pair in an epoch.
        in_memory: Whether all images are decoded once and kept, with six bytes per pixel of a pair.
    """

    side: int | None = None
    position: Literal["centre", "random"] = "centre"
    flip: bool = False
    repeats: int = 1
    in_memory: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.side is not None and self.side < 1:
            raise RecipeError(f"a crop's side is at least one pixel, got {self.side}")
        if self.repeats < 1:
            raise RecipeError(
                f"an epoch visits each pair at least once, got repeats={self.repeats}",
            )


class EpochSampler(Sampler[tuple[int, int]]):
    """Shuffle that follows from (seed, epoch) and yields addresses (epoch, index).

    Several processes take the samples of one shuffle in turn. Their batches of one step together
    equal the batch of a single process with a larger batch size. Samples of an incomplete last
    round are dropped.

    Args:
        length: Number of samples.
        seed: Seed of the shuffle.
        process: Index of this process.
        processes: Number of processes.
    """

    def __init__(self, length: int, seed: int, process: int = 0, processes: int = 1) -> None:
        self.length = length
        self.seed = seed
        self.process = process
        self.processes = processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the shuffle of an epoch; Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.processes

    def __iter__(self) -> Iterator[tuple[int, int]]:
        # A generator per epoch, not one for the run: a resumed run gets the same order.
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        ours = order[self.process :: self.processes][: len(self)]
        return ((self.epoch, int(index)) for index in ours)


def _convert_to_tensor(image: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 255)


def make_batch(loaded: LoadedPair, name: str) -> Batch:
    """Convert a pair to a batch without the batch axis."""
    return Batch(
        _convert_to_tensor(loaded.rainy),
        _convert_to_tensor(loaded.clean),
        torch.tensor(loaded.density.code),
        [name],
    )


def collate(samples: Sequence[Batch]) -> Batch:
    """Stack samples to a batch.

    Raises:
        DataError: The samples differ in size.
    """
    sizes = {tuple(sample.rainy.shape[1:]): sample.names[0] for sample in samples}
    if len(sizes) > 1:
        got = ", ".join(f"{name} {height} x {width}" for (height, width), name in sizes.items())
        raise DataError(
            f"a batch holds images of one size, got {got}; set data.crop.side or data.batch_size 1",
        )
    rainy, clean, codes = (
        torch.stack(parts) for parts in zip(*(sample[:3] for sample in samples), strict=True)
    )
    return Batch(rainy, clean, codes, [name for sample in samples for name in sample.names])


class TrainingPairs(Dataset[Batch]):
    """Crops of pairs with addresses (epoch, index)."""

    def __init__(self, pairs: Sequence[Pair], crop: CropSpec, seed: int) -> None:
        self.pairs = pairs
        self.crop = crop
        self.seed = seed
        self.loaded = [pair.load() for pair in pairs] if crop.in_memory else None

    def __len__(self) -> int:
        return len(self.pairs) * self.crop.repeats

    def __getitem__(self, address: tuple[int, int]) -> Batch:
        _, index = address
        which = index % len(self.pairs)
        pair = self.pairs[which]
        loaded = self.loaded[which] if self.loaded else pair.load()
        return make_batch(
            self._crop(loaded, pair.name, np.random.default_rng((self.seed, *address))), pair.name
        )

    def _crop(self, loaded: LoadedPair, name: str, rng: np.random.Generator) -> LoadedPair:
        side = self.crop.side
        if side is None:
            return loaded
        height, width = loaded.clean.shape[:2]
        if min(height, width) < side:
            raise DataError(
                f"{name} is {height} x {width}, too small for crops of {side}; lower data.crop.side"
            )
        top, left = (height - side) // 2, (width - side) // 2
        if self.crop.position == "random":
            top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        mirror = slice(None, None, -1 if self.crop.flip and rng.random() < 0.5 else 1)
        rows, columns = slice(top, top + side), slice(left, left + side)
        rainy, clean = (image[rows, columns][:, mirror] for image in (loaded.rainy, loaded.clean))
        return LoadedPair(rainy, clean, loaded.density)


class WholePairs(Dataset[Batch]):
    """Whole pairs, for validation."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Batch:
        pair = self.pairs[index]
        return make_batch(pair.load(), pair.name)


@dataclass(frozen=True)
class ValidationSets:
    """Validation pairs by name of their set."""

    sets: Mapping[str, WholePairs]

    @property
    def pairs(self) -> list[Pair]:
        """Pairs of all sets."""
        return [pair for each in self.sets.values() for pair in each.pairs]

    def make_loaders(self) -> list[DataLoader[Batch]]:
        """Return one loader per set, of one image at a time since their sizes differ."""
        return [DataLoader(each, batch_size=1, collate_fn=collate) for each in self.sets.values()]


def find_validation_sets(
    validation: str | Path | Sequence[str] | None, layout: str
) -> ValidationSets:
    """Find the pairs of validation sets; a set has the name of its folder, or else its path."""
    if validation is None:
        return ValidationSets({})
    roots = [validation] if isinstance(validation, str | Path) else validation
    names = [Path(root).name for root in roots]
    return ValidationSets(
        {
            name if names.count(name) == 1 else str(root): WholePairs(find_pairs(root, layout))
            for root, name in zip(roots, names, strict=True)
        }
    )


def make_training_loader(
    samples: Dataset[Batch],
    length: int,
    batch_size: int,
    workers: int,
    seed: int,
    epoch: int,
    trainer: pl.Trainer | None,
) -> DataLoader[Batch]:
    """Make a loader of shuffled samples.

    The last, smaller batch of an epoch is dropped, unless it is the only one.

    Args:
        samples: Samples with addresses (epoch, index).
        length: Number of samples in an epoch.
        batch_size: Samples per batch.
        workers: Number of loading processes; 0 loads in the training process.
        seed: Seed of the shuffle.
        epoch: Epoch with which a run begins or resumes. Lightning sets the epoch of the sampler,
            but in a resumed run only after the workers have received their first batches.
        trainer: Trainer with the number of processes; None to load without training.
    """
    process, processes = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
    sampler = EpochSampler(length, seed, process, processes)
    sampler.set_epoch(epoch)
    return DataLoader(
        samples,
        batch_size=batch_size,
        sampler=sampler,
        # A small last batch has noisy batch statistics, but a tiny data set must keep its only
        # batch.
        drop_last=len(sampler) > batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=collate,
    )


class PairsData(pl.LightningDataModule):
    """Data of rainy and clean images on disk.

    Args:
        root: Folder of the training pairs; docs/data.md lists the layouts.
        validation: Set of validation pairs, of other scenes, or a list of sets; `None` trains
            without validation.
        layout: Layout of both folders; `auto` detects it.
        crop: Crops for training; validation takes whole images.
        batch_size: Pairs per training batch of a process.
        workers: Number of loading processes; 0 loads in the training process.
        seed: Seed of the shuffle and the crops.
    """

    def __init__(
        self,
        root: Path,
        validation: str | list[str] | None = None,
        layout: str = "auto",
        crop: CropSpec = CropSpec(),
        batch_size: int = 16,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1 or workers < 0:
            raise RecipeError(
                f"batch_size is at least 1 and workers at least 0, got {batch_size} and {workers}"
            )
        self.root = root
        self.validation = validation
        self.layout = layout
        self.crop = crop
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed
        self.first_epoch = 0  # epoch with which a run begins or resumes
        self._training_pairs: TrainingPairs | None = None
        self.validation_sets = ValidationSets({})

    def setup(self, stage: str) -> None:  # noqa: ARG002 - of Lightning
        """List the pairs, so that a missing image stops the run before it starts."""
        if self._training_pairs is None:
            self.validation_sets = find_validation_sets(self.validation, self.layout)
            self._training_pairs = TrainingPairs(
                find_pairs(self.root, self.layout),
                self.crop,
                self.seed,
            )

    @property
    def training_pairs(self) -> list[Pair]:
        """Pairs of the training set."""
        assert self._training_pairs is not None
        return list(self._training_pairs.pairs)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of shuffled crops; see `make_training_loader`."""
        assert self._training_pairs is not None
        pairs = self._training_pairs
        return make_training_loader(
            pairs,
            len(pairs),
            self.batch_size,
            self.workers,
            self.seed,
            self.first_epoch,
            self.trainer,
        )

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        """Return one loader of whole images per validation set."""
        return self.validation_sets.make_loaders()
