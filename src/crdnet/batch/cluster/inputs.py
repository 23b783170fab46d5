"""Inputs of a cluster job: the images of a folder, a bucket prefix, a pattern or a list.

A source yields its inputs in a fixed order and can continue after any of them, so that a killed
listing resumes. The key of an output is the path of its input below the source; for a list it is
the id, or the address without its scheme.
"""

import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from glob import has_magic
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from crdnet.batch.cluster.faults import has_credentials, hide_credentials
from crdnet.batch.cluster.options import JobOptions
from crdnet.batch.cluster.store import CONDITIONAL, Found, Store, iterate_prefix, list_failing
from crdnet.errors import ArgumentError, DataError, StoreError
from crdnet.images import FORMAT_OF_SUFFIX, RAW_SUFFIXES
from crdnet.pipeline import SUFFIX, choose_suffix

LIST_SUFFIXES = (".parquet", ".jsonl", ".ndjson", ".txt")
TAR_SUFFIX = ".tar"
JOB_FOLDER = "_crdnet"
"""Folder in the destination for the state of the job."""
_READ_ROWS = 8192
_TOKEN = re.compile(r"\[[!^]?[^\]]+\]|.")


@dataclass(frozen=True, slots=True)
class Input:
    """Input of a cluster job, with the key of its output in the destination."""

    uri: str
    key: str
    size: int | None = None
    version: str | None = None
    problem: str | None = None
    """Reason for which the input cannot be processed; None if it can."""


class Source(ABC):
    """Source of inputs in a fixed order.

    Attributes:
        left_out: Number of files that are not inputs, by kind.
    """

    def __init__(self) -> None:
        self.left_out: Counter[str] = Counter()

    @abstractmethod
    def iterate(self, rows: int, after: str | None) -> Iterator[Input]:
        """Yield the inputs after those that are listed already.

        Args:
            rows: Number of inputs that are listed already.
            after: Address of the last listed input; None if there is none.
        """


def open_source(store: Store, destination: Store, options: JobOptions) -> Source:
    """Return the source in a store: a list, a pattern, a file or a folder.

    Raises:
        ArgumentError: The source has no known form.
        StoreError: The store cannot be reached.
    """
    if _is_list(store):
        return ListSource(store, options)
    try:
        if has_magic(store.root) and not _has_any(store):
            return _open_pattern(store, destination, options)
        if store.files.isfile(store.root):
            folder, _, name = store.root.rpartition("/")
            only = Store(store.scheme, folder, store.options)
            return PrefixSource(only, destination, options, re.compile(re.escape(name)))
    except OSError as error:
        raise list_failing(store, error) from error
    return PrefixSource(store, destination, options)


def refuse_overlap(source: Store, destination: Store) -> None:
    """Check that the source does not lie in the destination; a list may.

    Raises:
        ArgumentError: The source lies in the destination and is not a list.
    """
    lies_inside = source.scheme == destination.scheme and f"{source.root}/".startswith(
        f"{destination.root}/"
    )
    if lies_inside and not _is_list(source):
        raise ArgumentError(
            f"the source {source.url} lies in the destination {destination.url}; choose another "
            "destination"
        )


def _is_list(store: Store) -> bool:
    is_list = PurePosixPath(store.root).suffix.lower() in LIST_SUFFIXES
    return is_list and not has_magic(store.root)


class PrefixSource(Source):
    """Source of the images below a folder or prefix.

    Args:
        store: The folder.
        destination: Store of the outputs; left out if it lies in the folder.
        options: Options that determine the names of the outputs.
        pattern: Pattern of the keys to take; None takes all.
    """

    def __init__(
        self,
        store: Store,
        destination: Store,
        options: JobOptions,
        pattern: "re.Pattern[str] | None" = None,
    ) -> None:
        super().__init__()
        self._store, self._options, self._pattern = store, options, pattern
        same = store.scheme == destination.scheme
        self._excluded = f"{destination.root}/" if same else None

    def iterate(self, rows: int, after: str | None) -> Iterator[Input]:  # noqa: ARG002 - of lists
        """Yield the inputs after a given one; see `Source`."""
        store = self._store
        last = None if after is None else _get_path(after, store)
        try:
            for found in iterate_prefix(store, f"{store.root}/", last):
                if (each := self._take(found)) is not None:
                    yield each
        except OSError as error:
            raise list_failing(store, error) from error

    def _take(self, found: Found) -> Input | None:
        below = found.path[len(self._store.root) + 1 :]
        if self._excluded is not None and found.path.startswith(self._excluded):
            return None
        if self._pattern is not None and not self._pattern.fullmatch(below):
            return None
        if reason := _find_reason_to_leave_out(below, self._options):
            self.left_out[reason] += 1
            return None
        uri = self._store.make_uri(found.path)
        return make_input(uri, below, self._options, found.size, found.version)


class ListSource(Source):
    """Source of the inputs in a list: a Parquet, JSONL or text file.

    Args:
        store: The file.
        options: Options with the names of the columns; they also determine the names of the
            outputs.
    """

    def __init__(self, store: Store, options: JobOptions) -> None:
        super().__init__()
        self._store, self._options = store, options

    def iterate(self, rows: int, after: str | None) -> Iterator[Input]:  # noqa: ARG002 - of folders
        """Yield the inputs after the first rows; see `Source`."""
        for uri, name in islice(self._read(), rows, None):
            yield self._make_input(uri, name)

    def _read(self) -> Iterator[tuple[str, str | None]]:
        path = self._store.root
        try:
            with self._store.files.open(path, "rb") as file:
                if path.lower().endswith(".parquet"):
                    yield from self._read_parquet(file)
                else:
                    yield from self._read_lines(file, is_json=not path.lower().endswith(".txt"))
        except FileNotFoundError as error:
            raise StoreError(f"there is no list {self._store.url}; check the path") from error
        except PermissionError as error:
            raise list_failing(self._store, error) from error

    def _read_parquet(self, file: Any) -> Iterator[tuple[str, str | None]]:
        uri, name = self._options.uri_column, self._options.id_column
        try:
            # Without buffering, a row group of gigabytes would be read at once.
            table = pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
            names = table.schema_arrow.names
            self._check_columns(names)
            columns = [uri, name] if name in names else [uri]
            for batch in table.iter_batches(_READ_ROWS, columns=columns, use_threads=False):
                uris = batch.column(0).to_pylist()
                ids = batch.column(1).to_pylist() if len(columns) > 1 else [None] * len(uris)
                for row_uri, row_id in zip(uris, ids, strict=True):
                    yield str(row_uri or ""), None if row_id is None else str(row_id)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{self._store.url} cannot be read as a Parquet file: "
                f"{str(error).splitlines()[0]}; write it again"
            ) from error

    def _read_lines(self, file: Any, *, is_json: bool) -> Iterator[tuple[str, str | None]]:
        for number, line in enumerate(file, 1):
            text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            if not text.strip():
                continue
            if not is_json:
                yield text, None
                continue
            try:
                row = json.loads(text)
                keys = list(row.keys())
            except (ValueError, AttributeError) as error:
                raise DataError(
                    f"{self._store.url}, line {number}: not a JSON object; write one per line, "
                    'such as {"uri": "s3://bucket/a.jpg"}'
                ) from error
            self._check_columns(keys)
            name = row.get(self._options.id_column)
            yield str(row[self._options.uri_column]), None if name is None else str(name)

    def _check_columns(self, names: list[str]) -> None:
        if self._options.uri_column not in names:
            raise DataError(
                f"{self._store.url} has no column {self._options.uri_column!r}, only "
                f"{', '.join(names) or 'none'}; name the column of addresses with `uri_column`"
            )

    def _make_input(self, uri: str, name: str | None) -> Input:
        scheme, separator, rest = uri.partition("://")
        if not separator:
            # Relative addresses start from the folder of the list.
            folder = self._store.root.rpartition("/")[0]
            key = uri.removeprefix("./")
            path = uri if uri.startswith("/") and self._store.is_local else f"{folder}/{key}"
            return make_input(self._store.make_uri(path), name or key.lstrip("/"), self._options)
        is_local = scheme in ("file", "local")
        address = f"/{rest.lstrip('/')}" if is_local else uri
        # In a bucket, a question mark is part of the key.
        key = rest if scheme in CONDITIONAL else rest.partition("?")[0]
        return make_input(address, name or key.lstrip("/"), self._options)


def make_input(
    uri: str,
    below: str,
    options: JobOptions,
    size: int | None = None,
    version: str | None = None,
) -> Input:
    """Return the input for an address; a fault in its name becomes its `problem`."""
    if has_credentials(uri):
        return Input(
            hide_credentials(uri),
            "",
            problem="its address holds credentials, which would be stored; set them in the "
            "environment",
        )
    if not uri.isprintable():
        shown = uri.encode("utf-8", "backslashreplace").decode()
        try:
            uri.encode()
        except UnicodeEncodeError:
            return Input(shown, "", problem="its name is not UTF-8; rename it")
        if "\0" in uri or "\n" in uri or "\r" in uri:
            return Input(shown, "", problem="its name holds line breaks or zeros; rename it")
    if any(part in ("", ".", "..") for part in below.split("/")):
        return Input(
            uri,
            "",
            size,
            version,
            f"its name {below!r} holds an empty part, . or .., which would leave the destination; "
            "rename it, or give it an id",
        )
    return Input(uri, name_output_key(below, options), size, version)


def name_output_key(below: str, options: JobOptions) -> str:
    """Return the key of the output: the key of the input with the suffix of the output format."""
    if options.webdataset:
        return below
    path = PurePosixPath(below)
    suffix = choose_suffix(Path(path.name), options.derain)
    return below if suffix == path.suffix else str(path.with_suffix(suffix))


def _find_reason_to_leave_out(below: str, options: JobOptions) -> str | None:
    """Return the kind of a file that is not an input; None for an input."""
    parts = below.split("/")
    if any(part.startswith(".") and part not in (".", "..") for part in parts):
        return "hidden"
    suffix = PurePosixPath(parts[-1]).suffix.lower()
    if options.webdataset:
        return None if suffix == TAR_SUFFIX else "no tar files"
    if suffix in RAW_SUFFIXES:
        return "raw files of cameras (develop them first)"
    if suffix not in FORMAT_OF_SUFFIX:
        return "no images"
    if PurePosixPath(parts[-1]).stem.endswith(SUFFIX):
        return "results of `crdnet derain`"
    return None


def _open_pattern(store: Store, destination: Store, options: JobOptions) -> PrefixSource:
    parts = store.root.split("/")
    start = next(index for index, part in enumerate(parts) if has_magic(part))
    folder, pattern = "/".join(parts[:start]), "/".join(parts[start:])
    if not folder:
        raise ArgumentError(f"{store.url}: a pattern begins below a bucket or folder; name that")
    base = Store(store.scheme, folder, store.options)
    return PrefixSource(base, destination, options, _translate_pattern(pattern))


def _translate_pattern(pattern: str) -> "re.Pattern[str]":
    """Return a regular expression for a pattern; * stays within a folder, ** crosses folders."""
    parts = []
    for part in pattern.split("/"):
        if part == "**":
            parts.append("(?:[^/]+/)*")
            continue
        parts.append("".join(_translate_wildcard(each) for each in _TOKEN.findall(part)) + "/")
    if pattern.endswith("**"):
        parts.append("[^/]+/")
    return re.compile("".join(parts).removesuffix("/"))


def _translate_wildcard(token: str) -> str:
    if len(token) > 1:
        inside = token[1:-1].replace("\\", "\\\\")
        return f"[^{inside[1:]}]" if inside[0] in "!^" else f"[{inside}]"
    return {"*": "[^/]*", "?": "[^/]"}.get(token, re.escape(token))


def _has_any(store: Store) -> bool:
    try:
        return next(iterate_prefix(store, f"{store.root}/"), None) is not None or bool(
            store.files.isfile(store.root)
        )
    except FileNotFoundError:
        return False


def _get_path(uri: str, store: Store) -> str:
    return uri if store.is_local else uri.partition("://")[2]
