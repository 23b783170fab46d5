"""A data set of a few tiny pairs, and a recipe of a tiny network."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.tiny import TinyRun


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Folders `input` and `target` with nine pairs of 48 x 40, in three densities."""
    rng = np.random.default_rng(0)
    root = tmp_path / "pairs"
    for folder in ("input", "target"):
        (root / folder).mkdir(parents=True)
    for index in range(9):
        clean = rng.integers(0, 150, (40, 48, 3), dtype=np.uint8)
        rain = np.array([5, 20, 60])[index % 3]
        Image.fromarray(clean).save(root / "target" / f"{index}.png")
        Image.fromarray(clean + rain.astype(np.uint8)).save(root / "input" / f"{index}.png")
    return root


@pytest.fixture
def tiny(tmp_path: Path, pairs: Path) -> TinyRun:
    """A run of a tiny network on `pairs`."""
    return TinyRun(pairs, tmp_path)
