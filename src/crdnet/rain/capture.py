"""Processing that cameras and editors add to an image, for training: blur, noise, sharpening, colour.

Both images of a pair get the same, so that a network learns to remove rain and nothing else.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from crdnet.rain.chance import log_between

Picture = npt.NDArray[np.uint8]


def defocused(clean: Picture, rng: np.random.Generator) -> Picture:
    """Return a background out of focus: blurred by 1 to 6 pixels."""
    radius = log_between(1.0, 6.0, rng)
    blurred = Image.fromarray(clean).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(blurred)


def graded(images: Sequence[Picture], rng: np.random.Generator) -> list[Picture]:
    """Return images (h, w, 3) of one size with another white balance, saturation and tone, all alike.

    Rain is grey only under a white balance that fits: a cool or graded image has streaks of its own
    colour, and a network that has seen grey rain alone leaves them.
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
        balanced = np.stack([curve[image[:, :, channel]] for channel, curve in enumerate(curves)], 2)
        grey = balanced.mean(2, keepdims=True)
        coloured = grey + saturation * (balanced - grey)
        processed.append(np.rint(255 * np.clip(coloured, 0, 1)).astype(np.uint8))
    return processed


def captured(images: Sequence[Picture], rng: np.random.Generator) -> list[Picture]:
    """Return images (h, w, 3) of one size after one camera: coarser, softer, noisy, sharpened."""
    coarser = rng.uniform(1.2, 2.2) if rng.random() < 0.3 else 1.0
    blur = rng.uniform(0.3, 1.2) if rng.random() < 0.5 else 0.0
    noise = rng.exponential(2.5) if rng.random() < 0.5 else 0.0
    sharpening = int(rng.integers(30, 180)) if rng.random() < 0.5 else 0
    radius = rng.uniform(0.6, 2.5)
    grain = rng.normal(0, noise, images[0].shape).astype(np.float32) if noise else None
    processed = []
    for image in images:
        picture = Image.fromarray(image)
        if coarser > 1:
            small = (round(picture.width / coarser), round(picture.height / coarser))
            smaller = picture.resize(small, Image.Resampling.BICUBIC)
            picture = smaller.resize(picture.size, Image.Resampling.BICUBIC)
        if blur:
            picture = picture.filter(ImageFilter.GaussianBlur(blur))
        if grain is not None:
            noisy = np.asarray(picture, np.float32) + grain
            picture = Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
        if sharpening:
            picture = picture.filter(ImageFilter.UnsharpMask(radius, sharpening, 2))
        processed.append(np.asarray(picture))
    return processed
