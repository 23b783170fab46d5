"""Pictures made of numbers: scenes that differ, and rain on them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Picture = npt.NDArray[np.uint8]


def scene(seed: int, height: int = 48, width: int = 64) -> Picture:
    """Return a smooth picture that no other seed resembles."""
    coarse = np.random.default_rng(seed).integers(20, 180, (5, 6, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.uint8)


def rain(clean: Picture, share: float = 0.15, seed: int = 0) -> Picture:
    """Return the scene with a share of its columns brightened in places, as by streaks."""
    height, width = clean.shape[:2]
    rng = np.random.default_rng(seed)
    streaks = np.zeros((height, width), dtype=np.int64)
    for _ in range(max(1, int(share * width * 3))):
        top, column = rng.integers(0, height), rng.integers(0, width)
        streaks[top : top + height // 3, column] = 70
    rainy: Picture = np.clip(clean + streaks[..., np.newaxis], 0, 255).astype(np.uint8)
    return rainy


def save(picture: Picture, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def save_side_by_side(left: Picture, right: Picture, path: Path) -> Path:
    return save(np.concatenate([left, right], axis=1), path)
