"""Results of a cluster job, from which it resumes.

`_crdnet/results/` holds one Parquet file for each chunk of the manifest and each attempt, created
if absent when the chunk is finished. An attempt processes only inputs that no earlier attempt
finished. An input therefore has at most one row that is not a failure; of several failures, the
last counts. The names of the files tell which chunks are finished, and a mark in
`_crdnet/unfinished/` says that inputs of a chunk failed or were left. Resuming lists names and
opens no file.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from crdnet.batch.cluster.inputs import JOB_FOLDER
from crdnet.batch.cluster.options import JobOptions
from crdnet.batch.cluster.parquet import encode_parquet, open_parquet
from crdnet.batch.cluster.store import Store, open_store

RESULTS = f"{JOB_FOLDER}/results"
_MARKS = f"{JOB_FOLDER}/unfinished"
_READERS = 16
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("attempt", pa.int32()),
        ("uri", pa.string()),
        ("output", pa.string()),
        ("status", pa.string()),
        ("error_class", pa.string()),
        ("error", pa.string()),
        ("density", pa.string()),
        ("score", pa.float64()),
        ("intensity", pa.float64()),
        ("scale", pa.float64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("pixels", pa.int64()),
        ("images", pa.int32()),
        ("failed_images", pa.int32()),
        ("bytes_read", pa.int64()),
        ("bytes_written", pa.int64()),
        ("began", pa.float64()),
        ("seconds", pa.float64()),
        ("worker", pa.string()),
    ]
)


class Journal:
    """Record of the finished chunks of a cluster job.

    Args:
        destination: Store of the outputs.
    """

    def __init__(self, destination: Store) -> None:
        self._destination = destination
        self._attempts: dict[int, int] = {}
        self._unfinished: set[tuple[int, int]] = set()

    def read(self) -> None:
        """Find the finished chunks from the names of the result files."""
        self._attempts = {}
        for chunk, attempt in _parse_names(self._destination.iterate_names(RESULTS)):
            self._attempts[chunk] = max(attempt, self._attempts.get(chunk, -1))
        self._unfinished = set(_parse_names(self._destination.iterate_names(_MARKS)))

    def is_finished(self, chunk: int) -> bool:
        """Return whether a chunk needs no more work."""
        attempt = self._attempts.get(chunk)
        return attempt is not None and (chunk, attempt) not in self._unfinished

    def list_unfinished(self) -> list[int]:
        """Return the chunks whose results contain failures or lack inputs."""
        return [chunk for chunk in self._attempts if not self.is_finished(chunk)]

    def count_attempts(self, chunk: int) -> int:
        """Return the number of attempts at a chunk."""
        return self._attempts.get(chunk, -1) + 1


def read_chunk_results(destination: Store, chunk: int, attempt: int) -> list[dict[str, Any]] | None:
    """Return the results of an attempt at a chunk; None if there are none yet."""
    key = _name_results(chunk, attempt)
    try:
        content = destination.read(key)
    except FileNotFoundError:
        return None
    rows: list[dict[str, Any]] = open_parquet(content).read(use_threads=False).to_pylist()
    return rows


def write_chunk_results(
    destination: Store,
    chunk: int,
    attempt: int,
    rows: list[dict[str, Any]],
    *,
    is_finished: bool,
) -> bool:
    """Write the results of an attempt at a chunk; return False if they exist already."""
    if not is_finished:  # mark before results: results without a mark mean a finished chunk
        destination.create(f"{_MARKS}/{chunk:012}-{attempt:03}", b"\n")
    content = encode_parquet(pa.Table.from_pylist(rows, SCHEMA))
    return destination.create(_name_results(chunk, attempt), content)


class Taken:
    """Table of the inputs that a job with `only` selected, collected from its results.

    Args:
        options: Options of the job.
    """

    def __init__(self, options: JobOptions) -> None:
        self._status = {None: None, "dry": "dry", "rainy": "done"}[options.only]
        self._columns: dict[str, list[Any]] = {"uri": [], "density": [], "intensity": []}

    def follow(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield results unchanged, and collect those of the selected inputs."""
        for row in rows:
            if self._status is not None and row["status"] == self._status:
                for name, values in self._columns.items():
                    values.append(row[name])
            yield row

    def encode(self) -> bytes:
        """Return the table as Parquet, which another job can read as a list."""
        return encode_parquet(pa.table(self._columns))


def iterate_results(
    destination: str | Path | Store, chunks: Iterable[int] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the results of a job, one for each input that has one, in the order of the manifest.

    Args:
        destination: Destination of `run_job`.
        chunks: Chunks of the manifest to read; None is all.
    """
    store = destination if isinstance(destination, Store) else open_store(destination)
    wanted = None if chunks is None else set(chunks)
    attempts: dict[int, int] = {}
    for chunk, attempt in _parse_names(store.iterate_names(RESULTS)):
        if wanted is None or chunk in wanted:
            attempts[chunk] = max(attempt, attempts.get(chunk, 0))

    def load(item: tuple[int, int]) -> Iterable[Mapping[str, Any]]:
        latest: dict[int, Mapping[str, Any]] = {}
        for attempt in range(item[1] + 1):
            for row in read_chunk_results(store, item[0], attempt) or ():
                latest[row["row"]] = row
        return latest.values()

    ordered = sorted(attempts.items())
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(ordered), 4 * _READERS):
            for rows in pool.map(load, ordered[start : start + 4 * _READERS]):
                yield from map(dict, rows)


def _name_results(chunk: int, attempt: int) -> str:
    return f"{RESULTS}/{chunk:012}-{attempt:03}.parquet"


def _parse_names(names: Iterable[str]) -> Iterator[tuple[int, int]]:
    for name in names:
        chunk, _, attempt = name.removesuffix(".parquet").partition("-")
        if chunk.isdecimal() and attempt.isdecimal():
            yield int(chunk), int(attempt)
