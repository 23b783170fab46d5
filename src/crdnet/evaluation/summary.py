"""From the scores of pictures to those of a set.

PSNR of a set is the mean of its pictures' PSNRs, never the PSNR of pooled errors: that is what papers
print. A picture that is identical to its ground truth has an infinite PSNR, which would swallow the mean;
so pictures that are identical before or after deraining are left out of all means of PSNR, input included,
and counted in the row.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from crdnet.density import RainDensity
from crdnet.evaluation.bootstrap import RESAMPLES, Estimate, scene_means
from crdnet.evaluation.scoring import Evaluation, PictureScores


class Quantity(StrEnum):
    """What is averaged; the values are the names in the JSON report."""

    PSNR_RAINY = "psnr_rainy"
    PSNR = "psnr"
    PSNR_GAIN = "psnr_gain"
    SSIM_RAINY = "ssim_rainy"
    SSIM = "ssim"
    SSIM_GAIN = "ssim_gain"


@dataclass(frozen=True)
class Row:
    """The means of a set of pictures under a protocol."""

    protocol: str
    density: RainDensity | None
    """The grade of the set's pictures; None for all pictures."""
    pictures: int
    scenes: int
    identical: int
    """Pictures without a finite PSNR, which the means of PSNR leave out."""
    estimates: Mapping[Quantity, Estimate]
    """Quantities that no picture has are missing."""


def summarise(evaluation: Evaluation, rng: np.random.Generator, resamples: int = RESAMPLES) -> list[Row]:
    """Return the means of all pictures and of each grade of rain, under every protocol.

    Args:
        evaluation: Scores of pictures.
        rng: For the intervals; the same state gives the same intervals.
        resamples: How often scenes are drawn for an interval.
    """
    return [
        _row(protocol, density, pictures, rng, resamples)
        for protocol in evaluation.protocols
        for density, pictures in _sets(evaluation.pictures)
    ]


def _sets(pictures: Sequence[PictureScores]) -> Iterator[tuple[RainDensity | None, Sequence[PictureScores]]]:
    if pictures:
        yield None, pictures
    for density in RainDensity:
        of_density = [picture for picture in pictures if picture.density == density]
        if of_density:
            yield density, of_density


def _row(
    protocol: str,
    density: RainDensity | None,
    pictures: Sequence[PictureScores],
    rng: np.random.Generator,
    resamples: int,
) -> Row:
    values = np.array([_values(picture, protocol) for picture in pictures])
    estimates = scene_means(values, [picture.scene for picture in pictures], rng, resamples)
    known = zip(Quantity, estimates, strict=True)
    return Row(
        protocol,
        density,
        pictures=len(pictures),
        scenes=len({picture.scene for picture in pictures}),
        identical=int(np.isnan(values[:, list(Quantity).index(Quantity.PSNR)]).sum()),
        estimates={quantity: estimate for quantity, estimate in known if estimate is not None},
    )


def _values(picture: PictureScores, protocol: str) -> list[float]:
    """Return a picture's quantities in the order of `Quantity`; NaN for what it does not have."""
    derained = picture.derained[protocol]
    rainy = picture.rainy[protocol] if picture.rainy is not None else None
    psnr = [rainy.psnr if rainy else np.nan, derained.psnr]
    if np.isinf(psnr).any():
        psnr = [np.nan, np.nan]
    ssim = [rainy.ssim if rainy else np.nan, derained.ssim]
    return [*_with_gain(psnr), *_with_gain(ssim)]


def _with_gain(before_and_after: Iterable[float]) -> tuple[float, float, float]:
    before, after = before_and_after
    return before, after, after - before
