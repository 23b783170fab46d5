"""A small data set: three scenes, rained on."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from crdnet.data import Pair, find_pairs

SIDES = 40, 48


def scene(number: int) -> npt.NDArray[np.uint8]:
    """An image (40, 48, 3) that looks like no other: waves of colour, grey levels 30 to 180."""
    y, x, c = np.meshgrid(np.arange(SIDES[0]), np.arange(SIDES[1]), np.arange(3), indexing="ij")
    waves = np.sin((x * (number + 1) + 7 * c) / 9) + np.cos((y * (2 * number + 1) + 3 * c) / 11)
    return np.asarray(np.rint(105 + 37 * waves), dtype=np.uint8)


def rain_on(
    clean: npt.NDArray[np.uint8],
    grey_levels: int,
    every: int = 3,
) -> npt.NDArray[np.uint8]:
    """Brighten every so many columns."""
    rainy = clean.copy()
    rainy[:, ::every] += np.uint8(grey_levels)
    return rainy


def save(image: npt.NDArray[np.uint8], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder `set`: `light` and `heavy` rain on three scenes, with `clean`."""
    root = tmp_path / "set"
    for number in range(3):
        clean = scene(number)
        save(clean, root / "clean" / f"{number}.png")
        save(rain_on(clean, 9), root / "light" / f"{number}.png")
        save(rain_on(clean, 70), root / "heavy" / f"{number}.png")
    return root


@pytest.fixture
def pairs(root: Path) -> list[Pair]:
    return find_pairs(root)
