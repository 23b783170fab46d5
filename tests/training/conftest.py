"""A data set of a few tiny pairs, and a recipe of a tiny network."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.utils.data._utils import signal_handling

from tests.training.tiny import TinyRun


@pytest.fixture(autouse=True)
def _no_signal_handler_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take back torch's handler of SIGCHLD, which loading in other processes sets for good.

    With it, tests of the engines that start a process crashed later (seen with torch 2.13).
    """
    before = signal.getsignal(signal.SIGCHLD)
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)
    yield
    signal.signal(signal.SIGCHLD, before)


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
