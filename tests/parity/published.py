"""The published network's golden weights and images, made again from their names.

Weights and images follow from the CRC-32 of their names, so that nothing but the rule has to be
stored. The figures that the published code computes on them are in tests/golden/published.npz;
tests/golden/README.md states their origin.
"""

import csv
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"


@cache
def state_dict_rows() -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    """Return (stage, key, shape) of every entry of the authors' checkpoints, in order."""
    with (GOLDEN / "state_dict_keys.tsv").open() as file:
        rows = csv.DictReader(file, delimiter="\t")
        return tuple(
            (
                row["stage"],
                row["key"],
                () if row["shape"] == "scalar" else tuple(map(int, row["shape"].split("x"))),
            )
            for row in rows
        )


def golden_entry(stage: str, key: str, shape: tuple[int, ...]) -> Tensor:
    """Return the golden value of one entry of a checkpoint."""
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    rng = np.random.default_rng(zlib.crc32(f"{stage}.{key}".encode()))
    in_norm = "bn" in key.split(".")[-2]
    if key.endswith("running_var"):
        value = rng.uniform(0.5, 1.5, shape)
    elif key.endswith("running_mean"):
        value = rng.uniform(-0.1, 0.1, shape)
    elif in_norm or (stage == "classfy" and len(shape) == 1 and key.endswith("weight")):
        value = rng.uniform(0.5, 1.5, shape)
    elif key.endswith("bias"):
        value = rng.uniform(-0.1, 0.1, shape)
    else:
        value = rng.uniform(-1, 1, shape) * np.sqrt(3 / np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


def golden_stage(stage: str) -> dict[str, Tensor]:
    """Return the golden state dict of one stage."""
    return {
        key: golden_entry(stage, key, shape)
        for row, key, shape in state_dict_rows()
        if row == stage
    }


def write_checkpoints(
    root: Path,
    epoch: int,
    stages: tuple[str, ...],
    refine_folder: str = "refine",
) -> None:
    """Write golden checkpoints in the authors' form."""
    for stage in stages:
        folder = root / (refine_folder if stage == "refine" else stage)
        folder.mkdir(parents=True, exist_ok=True)
        torch.save({"epoch": epoch, "state_dict": golden_stage(stage)}, folder / f"{epoch}.pth")


def golden_image(name: str, count: int, height: int, width: int) -> Tensor:
    """Return golden images (count, 3, height, width) in [0, 1]."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    small = rng.random((count, 3, height // 8, width // 8))
    image = small.repeat(8, 2).repeat(8, 3) * 0.8 + rng.random((count, 3, height, width)) * 0.2
    return torch.from_numpy(image.astype(np.float32))


@cache
def golden_figures() -> dict[str, npt.NDArray[np.floating]]:
    """Return the results of the published code, by name."""
    with np.load(GOLDEN / "published.npz") as figures:
        return dict(figures)


def golden_names(which: str) -> list[str]:
    """Return the authors' names of parameters ("gradient") or buffers ("buffer"), in order."""
    return (GOLDEN / f"{which}_names.txt").read_text().split()
