"""Images made of numbers: scenes that differ, and rain on them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

RgbImage = npt.NDArray[np.uint8]


def scene(seed: int, height: int = 48, width: int = 64) -> RgbImage:
    """Return a smooth image that no other seed resembles."""
    coarse = np.random.default_rng(seed).integers(20, 180, (5, 6, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.uint8)


def rain(clean: RgbImage, share: float = 0.15, seed: int = 0) -> RgbImage:
    """Return the scene with a share of its columns brightened in places, as by streaks."""
    height, width = clean.shape[:2]
    rng = np.random.default_rng(seed)
    streaks = np.zeros((height, width), dtype=np.int64)
    for _ in range(max(1, int(share * width * 3))):
        top, column = rng.integers(0, height), rng.integers(0, width)
        streaks[top : top + height // 3, column] = 70
    rainy: RgbImage = np.clip(clean + streaks[..., np.newaxis], 0, 255).astype(np.uint8)
    return rainy


def save(image: RgbImage, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def save_side_by_side(left: RgbImage, right: RgbImage, path: Path) -> Path:
    return save(np.concatenate([left, right], axis=1), path)
