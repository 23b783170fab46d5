"""Random access to the members of tar files by path, `shard.tar/KEY.rainy.png`."""

import tarfile
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePosixPath

from crdnet.errors import DataError


def find_shard(path: Path) -> tuple[Path, str] | None:
    """Return tar file and member of a path below a tar file, else None."""
    for parent in path.parents:
        if parent.suffix == ".tar" and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return None


def is_stored(path: Path) -> bool:
    """Return whether a path is that of a file or of a member of a tar file."""
    if path.is_file():
        return True
    shard = find_shard(path)
    return shard is not None and shard[1] in index_members(shard[0])


def open_image_file(path: Path) -> Path | BytesIO:
    """Return what an image decoder opens: the path, or the bytes of a member of a tar file."""
    shard = None if path.is_file() else find_shard(path)
    if shard is None:
        return path
    return BytesIO(read_member(*shard))


def read_member(shard: Path, name: str) -> bytes:
    """Return the bytes of a member of a tar file.

    Raises:
        FileNotFoundError: There is no such member.
    """
    place = index_members(shard).get(name)
    if place is None:
        raise FileNotFoundError(f"{shard} has no member {name}")
    offset, size = place
    with shard.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def index_members(shard: Path) -> dict[str, tuple[int, int]]:
    """Return offset and size, in bytes, of each file in a tar file.

    Raises:
        DataError: The file is no tar file, or a compressed one.
    """
    return _index(shard, shard.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _index(shard: Path, changed: int) -> dict[str, tuple[int, int]]:  # noqa: ARG001 - for the cache
    try:
        with tarfile.open(shard, "r:") as tar:
            # `tar -C folder .` names its members ./KEY.rainy.png.
            return {
                PurePosixPath(each.name).as_posix(): (each.offset_data, each.size)
                for each in tar
                if each.isfile()
            }
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{shard}: cannot be read as a tar file: {error}") from error
