"""Atomic writing of files, and locks.

crdnet writes each output to a temporary file in the folder of the output and renames it when it is
complete. No reader ever sees a partial output, not even after a failure, Ctrl-C or kill -9. A
temporary file that kill -9 leaves behind is recognised by its name, see `remove_stale_parts`.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from secrets import token_hex
from time import time

from crdnet.errors import OutputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_PART_START, _PART_END = ".crdnet-", ".part"
_FULL = {errno.ENOSPC, errno.EDQUOT}


def write_whole(
    path: Path, content: bytes, *, overwrite: bool = True, times_ns: tuple[int, int] | None = None
) -> None:
    """Write a file atomically, and create its parent folders.

    Args:
        path: Path of the file; its mode follows from the umask.
        content: Complete content.
        overwrite: Whether an existing file may be replaced.
        times_ns: Times of the last access and the last modification, in nanoseconds; None is now.

    Raises:
        OutputError: The file cannot be written, or it exists and must not be replaced.
    """
    with open_whole(path, overwrite=overwrite, times_ns=times_ns) as file:
        file.write(content)


@contextmanager
def open_whole(
    path: Path, *, overwrite: bool = True, times_ns: tuple[int, int] | None = None
) -> Iterator[BufferedWriter]:
    """Open a temporary file that is renamed to `path` on success and removed on failure.

    Arguments and errors are those of `write_whole`; an OSError in the block becomes an OutputError.
    """
    temporary = path.with_name(f"{_PART_START}{token_hex(8)}{_PART_END}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                yield file
            if times_ns is not None:
                os.utime(temporary, ns=times_ns)
            if not overwrite and os.path.lexists(path):
                raise FileExistsError(0, "another process wrote it")
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink()
    except OutputError:
        raise
    except OSError as error:
        failure = OutputError(
            f"cannot write {path}: {error.strerror or error}; "
            + (
                "free some space"
                if error.errno in _FULL
                else "choose a place that exists and may be written to"
            )
        )
        failure.errno = error.errno
        raise failure from error


def means_full_disk(error: BaseException) -> bool:
    """Return whether an error means that the disk, or the user's quota, is full."""
    return isinstance(error, OSError) and error.errno in _FULL


def remove_stale_parts(folder: Path, *, seconds: float) -> None:
    """Remove the temporary files that a killed process left in a folder.

    Args:
        folder: The folder, searched without subfolders; it need not exist.
        seconds: Minimum age; a younger file may still be in use by another process.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PART_START) and entry.name.endswith(_PART_END):
                with suppress(OSError):
                    if time() - entry.stat().st_mtime >= seconds:
                        os.unlink(entry.path)  # noqa: PTH108 - there may be very many


@contextmanager
def hold_lock(path: Path) -> Iterator[bool]:
    """Hold a lock on a file until the block or the process ends.

    The file is created if needed and stays.

    Yields:
        True if the lock was acquired; False if this or another process already holds it.
    """
    with path.open("ab") as file:
        try:
            if sys.platform == "win32":
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            yield False
        else:
            yield True
