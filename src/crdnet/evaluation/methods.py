"""Scores of several methods on the same images."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from crdnet.evaluation.cases import Case, Failure, LoadedCase
from crdnet.evaluation.comparison import keep_common_images
from crdnet.evaluation.html_report import Thumbnails
from crdnet.evaluation.scoring import Evaluation, assign_seen_scenes, evaluate


def score_methods(
    cases: Mapping[str, Sequence[Case]],
    protocols: Sequence[str],
    *,
    jobs: int,
    on_done: Callable[[], object],
    thumbnails: Thumbnails | None = None,
) -> tuple[dict[str, Evaluation], list[Failure]]:
    """Score the cases of each method; with several methods, keep only their common images.

    Args:
        cases: Cases of each method by its name.
        protocols: Names of protocols, see `crdnet.metrics.PROTOCOLS`.
        jobs: Number of images in memory at a time.
        on_done: Called after each image.
        thumbnails: Collector of small copies of the derained images; None collects none.
    """
    evaluations = {}
    for name, of_method in cases.items():
        look = _ignore if thumbnails is None else partial(thumbnails.add, name)
        scored = evaluate(of_method, protocols, jobs=jobs, on_done=on_done, on_loaded=look)
        evaluations[name] = assign_seen_scenes(scored, of_method)
    failures = [failure for each in evaluations.values() for failure in each.failures]
    if len(evaluations) > 1:
        evaluations, different = keep_common_images(evaluations)
        failures += different
    return evaluations, failures


def _ignore(case: Case, loaded: LoadedCase) -> None:
    """Do nothing; used when no thumbnails are collected."""
