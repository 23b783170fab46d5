"""A pair: one scene with rain and without, as it lies on the disk and as it is once loaded.

A `Pair` is a description, small and picklable, that touches no file until it is loaded, so that a
data set of any size can be listed, split and sent to workers.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from crdnet.data.pictures import read_rgb
from crdnet.data.problems import DataProblem, PictureError, ProblemKind
from crdnet.density import RainDensity, rain_strength


class HalfOrder(StrEnum):
    """Which half of a side-by-side picture stands on the left; the values are the names of the layouts."""

    RAINY_CLEAN = "rainy-clean"
    CLEAN_RAINY = "clean-rainy"


@dataclass(frozen=True, eq=False, slots=True)
class LoadedPair:
    """The pictures of a pair.

    Attributes:
        rainy: RGB picture (h, w, 3).
        clean: The same scene without rain, of the same shape.
        density: How heavy the rain is: as the data set labels it, else as measured on the pair.
    """

    rainy: npt.NDArray[np.uint8]
    clean: npt.NDArray[np.uint8]
    density: RainDensity


@dataclass(frozen=True, slots=True)
class Pair:
    """Where the pictures of one pair are, and what the layout says of them.

    Attributes:
        name: Path of the rainy picture below the data set's root, with `/` and its ending; unique
            in the set.
        scene: Pairs of one scene share it. As found, it is the path of the clean picture below the
            root, without its ending; `crdnet.data.with_scenes` replaces it by what the clean
            pictures show.
        rainy_path: File of the rainy picture.
        clean_path: File of the clean picture; the same file where both stand side by side.
        density: The grade that a folder or a name gives; None where it is to be measured on the
            pair.
        halves: Order of the halves where both pictures stand side by side in one file, else None.
    """

    name: str
    scene: str
    rainy_path: Path
    clean_path: Path
    density: RainDensity | None = None
    halves: HalfOrder | None = None

    def load(self) -> LoadedPair:
        """Read both pictures.

        Raises:
            DataError: A picture cannot be read, or the two differ in size.
        """
        rainy, clean = self._load_separate() if self.halves is None else self._load_halves(self.halves)
        density = self.density
        if density is None:
            density = RainDensity.from_strength(rain_strength(rainy, clean))
        return LoadedPair(rainy, clean, density)

    def load_clean(self) -> npt.NDArray[np.uint8]:
        """Read the clean picture (h, w, 3) alone."""
        return read_rgb(self.clean_path) if self.halves is None else self._load_halves(self.halves)[1]

    def _load_separate(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        rainy, clean = read_rgb(self.rainy_path), read_rgb(self.clean_path)
        if rainy.shape != clean.shape:
            reason = (
                f"is {_size(rainy)} but its clean picture {self.clean_path} is {_size(clean)}; "
                "the pictures of a pair must have one size"
            )
            raise PictureError(DataProblem(self.rainy_path, ProblemKind.SIZE_MISMATCH, reason))
        return rainy, clean

    def _load_halves(self, order: HalfOrder) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        left, right = read_halves(self.rainy_path)
        return (left, right) if order is HalfOrder.RAINY_CLEAN else (right, left)


def read_halves(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Read a side-by-side picture; return its left and its right half, both (h, w, 3) and contiguous."""
    both = read_rgb(path)
    if both.shape[1] % 2:
        reason = (
            f"is {_size(both)}, whose width cannot be halved; two pictures side by side have an even width"
        )
        raise PictureError(DataProblem(path, ProblemKind.SIZE_MISMATCH, reason))
    middle = both.shape[1] // 2
    return both[:, :middle].copy(), both[:, middle:].copy()


def _size(picture: npt.NDArray[np.uint8]) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"
