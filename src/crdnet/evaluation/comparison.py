"""Comparison of methods on the same images: paired differences with intervals over scenes.

Scores of two methods rise and fall together from scene to scene. Their difference on each image is
therefore known far better than either mean, and only its interval tells whether one is better.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from crdnet.evaluation.bootstrap import RESAMPLES, Estimate, estimate_scene_means
from crdnet.evaluation.cases import Failure
from crdnet.evaluation.scoring import Evaluation, ImageScores
from crdnet.evaluation.summary import derive_generator


@dataclass(frozen=True)
class Difference:
    """Mean difference of two methods on their common images, first minus second.

    Attributes:
        protocol: Name of the protocol.
        first: Name of a method.
        second: Name of another method.
        images: Number of images with a finite PSNR of both.
        scenes: Number of their scenes.
        psnr: Difference of PSNR in dB, None if no image has a finite PSNR.
        ssim: Difference of SSIM.
    """

    protocol: str
    first: str
    second: str
    images: int
    scenes: int
    psnr: Estimate | None
    ssim: Estimate | None


def keep_common_images(
    evaluations: Mapping[str, Evaluation],
) -> tuple[dict[str, Evaluation], list[Failure]]:
    """Return the evaluations on the images that all methods have, and a failure for the others.

    Args:
        evaluations: Evaluation of each method by its name.
    """
    names = [{image.name for image in each.images} for each in evaluations.values()]
    common, everything = set.intersection(*names), set.union(*names)
    failures = []
    for (method, each), present in zip(evaluations.items(), names, strict=True):
        absent = sorted(everything - present)
        if absent:
            failures.append(
                Failure(
                    method,
                    f"{method}: lacks {len(absent)} of {len(everything)} images, such as "
                    f"{absent[0]}; methods are compared on the {len(common)} that all have, so add "
                    "the others to compare on all",
                )
            )
        del each
    kept = {
        method: replace(each, images=tuple(image for image in each.images if image.name in common))
        for method, each in evaluations.items()
    }
    return kept, failures


def compare_methods(
    evaluations: Mapping[str, Evaluation],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> list[Difference]:
    """Return the difference of every two methods under every protocol.

    Args:
        evaluations: Evaluation of each method by its name, on the same images.
        rng: Generator for the intervals; the same state gives the same intervals.
        resamples: Number of draws of scenes for an interval.
    """
    seed = int(rng.integers(2**63))
    protocols = next(iter(evaluations.values())).protocols
    return [
        _compare(protocol, first, second, evaluations, seed, resamples)
        for protocol in protocols
        for first, second in combinations(evaluations, 2)
    ]


def _compare(
    protocol: str,
    first: str,
    second: str,
    evaluations: Mapping[str, Evaluation],
    seed: int,
    resamples: int,
) -> Difference:
    others = {image.name: image for image in evaluations[second].images}
    pairs = [(image, others[image.name]) for image in evaluations[first].images]
    values = np.array([_subtract(*pair, protocol) for pair in pairs]).reshape(-1, 2)
    scenes = [image.scene for image, _ in pairs]
    finite = ~np.isnan(values[:, 0])
    psnr = ssim = None
    if len(values):
        # Seeded by the protocol alone, so that other methods do not change an interval.
        rng = derive_generator(seed, protocol, None)
        psnr, ssim = estimate_scene_means(values, scenes, rng, resamples)
    shown = {scene for scene, known in zip(scenes, finite, strict=True) if known}
    return Difference(protocol, first, second, int(finite.sum()), len(shown), psnr, ssim)


def _subtract(first: ImageScores, second: ImageScores, protocol: str) -> tuple[float, float]:
    ours, theirs = first.derained[protocol], second.derained[protocol]
    # An infinite PSNR has no difference; the image still counts for SSIM.
    finite = np.isfinite(ours.psnr) and np.isfinite(theirs.psnr)
    return (ours.psnr - theirs.psnr if finite else np.nan), ours.ssim - theirs.ssim


def format_differences(differences: Iterable[Difference]) -> str:
    """Format differences as plain text, one line each."""
    return "".join(
        f"{each.protocol}: {each.first} minus {each.second}: "
        f"PSNR {_format(each.psnr, '+.2f')} dB, SSIM {_format(each.ssim, '+.4f')} "
        f"({each.images} images, {each.scenes} scenes)\n"
        for each in differences
    )


def convert_differences(differences: Sequence[Difference]) -> list[dict[str, object]]:
    """Return differences as JSON values."""
    return [
        {
            "protocol": each.protocol,
            "first": each.first,
            "second": each.second,
            "images": each.images,
            "scenes": each.scenes,
            **{
                name: None
                if value is None
                else {"mean": value.mean, "low": value.low, "high": value.high}
                for name, value in (("psnr", each.psnr), ("ssim", each.ssim))
            },
        }
        for each in differences
    ]


def _format(estimate: Estimate | None, number: str) -> str:
    if estimate is None:
        return "-"
    text = f"{estimate.mean:{number}}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{estimate.low:{number}}, {estimate.high:{number}}]"
