"""Processing by cameras and editors, for training: blur, noise, sharpening and colours.

Both images of a pair get the same processing, so that a network learns to remove only rain.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from crdnet.rain.compose import RgbImage
from crdnet.rain.random_numbers import draw_log_uniform


def defocus(clean: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Blur a background by a standard deviation of 1 to 6 pixels."""
    radius = draw_log_uniform(1.0, 6.0, rng)
    blurred = Image.fromarray(clean).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(blurred)


def grade_colours(images: Sequence[RgbImage], rng: np.random.Generator) -> list[RgbImage]:
    """Change white balance, saturation and tone of images (h, w, 3) of one size, all alike.

    Rain is grey only with a neutral white balance. A network that has seen only grey rain leaves
    coloured streaks in cool or graded images.
    """
    gains = np.exp(rng.uniform(0.1, 0.6) * rng.normal(0, 1, 3))
    gamma = np.exp(rng.uniform(0, 0.15) * rng.normal(0, 1, 3))
    saturation = np.float32(rng.choice([0.0, 1.0]) if rng.random() < 0.3 else rng.uniform(0.3, 1.8))
    levels = np.arange(256) / 255
    gains /= max(1.0, float(gains.max()) * rng.uniform(0.6, 1.0))
    curves = [
        np.clip(gain * levels**power, 0, 1).astype(np.float32)
        for gain, power in zip(gains, gamma, strict=True)
    ]
    processed = []
    for image in images:
        balanced = np.stack(
            [curve[image[:, :, channel]] for channel, curve in enumerate(curves)],
            2,
        )
        grey = balanced.mean(2, keepdims=True)
        coloured = grey + saturation * (balanced - grey)
        processed.append(np.rint(255 * np.clip(coloured, 0, 1)).astype(np.uint8))
    return processed


def simulate_capture(images: Sequence[RgbImage], rng: np.random.Generator) -> list[RgbImage]:
    """Resample, blur, add noise to and sharpen images (h, w, 3) of one size, all alike."""
    coarser = rng.uniform(1.2, 2.2) if rng.random() < 0.3 else 1.0
    blur = rng.uniform(0.3, 1.2) if rng.random() < 0.5 else 0.0
    noise = rng.exponential(2.5) if rng.random() < 0.5 else 0.0
    sharpening = int(rng.integers(30, 180)) if rng.random() < 0.5 else 0
    radius = rng.uniform(0.6, 2.5)
    # The same grain in both images, because no network can predict independent noise of the target.
    grain = _sample_grain(images[0].shape, noise, rng) if noise else None
    processed = []
    for image in images:
        edited = Image.fromarray(image)
        if coarser > 1:
            small = (round(edited.width / coarser), round(edited.height / coarser))
            smaller = edited.resize(small, Image.Resampling.BICUBIC)
            edited = smaller.resize(edited.size, Image.Resampling.BICUBIC)
        if blur:
            edited = edited.filter(ImageFilter.GaussianBlur(blur))
        if grain is not None:
            noisy = np.asarray(edited, np.float32) + grain
            edited = Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
        if sharpening:
            edited = edited.filter(ImageFilter.UnsharpMask(radius, sharpening, 2))
        processed.append(np.asarray(edited))
    return processed


def _sample_grain(
    shape: tuple[int, ...], deviation: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Sample noise of a standard deviation in grey levels: of single pixels, or of soft grains.

    The noise of a sensor is independent between pixels until a codec or a resampling smooths it.
    """
    grain = rng.normal(0, 1, shape).astype(np.float32)
    if rng.random() < 0.5:
        filtered = Image.fromarray(np.clip(np.rint(128 + 40 * grain), 0, 255).astype(np.uint8))
        radius = rng.uniform(0.5, 1.2)
        grain = np.asarray(filtered.filter(ImageFilter.GaussianBlur(radius)), np.float32) - 128
    return np.asarray(deviation / (grain.std() + 1e-6) * grain)
