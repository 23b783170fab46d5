"""Search for inputs: the images that files, folders and patterns stand for.

A folder may hold a hundred thousand images. Each therefore costs only one call of the file system,
and paths are strings rather than path objects.
"""
# ruff: noqa: PTH112, PTH114, PTH116, PTH118, PTH119, PTH122

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from glob import escape, has_magic
from pathlib import Path
from stat import S_ISREG

from crdnet.images import FORMAT_OF_SUFFIX, RAW_SUFFIXES
from crdnet.pipeline import STREAM, SUFFIX, Outcome

RAW = "raw files of cameras (develop them first)"
"""Kind of the raw camera files that are left out of a folder."""


@dataclass(frozen=True, slots=True)
class Job:
    """One image to work on; the plan adds its outputs."""

    source: Path | None = None
    """Path of the image; None is standard input."""
    below: str = ""
    """Part of the path below the source folder; the output folder mirrors it."""
    is_named: bool = True
    """True if the caller named this path itself, not a folder or pattern that contains it."""
    found: os.stat_result | None = None
    """Status of the source when it was found; None for a broken link and for standard input."""
    output: Path | None = None
    """Path of the output; None is standard output, or no output."""
    rain: Path | None = None
    """Path for an image of the rain; None writes none."""

    @property
    def name(self) -> str:
        """Name of the input in messages."""
        return STREAM if self.source is None else str(self.source)


def find_inputs(
    arguments: Sequence[str],
    results: frozenset[str],
    *,
    recursive: bool,
    left_out: Counter[str],
) -> Iterator[Job | Outcome]:
    """Yield a job for each image, and a failed outcome for each argument without an image.

    Args:
        arguments: Files, folders and patterns; an existing file takes precedence over a pattern.
        results: Real paths of output folders, whose files are not inputs.
        recursive: If True, search subfolders too.
        left_out: Counter of the entries of folders that are not inputs, by kind; updated in place.
    """
    found: list[Job | Outcome] = []
    for argument in arguments:
        if not argument:
            found.append(
                _make_failure(
                    "''", "the name is empty; check the list or the variable that it came from"
                )
            )
        elif os.path.isdir(argument):
            found += _walk(argument, results, recursive=recursive, left_out=left_out)
        elif os.path.lexists(argument):
            found.append(_check_regular(argument))
        elif has_magic(argument):
            found += _expand_pattern(argument, results, left_out)
        else:
            found.append(_make_failure(argument, "there is no such file or folder; check the path"))
    yield from _remove_results(found, left_out)


def _check_regular(path: str) -> Job | Outcome:
    stat = read_status(path)
    if stat is None or S_ISREG(stat.st_mode):
        return Job(Path(path), os.path.basename(path), found=stat)
    return _make_failure(
        path, "is a pipe, socket or device, not a regular file; pipe its image through -"
    )


def _expand_pattern(
    pattern: str, results: frozenset[str], left_out: Counter[str]
) -> Iterator[Job | Outcome]:
    """Yield the images that match a pattern, except those in output folders."""
    none = True
    for match, below in _find_matches(pattern):
        if any(f"{os.path.realpath(match)}/".startswith(f"{place}/") for place in results):
            continue
        if (each := _check_image_in_folder(match, below, left_out)) is not None:
            none = False
            yield each
    if none:
        yield _make_failure(pattern, "no image matches this pattern")


def _make_failure(name: str, reason: str) -> Outcome:
    return Outcome(name, status="failed", reason=reason)


def _walk(
    folder: str, results: frozenset[str], *, recursive: bool, left_out: Counter[str]
) -> Iterator[Job | Outcome]:
    """Yield the images in a folder, except hidden ones and those in output folders inside it.

    Links to folders are not followed, because they may form a loop.
    """
    errors: list[OSError] = []
    none, deeper = True, False
    raw_before = left_out[RAW]
    for here, folders, names in os.walk(folder, onerror=errors.append):
        below = os.path.relpath(here, folder)
        left_out["hidden"] += sum(name.startswith(".") for name in folders if name != ".crdnet")
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if results:
            folders[:] = [
                name
                for name in folders
                if os.path.realpath(os.path.join(here, name)) not in results
            ]
        for name in sorted(names):
            where = name if below == "." else os.path.join(below, name)
            if (
                each := _check_image_in_folder(os.path.join(here, name), where, left_out)
            ) is not None:
                none = False
                yield each
        if not recursive:
            deeper = bool(folders)
            left_out["folders"] += len(folders)
            break
        left_out["links to folders"] += sum(
            os.path.islink(os.path.join(here, name)) for name in folders
        )
    for error in errors:
        yield _make_failure(str(error.filename), f"cannot be read: {error.strerror}")
    if none and not errors:
        raw_files = left_out[RAW] - raw_before
        raw = f", but {raw_files:,} {RAW}" if raw_files else ""
        hint = "; `recursive=True` includes its subfolders" if deeper else ""
        yield _make_failure(
            folder,
            f"no images in this folder (by suffix: {', '.join(FORMAT_OF_SUFFIX)}){raw}{hint}",
        )


def _check_image_in_folder(path: str, below: str, left_out: Counter[str]) -> Job | None:
    """Return the job of an entry of a folder; count an entry that is not an input."""
    name = os.path.basename(below)
    if name.startswith("."):
        left_out["hidden"] += 1
        return None
    if not _is_image(name):
        is_raw = os.path.splitext(name)[1].lower() in RAW_SUFFIXES
        left_out[RAW if is_raw else "no images"] += 1
        return None
    stat = read_status(path)
    if stat is not None and not S_ISREG(stat.st_mode):
        left_out["pipes, sockets, devices"] += 1
        return None
    return Job(Path(path), below, is_named=False, found=stat)


def read_status(path: str) -> os.stat_result | None:
    """Return the status of a file; None for a broken link.

    Reading a broken link fails later with the reason.
    """
    try:
        return os.stat(path)
    except OSError:
        return None


def _is_image(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in FORMAT_OF_SUFFIX


def _find_matches(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield the matches of a pattern that are not hidden.

    Each match is a path, and the part of it from the first wildcard on.
    """
    parts = Path(pattern).parts
    start = next(index for index, part in enumerate(parts) if has_magic(part))
    root = Path(*parts[:start])
    # Unlike the glob module, pathlib does not follow links to folders, so it cannot loop. But for
    # pathlib, a ** at the end matches folders only.
    below = os.path.join(*parts[start:], *["*"] * (parts[-1] == "**"))
    try:
        matches = sorted(set(root.glob(below)))
    except ValueError:  # such as a**b
        return
    for match in matches:
        where = match.relative_to(root)
        if not match.is_dir() and not any(part.startswith(".") for part in where.parts[:-1]):
            yield str(match), str(where)


def _remove_results(
    found: Sequence[Job | Outcome], left_out: Counter[str]
) -> Iterator[Job | Outcome]:
    """Leave out outputs that an earlier run wrote beside their sources.

    Outputs found in a folder or by a pattern are counted. An output that the caller named, as when
    the shell expands *.jpg, is skipped if its source is named too.
    """
    given = {
        os.path.splitext(find_place(each.name))[0]
        for each in found
        if isinstance(each, Job) and each.is_named
    }
    for each in found:
        stem, suffix = ("", "") if isinstance(each, Outcome) else os.path.splitext(each.name)
        if isinstance(each, Outcome) or not stem.endswith(SUFFIX):
            yield each
            continue
        source = stem.removesuffix(SUFFIX)
        if each.is_named and find_place(source) in given:
            yield Outcome(each.name, status="skipped", reason="is the result of another input")
        elif each.is_named or not _has_image_called(Path(source + suffix)):
            yield each
        else:
            left_out["results of an earlier run"] += 1


def _has_image_called(path: Path) -> bool:
    """Return whether an image with this name and any suffix exists."""
    return any(_is_image(beside.name) for beside in path.parent.glob(f"{escape(path.stem)}.*"))


def find_place(path: str) -> str:
    """Return a path with its folder resolved, to compare paths; each folder is resolved once."""
    folder, name = os.path.split(path)
    return os.path.join(_resolve_folder(folder), name)


@lru_cache(maxsize=4096)
def _resolve_folder(folder: str) -> str:
    return os.path.realpath(folder)
