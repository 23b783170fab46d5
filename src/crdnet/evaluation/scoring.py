"""Scoring cases, several at a time, without letting a bad one spoil the rest."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace

from crdnet.data import group_scenes
from crdnet.density import RainDensity
from crdnet.errors import CRDNetError
from crdnet.evaluation.cases import Case, Failure
from crdnet.metrics import Protocol, Scores, find_protocol, score


@dataclass(frozen=True)
class PictureScores:
    """The scores of one picture, by protocol."""

    name: str
    scene: str
    density: RainDensity | None
    """None where nothing tells how heavy the rain was."""
    derained: Mapping[str, Scores]
    rainy: Mapping[str, Scores] | None
    """What the picture scored before it was derained; None where that is not known."""


@dataclass(frozen=True)
class Evaluation:
    """What became of every case."""

    protocols: tuple[str, ...]
    pictures: tuple[PictureScores, ...]
    """In the order of the cases."""
    failures: tuple[Failure, ...]


def evaluate(
    cases: Sequence[Case],
    protocols: Sequence[str] = ("restormer-y",),
    *,
    jobs: int = 1,
    on_done: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Score cases under one or several protocols.

    A case whose pictures cannot be read, derained, saved or scored becomes a failure; the others go on.

    Args:
        cases: As `model_cases` or `saved_cases` make them.
        protocols: Names out of `crdnet.metrics.PROTOCOLS`.
        jobs: Cases worked on at a time, each in a thread.
        on_done: Called in this thread whenever a case is done, whatever became of it.

    Raises:
        ProtocolError: No protocol has one of the names.
    """
    chosen = [find_protocol(name) for name in dict.fromkeys(protocols)]
    pool = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="evaluate")
    try:
        running = [pool.submit(_score_case, case, chosen) for case in cases]
        for _ in as_completed(running):
            on_done()
        outcomes = [future.result() for future in running]
    finally:
        # When interrupted, what has not begun never will.
        pool.shutdown(cancel_futures=True)
    return Evaluation(
        tuple(protocol.name for protocol in chosen),
        tuple(outcome for outcome in outcomes if isinstance(outcome, PictureScores)),
        tuple(outcome for outcome in outcomes if isinstance(outcome, Failure)),
    )


def with_seen_scenes(evaluation: Evaluation, cases: Iterable[Case]) -> Evaluation:
    """Return an evaluation whose scenes are those that the clean pictures show, not those that names tell.

    The field's sets repeat scenes under other names, which makes an interval too narrow. Every clean picture
    is read once more, now that all of them are known to be readable.
    """
    scored = {picture.name for picture in evaluation.pictures}
    scenes = group_scenes([case.pair for case in cases if case.pair.name in scored])
    pictures = tuple(replace(picture, scene=scenes[picture.name]) for picture in evaluation.pictures)
    return replace(evaluation, pictures=pictures)


def _score_case(case: Case, protocols: Sequence[Protocol]) -> PictureScores | Failure:
    try:
        loaded = case.load()
        return PictureScores(
            case.pair.name,
            case.pair.scene,
            loaded.density,
            derained={p.name: score(loaded.derained, loaded.clean, p) for p in protocols},
            rainy=None
            if loaded.rainy is None
            else {p.name: score(loaded.rainy, loaded.clean, p) for p in protocols},
        )
    except (CRDNetError, OSError) as error:
        name, message = case.pair.name, str(error)
        return Failure(name, message if name in message else f"{name}: {message}")
