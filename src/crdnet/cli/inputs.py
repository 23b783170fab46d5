"""From what was typed to a list of jobs: which picture is read, and where its result goes.

Everything that can be wrong with the command as a whole is found here, before anything is done: two results
in one place, a folder without a place for its results. What is wrong with one input is a job that fails, and
the others go on.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import escape, glob, has_magic
from pathlib import Path

import click

from crdnet.images import FORMAT_OF_SUFFIX
from crdnet.runtime import SUFFIX, default_output, suffix_for

STREAM = "-"
"""Stands for standard input and standard output."""


@dataclass(frozen=True)
class Job:
    """One picture to do."""

    source: Path | None
    """None is standard input."""
    output: Path | None
    """None is standard output."""

    @property
    def name(self) -> str:
        """What messages call the input."""
        return STREAM if self.source is None else str(self.source)


@dataclass(frozen=True)
class NoJob:
    """An input of which nothing can be made."""

    name: str
    reason: str
    failed: bool = True
    """False where there is nothing to do."""


@dataclass(frozen=True)
class _Found:
    """A picture, and the folder below which its path is kept when the results go into another folder."""

    path: Path
    root: Path
    named: bool
    """Whether the user wrote this very path."""


def plan(
    arguments: Sequence[str],
    output: str | None,
    *,
    recursive: bool,
    format: str | None,  # noqa: A002
) -> list[Job | NoJob]:
    """Return what is to be done, in the order in which it was asked for.

    Args:
        arguments: Files, folders, patterns, or `-` alone.
        output: A file for one input, a folder, `-`, or None for a place beside each input.
        recursive: Whether folders below a folder are looked into.
        format: The format that was asked for, which gives the results their suffix.

    Raises:
        click.UsageError: The command as a whole makes no sense.
    """
    if STREAM in arguments:
        return [_stream_job(arguments, output)]
    folders = [argument for argument in arguments if Path(argument).is_dir()]
    if folders and output is None:
        raise click.UsageError(f"{folders[0]} is a folder; say with -o/--output where its results shall go")
    found = [each for argument in arguments for each in _expand(argument, output, recursive=recursive)]
    # A path that is not there is one file too: it fails for that, not for where its result should have gone.
    single_file = len(arguments) == 1 and not folders and len(found) == 1
    into_folder = output is not None and not _names_file(output, single_file=single_file)
    if output is not None and not into_folder and not single_file:
        raise click.UsageError(
            f"-o {output} names one file, but the input is not one file; give a folder, such as -o {output}/"
        )
    planned: list[Job | NoJob] = []
    for each in _without_results(found):
        if isinstance(each, NoJob):
            planned.append(each)
        elif output is None:
            planned.append(Job(each.path, default_output(each.path, format)))
        elif into_folder:
            below = each.path.relative_to(each.root)
            planned.append(Job(each.path, Path(output) / below.with_suffix(suffix_for(below, format))))
        else:
            planned.append(Job(each.path, None if output == STREAM else Path(output)))
    return list(_without_clashes(planned))


def read_list(lines: Iterable[str]) -> list[str]:
    """Return the paths in a list of files: one a line, empty lines left out."""
    return [path for line in lines if (path := line.rstrip("\r\n"))]


def _stream_job(arguments: Sequence[str], output: str | None) -> Job:
    if len(arguments) > 1:
        raise click.UsageError(
            "- (standard input) is one picture and stands alone; give files by their names"
        )
    if output is None or output == STREAM:
        return Job(None, None)
    if not _names_file(output, single_file=True):
        raise click.UsageError(
            f"a picture from standard input has no name; give -o a file, not the folder {output}"
        )
    return Job(None, Path(output))


def _names_file(output: str, *, single_file: bool) -> bool:
    """Return whether -o means a file: it is one, or it is nothing yet and is called like a picture."""
    path = Path(output)
    if output == STREAM or path.is_file():
        return True
    if path.is_dir() or output.endswith(("/", os.sep)):
        return False
    if path.suffix.lower() in FORMAT_OF_SUFFIX:
        return True
    if path.suffix and single_file:
        known = ", ".join(FORMAT_OF_SUFFIX)
        raise click.UsageError(
            f"-o {output}: no format is called {path.suffix}; use one of {known}, or {output}/ for a folder"
        )
    return False


def _expand(argument: str, output: str | None, *, recursive: bool) -> Iterator[_Found | NoJob]:
    """Yield the pictures that an argument stands for; a name that exists wins over a pattern."""
    path = Path(argument)
    if path.is_dir():
        yield from _walk(path, output, recursive=recursive)
    elif os.path.lexists(path):
        yield _Found(path, path.parent, named=True)
    elif has_magic(argument):
        # Path.glob takes no absolute pattern.
        matches = [Path(match) for match in sorted(glob(argument, recursive=True))]  # noqa: PTH207
        pictures = [match for match in matches if match.is_file() and _is_picture(match.name)]
        yield from (_Found(picture, _root_of_pattern(argument), named=False) for picture in pictures)
        if not pictures:
            yield NoJob(argument, "no picture matches this pattern")
    else:
        yield NoJob(argument, "there is no such file or folder; check the path")


def _walk(folder: Path, output: str | None, *, recursive: bool) -> Iterator[_Found | NoJob]:
    """Yield the pictures in a folder, without hidden files and without the results that lie inside it."""
    results = None if output is None else Path(output).resolve()
    errors: list[OSError] = []
    empty, deeper = True, False
    for current, folders, names in os.walk(folder, onerror=errors.append):
        here = Path(current)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and (here / name).resolve() != results
        )
        for name in sorted(filter(_is_picture, names)):
            empty = False
            yield _Found(here / name, folder, named=False)
        if not recursive:
            deeper = bool(folders)
            break
    for error in errors:
        yield NoJob(str(error.filename), f"cannot be read: {error.strerror}")
    if empty and not errors:
        hint = "; --recursive looks into the folders in it" if deeper else ""
        yield NoJob(
            str(folder), f"no pictures in this folder (by suffix: {', '.join(FORMAT_OF_SUFFIX)}){hint}"
        )


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in FORMAT_OF_SUFFIX


def _root_of_pattern(pattern: str) -> Path:
    """Return the part of a pattern before its first part with a wildcard."""
    fixed = Path()
    for part in Path(pattern).parent.parts:
        if has_magic(part):
            break
        fixed /= part
    return fixed


def _without_results(found: Sequence[_Found | NoJob]) -> Iterator[_Found | NoJob]:
    """Leave out what an earlier run wrote beside its source.

    Found in a folder or by a pattern it is nothing to tell of. Named by the user, as when the shell expands
    *.jpg, it is left out only if its source is named too, and told.
    """
    given = {_place(each.path) for each in found if isinstance(each, _Found)}
    for each in found:
        if isinstance(each, NoJob) or not each.path.stem.endswith(SUFFIX):
            yield each
            continue
        source = each.path.with_name(each.path.stem.removesuffix(SUFFIX) + each.path.suffix)
        if each.named and _place(source) in given:
            yield NoJob(str(each.path), "is the result of another input", failed=False)
        elif each.named or not _has_picture_called(source):
            yield each


def _place(path: Path) -> tuple[str, str]:
    return os.path.abspath(path.parent), path.stem  # noqa: PTH100 - resolving links would cost a call each


def _has_picture_called(path: Path) -> bool:
    """Return whether a picture of that name lies there, whatever its suffix."""
    return any(_is_picture(beside.name) for beside in path.parent.glob(f"{escape(path.stem)}.*"))


def _without_clashes(planned: Sequence[Job | NoJob]) -> Iterator[Job | NoJob]:
    """Leave out jobs given twice, and refuse results that would meet another result or an input."""
    jobs = [each for each in planned if isinstance(each, Job)]
    sources = {job.source.resolve(): job for job in jobs if job.source is not None}
    writers: dict[Path, Job] = {}
    for each in planned:
        if isinstance(each, NoJob) or each.output is None or each.source is None:
            yield each
            continue
        place = each.output.resolve()
        other = writers.setdefault(place, each)
        if other is not each and other.source is not None:
            if other.source.resolve() == each.source.resolve():
                continue
            raise click.UsageError(
                f"{other.name} and {each.name} would both be written to {each.output}; nothing was done. "
                "Derain them into different folders, or leave --format away"
            )
        if place in sources and place != each.source.resolve():
            raise click.UsageError(
                f"the result of {each.name} would replace the input {sources[place].name}; nothing was done. "
                "Choose another output folder"
            )
        yield each
