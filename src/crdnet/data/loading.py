"""Pairs of a rainy and a clean image, on disk and loaded.

A `Pair` is a small, picklable description that opens no file before it is loaded. A data set of any
size can therefore be listed, split and sent to workers.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from crdnet.data.image_reader import read_rgb
from crdnet.data.problems import DataProblem, LoadError, ProblemKind
from crdnet.density import RainDensity, compute_intensity


class HalfOrder(StrEnum):
    """Order of the halves of a side-by-side image; the values are names of layouts."""

    RAINY_CLEAN = "rainy-clean"
    CLEAN_RAINY = "clean-rainy"


@dataclass(frozen=True, eq=False, slots=True)
class LoadedPair:
    """Images of a pair.

    Attributes:
        rainy: RGB image (h, w, 3).
        clean: Ground truth of the same shape.
        density: Grade of the rain, labelled by the data set or else measured.
    """

    rainy: npt.NDArray[np.uint8]
    clean: npt.NDArray[np.uint8]
    density: RainDensity


@dataclass(frozen=True, slots=True)
class Pair:
    """Paths and labels of a pair.

    Attributes:
        name: Path of the rainy image below the root of the data set, with `/` and its suffix;
            unique in the set.
        scene: Name that pairs of one scene share. `find_pairs` uses the path of the clean image
            below the root, without its suffix; `crdnet.data.assign_scenes` compares the clean
            images.
        rainy_path: File of the rainy image.
        clean_path: File of the clean image; the same file if both lie side by side.
        density: Grade from the name of a folder or file; None to measure it on the pair.
        halves: Order of the halves of a side-by-side file, else None.
    """

    name: str
    scene: str
    rainy_path: Path
    clean_path: Path
    density: RainDensity | None = None
    halves: HalfOrder | None = None

    def load(self) -> LoadedPair:
        """Read both images.

        Raises:
            DataError: An image cannot be read, or the two differ in size.
        """
        if self.halves is None:
            rainy, clean = self._load_separate()
        else:
            rainy, clean = self._load_halves(self.halves)
        density = self.density
        if density is None:
            density = RainDensity.from_intensity(compute_intensity(rainy, clean))
        return LoadedPair(rainy, clean, density)

    def load_clean(self) -> npt.NDArray[np.uint8]:
        """Read the clean image (h, w, 3) alone."""
        if self.halves is None:
            return read_rgb(self.clean_path)
        return self._load_halves(self.halves)[1]

    def _load_separate(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        rainy, clean = read_rgb(self.rainy_path), read_rgb(self.clean_path)
        if rainy.shape != clean.shape:
            reason = (
                f"is {_format_size(rainy)} but its clean image {self.clean_path} is "
                f"{_format_size(clean)}; the images of a pair must have one size"
            )
            raise LoadError(DataProblem(self.rainy_path, ProblemKind.SIZE_MISMATCH, reason))
        return rainy, clean

    def _load_halves(self, order: HalfOrder) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        left, right = read_halves(self.rainy_path)
        return (left, right) if order is HalfOrder.RAINY_CLEAN else (right, left)


def read_halves(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Read a side-by-side image; return its left and right half, both contiguous (h, w, 3)."""
    both = read_rgb(path)
    if both.shape[1] % 2:
        reason = (
            f"is {_format_size(both)}, whose width cannot be halved; "
            "two images side by side have an even width"
        )
        raise LoadError(DataProblem(path, ProblemKind.SIZE_MISMATCH, reason))
    middle = both.shape[1] // 2
    # Copies, since a view would keep both halves in memory.
    return both[:, :middle].copy(), both[:, middle:].copy()


def _format_size(image: npt.NDArray[np.uint8]) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
