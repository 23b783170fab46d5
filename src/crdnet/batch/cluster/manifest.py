"""Manifest: all inputs of a cluster job, listed once.

`_crdnet/manifest/` holds Parquet files of at most a hundred thousand rows, named by the number of
their first row, and `complete.json` once all inputs are listed. Each file is created if absent
while the source is listed. A killed listing therefore resumes after its last file, and shards that
list at the same time share the files.
"""

import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from crdnet.batch.cluster.faults import call_with_retries
from crdnet.batch.cluster.inputs import JOB_FOLDER, Input, Source
from crdnet.batch.cluster.parquet import encode_parquet, open_parquet
from crdnet.batch.cluster.store import Store
from crdnet.errors import ArgumentError, StoreError

PART_ROWS = 100_000
CHUNK_ROWS = 64
"""Number of inputs in a chunk, whose results are one file."""
_GROUP_ROWS = 64 * CHUNK_ROWS
_FOLDER = f"{JOB_FOLDER}/manifest"
_COMPLETE = f"{_FOLDER}/complete.json"
_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("uri", pa.string()),
        ("key", pa.string()),
        ("size", pa.int64()),
        ("version", pa.string()),
        ("problem", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Part:
    """File of the manifest."""

    first: int
    """Number of its first row."""
    rows: int

    @property
    def key(self) -> str:
        """Key in the destination; it contains both numbers, so that the file need not be opened."""
        return f"{_FOLDER}/{self.first:012}-{self.rows:06}.parquet"

    def list_chunks(self) -> range:
        """Return the number of the first row of each chunk."""
        return range(self.first, self.first + self.rows, CHUNK_ROWS)


class Manifest:
    """Manifest of a cluster job, stored in the destination.

    Args:
        destination: Store of the outputs.
    """

    def __init__(self, destination: Store) -> None:
        self._destination = destination
        self.parts: list[Part] = []
        self.left_out: dict[str, int] = {}
        self.is_complete = False

    @property
    def rows(self) -> int:
        """Number of listed inputs."""
        return sum(part.rows for part in self.parts)

    def read(self) -> None:
        """Find the files of the manifest that exist.

        Raises:
            StoreError: The store does not list a part of the manifest that exists.
        """
        try:
            call_with_retries(self._read)
        except TimeoutError as error:
            raise StoreError(
                f"{self._destination.url} does not list all files of {_FOLDER} that were written; "
                "run the same command again later"
            ) from error

    def _read(self) -> None:
        names = list(self._destination.iterate_names(_FOLDER))
        found = (name.removesuffix(".parquet").split("-") for name in names if "-" in name)
        parts = sorted((int(first), -int(rows)) for first, rows in found)
        self.parts = []
        for first, rows in parts:
            # Two shards may have ended a part at different rows; the longer part counts.
            if first == self.rows:
                self.parts.append(Part(first, -rows))
        self.is_complete = "complete.json" in names
        if self.is_complete:
            complete = json.loads(self._destination.read(_COMPLETE))
            self.left_out = complete["left_out"]
            if self.rows != complete["rows"]:
                raise TimeoutError  # a store whose listings lag behind

    def extend(self, source: Source, limit: int | None) -> None:
        """List the inputs that are not in the manifest yet.

        Args:
            source: Source of the inputs.
            limit: Number of rows after which to stop; None lists all.

        Raises:
            ArgumentError: Two inputs map to one output.
            StoreError: The source cannot be listed.
        """
        while not self._list_parts(source, limit):
            pass
        self._refuse_collisions()
        if limit is not None and self.rows >= limit:
            return
        self.left_out = dict(source.left_out)
        content = {"rows": self.rows, "left_out": self.left_out}
        self._destination.create(_COMPLETE, json.dumps(content).encode())
        self.is_complete = True

    def _list_parts(self, source: Source, limit: int | None) -> bool:
        """Write the missing parts; return False if another process wrote a part meanwhile."""
        last = None
        if self.parts:
            last = self._read_part(self.parts[-1]).column("uri")[-1].as_py()
        most = None if limit is None else max(0, limit - self.rows)
        inputs = islice(source.iterate(self.rows, last), most)
        while batch := _take_batch(inputs):
            part = Part(self.rows, len(batch))
            self.parts.append(part)
            # The part of the other process may differ, so continue after its last row.
            if not self._destination.create(part.key, _encode_part(part, batch)):
                return False
        return True

    def iterate(self, columns: list[str]) -> Iterator[pa.Table]:
        """Yield the given columns of the manifest, one table per file."""
        for part in self.parts:
            yield self._read_part(part, columns)

    def _read_part(self, part: Part, columns: list[str] | None = None) -> pa.Table:
        return open_parquet(self._destination.read(part.key)).read(columns, use_threads=False)

    def _refuse_collisions(self) -> None:
        """Refuse two inputs with one output; hashes of 8 bytes save the memory of names."""
        hashes = [
            np.fromiter(map(hash, table.column("key").to_pylist()), np.int64)
            for table in self.iterate(["key"])
        ]
        together = np.sort(np.concatenate(hashes)) if hashes else np.empty(0, np.int64)
        twice = np.unique(together[1:][together[1:] == together[:-1]])
        nothing = hash("")
        twice = twice[twice != nothing]  # inputs with a problem have no output
        if not len(twice):
            return
        seen: dict[str, str] = {}
        for part, of_part in zip(self.parts, hashes, strict=True):
            if not (places := np.flatnonzero(np.isin(of_part, twice))).size:
                continue
            table = self._read_part(part, ["uri", "key"]).take(pa.array(places))
            for row in table.to_pylist():
                other = seen.setdefault(row["key"], row["uri"])
                if other is row["uri"]:
                    continue
                raise ArgumentError(
                    f"{row['uri']} is listed twice; nothing was derained. Remove the second line"
                    if other == row["uri"]
                    else f"{other} and {row['uri']} would both be written to {row['key']}; "
                    "nothing was derained. Give them ids in a list, or omit `format`"
                )


class ManifestReader:
    """Reader of the chunks of a manifest; it caches the last group of rows."""

    def __init__(self, destination: Store) -> None:
        self._destination = destination
        self._parts: OrderedDict[str, bytes] = OrderedDict()
        self._groups: dict[tuple[str, int], pa.Table] = {}

    def read_chunk(self, part: Part, first: int) -> list[dict[str, Any]]:
        """Return the rows of a chunk.

        Args:
            part: The file of the manifest.
            first: Number of the first row of the chunk.
        """
        group, offset = divmod(first - part.first, _GROUP_ROWS)
        place = (part.key, group)
        if place not in self._groups:
            content = self._load(part)
            self._groups = {place: open_parquet(content).read_row_group(group, use_threads=False)}
        rows: list[dict[str, Any]] = self._groups[place].slice(offset, CHUNK_ROWS).to_pylist()
        return rows

    def _load(self, part: Part) -> bytes:
        if part.key not in self._parts:
            self._parts[part.key] = self._destination.read(part.key)
            if len(self._parts) > 2:
                self._parts.popitem(last=False)
        return self._parts[part.key]


def _take_batch(inputs: Iterator[Input]) -> list[Input]:
    batch = list(islice(inputs, PART_ROWS))
    # A listing resumes after the last address, which an input with a problem may lack.
    while batch and batch[-1].problem is not None and (more := next(inputs, None)) is not None:
        batch.append(more)
    return batch


def _encode_part(part: Part, inputs: list[Input]) -> bytes:
    table = pa.table(
        {
            "row": np.arange(part.first, part.first + part.rows),
            "uri": [each.uri for each in inputs],
            "key": [each.key for each in inputs],
            "size": [each.size for each in inputs],
            "version": [each.version for each in inputs],
            "problem": [each.problem for each in inputs],
        },
        schema=_SCHEMA,
    )
    return encode_parquet(table, row_group_size=_GROUP_ROWS)
