"""Deraining and sensing of folders in one call."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import overload

from crdnet.batch.derain_run import DerainRun
from crdnet.batch.options import BatchOptions
from crdnet.batch.plan import Sources, plan_deraining, plan_sensing
from crdnet.batch.run import Run
from crdnet.batch.sense_run import SenseRun
from crdnet.pipeline import Outcome

OnOutcome = Callable[[Outcome], object]


@overload
def derain_folder(
    source: Sources,
    destination: str | Path,
    *,
    recursive: bool = False,
    options: BatchOptions | None = None,
    on_outcome: None = None,
) -> Iterator[Outcome]: ...


@overload
def derain_folder(
    source: Sources,
    destination: str | Path,
    *,
    recursive: bool = False,
    options: BatchOptions | None = None,
    on_outcome: OnOutcome,
) -> Counter[str]: ...


def derain_folder(
    source: Sources,
    destination: str | Path,
    *,
    recursive: bool = False,
    options: BatchOptions | None = None,
    on_outcome: OnOutcome | None = None,
) -> Iterator[Outcome] | Counter[str]:
    """Derain the images in a folder, as `crdnet derain` does.

    A repeated call resumes a stopped run. Existing outputs are replaced only with `overwrite`.

    Args:
        source: A folder, a file or a pattern, or several of these.
        destination: Folder of the outputs; it mirrors the tree of the source.
        recursive: If True, search subfolders too.
        options: Other options; None is the defaults.
        on_outcome: Called with each outcome.

    Returns:
        Without `on_outcome`, an iterator that does the work and yields each outcome when it is
        finished. With `on_outcome`, the number of inputs of each status, after all work is done. An
        image that fails is an outcome and does not stop the others.

    Raises:
        ArgumentError: The arguments contradict each other, such as two inputs with one output.
        ModelError: There is no such model, or it cannot be opened.
        OutputError: The disk is full, or another run writes into the destination.
    """
    run = DerainRun(plan_deraining(source, destination, options, recursive=recursive))
    return _iterate(run) if on_outcome is None else _report(run, on_outcome)


@overload
def sense_folder(
    source: Sources,
    *,
    recursive: bool = False,
    options: BatchOptions | None = None,
    on_outcome: None = None,
) -> Iterator[Outcome]: ...


@overload
def sense_folder(
    source: Sources,
    *,
    recursive: bool = False,
    options: BatchOptions | None = None,
    on_outcome: OnOutcome,
) -> Counter[str]: ...


def sense_folder(
    source: Sources,
    *,
    recursive: bool = False,
    options: BatchOptions | None = None,
    on_outcome: OnOutcome | None = None,
) -> Iterator[Outcome] | Counter[str]:
    """Sense the rain in the images in a folder; nothing is written.

    Arguments, result and errors are those of `derain_folder`. A model that does not sense rain
    raises an ArgumentError.
    """
    run = SenseRun(plan_sensing(source, options, recursive=recursive))
    return _iterate(run) if on_outcome is None else _report(run, on_outcome)


def _iterate(run: Run) -> Iterator[Outcome]:
    with run:
        yield from run


def _report(run: Run, on_outcome: OnOutcome) -> Counter[str]:
    counts = Counter[str]()
    for outcome in _iterate(run):
        counts[outcome.status] += 1
        on_outcome(outcome)
    return counts
