"""Writing files: whole or not at all.

Everything that crdnet leaves on a disk is written here, under another name in its own folder, and renamed when it
is complete. Nobody ever sees half of it, after a failure, Ctrl-C or kill -9.
"""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from crdnet.errors import OutputError


def write_whole(path: Path, content: bytes, *, overwrite: bool = True) -> None:
    """Write a file, and the folders above it.

    Args:
        path: Where to; its mode follows from the umask.
        content: All of it.
        overwrite: Whether a file that is there, or came while we worked, may be replaced.

    Raises:
        OutputError: It cannot be written, or is there and must not be replaced.
    """
    temporary = path.with_name(f".crdnet-{token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(content)
            if not overwrite and os.path.lexists(path):
                raise FileExistsError(0, "something else wrote it meanwhile")
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink()
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; choose a place that exists and may be written to"
        ) from error
