"""Summary of the scores of images as scores of sets.

The PSNR of a set is the mean of the PSNRs of its images, as in papers, not the PSNR of pooled
errors. An image identical to its ground truth has an infinite PSNR and would make the mean
infinite. Images that are identical before or after deraining are therefore excluded from all means
of PSNR, the input included, and counted in the row.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from zlib import crc32

import numpy as np

from crdnet.density import RainDensity
from crdnet.evaluation.bootstrap import RESAMPLES, Estimate, estimate_scene_means
from crdnet.evaluation.scoring import Evaluation, ImageScores


class Quantity(StrEnum):
    """Averaged quantity; the values are names in the JSON report."""

    PSNR_RAINY = "psnr_rainy"
    PSNR = "psnr"
    PSNR_GAIN = "psnr_gain"
    SSIM_RAINY = "ssim_rainy"
    SSIM = "ssim"
    SSIM_GAIN = "ssim_gain"


@dataclass(frozen=True)
class Row:
    """Means of a set of images under a protocol."""

    protocol: str
    density: RainDensity | None
    """Grade of the images of the set; None for all images."""
    images: int
    scenes: int
    identical: int
    """Number of images without a finite PSNR, which the means of PSNR exclude."""
    estimates: Mapping[Quantity, Estimate]
    """Estimate of each quantity that some image has."""


def summarise(
    evaluation: Evaluation,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> list[Row]:
    """Return the means of all images and of each grade, under every protocol.

    Args:
        evaluation: Scores of images.
        rng: Generator for the intervals; the same state gives the same intervals.
        resamples: Number of draws of scenes for an interval.
    """
    seed = int(rng.integers(2**63))
    return [
        _make_row(protocol, density, images, derive_generator(seed, protocol, density), resamples)
        for protocol in evaluation.protocols
        for density, images in _split_by_density(evaluation.images)
    ]


def derive_generator(seed: int, protocol: str, density: RainDensity | None) -> np.random.Generator:
    """Return the generator of a row; other protocols or densities do not change it."""
    return np.random.default_rng(
        (seed, crc32(protocol.encode()), 0 if density is None else density + 1)
    )


def _split_by_density(
    images: Sequence[ImageScores],
) -> Iterator[tuple[RainDensity | None, Sequence[ImageScores]]]:
    if images:
        yield None, images
    for density in RainDensity:
        of_density = [image for image in images if image.density == density]
        if of_density:
            yield density, of_density


def _make_row(
    protocol: str,
    density: RainDensity | None,
    images: Sequence[ImageScores],
    rng: np.random.Generator,
    resamples: int,
) -> Row:
    values = np.array([_list_quantities(image, protocol) for image in images])
    estimates = estimate_scene_means(values, [image.scene for image in images], rng, resamples)
    known = zip(Quantity, estimates, strict=True)
    return Row(
        protocol,
        density,
        images=len(images),
        scenes=len({image.scene for image in images}),
        identical=int(np.isnan(values[:, list(Quantity).index(Quantity.PSNR)]).sum()),
        estimates={quantity: estimate for quantity, estimate in known if estimate is not None},
    )


def _list_quantities(image: ImageScores, protocol: str) -> list[float]:
    """Return the quantities of an image in the order of `Quantity`; NaN for missing ones."""
    derained = image.derained[protocol]
    rainy = image.rainy[protocol] if image.rainy is not None else None
    psnr = [rainy.psnr if rainy else np.nan, derained.psnr]
    # Both values are dropped, so that the gain compares the same images.
    if np.isinf(psnr).any():
        psnr = [np.nan, np.nan]
    ssim = [rainy.ssim if rainy else np.nan, derained.ssim]
    return [*_append_gain(psnr), *_append_gain(ssim)]


def _append_gain(before_and_after: Iterable[float]) -> tuple[float, float, float]:
    before, after = before_and_after
    return before, after, after - before
