"""Deraining of many images, with a journal from which a stopped run resumes."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from io import BufferedIOBase, BytesIO
from pathlib import Path
from time import perf_counter
from typing import Any

from crdnet.batch.inputs import Job
from crdnet.batch.journal import Journal, Origin
from crdnet.batch.plan import Plan
from crdnet.batch.resume import sort_outputs
from crdnet.batch.run import Run
from crdnet.errors import ArgumentError
from crdnet.files import open_whole, remove_stale_parts, write_whole
from crdnet.images import ImageSource, Output
from crdnet.pipeline import (
    Outcome,
    check_output,
    choose_fallback,
    choose_format,
    derain_source,
    encode_rain,
)
from crdnet.runtime import Array

UNLOCKED_SECONDS = 3600.0
"""Age from which a temporary file in a folder without a lock counts as left by a killed run."""
_KEEP_FORMATS = ", or use `fallback_format`, which changes only images whose format is only read"


class DerainRun(Run):
    """Deraining of the images of a plan; see `Run`."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._journal = _find_journal(plan)

    def __enter__(self) -> "DerainRun":
        """Open the journal and the model.

        Raises:
            ArgumentError: The folder holds results of another run, with other options.
            OutputError: Another run writes into the folder, or it cannot be written to.
        """
        with ExitStack() as stack:
            settings = self._describe_settings()  # a damaged model fails before a folder is made
            self._open_journal(stack, settings)
            self.to_do, self.settled = sort_outputs(self._plan.inputs, self._journal, self._options)
            if self._options.dry_run:
                self.settled += [Outcome(job.name, job.output, "planned") for job in self.to_do]
                self.to_do = []
            if self.to_do:
                _ = self.derainer.session  # a model that cannot be opened is one error, not many
                _remove_stale_parts(self._plan.jobs, locked=self._journal is not None)
                self._begin_journal(settings)
            self._open_codec(stack)
        return self

    @property
    def uses_standard_output(self) -> bool:
        """True if the output is written to standard output."""
        return any(job.output is None for job in self._plan.jobs)

    def _open_journal(self, stack: ExitStack, settings: dict[str, Any]) -> None:
        journal, options = self._journal, self._options
        works = bool(self._plan.jobs) and not options.dry_run
        if works and (journal is None or not journal.exists):
            _ = self.derainer.session  # a model that cannot be opened fails before a folder is made
        if journal is None:
            return
        if works:
            stack.enter_context(journal.hold())
        else:
            journal.read()
        if not options.overwrite and (differences := journal.describe_differences(settings)):
            raise ArgumentError(
                f"{journal.folder} holds results of another run ({', '.join(differences)}); "
                "choose another folder, or replace them with `overwrite=True`"
                + (_KEEP_FORMATS if differences[0].startswith("format ") else "")
            )

    def _begin_journal(self, settings: dict[str, Any]) -> None:
        if self._journal is None:
            return
        to_make = {
            job.output: self._journal.make_origin(job.source, job.found)
            for job in self.to_do
            if job.output is not None and job.source is not None and job.found is not None
        }
        self._journal.begin(settings, to_make)

    def _describe_settings(self) -> dict[str, Any]:
        """Return the model and the options that affect the outputs."""
        model = self.derainer.model
        return {
            "model": model.name,
            "sha256": sha256(model.read()).hexdigest(),
            **self._options.derain.describe_output(),
            "rain": self._options.rain is not None,
        }

    def _do(self, job: Job) -> Outcome:
        began, derain = perf_counter(), self._options.derain
        target = choose_format(job.source, job.output, derain.format)
        fallback = choose_fallback(job.output, derain.fallback_format)
        if job.output is not None:
            check_output(job.source, job.output, overwrite=self._options.overwrite)
        with ImageSource(*self._locate_content(job), max_pixels=derain.max_pixels) as source:
            result = self._note_source(job, source)
            outcome = derain_source(
                self.derainer.network,
                source,
                self._choose_output(job, source),
                replace(derain, format=target, fallback_format=None if target else fallback),
                codec=self._codec,
                on_derained=None if job.rain is None else partial(_write_rain, job.rain),
                on_tile=None if self.on_tile is None else partial(self.on_tile, job.name),
            )
            if self._journal is not None and result is not None:
                self._journal.note_result(*result)
        return replace(
            outcome,
            input=job.name,
            output=job.output,
            rain=job.rain,
            seconds=perf_counter() - began,
        )

    def _note_source(self, job: Job, source: ImageSource) -> tuple[Path, Origin] | None:
        """Note in the journal the source of an output; return the output and its origin.

        The result is None without a journal.
        """
        if self._journal is None or job.output is None:
            return None
        if job.source is None or source.found is None:
            return None
        origin = self._journal.make_origin(job.source, source.found)
        self._journal.note_source(job.output, origin)
        return job.output, origin

    def _choose_output(self, job: Job, source: ImageSource) -> Output:
        if job.output is None:
            return _open_standard_output
        times_ns = None
        if source.found is not None and self._options.preserve_times:
            times_ns = (source.found.st_atime_ns, source.found.st_mtime_ns)
        return partial(open_whole, job.output, overwrite=self._options.overwrite, times_ns=times_ns)


@contextmanager
def _open_standard_output() -> Iterator[BufferedIOBase]:
    """Open a buffer that is written to standard output once it is complete."""
    buffer = BytesIO()
    yield buffer
    sys.stdout.buffer.write(buffer.getvalue())
    sys.stdout.buffer.flush()


def _find_journal(plan: Plan) -> Journal | None:
    """Return the journal of the output folder, None if the run needs none.

    A single image needs no journal, unless the folder already has one.
    """
    if plan.folder is None:
        return None
    journal = Journal(plan.folder)
    return None if plan.is_single and not journal.exists else journal


def _write_rain(path: Path, rainy: Array, derained: Array) -> None:
    # Written before the output, so that the rain exists whenever the output does.
    write_whole(path, encode_rain(rainy, derained))


def _remove_stale_parts(jobs: Sequence[Job], *, locked: bool) -> None:
    """Remove the temporary files of killed runs from the folders of the outputs.

    Without a lock, another run may be active, and only old files are removed.
    """
    folders = {
        place.parent for job in jobs for place in (job.output, job.rain) if place is not None
    }
    for folder in folders:
        remove_stale_parts(folder, seconds=0.0 if locked else UNLOCKED_SECONDS)
