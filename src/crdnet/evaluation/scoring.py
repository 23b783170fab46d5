"""Scoring of cases in parallel; a case that fails does not stop the others."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace

from crdnet.data import group_scenes
from crdnet.density import RainDensity
from crdnet.errors import CRDNetError
from crdnet.evaluation.cases import Case, Failure, LoadedCase
from crdnet.metrics import Protocol, Scores, find_protocol, score


@dataclass(frozen=True)
class ImageScores:
    """Scores of one image by protocol."""

    name: str
    scene: str
    density: RainDensity | None
    """None if the density is unknown."""
    derained: Mapping[str, Scores]
    rainy: Mapping[str, Scores] | None
    """Scores of the rainy image; None if it is unknown."""
    size: tuple[int, int] | None = None
    """Width and height in pixels."""


@dataclass(frozen=True)
class Evaluation:
    """Scores and failures of all cases."""

    protocols: tuple[str, ...]
    images: tuple[ImageScores, ...]
    """Scores in the order of the cases."""
    failures: tuple[Failure, ...]


def evaluate(
    cases: Sequence[Case],
    protocols: Sequence[str] = ("restormer-y",),
    *,
    jobs: int = 1,
    on_done: Callable[[], object] = lambda: None,
    on_loaded: Callable[[Case, LoadedCase], object] = lambda _case, _loaded: None,
) -> Evaluation:
    """Score cases under one or several protocols.

    A case whose images cannot be read, derained, saved or scored becomes a failure.

    Args:
        cases: Cases of `make_model_cases` or `make_saved_cases`.
        protocols: Keys of `crdnet.metrics.PROTOCOLS`.
        jobs: Number of threads.
        on_done: Called in this thread after each case, scored or failed.
        on_loaded: Called in the thread of a case with its images, after it was scored.

    Raises:
        ProtocolError: No protocol has one of the names.
    """
    # dict.fromkeys drops repeated names and keeps the order.
    chosen = [find_protocol(name) for name in dict.fromkeys(protocols)]
    # Threads suffice, since decoders, engines and NumPy release the GIL.
    pool = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="evaluate")
    try:
        running = [pool.submit(_score_case, case, chosen, on_loaded) for case in cases]
        for _ in as_completed(running):
            on_done()
        outcomes = [future.result() for future in running]
    finally:
        # An interrupt must not wait for the cases that have not started.
        pool.shutdown(cancel_futures=True)
    return Evaluation(
        tuple(protocol.name for protocol in chosen),
        tuple(outcome for outcome in outcomes if isinstance(outcome, ImageScores)),
        tuple(outcome for outcome in outcomes if isinstance(outcome, Failure)),
    )


def assign_seen_scenes(evaluation: Evaluation, cases: Iterable[Case]) -> Evaluation:
    """Replace the scenes of an evaluation, taken from names, by scenes from the clean images.

    Data sets repeat scenes under other names, which would make an interval too narrow. Every clean
    image is read again, after scoring has shown which ones are readable.
    """
    scored = {image.name for image in evaluation.images}
    scenes = group_scenes([case.pair for case in cases if case.pair.name in scored])
    images = tuple(replace(image, scene=scenes[image.name]) for image in evaluation.images)
    return replace(evaluation, images=images)


def _score_case(
    case: Case,
    protocols: Sequence[Protocol],
    on_loaded: Callable[[Case, LoadedCase], object],
) -> ImageScores | Failure:
    try:
        loaded = case.load()
        scores = ImageScores(
            case.pair.name,
            case.pair.scene,
            loaded.density,
            derained={p.name: score(loaded.derained, loaded.clean, p) for p in protocols},
            rainy=None
            if loaded.rainy is None
            else {p.name: score(loaded.rainy, loaded.clean, p) for p in protocols},
            size=(loaded.clean.shape[1], loaded.clean.shape[0]),
        )
        on_loaded(case, loaded)
    except (CRDNetError, OSError) as error:
        # Many messages already name the file.
        name, message = case.pair.name, str(error)
        return Failure(name, message if name in message else f"{name}: {message}")
    return scores
