"""From what was typed to a list of jobs: which picture is read, and where its result goes.

Everything that can be wrong with the command as a whole is found here, before anything is done: two results
in one place, a folder without a place for its results. What is wrong with one input is a job that fails, and
the others go on.

A folder may hold a hundred thousand pictures, so what is done for each of them is little: one call of the file system
for the picture and one for its result, and text rather than path objects until the end.
"""
# ruff: noqa: PTH114, PTH116, PTH118, PTH119, PTH122

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from glob import escape, has_magic
from pathlib import Path
from stat import S_ISREG

import click

from crdnet.images import FORMAT_OF_SUFFIX, FORMATS
from crdnet.runtime import SUFFIX, default_output, suffix_for

STREAM = "-"
"""Stands for standard input and standard output."""
RAIN_SUFFIX = ".png"
_WRITTEN = [suffix for suffix, kind in FORMAT_OF_SUFFIX.items() if kind in FORMATS.values()]
"""The suffixes of formats that are not only read."""


@dataclass(frozen=True, slots=True)
class Job:
    """One picture to do."""

    source: Path | None
    """None is standard input."""
    output: Path | None
    """None is standard output, or nothing."""
    rain: Path | None = None
    """Where a picture of the rain goes; None is nowhere."""
    found: os.stat_result | None = None
    """What the file system said of the source when it was found; None if it said nothing, or of standard input."""

    @property
    def name(self) -> str:
        """What messages call the input."""
        return STREAM if self.source is None else str(self.source)


@dataclass(frozen=True, slots=True)
class NoJob:
    """An input of which nothing can be made."""

    name: str
    reason: str
    failed: bool = True
    """False where there is nothing to do."""


@dataclass(frozen=True)
class Plan:
    """What is to be done."""

    each: list[Job | NoJob]
    """In the order in which it was asked for."""
    folder: Path | None = None
    """The folder for all results, if -o names one."""
    single: bool = False
    """Whether the input is one file, or standard input."""
    left_out: Counter[str] = field(default_factory=Counter)
    """How many entries of folders were no pictures, by kind."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A picture."""

    path: str
    below: str
    """The end of the path that is kept when the results go into another folder."""
    named: bool
    """Whether the user wrote this very path."""
    stat: os.stat_result | None


def plan(
    arguments: Sequence[str],
    output: str | None,
    *,
    recursive: bool,
    format: str | None,  # noqa: A002
    rain: str | None = None,
) -> Plan:
    """Return what `crdnet derain` has to do.

    Args:
        arguments: Files, folders, patterns, or `-` alone.
        output: A file for one input, a folder, `-`, or None for a place beside each input.
        recursive: Whether folders below a folder are looked into.
        format: The format that was asked for, which gives the results their suffix.
        rain: A PNG file for one input, or a folder, for pictures of what was taken out.

    Raises:
        click.UsageError: The command as a whole makes no sense.
    """
    if STREAM in arguments:
        return Plan([_stream_job(arguments, output, rain)], single=True)
    folders = [argument for argument in arguments if argument and Path(argument).is_dir()]
    if folders and output is None:
        raise click.UsageError(
            f"{folders[0]} is a folder; say with -o/--output where its results shall go"
        )
    left_out: Counter[str] = Counter()
    results = frozenset(
        os.path.realpath(place) for place in (output, rain) if place not in (None, STREAM)
    )
    found = [
        each
        for argument in arguments
        for each in _expand(argument, results, recursive=recursive, left_out=left_out)
    ]
    # A path that is not there is one file too: it fails for that, not for where its result should have gone.
    single = len(arguments) == 1 and not folders and len(found) == 1
    into_folder = output is not None and not _names_file(output, single_file=single)
    if output is not None and not into_folder and not single:
        raise click.UsageError(
            f"-o {output} names one file, but the input is not one file; give a folder, such as -o {output}/"
        )
    rain_folder = rain is not None and not _names_rain(rain, single_file=single)

    def job(each: _Found) -> Job:
        source, target = Path(each.path), None
        if output is None:
            target = default_output(source, format)
        elif into_folder:
            below = Path(each.below)
            target = Path(output) / (
                below if format is None else below.with_suffix(suffix_for(below, format))
            )
        elif output != STREAM:
            target = Path(output)
        streaks = None if rain is None else Path(rain)
        if streaks is not None and rain_folder:
            streaks /= Path(each.below).with_suffix(RAIN_SUFFIX)
        return Job(source, target, streaks, each.stat)

    planned = [
        each if isinstance(each, NoJob) else job(each) for each in _without_results(found, left_out)
    ]
    folder = Path(output) if output is not None and into_folder else None
    return Plan(list(_without_clashes(planned)), folder, single, left_out)


def plan_to_look(arguments: Sequence[str], *, recursive: bool) -> Plan:
    """Return the pictures of which nothing is written, as `plan` finds them."""
    if STREAM in arguments:
        return Plan([_stream_job(arguments, None, None)], single=True)
    left_out: Counter[str] = Counter()
    found = [
        each
        for argument in arguments
        for each in _expand(argument, frozenset(), recursive=recursive, left_out=left_out)
    ]
    planned: dict[str, Job | NoJob] = {}
    for each in _without_results(found, left_out):
        if isinstance(each, NoJob):
            planned.setdefault(each.name, each)
        else:
            planned.setdefault(_place(each.path), Job(Path(each.path), None, None, each.stat))
    return Plan(list(planned.values()), None, len(arguments) == len(planned) == 1, left_out)


def read_list(lines: Iterable[str]) -> list[str]:
    """Return the paths in a list of files: one a line, empty lines left out."""
    return [path for line in lines if (path := line.rstrip("\r\n"))]


def _stream_job(arguments: Sequence[str], output: str | None, rain: str | None) -> Job:
    if len(arguments) > 1:
        raise click.UsageError(
            "- (standard input) is one picture and stands alone; give files by their names"
        )
    if rain is not None and not _names_rain(rain, single_file=True):
        raise click.UsageError(
            f"a picture from standard input has no name; give --rain a PNG file, not the folder {rain}"
        )
    streaks = None if rain is None else Path(rain)
    if output is None or output == STREAM:
        return Job(None, None, streaks)
    if not _names_file(output, single_file=True):
        raise click.UsageError(
            f"a picture from standard input has no name; give -o a file, not the folder {output}"
        )
    return Job(None, Path(output), streaks)


def _names_file(output: str, *, single_file: bool) -> bool:
    """Return whether -o means a file: it is one, or it is nothing yet and is called like a picture."""
    path = Path(output)
    if output == STREAM or path.is_file():
        return True
    if path.is_dir() or output.endswith(("/", os.sep)):
        return False
    if path.suffix.lower() in _WRITTEN:
        return True
    if path.suffix and single_file:
        known = ", ".join(_WRITTEN)
        raise click.UsageError(
            f"-o {output}: no format that crdnet writes is called {path.suffix}; use one of {known}, or {output}/ for "
            "a folder"
        )
    return False


def _names_rain(rain: str, *, single_file: bool) -> bool:
    """Return whether --rain means a file."""
    path = Path(rain)
    if path.is_dir() or rain.endswith(("/", os.sep)) or not (path.suffix or path.is_file()):
        return False
    if path.suffix.lower() != RAIN_SUFFIX:
        raise click.UsageError(
            f"--rain {rain}: rain is stored as PNG; give a name that ends in .png, or {rain}/ for a folder"
        )
    if not single_file:
        raise click.UsageError(
            f"--rain {rain} names one file, but the input is not one file; give a folder, such as --rain {rain}/"
        )
    return True


def _expand(
    argument: str, results: frozenset[str], *, recursive: bool, left_out: Counter[str]
) -> Iterator[_Found | NoJob]:
    """Yield the pictures that an argument stands for; a name that exists wins over a pattern."""
    path = Path(argument)
    if not argument:
        yield NoJob("''", "an empty name is no file; check what the name was made of")
    elif path.is_dir():
        yield from _walk(argument, results, recursive=recursive, left_out=left_out)
    elif os.path.lexists(path):
        stat = _stat(argument)
        if stat is not None and not S_ISREG(stat.st_mode):
            yield NoJob(
                argument,
                "is no regular file but a pipe, socket or device; pipe its picture through -",
            )
        else:
            yield _Found(argument, path.name, named=True, stat=stat)
    elif has_magic(argument):
        none = True
        for match, below in _matches(argument):
            if any(f"{os.path.realpath(match)}/".startswith(f"{place}/") for place in results):
                continue
            if (each := _picture_in_folder(match, below, left_out)) is not None:
                none = False
                yield each
        if none:
            yield NoJob(argument, "no picture matches this pattern")
    else:
        yield NoJob(argument, "there is no such file or folder; check the path")


def _walk(
    folder: str, results: frozenset[str], *, recursive: bool, left_out: Counter[str]
) -> Iterator[_Found | NoJob]:
    """Yield the pictures in a folder, without hidden ones and without the results that lie inside it.

    Links to folders are not followed, so that no loop is walked.
    """
    errors: list[OSError] = []
    none, deeper = True, False
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
            if (each := _picture_in_folder(os.path.join(here, name), where, left_out)) is not None:
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
        yield NoJob(str(error.filename), f"cannot be read: {error.strerror}")
    if none and not errors:
        hint = "; --recursive looks into the folders in it" if deeper else ""
        yield NoJob(
            folder, f"no pictures in this folder (by suffix: {', '.join(FORMAT_OF_SUFFIX)}){hint}"
        )


def _picture_in_folder(path: str, below: str, left_out: Counter[str]) -> _Found | None:
    """Return a picture that nobody named, or count why it is none."""
    name = os.path.basename(below)
    if name.startswith("."):
        left_out["hidden"] += 1
        return None
    if not _is_picture(name):
        left_out["no pictures"] += 1
        return None
    stat = _stat(path)
    if stat is not None and not S_ISREG(stat.st_mode):
        left_out["pipes, sockets, devices"] += 1
        return None
    return _Found(path, below, named=False, stat=stat)


def _stat(path: str) -> os.stat_result | None:
    """Return what the file system says; None of a link to nowhere, whose reading fails later with the reason."""
    try:
        return os.stat(path)
    except OSError:
        return None


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in FORMAT_OF_SUFFIX


def _matches(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield (path, path below the part before the first wildcard) of what a pattern matches and is not hidden."""
    parts = Path(pattern).parts
    start = next(index for index, part in enumerate(parts) if has_magic(part))
    root = Path(*parts[:start])
    # pathlib does not go through links to folders, as the glob module does, and so never round a loop; but it takes a
    # ** at the end for folders alone.
    below = os.path.join(*parts[start:], *["*"] * (parts[-1] == "**"))
    try:
        matches = sorted(set(root.glob(below)))
    except ValueError:  # such as a**b
        return
    for match in matches:
        where = match.relative_to(root)
        if not match.is_dir() and not any(part.startswith(".") for part in where.parts[:-1]):
            yield str(match), str(where)


def _without_results(
    found: Sequence[_Found | NoJob], left_out: Counter[str]
) -> Iterator[_Found | NoJob]:
    """Leave out what an earlier run wrote beside its source.

    Found in a folder or by a pattern it is counted. Named by the user, as when the shell expands *.jpg, it is left out
    only if its source is named too, and told.
    """
    given = {
        os.path.splitext(_place(each.path))[0]
        for each in found
        if isinstance(each, _Found) and each.named
    }
    for each in found:
        stem, suffix = ("", "") if isinstance(each, NoJob) else os.path.splitext(each.path)
        if isinstance(each, NoJob) or not stem.endswith(SUFFIX):
            yield each
            continue
        source = stem.removesuffix(SUFFIX)
        if each.named and _place(source) in given:
            yield NoJob(each.path, "is the result of another input", failed=False)
        elif each.named or not _has_picture_called(Path(source + suffix)):
            yield each
        else:
            left_out["results of an earlier run"] += 1


def _has_picture_called(path: Path) -> bool:
    """Return whether a picture of that name lies there, whatever its suffix."""
    return any(_is_picture(beside.name) for beside in path.parent.glob(f"{escape(path.stem)}.*"))


def _without_clashes(planned: Sequence[Job | NoJob]) -> Iterator[Job | NoJob]:
    """Leave out jobs given twice, and refuse results that would meet another result or an input."""
    inputs = {
        (each.found.st_dev, each.found.st_ino): each
        for each in planned
        if isinstance(each, Job) and each.found is not None
    }
    writers: dict[str, Job] = {}
    for each in planned:
        if isinstance(each, NoJob) or each.source is None:
            yield each
            continue
        given_twice = False
        for target in (each.output, each.rain):
            if target is None:
                continue
            other = writers.setdefault(_place(str(target)), each)
            if other is not each and _place(other.name) == _place(each.name):
                given_twice = True
                break
            if other is not each or (target is each.rain and other.output == target):
                raise click.UsageError(
                    f"{other.name} and {each.name} would both be written to {target}; nothing was done. "
                    "Derain them into different folders, or leave --format away"
                )
            there = _stat(str(target))
            replaced = None if there is None else inputs.get((there.st_dev, there.st_ino))
            # That the result is the job's own input is that job's failure.
            if replaced is not None and (
                target is each.rain or _place(replaced.name) != _place(each.name)
            ):
                raise click.UsageError(
                    f"the result of {each.name} would replace the input {replaced.name}; nothing was done. "
                    "Choose another output folder"
                )
        if not given_twice:
            yield each


def _place(path: str) -> str:
    """Return where a file lies, one text for one place, without asking the file system for each file of a folder."""
    folder, name = os.path.split(path)
    return os.path.join(_real_folder(folder), name)


@lru_cache(maxsize=4096)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)
