"""Folders and bucket prefixes, on this machine or in any store that fsspec supports.

`Store.create` never replaces a file. If two writers create the same file at the same time, one of
them learns that it exists. S3 and GCS ensure this by a conditional request, a local folder by a
hard link. In other stores, a temporary file is renamed if the name is free, which is not atomic:
two simultaneous writers may both find it free.
"""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from stat import S_ISREG
from typing import Any

import fsspec

from crdnet.batch.cluster.faults import (
    call_with_retries,
    describe_fault,
    find_http_status,
    has_credentials,
    hide_credentials,
)
from crdnet.errors import ArgumentError, OutputError, StoreError
from crdnet.files import means_full_disk

LOCAL = "file"
CONDITIONAL = ("s3", "s3a", "gs", "gcs")
"""Schemes of stores that support create-if-absent."""
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs"}
_PRECONDITION_FAILED = 412
_NOT_IMPLEMENTED = 501
_PART = ".crdnet-"
PARTS_FOLDER = "_crdnet/parts"
"""Folder of the temporary files of a local store; a killed worker may leave some."""
# No retries in the libraries, because `call_with_retries` does them. No cache of listings, because
# they have millions of entries.
_S3_OPTIONS: dict[str, Any] = {
    "max_concurrency": 1,  # with more, each read asks for the size first
    "config_kwargs": {
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "connect_timeout": 10,
        "read_timeout": 60,
    },
}


@dataclass(frozen=True)
class Found:
    """File in the listing of a store."""

    path: str
    """Path in the file system."""
    size: int | None = None
    """Size in bytes; None if unknown."""
    version: str | None = None
    """ETag, or time of the last change; None if unknown."""


@dataclass(frozen=True)
class Store:
    """Folder, or prefix in a bucket; it can be pickled, and opens its file system at first use."""

    scheme: str
    """Scheme of the URL: `file`, `s3`, and so on."""
    root: str
    """Path of the folder in the file system, without a slash at the end."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Arguments of the file system, which may contain a password."""

    @property
    def url(self) -> str:
        """Address for messages, without credentials."""
        return self.root if self.scheme == LOCAL else f"{self.scheme}://{self.root}"

    @property
    def is_local(self) -> bool:
        """True for a folder of this machine."""
        return self.scheme == LOCAL

    @property
    def files(self) -> Any:
        """The file system; fsspec keeps one for each set of arguments."""
        system = open_file_system(self.scheme, self.options)
        if self.scheme in ("s3", "s3a"):
            system.retries = 1
        return system

    def locate(self, key: str) -> str:
        """Return the path of a key in the file system."""
        return f"{self.root}/{key}" if key else self.root

    def make_uri(self, path: str) -> str:
        """Return the address of a path in the file system."""
        return path if self.is_local else f"{self.scheme}://{path}"

    def read(self, key: str) -> bytes:
        """Return the content of a file of the job.

        Raises:
            FileNotFoundError: The file does not exist.
            StoreError: The file cannot be read.
        """
        path = self.locate(key)
        try:
            return read_file(self.files, path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreError(
                f"{self.make_uri(path)} cannot be read: {describe_fault(error)}; check the "
                "permission to read it, and the credentials"
            ) from error

    def exists(self, key: str) -> bool:
        """Return whether a file exists; queries the store at each call."""
        return bool(call_with_retries(lambda: self.files.isfile(self.locate(key))))

    def create(self, key: str, content: bytes) -> bool:
        """Create a file atomically, unless it exists.

        Returns:
            True if the file was created; False if it existed and is unchanged.

        Raises:
            OutputError: The file cannot be written.
        """
        path = self.locate(key)
        try:
            if self.is_local:
                return _create_local(Path(path), content, Path(self.locate(PARTS_FOLDER)))
            if self.scheme in CONDITIONAL:
                return call_with_retries(lambda: self._create_on_condition(path, content))
            return call_with_retries(lambda: self._create_by_rename(path, content))
        except Exception as error:
            failure = OutputError(
                f"cannot write {self.make_uri(path)}: {describe_fault(error)}; choose a "
                "destination that may be written to"
            )
            failure.errno = error.errno if isinstance(error, OSError) else None
            if means_full_disk(failure):
                failure = OutputError(f"cannot write {self.make_uri(path)}: the disk is full")
                failure.errno = errno.ENOSPC
            raise failure from error

    def replace(self, key: str, content: bytes) -> None:
        """Write a file that may exist, such as a report, which has only one writer."""
        path = self.locate(key)
        if self.is_local:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            call_with_retries(lambda: self.files.pipe_file(path, content))
        except Exception as error:
            raise OutputError(
                f"cannot write {self.make_uri(path)}: {describe_fault(error)}; choose a "
                "destination that may be written to"
            ) from error

    def iterate_names(self, folder: str) -> Iterator[str]:
        """Yield the names of the files in a folder, in any order; none if there is no folder."""
        place = self.locate(folder)
        if self.is_local:
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(place) as entries:
                yield from (entry.name for entry in entries if not entry.name.startswith(_PART))
            return
        with suppress(FileNotFoundError):
            for found in iterate_prefix(self, f"{place}/"):
                yield found.path.rpartition("/")[2]

    def is_empty(self) -> bool:
        """Return whether the store holds nothing but temporary files of a killed job."""
        parts = f"{self.locate(PARTS_FOLDER)}/"
        with suppress(FileNotFoundError):
            return all(
                found.path.startswith(parts) for found in iterate_prefix(self, f"{self.root}/")
            )
        return True

    def _create_on_condition(self, path: str, content: bytes) -> bool:
        try:
            self.files.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            status = find_http_status(error)
            if status == _PRECONDITION_FAILED:
                return False
            if status == _NOT_IMPLEMENTED:
                return self._create_by_rename(path, content)
            raise
        return True

    def _create_by_rename(self, path: str, content: bytes) -> bool:
        folder = path.rpartition("/")[0]
        temporary = f"{folder}/{_PART}{token_hex(8)}.part"
        if self.files.exists(path):
            return False
        if self.scheme not in CONDITIONAL:
            self.files.makedirs(folder, exist_ok=True)
        self.files.pipe_file(temporary, content)
        try:
            if self.files.exists(path):
                return False
            self.files.mv(temporary, path)
        finally:
            with suppress(Exception):
                if self.files.exists(temporary):
                    self.files.rm_file(temporary)
        return True


def open_store(url: str | Path) -> Store:
    """Return the store of a path or URL, without accessing it.

    Raises:
        ArgumentError: The URL has no supported form.
        StoreError: The package for its scheme is not installed.
    """
    text = os.fspath(url)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Store(LOCAL, os.path.abspath(text).rstrip("/"))  # noqa: PTH100 - text stays text
    if "::" in text:
        raise ArgumentError(
            f"{hide_credentials(text)}: chained URLs are not supported; give one URL"
        )
    if scheme in ("file", "local"):
        return Store(LOCAL, os.path.abspath(f"/{rest.lstrip('/')}").rstrip("/"))  # noqa: PTH100
    if not rest.strip("/"):
        raise ArgumentError(f"{text} names no bucket or folder; write {scheme}://BUCKET/PREFIX")
    if scheme in CONDITIONAL and has_credentials(text):
        raise ArgumentError(
            f"{hide_credentials(text)}: the URL of a bucket must not hold keys; set them in "
            "the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    kind = _find_class(scheme, hide_credentials(text))
    options = {**kind._get_kwargs_from_urls(text), "use_listings_cache": False}
    if scheme in ("s3", "s3a"):
        options |= _S3_OPTIONS
    # Bucket stores accept #, ? and % in a key, but fsspec's parser of URLs does not.
    root = rest if scheme in CONDITIONAL else kind._strip_protocol(text)
    return Store(scheme, root.rstrip("/"), options)


def open_file_system(scheme: str, options: Mapping[str, Any]) -> Any:
    """Return the file system of a scheme."""
    if scheme == LOCAL:
        return fsspec.filesystem(LOCAL)
    return fsspec.filesystem(scheme, **options)


def read_file(files: Any, path: str) -> bytes:
    """Return the content of a file of a file system."""
    content: bytes = call_with_retries(lambda: files.cat_file(path))
    return content


def iterate_prefix(store: Store, prefix: str, after: str | None = None) -> Iterator[Found]:
    """Yield all files whose paths begin with a prefix, page by page, in the order of the store.

    Args:
        store: The store.
        prefix: Path that begins with the bucket and ends with a slash.
        after: Path after which to begin; None yields all files.

    Raises:
        OSError: The store cannot be listed.
    """
    if store.scheme in ("s3", "s3a"):
        yield from _iterate_s3(store.files, prefix, after)
    elif store.is_local:
        yield from _skip(_walk_local(prefix.rstrip("/")), after)
    else:
        yield from _skip(_walk_any(store.files, prefix.rstrip("/")), after)


def list_failing(store: Store, error: Exception) -> StoreError:
    """Return the StoreError for a store that cannot be listed."""
    reason = describe_fault(error)
    if isinstance(error, FileNotFoundError):
        reason, remedy = "there is no such folder or bucket", "check the name"
    elif isinstance(error, PermissionError):
        remedy = "ask for the permission to list it, or check the credentials"
    elif "egion" in reason or find_http_status(error) in (301, 307, 400):
        remedy = "set AWS_REGION to the region of the bucket, and check the endpoint"
    else:
        remedy = "check the address"
    return StoreError(f"{store.url} cannot be listed: {reason}; {remedy}")


def _find_class(scheme: str, shown: str) -> Any:
    try:
        return fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        remedy = f"run: pip install {package}" if package else str(error).partition("\n")[0]
        raise StoreError(f"{shown} needs a package that is not installed; {remedy}") from error
    except ValueError as error:
        raise ArgumentError(
            f"{shown}: there is no file system {scheme!r}; give a folder, or a URL such as "
            "s3://BUCKET/PREFIX"
        ) from error


def _create_local(path: Path, content: bytes, parts: Path) -> bool:
    for folder in (path.parent, parts):
        folder.mkdir(parents=True, exist_ok=True)
    temporary = parts / f"{_PART}{token_hex(8)}.part"
    try:
        temporary.write_bytes(content)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            if path.is_dir():  # this key is also the folder of another output
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from None
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV):
                raise
            # The file system has no hard links.
            if os.path.lexists(path):
                return False
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()
    return True


def _iterate_s3(files: Any, prefix: str, after: str | None) -> Iterator[Found]:
    bucket, _, key = prefix.partition("/")
    start = {} if after is None else {"StartAfter": after.partition("/")[2]}
    while True:
        page = call_with_retries(
            lambda start=start: files.call_s3("list_objects_v2", Bucket=bucket, Prefix=key, **start)
        )
        for each in page.get("Contents", ()):
            yield Found(f"{bucket}/{each['Key']}", each["Size"], each["ETag"].strip('"'))
        if not page.get("IsTruncated"):
            return
        start = {"ContinuationToken": page["NextContinuationToken"]}


def _walk_local(folder: str) -> Iterator[Found]:
    """Yield the files below a folder, sorted by the parts of their paths.

    Links to folders are not followed, because they may form a loop.
    """
    with os.scandir(folder) as entries:
        names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder in names:
        path = f"{folder}/{name}"
        if is_folder:
            yield from _walk_local(path)
            continue
        try:
            status = os.stat(path)  # noqa: PTH116 - one call for each of millions
        except OSError:
            yield Found(path)  # a broken link; reading it fails with the reason
            continue
        if S_ISREG(status.st_mode):
            yield Found(path, status.st_size, str(status.st_mtime_ns))


def _walk_any(files: Any, folder: str) -> Iterator[Found]:
    entries = call_with_retries(lambda: files.ls(folder, detail=True))
    for each in sorted(entries, key=lambda entry: str(entry["name"])):
        path = each["name"].rstrip("/")
        if each["type"] == "directory":
            if path != folder:
                yield from _walk_any(files, path)
            continue
        version = next((each[name] for name in ("etag", "mtime") if each.get(name)), None)
        yield Found(path, each.get("size"), None if version is None else str(version))


def _skip(found: Iterator[Found], after: str | None) -> Iterator[Found]:
    """Yield the files after a path; paths are ordered by their parts."""
    last = None if after is None else after.split("/")
    return (each for each in found if last is None or each.path.split("/") > last)
