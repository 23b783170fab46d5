"""Worker of a cluster job, which processes chunks of inputs on Ray, in a shard or in a test.

A worker opens one model once, and reads and writes the images itself. It receives only numbers of
chunks and returns only counts. It may be killed at any moment: outputs and results are created only
if absent, so that repeating a chunk does no harm.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile, TemporaryDirectory
from threading import Event
from time import perf_counter, time
from typing import Any

from crdnet.batch.cluster.counts import Tally
from crdnet.batch.cluster.faults import describe_fault, hide_credentials
from crdnet.batch.cluster.manifest import ManifestReader, Part
from crdnet.batch.cluster.options import JobOptions
from crdnet.batch.cluster.results import SCHEMA, read_chunk_results, write_chunk_results
from crdnet.batch.cluster.store import Store, open_store, read_file
from crdnet.batch.cluster.tars import derain_members
from crdnet.errors import CRDNetError, ImageError, OutputError
from crdnet.files import means_full_disk
from crdnet.images import ImageSource, WorkerCodec
from crdnet.pipeline import (
    Derainer,
    Outcome,
    choose_fallback,
    choose_format,
    derain_source,
    sense_source,
)

_NAMED_MEMBERS = 3
_LARGE_BYTES = 64 << 20
"""Size above which a file is copied to a temporary file, so that it can be decoded in bands."""


@dataclass(frozen=True)
class Task:
    """Description of a cluster job for its workers; it can be pickled."""

    source: Store
    destination: Store
    options: JobOptions
    threads: int
    model_content: bytes | None = field(default=None, repr=False)
    """Content of the model file, if the model is a file on the driver's machine."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Chunk of the manifest to process."""

    part: Part
    first: int
    attempt: int
    limit: int | None = None
    """Row of the manifest at which to stop; None processes all rows."""


class Worker:
    """Context manager that processes chunks.

    Args:
        task: Description of the job.
        stopped: Once set, running images finish and no other starts.

    Raises:
        ModelError: There is no such model, or it cannot be opened.
    """

    def __init__(self, task: Task, stopped: Event | None = None) -> None:
        self._task, self._options = task, task.options
        self._manifest = ManifestReader(task.destination)
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._stopped = stopped or Event()
        self._stack = ExitStack()
        self._derainer = Derainer(
            self._find_model(), self._options.device, task.threads, self._options.tile
        )
        _ = self._derainer.session  # a model that cannot be opened is one error, not many
        self._codec = self._stack.enter_context(WorkerCodec())
        self._pool = self._stack.enter_context(ThreadPoolExecutor(self._options.jobs))

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def run(self, chunk: Chunk) -> Tally:
        """Process a chunk, and return the counts of its results.

        Raises:
            OutputError: The results cannot be written, or the disk is full.
        """
        destination = self._task.destination
        finished = self._list_finished(chunk)
        tally = Tally(earlier=len(finished))
        known = read_chunk_results(destination, chunk.first, chunk.attempt)
        if known is None:
            rows = self._manifest.read_chunk(chunk.part, chunk.first)
            to_do = [
                row
                for row in rows
                if row["row"] not in finished and row["row"] < (chunk.limit or row["row"] + 1)
            ]
            results = [each for each in self._pool.map(self._do, to_do) if each is not None]
            done = sum(each["status"] != "failed" for each in results)
            known = [{**each, "attempt": chunk.attempt} for each in results]
            is_ours = write_chunk_results(
                destination,
                chunk.first,
                chunk.attempt,
                known,
                is_finished=done + len(finished) == len(rows),
            )
            if not is_ours:
                known = read_chunk_results(destination, chunk.first, chunk.attempt) or []
        for row in known:
            tally.add_row(row)
        return tally

    def _find_model(self) -> str | Path:
        if self._task.model_content is None:
            return self._options.model
        file = Path(self._stack.enter_context(TemporaryDirectory())) / "model.onnx"
        file.write_bytes(self._task.model_content)
        return file

    def _list_finished(self, chunk: Chunk) -> set[int]:
        return {
            row["row"]
            for attempt in range(chunk.attempt)
            for row in read_chunk_results(self._task.destination, chunk.first, attempt) or ()
            if row["status"] != "failed"
        }

    def _do(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Process one input; return its result, which may be a failure, or None after a stop."""
        if self._stopped.is_set():
            return None
        began, clock = time(), perf_counter()
        result: dict[str, Any] = {
            "row": row["row"],
            "uri": row["uri"],
            "began": began,
            "worker": self._name,
        }
        try:
            result |= self._derain(row)
        except Exception as error:
            if means_full_disk(error):
                raise self._describe_full_disk(error) from error
            result |= {
                "status": "failed",
                "error_class": type(error).__name__,
                "error": _describe(error),
            }
        result = dict.fromkeys(SCHEMA.names) | result
        result["seconds"] = perf_counter() - clock
        return result

    def _describe_full_disk(self, error: Exception) -> Exception:
        """Return the error about a full disk, which ends the run: every later image would fail."""
        if isinstance(error, CRDNetError):
            return error
        return OutputError(
            f"the disk for temporary files of {self._name} is full; free some space, or set TMPDIR"
        )

    def _derain(self, row: Mapping[str, Any]) -> dict[str, Any]:
        if row["problem"] is not None:
            raise ImageError(row["problem"])
        if self._options.webdataset:
            return self._derain_tar(row)
        key, options, buffer = row["key"], self._options, BytesIO()
        name, most = hide_credentials(row["uri"]), options.derain.max_pixels
        with (
            self._open_content(row["uri"]) as (content, size),
            ImageSource(content, name, max_pixels=most) as source,
        ):
            if options.sense_only:
                outcome = sense_source(self._derainer.network, source, codec=self._codec)
            else:
                outcome = self._derain_source(source, row["uri"], key, buffer)
        status = _choose_status(outcome, options)
        written = None
        if not options.sense_only and status != "skipped":
            content = buffer.getvalue()
            written = len(content)
            # False: an earlier attempt created the output, but was killed before its results.
            self._task.destination.create(key, content)
        return {
            "status": status,
            "output": key if written is not None else None,
            "density": None if outcome.density is None else outcome.density.name.lower(),
            "score": outcome.score,
            "intensity": outcome.intensity,
            "scale": outcome.scale,
            "width": outcome.width,
            "height": outcome.height,
            "pixels": (outcome.width or 0) * (outcome.height or 0),
            "bytes_read": size,
            "bytes_written": written,
        }

    def _derain_tar(self, row: Mapping[str, Any]) -> dict[str, Any]:
        name = hide_credentials(row["uri"])
        with self._open_content(row["uri"]) as (content, size):
            whole = content.read_bytes() if isinstance(content, Path) else content
        result = derain_members(whole, name, self._derain_member)
        self._task.destination.create(row["key"], result.content)
        failed = len(result.failures)
        return {
            "status": "done",
            "output": row["key"],
            "error_class": "ImageError" if failed else None,
            "error": f"{failed:,} of {result.images:,} images were copied as they are: "
            f"{'; '.join(result.failures[:_NAMED_MEMBERS])}"
            if failed
            else None,
            "pixels": result.pixels,
            "images": result.images,
            "failed_images": failed,
            "bytes_read": size,
            "bytes_written": len(result.content),
        }

    def _derain_member(self, content: bytes, name: str) -> tuple[bytes, int]:
        buffer, most = BytesIO(), self._options.derain.max_pixels
        with ImageSource(content, name, max_pixels=most) as source:
            outcome = self._derain_source(source, name, name, buffer)
        return buffer.getvalue(), (outcome.width or 0) * (outcome.height or 0)

    def _derain_source(self, source: ImageSource, uri: str, key: str, buffer: BytesIO) -> Outcome:
        place, output = Path(PurePosixPath(uri).name), Path(PurePosixPath(key).name)
        derain = self._options.derain
        # An id may have no suffix; the format is then that of the content.
        target = choose_format(place, output, derain.format) if output.suffix else derain.format
        fallback = choose_fallback(output, derain.fallback_format)
        return derain_source(
            self._derainer.network,
            source,
            lambda: nullcontext(buffer),
            replace(derain, format=target, fallback_format=None if target else fallback),
            codec=self._codec,
        )

    @contextmanager
    def _open_content(self, uri: str) -> Iterator[tuple[Path | bytes, int]]:
        scheme, separator, path = uri.partition("://")
        if not separator:
            file = Path(uri)
            yield file, file.stat().st_size if file.exists() else 0
            return
        content = read_file(self._open_files(scheme, uri), _get_path(uri, scheme, path))
        if len(content) <= _LARGE_BYTES:
            yield content, len(content)
            return
        with NamedTemporaryFile(suffix=PurePosixPath(path).suffix) as temporary:
            temporary.write(content)
            temporary.flush()
            size = len(content)
            del content
            yield Path(temporary.name), size

    def _open_files(self, scheme: str, uri: str) -> Any:
        source = self._task.source
        if scheme == source.scheme:
            return source.files
        return open_store(uri).files


def _get_path(uri: str, scheme: str, path: str) -> str:
    return path if scheme in ("s3", "s3a", "gs", "gcs") else open_store(uri).root


def _choose_status(outcome: Outcome, options: JobOptions) -> str:
    is_dry = outcome.dry if outcome.density is not None else False
    if options.only is not None and is_dry != (options.only == "dry"):
        return "skipped"
    if options.sense_only:
        return "dry" if is_dry else "done"
    return outcome.status


def _describe(error: Exception) -> str:
    if isinstance(error, CRDNetError):
        return hide_credentials(str(error))
    if isinstance(error, FileNotFoundError):
        return "it is not there any more, or never was; check the list"
    if isinstance(error, PermissionError):
        return "it may not be read; ask for the permission, or check the credentials"
    if isinstance(error, OSError | TimeoutError):
        return f"cannot be read: {describe_fault(error)}; run the same command again"
    return (
        f"unexpected {type(error).__name__}: {describe_fault(error)}; please report it, with "
        "the image"
    )
