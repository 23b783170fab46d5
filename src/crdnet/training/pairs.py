"""Batches of pairs for training and validation.

Which crop of a picture is taken follows from (seed, epoch, index) alone. So a run that was killed and resumed
at an epoch sees the same batches as one that never stopped, whatever the number of workers.
"""

from collections.abc import Iterator, Sequence
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
    """Pairs of one size."""

    rainy: Float[Tensor, "b 3 h w"]
    """In [0, 1]."""
    clean: Float[Tensor, "b 3 h w"]
    """In [0, 1]."""
    codes: Float[Tensor, "b 3"]
    """Cumulative code of each pair's density."""
    names: list[str]


@dataclass(frozen=True)
class CropSpec:
    """What part of a pair is trained on.

    Attributes:
        side: Pixels of the square crop; `None` takes whole pictures.
        position: `centre`, or `random` anew in every epoch.
        flip: Whether half of the crops are mirrored left to right.
        repeats: How often an epoch visits each pair, each time with another crop.
        in_memory: Whether all pictures are decoded once and kept (about 1.2 MB per pair of half a megapixel).
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
            raise RecipeError(f"an epoch visits each pair at least once, got repeats={self.repeats}")


class EpochSampler(Sampler[tuple[int, int]]):
    """A shuffle that follows from (seed, epoch); yields (epoch, index) so that crops can follow from them too.

    Where several processes train together they deal the shuffle out among themselves, one sample each in turn. So
    their batches of one step hold together what one process has in a batch that is larger by as much; what is left
    of the last round is dropped.

    Args:
        length: How many samples there are.
        seed: Of the shuffle.
        process: Which process this is, from 0.
        processes: How many there are.
    """

    def __init__(self, length: int, seed: int, process: int = 0, processes: int = 1) -> None:
        self.length = length
        self.seed = seed
        self.process = process
        self.processes = processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the shuffle of an epoch; Lightning calls this before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.processes

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        ours = order[self.process :: self.processes][: len(self)]
        return ((self.epoch, int(index)) for index in ours)


def _to_tensor(picture: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / 255)


def to_batch(loaded: LoadedPair, name: str) -> Batch:
    """Return a pair as a batch without its first axis."""
    return Batch(
        _to_tensor(loaded.rainy), _to_tensor(loaded.clean), torch.tensor(loaded.density.code), [name]
    )


def collate(samples: Sequence[Batch]) -> Batch:
    """Return samples as a batch."""
    sizes = {tuple(sample.rainy.shape[1:]): sample.names[0] for sample in samples}
    if len(sizes) > 1:
        found = ", ".join(f"{name} {height} x {width}" for (height, width), name in sizes.items())
        raise DataError(
            f"a batch holds pictures of one size, got {found}; set data.crop.side or data.batch_size 1"
        )
    rainy, clean, codes = (
        torch.stack(parts) for parts in zip(*(sample[:3] for sample in samples), strict=True)
    )
    return Batch(rainy, clean, codes, [name for sample in samples for name in sample.names])


class TrainingPairs(Dataset[Batch]):
    """Crops of pairs, addressed by (epoch, index)."""

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
        return to_batch(
            self._cropped(loaded, pair.name, np.random.default_rng((self.seed, *address))), pair.name
        )

    def _cropped(self, loaded: LoadedPair, name: str, rng: np.random.Generator) -> LoadedPair:
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
        rainy, clean = (
            picture[top : top + side, left : left + side][:, mirror]
            for picture in (loaded.rainy, loaded.clean)
        )
        return LoadedPair(rainy, clean, loaded.density)


class WholePairs(Dataset[Batch]):
    """Whole pairs, for validation."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Batch:
        pair = self.pairs[index]
        return to_batch(pair.load(), pair.name)


def training_loader(
    samples: Dataset[Batch],
    length: int,
    batch_size: int,
    workers: int,
    seed: int,
    epoch: int,
    trainer: pl.Trainer | None,
) -> DataLoader[Batch]:
    """Return a loader of shuffled samples; the last, smaller batch of an epoch is dropped if there are others.

    Args:
        samples: Addressed by (epoch, index).
        length: How many an epoch has.
        batch_size: Samples per batch.
        workers: Processes that load; 0 loads in the training process.
        seed: Of the shuffle.
        epoch: That a run begins or goes on with. Lightning names each epoch to the sampler, but the first one of a
            resumed run only after worker processes have been handed their first batches.
        trainer: Knows how many processes train together; None where one loads without training.
    """
    process, processes = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
    sampler = EpochSampler(length, seed, process, processes)
    sampler.set_epoch(epoch)
    return DataLoader(
        samples,
        batch_size=batch_size,
        sampler=sampler,
        drop_last=len(sampler) > batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=collate,
    )


class PairsData(pl.LightningDataModule):
    """Pairs of rainy and clean pictures on disk.

    Args:
        root: Folder of the training pairs; see docs/data.md for the layouts that are understood.
        validation: Folder of the validation pairs, of other scenes; `None` trains without validation.
        layout: Layout of both folders; `auto` finds out.
        crop: What part of a pair is trained on; validation takes whole pictures.
        batch_size: Pairs per training batch of a process.
        workers: Processes that load; 0 loads in the training process.
        seed: Of the shuffle and the crops.
    """

    def __init__(
        self,
        root: Path,
        validation: Path | None = None,
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
        self.first_epoch = 0  # that a run begins or goes on with
        self._training_pairs: TrainingPairs | None = None
        self._validation_pairs: WholePairs | None = None

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """List the pairs, so that a missing one stops the run before it starts."""
        if self._training_pairs is None:
            if self.validation is not None:
                self._validation_pairs = WholePairs(find_pairs(self.validation, self.layout))
            self._training_pairs = TrainingPairs(find_pairs(self.root, self.layout), self.crop, self.seed)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return shuffled crops; the last, smaller batch of an epoch is dropped if there are others."""
        assert self._training_pairs is not None
        pairs = self._training_pairs
        return training_loader(
            pairs, len(pairs), self.batch_size, self.workers, self.seed, self.first_epoch, self.trainer
        )

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        """Return whole pictures, one at a time since their sizes differ."""
        if self._validation_pairs is None:
            return []
        return [DataLoader(self._validation_pairs, batch_size=1, collate_fn=collate)]
