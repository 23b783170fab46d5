"""Driver of a cluster job: many images of a bucket, on a Ray cluster or in shares without Ray.

The driver lists the source once, finds the unfinished chunks from the names of the results, hands
them out and counts. Its whole state lies in `_crdnet/` of the destination, so that the same call
resumes the job after the death of a worker, a node or the driver.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from hashlib import sha256
from itertools import islice
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import Any

from crdnet.batch.cluster.counts import JobReport, Tally
from crdnet.batch.cluster.faults import hide_credentials
from crdnet.batch.cluster.inputs import JOB_FOLDER, Input, Source, open_source, refuse_overlap
from crdnet.batch.cluster.manifest import CHUNK_ROWS, Manifest
from crdnet.batch.cluster.metrics import serve_metrics
from crdnet.batch.cluster.options import JobOptions
from crdnet.batch.cluster.report import build_report, summarise
from crdnet.batch.cluster.results import Journal, Taken, iterate_results
from crdnet.batch.cluster.shares import run_here
from crdnet.batch.cluster.store import PARTS_FOLDER, list_failing, open_store
from crdnet.batch.cluster.worker import Chunk, Task
from crdnet.errors import ArgumentError, OutputError, StoreError
from crdnet.files import remove_stale_parts
from crdnet.runtime import count_cpus, find_model

_SETTINGS = f"{JOB_FOLDER}/job.json"
_STALE_SECONDS = 3600.0
"""Age from which a temporary file counts as left by a killed worker."""


OnProgress = Callable[[JobReport], object]


def run_job(
    source: str | Path,
    destination: str | Path,
    options: JobOptions | None = None,
    *,
    on_progress: OnProgress | None = None,
) -> JobReport:
    """Derain or sense the images of a bucket or folder, on Ray or as one share without Ray.

    A repeated call resumes the job after any interruption. Each input has exactly one output, which
    is never replaced.

    Args:
        source: A folder, a bucket prefix, a pattern, or a list of addresses (.parquet, .jsonl,
            .txt), given as a path or as a URL that fsspec supports, such as s3://bucket/prefix.
        destination: A folder or bucket prefix. It mirrors the tree of the source, and its
            `_crdnet/` holds the state of the job. It must be empty for a new job.
        options: Options of the job; None is the defaults.
        on_progress: Called frequently with the state of the job.

    Returns:
        The report. An image that fails is a row of the results and does not stop the others.

    Raises:
        ArgumentError: The arguments contradict each other, or the destination holds results of
            another job.
        StoreError: The source cannot be reached or listed, or it holds no images.
        OutputError: The destination cannot be written to.
        MissingExtraError: Ray is not installed, and `shard` is not given.
    """
    job = Job(source, destination, options or JobOptions())
    return job.run(on_progress or (lambda _: None))


class Job:
    """Cluster job; see `run_job` for its arguments and errors."""

    def __init__(self, source: str | Path, destination: str | Path, options: JobOptions) -> None:
        self._options = options
        self._destination = open_store(destination)
        self._shown_source = hide_credentials(str(source))
        self._source_store = open_store(source)
        refuse_overlap(self._source_store, self._destination)
        self._model = find_model(options.model)
        self._manifest = Manifest(self._destination)
        self._journal = Journal(self._destination)
        self._stopped = Event()
        self.report = JobReport()

    def stop(self) -> None:
        """Finish the running images and start no other; may be called from a signal handler."""
        self._stopped.set()

    def plan(self) -> Iterator[Input]:
        """Yield the inputs that the job would process, for a dry run; nothing is written."""
        count, source = 0, self._open_source()
        for each in islice(source.iterate(0, None), self._options.limit):
            count += 1
            yield each
        self.report.left_out = dict(source.left_out)
        if not count:
            raise self._find_nothing()

    def locate(self, planned: Input) -> str:
        """Return the address of the output of an input."""
        store = self._destination
        return store.make_uri(store.locate(planned.key))

    def run(self, on_progress: OnProgress) -> JobReport:
        """Process the unfinished chunks; return the report."""
        port = self._options.metrics_port
        with nullcontext() if port is None else serve_metrics(port) as update:

            def show(report: JobReport) -> None:
                if update is not None:
                    update(report)
                on_progress(report)

            return self._run(show)

    def _run(self, on_progress: OnProgress) -> JobReport:
        began, report = perf_counter(), self.report
        self._begin()
        self._list()
        chunks = list(self._choose_chunks())
        allowed = self._options.count_allowed_failures(report.inputs)
        on_progress(report)
        if chunks:
            for tally in self._work(chunks):
                report.tally.add(tally)
                report.seconds = perf_counter() - began
                on_progress(report)
                if allowed is not None and report.tally.counts["failed"] > allowed:
                    report.stopped = (
                        f"more than {self._options.max_failures} of the inputs failed "
                        "(`max_failures`)"
                    )
                    break
        report.seconds = perf_counter() - began
        if chunks:
            self._write_dead_letters()
            self._write_summaries()
        return report

    def _work(self, chunks: list[Chunk]) -> Iterator[Tally]:
        task = self._make_task()
        if self._options.shard is not None:
            return run_here(task, chunks, self._stopped)
        from crdnet.batch.cluster.on_ray import run_on_ray  # noqa: PLC0415 - Ray takes seconds

        return run_on_ray(task, chunks, self._stopped)

    def _make_task(self) -> Task:
        options = self._options
        is_file = options.model not in (self._model.name, *self._model.aliases)
        is_shared = options.shard is not None
        return Task(
            self._source_store,
            self._destination,
            options,
            count_cpus() if is_shared else options.cpus_per_worker,
            self._model.read() if is_file and not is_shared else None,
        )

    def _begin(self) -> None:
        """Save the settings of a new job, or compare them with those of an existing job."""
        if self._destination.is_local:
            parts = Path(self._destination.locate(PARTS_FOLDER))
            remove_stale_parts(parts, seconds=_STALE_SECONDS)
        settings = self._describe_settings()
        content = json.dumps(settings, indent=1, sort_keys=True).encode()
        if self._read_settings() is None:
            try:
                is_empty = self._destination.is_empty()
            except OSError as error:
                raise list_failing(self._destination, error) from error
            if not is_empty and self._read_settings() is None:
                raise ArgumentError(
                    f"{self._destination.url} is not empty and holds no job; give an empty folder "
                    "or prefix"
                )
            # Checked before the first write, so that a source without inputs leaves no files.
            next(self.plan())
            if self._destination.create(_SETTINGS, content):
                return
        known = self._read_settings() or {}
        changed = [
            f"{key} was {known.get(key)!r} and is {settings.get(key)!r}"
            for key in dict.fromkeys([*settings, *known])
            if known.get(key) != settings.get(key)
        ]
        if changed:
            raise ArgumentError(
                f"{self._destination.url} holds results of another job ({', '.join(changed)}); "
                "choose another destination"
            )

    def _read_settings(self) -> dict[str, Any] | None:
        try:
            settings: dict[str, Any] = json.loads(self._destination.read(_SETTINGS))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise OutputError(
                f"{_SETTINGS} in {self._destination.url} is damaged; choose another destination"
            ) from error
        return settings

    def _describe_settings(self) -> dict[str, Any]:
        """Return the settings that determine the inputs and the outputs."""
        options = self._options
        return {
            "source": self._shown_source,
            "task": "sense" if options.sense_only else "derain",
            "only": options.only,
            "webdataset": options.webdataset,
            "model": self._model.name,
            "sha256": sha256(self._model.read()).hexdigest(),
            **options.derain.describe_output(),
            "chunk": CHUNK_ROWS,
        }

    def _list(self) -> None:
        manifest, limit = self._manifest, self._options.limit
        manifest.read()
        if not manifest.is_complete and (limit is None or manifest.rows < limit):
            manifest.extend(self._open_source(), limit)
        self.report.left_out = manifest.left_out
        if not manifest.rows:
            raise self._find_nothing()

    def _open_source(self) -> Source:
        return open_source(self._source_store, self._destination, self._options)

    def _find_nothing(self) -> StoreError:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.report.left_out.items())
        return StoreError(
            f"{self._shown_source}: there are no inputs"
            + (f", but {kinds}" if kinds else "")
            + "; check the address"
        )

    def _choose_chunks(self) -> Iterator[Chunk]:
        """Yield the chunks of this share that are not finished, and count the others."""
        self._journal.read()
        share, shares = self._options.parse_shard()
        limit, number = self._options.limit, -1
        for part in self._manifest.parts:
            for first in part.list_chunks():
                number += 1
                if number % shares != share or (limit is not None and first >= limit):
                    continue
                end = min(first + CHUNK_ROWS, part.first + part.rows)
                rows = end - first if limit is None else min(end, limit) - first
                self.report.inputs += rows
                if self._journal.is_finished(first):
                    self.report.earlier += rows
                else:
                    yield Chunk(part, first, self._journal.count_attempts(first), limit)

    def _write_summaries(self) -> None:
        """Write the report and the list of the selected images, if no share is running."""
        if self._options.shard not in (None, "1/1") and not self._is_listed_done():
            return
        taken = Taken(self._options)
        summary = summarise(taken.follow(iterate_results(self._destination)))
        html = build_report(summary, self._source_store, self._destination)
        self._destination.replace(f"{JOB_FOLDER}/report.html", html.encode())
        if self._options.sense_only and self._options.only is not None:
            self._destination.replace(f"{self._options.only}.parquet", taken.encode())

    def _is_listed_done(self) -> bool:
        return all(
            self._journal.count_attempts(first)
            for part in self._manifest.parts
            for first in part.list_chunks()
        )

    def _write_dead_letters(self) -> None:
        """Write all failed inputs, also of other shards, as a list for another job."""
        lines = []
        self._journal.read()
        for row in iterate_results(self._destination, self._journal.list_unfinished()):
            if row["status"] != "failed":
                continue
            letter = {key: row[key] for key in ("uri", "error_class", "error")}
            lines.append(json.dumps(letter))
        text = "".join(f"{line}\n" for line in lines)
        self._destination.replace(f"{JOB_FOLDER}/dead_letters.jsonl", text.encode())
