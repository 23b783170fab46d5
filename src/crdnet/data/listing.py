"""Listing of the images below a folder in natural order."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from crdnet.data.image_reader import is_image_name
from crdnet.errors import DataError


@dataclass(frozen=True)
class Listing:
    """Files below a folder.

    Attributes:
        root: Folder of the listing.
        images: Paths of the images, relative to the root, in natural order.
        other_files: Number of files that are no images by their names (texts, `Thumbs.db`, hidden
            files).
        prefix: Path of the root below the folder that the user named.
    """

    root: Path
    images: tuple[PurePosixPath, ...]
    other_files: int = 0
    prefix: PurePosixPath = field(default_factory=PurePosixPath)

    @property
    def folders(self) -> tuple[str, ...]:
        """Names of the folders directly below the root with images at any depth."""
        return tuple(self._inside)

    def list_below(self, folder: str) -> "Listing":
        """Return the listing of one of `folders`."""
        return Listing(self.root / folder, tuple(self._inside[folder]), prefix=self.prefix / folder)

    @cached_property
    def _inside(self) -> dict[str, list[PurePosixPath]]:
        inside: dict[str, list[PurePosixPath]] = {}
        for image in self.images:
            if len(image.parts) > 1:
                inside.setdefault(image.parts[0], []).append(PurePosixPath(*image.parts[1:]))
        return inside

    def name_image(self, image: PurePosixPath) -> str:
        """Return the path of an image below the folder that the user named."""
        return (self.prefix / image).as_posix()


def list_images(root: Path) -> Listing:
    """List the images below a folder; follow links to folders, skip hidden folders.

    Raises:
        DataError: The folder is missing, is a file, or cannot be listed.
    """
    if not root.exists():
        raise DataError(f"{root}: there is no such folder; name the folder of a data set")
    if not root.is_dir():
        raise DataError(f"{root}: is a file; name the folder of a data set")
    images: list[PurePosixPath] = []
    other_files = 0
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=_refuse_unlistable):
        # In place: os.walk descends into the folders that remain in its list.
        subfolders[:] = sorted(
            name
            for name in subfolders
            if _is_worth_entering(
                Path(folder),
                name,
            )
        )
        below_root = PurePosixPath(Path(folder).relative_to(root).as_posix())
        for file in files:
            if is_image_name(file):
                images.append(below_root / file)
            else:
                other_files += 1
    return Listing(root, tuple(sort_naturally(images)), other_files)


def _is_worth_entering(folder: Path, name: str) -> bool:
    # These folders hold metadata of file managers, with names like those of images.
    if name.startswith(".") or name == "__MACOSX":
        return False
    child = folder / name
    # A link to a folder that contains it would make the walk endless.
    return not (child.is_symlink() and folder.resolve().is_relative_to(child.resolve()))


def _refuse_unlistable(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed: {error.strerror}") from error


def sort_naturally(paths: Iterable[PurePosixPath]) -> list[PurePosixPath]:
    """Sort paths so that 2.jpg comes before 10.jpg; the order is total and the same everywhere."""
    return sorted(paths, key=_build_natural_key)


def _build_natural_key(path: PurePosixPath) -> tuple[list[list[tuple[int, str]]], str]:
    return [_split_numbers(part) for part in path.parts], path.as_posix()


def _split_numbers(text: str) -> list[tuple[int, str]]:
    # Not \d, which also matches superscripts, and int() refuses those.
    pieces = re.split(r"([0-9]+)", text.casefold())
    return [
        (
            int(piece),
            "",
        )
        if piece[:1] in "0123456789" and piece
        else (-1, piece)
        for piece in pieces
    ]
