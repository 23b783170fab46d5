"""Runs on many images.

A run is planned when it is made, opened as a context, and works when it is iterated:

    with DerainRun(["photos/"], "clean/", recursive=True) as run:
        for outcome in run: ...

A few threads work at a time: while the network has one image, others are decoded and encoded in
worker processes. Outcomes come as they are finished.
"""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from io import BufferedIOBase, BytesIO
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

from crdnet.batch.journal import Journal
from crdnet.batch.options import BatchOptions
from crdnet.batch.plan import Job, Plan, plan_deraining, plan_sensing
from crdnet.batch.resume import sort_outputs
from crdnet.batch.workers import Stop, do_jobs
from crdnet.errors import ArgumentError, ImageError, OutputError
from crdnet.files import remove_stale_parts, whole_file, write_whole
from crdnet.images import ImageSource, WorkerCodec
from crdnet.pipeline import (
    Derainer,
    Outcome,
    check_output,
    choose_fallback,
    choose_format,
    derain_source,
    encode_rain,
    sense_source,
)
from crdnet.runtime import Array, count_cpus

UNLOCKED_SECONDS = 3600.0
"""A temporary file in a folder without a lock is taken for left behind if nobody wrote to it for
this long."""

_KEEP_FORMATS = ", or use `fallback_format`, which changes only images whose format is only read"

Sources = str | Path | Sequence[str | Path]
"""A folder, a file or a pattern, or several; `-` alone is standard input."""


class Run(ABC):
    """Many images to work on.

    Attributes:
        derainer: Does the work.
        left_out: Entries of folders that are no inputs, by kind.
        settled: Inputs that needed no work; known once the run is open.
        to_do: Images to work on; known once the run is open.
        on_tile: Called, in the thread of the work, with the name of an image, the number of its
            tiles that are derained, and of all.
    """

    def __init__(self, plan: Plan, options: BatchOptions) -> None:
        self._plan, self._options = plan, options
        at_once = min(options.jobs, max(1, len(plan.jobs)))
        self.derainer = Derainer(
            options.model, options.device, max(1, count_cpus() // at_once), options.tile
        )
        self.left_out = plan.left_out
        self.settled: list[Outcome] = []
        self.to_do: list[Job] = []
        self.on_tile: Callable[[str, int, int], object] | None = None
        self._stop = Stop()
        self._stack = ExitStack()
        self._codec: WorkerCodec | None = None
        self._standard_input = b""

    def __enter__(self) -> "Run":
        with ExitStack() as stack:
            self._open(stack)
            if any(job.source is None for job in self.to_do):
                self._standard_input = sys.stdin.buffer.read()
            if len(self.to_do) > 1:
                self._codec = stack.enter_context(WorkerCodec())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def __iter__(self) -> Generator[Outcome, None, None]:
        """Yield the settled outcomes, then those of the images as they are finished.

        Raises:
            OutputError: The disk is full; the run stopped.
        """
        yield from self.settled
        outcomes = self._work()
        # An interruption, wherever it comes, first ends what runs.
        self._stack.callback(outcomes.close)
        yield from outcomes
        if self._stop.disk_is_full:
            raise OutputError(
                "the disk is full, and the run stops here; make room and call it again to go on"
            )

    def stop(self) -> None:
        """Finish the images in work and begin no other; may be called from a signal handler."""
        self._stop.asked = True

    def _work(self) -> Generator[Outcome, None, None]:
        return do_jobs(
            self.to_do, self._do, workers=self._options.jobs, stop=self._stop, abort=self._abort
        )

    def _abort(self) -> None:
        self.derainer.stop()
        if self._codec is not None:
            self._codec.stop()

    def _content(self, job: Job) -> tuple[Path | bytes, str]:
        """Return the file or the bytes of a job, and what messages call them."""
        if job.source is not None:
            return job.source, job.name
        if not self._standard_input:
            raise ImageError("standard input is empty; pipe an image into it")
        return self._standard_input, "standard input"

    @abstractmethod
    def _open(self, stack: ExitStack) -> None:
        """Find out what is settled and what is to do, and open what the run needs."""

    @abstractmethod
    def _do(self, job: Job) -> Outcome:
        """Do one job."""


class DerainRun(Run):
    """Deraining of many images.

    Args:
        sources: See `Sources`.
        destination: A folder, which mirrors the tree of the sources; or a file for one input; None
            is beside each.
        recursive: Whether to look into the folders in a folder.
        options: Everything else; None is the defaults.

    Raises:
        ArgumentError: The arguments as a whole make no sense.
        ModelError: There is no such model.
    """

    def __init__(
        self,
        sources: Sources,
        destination: str | Path | None,
        *,
        recursive: bool = False,
        options: BatchOptions | None = None,
    ) -> None:
        options = options or BatchOptions()
        plan = plan_deraining(
            _as_texts(sources),
            None if destination is None else os.fspath(destination),
            recursive=recursive,
            options=options.derain,
            rain=None if options.rain is None else os.fspath(options.rain),
        )
        super().__init__(plan, options)
        self._journal = _find_journal(plan)

    @property
    def uses_standard_output(self) -> bool:
        """Whether the result goes to standard output."""
        return any(job.output is None for job in self._plan.jobs)

    def _open(self, stack: ExitStack) -> None:
        journal, jobs, options = self._journal, self._plan.jobs, self._options
        works = bool(jobs) and not options.dry_run
        if works and (journal is None or not journal.exists):
            _ = self.derainer.session  # a model that cannot be opened fails before a folder is made
        settings = self._settings()
        if journal is not None:
            if works:
                stack.enter_context(journal.run())
            else:
                journal.read()
            if not options.overwrite and (differences := journal.differences(settings)):
                raise ArgumentError(
                    f"{journal.folder} holds results of another run ({', '.join(differences)}); "
                    "choose another folder, or replace them with `overwrite=True`"
                    + (_KEEP_FORMATS if differences[0].startswith("format ") else "")
                )
        self.to_do, self.settled = sort_outputs(
            self._plan.inputs,
            journal,
            overwrite=options.overwrite,
            skip_existing=options.skip_existing,
        )
        if options.dry_run:
            self.settled += [Outcome(job.name, job.output, "planned") for job in self.to_do]
            self.to_do = []
        if not self.to_do:
            return
        _ = self.derainer.session
        _remove_stale_parts(jobs, locked=journal is not None)
        if journal is not None:
            to_make = {
                job.output: journal.origin(job.source, job.found)
                for job in self.to_do
                if job.output is not None and job.source is not None and job.found is not None
            }
            journal.begin(settings, to_make)

    def _settings(self) -> dict[str, Any]:
        """Return the model and the options that decide what an output looks like, for the journal."""
        model, derain = self.derainer.model, self._options.derain
        return {
            "model": model.name,
            "sha256": sha256(model.read()).hexdigest(),
            "strength": derain.strength,
            "always": derain.always,
            "ensemble": derain.ensemble,
            "format": derain.format,
            "fallback-format": derain.fallback_format,
            "quality": derain.quality,
            "strip-gps": derain.strip_gps,
            "rain": self._options.rain is not None,
        }

    def _do(self, job: Job) -> Outcome:
        began, options = perf_counter(), self._options
        target = choose_format(job.source, job.output, options.derain.format)
        fallback = choose_fallback(job.output, options.derain.fallback_format)
        if job.output is not None:
            check_output(job.source, job.output, overwrite=options.overwrite)
        with ImageSource(*self._content(job), max_pixels=options.derain.max_pixels) as source:
            outcome = derain_source(
                self.derainer.network,
                source,
                partial(self._open_output, job, source.found),
                replace(
                    options.derain, format=target, fallback_format=None if target else fallback
                ),
                codec=self._codec,
                on_derained=None if job.rain is None else partial(_write_rain, job.rain),
                on_tile=None if self.on_tile is None else partial(self.on_tile, job.name),
            )
        return replace(
            outcome,
            input=job.name,
            output=job.output,
            rain=job.rain,
            seconds=perf_counter() - began,
        )

    @contextmanager
    def _open_output(self, job: Job, found: os.stat_result | None) -> Iterator[BufferedIOBase]:
        """Open the output of a job, and keep the journal around it."""
        if job.output is None:
            buffer = BytesIO()
            yield buffer
            sys.stdout.buffer.write(buffer.getvalue())
            sys.stdout.buffer.flush()
            return
        times_ns, origin = None, None
        if found is not None and self._options.preserve_times:
            times_ns = (found.st_atime_ns, found.st_mtime_ns)
        if self._journal is not None and job.source is not None and found is not None:
            origin = self._journal.origin(job.source, found)
            self._journal.about_to_write(job.output, origin)
        with whole_file(job.output, overwrite=self._options.overwrite, times_ns=times_ns) as file:
            yield file
        if self._journal is not None and origin is not None:
            self._journal.written(job.output, origin)


class SenseRun(Run):
    """Sensing of many images.

    Args:
        sources: See `Sources`.
        recursive: Whether to look into the folders in a folder.
        options: Model, device, jobs and the largest size; None is the defaults.

    Raises:
        ArgumentError: The arguments as a whole make no sense.
        ModelError: There is no such model.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        recursive: bool = False,
        options: BatchOptions | None = None,
    ) -> None:
        plan = plan_sensing(_as_texts(sources), recursive=recursive)
        super().__init__(plan, options or BatchOptions())

    def _open(self, stack: ExitStack) -> None:  # noqa: ARG002 - nothing must be closed
        if not self.derainer.session.senses:
            raise ArgumentError(
                f"the `model` {self.derainer.model.name!r} does not sense rain; choose one with a density head"
            )
        self.to_do, self.settled = sort_outputs(
            self._plan.inputs, None, overwrite=False, skip_existing=False
        )

    def _do(self, job: Job) -> Outcome:
        began = perf_counter()
        most = self._options.derain.max_pixels
        with ImageSource(*self._content(job), max_pixels=most) as source:
            outcome = sense_source(self.derainer.network, source, codec=self._codec)
        return replace(outcome, input=job.name, seconds=perf_counter() - began)


def _as_texts(sources: Sources) -> list[str]:
    several = [sources] if isinstance(sources, str | Path) else sources
    return [os.fspath(each) for each in several]


def _find_journal(plan: Plan) -> Journal | None:
    """Return the journal of the folder that the outputs go into.

    One image into a folder is no run that one would want to resume, unless the folder is that of a
    run.
    """
    if plan.folder is None:
        return None
    journal = Journal(plan.folder)
    return None if plan.single and not journal.exists else journal


def _write_rain(path: Path, rainy: Array, derained: Array) -> None:
    # Before the output: whoever finds the output finds its rain too, after a kill as well.
    write_whole(path, encode_rain(rainy, derained))


def _remove_stale_parts(jobs: Sequence[Job], *, locked: bool) -> None:
    """Remove what killed runs left where outputs will go.

    Where no lock keeps others out, only what is old.
    """
    folders = {
        place.parent for job in jobs for place in (job.output, job.rain) if place is not None
    }
    for folder in folders:
        remove_stale_parts(folder, seconds=0.0 if locked else UNLOCKED_SECONDS)
