"""Writing files: whole or not at all.

Everything that crdnet leaves on a disk is written here, under another name in its own folder, and
renamed when it is complete. Nobody ever sees half of it, after a failure, Ctrl-C or kill -9; what
kill -9 leaves is a temporary file whose name says so, which `remove_stale_parts` finds.
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
    """Write a file, and the folders above it.

    Args:
        path: Where to; its mode follows from the umask.
        content: All of it.
        overwrite: Whether a file that is there, or came while we worked, may be replaced.
        times_ns: When it shall have been read and changed last, in nanoseconds; None is now.

    Raises:
        OutputError: It cannot be written, or is there and must not be replaced.
    """
    with whole_file(path, overwrite=overwrite, times_ns=times_ns) as file:
        file.write(content)


@contextmanager
def whole_file(
    path: Path, *, overwrite: bool = True, times_ns: tuple[int, int] | None = None
) -> Iterator[BufferedWriter]:
    """Open a temporary file to write to, which becomes `path` when the block ends well, and else is removed.

    Arguments and errors are those of `write_whole`; an OSError in the block counts as one of
    writing.
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
                raise FileExistsError(0, "something else wrote it meanwhile")
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
                "make room"
                if error.errno in _FULL
                else "choose a place that exists and may be written to"
            )
        )
        failure.errno = error.errno
        raise failure from error


def means_full_disk(error: BaseException) -> bool:
    """Return whether something could not be written since the disk, or the user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in _FULL


def remove_stale_parts(folder: Path, *, seconds: float) -> None:
    """Remove the temporary files that a killed process left in a folder.

    Args:
        folder: Only it, not the folders in it; it need not exist.
        seconds: Leave those alone that were written to within this time: somebody may be at it.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PART_START) and entry.name.endswith(_PART_END):
                with suppress(OSError):
                    if time() - entry.stat().st_mtime >= seconds:
                        os.unlink(entry.path)  # noqa: PTH108 - there may be very many


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a lock, by means of a file that is made for it and stays, until the block or the process ends.

    Yields:
        Whether it is ours; False while another process, or another block of this one, holds it.
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
