"""The pictures below a folder, listed once and in the order in which a person would count them."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from crdnet.data.pictures import is_picture_name
from crdnet.errors import DataError


@dataclass(frozen=True)
class Listing:
    """The files below a folder, as the layouts see them.

    Attributes:
        root: The data set's folder.
        pictures: Paths of the pictures, relative to the root, in natural order.
        other_files: How many files are no pictures by their names (texts, `Thumbs.db`, hidden
            files).
        prefix: Where these pictures lie below the folder that the user named, when they are a part
            of it.
    """

    root: Path
    pictures: tuple[PurePosixPath, ...]
    other_files: int = 0
    prefix: PurePosixPath = field(default_factory=PurePosixPath)

    @property
    def folders(self) -> tuple[str, ...]:
        """Names of the folders directly below the root that hold pictures, at any depth."""
        return tuple(self._inside)

    def below(self, folder: str) -> "Listing":
        """Return the listing of one of the folders."""
        return Listing(self.root / folder, tuple(self._inside[folder]), prefix=self.prefix / folder)

    @cached_property
    def _inside(self) -> dict[str, list[PurePosixPath]]:
        inside: dict[str, list[PurePosixPath]] = {}
        for picture in self.pictures:
            if len(picture.parts) > 1:
                inside.setdefault(picture.parts[0], []).append(PurePosixPath(*picture.parts[1:]))
        return inside

    def name(self, picture: PurePosixPath) -> str:
        """Return a picture's path below the folder that the user named."""
        return (self.prefix / picture).as_posix()


def list_pictures(root: Path) -> Listing:
    """List the pictures below a folder; links to folders are followed, hidden folders are not entered.

    Raises:
        DataError: The folder is missing, is none, or cannot be listed.
    """
    if not root.exists():
        raise DataError(f"{root}: there is no such folder; name the folder of a data set")
    if not root.is_dir():
        raise DataError(f"{root}: is a file; name the folder of a data set")
    pictures: list[PurePosixPath] = []
    other_files = 0
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=_refuse_unlistable):
        subfolders[:] = sorted(name for name in subfolders if _worth_entering(Path(folder), name))
        below_root = PurePosixPath(Path(folder).relative_to(root).as_posix())
        for file in files:
            if is_picture_name(file):
                pictures.append(below_root / file)
            else:
                other_files += 1
    return Listing(root, tuple(natural_order(pictures)), other_files)


def _worth_entering(folder: Path, name: str) -> bool:
    if name.startswith(".") or name == "__MACOSX":
        return False
    child = folder / name
    # A link that leads back to where we came from would never end.
    return not (child.is_symlink() and folder.resolve().is_relative_to(child.resolve()))


def _refuse_unlistable(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed: {error.strerror}") from error


def natural_order(paths: Iterable[PurePosixPath]) -> list[PurePosixPath]:
    """Sort paths so that 2.jpg comes before 10.jpg; the order is total, hence the same on every machine."""
    return sorted(paths, key=_natural_key)


def _natural_key(path: PurePosixPath) -> tuple[list[list[tuple[int, str]]], str]:
    return [_counted(part) for part in path.parts], path.as_posix()


def _counted(text: str) -> list[tuple[int, str]]:
    # [0-9] and not \d: int() would take the digits of any script, but a superscript it would not.
    pieces = re.split(r"([0-9]+)", text.casefold())
    return [(int(piece), "") if piece[:1] in "0123456789" and piece else (-1, piece) for piece in pieces]
