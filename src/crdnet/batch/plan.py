"""Plan of a run: which image is read, and where its output goes.

Everything that can be wrong with the arguments as a whole is found here, before anything is done:
two outputs in one place, a folder without a place for its outputs. An input that is wrong by itself
becomes a failed outcome, and the others are done.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crdnet.batch.inputs import Found, find_inputs, find_place, read_status
from crdnet.errors import ArgumentError
from crdnet.images import FORMAT_OF_SUFFIX, FORMATS
from crdnet.pipeline import (
    STREAM,
    DerainOptions,
    Outcome,
    default_output,
    describe_unwritten,
    suffix_for,
)

_RAIN_SUFFIX = ".png"
_WRITTEN = [suffix for suffix, kind in FORMAT_OF_SUFFIX.items() if kind in FORMATS.values()]
"""The suffixes of formats that are not only read."""


@dataclass(frozen=True, slots=True)
class Job:
    """One image to work on."""

    source: Path | None
    """None is standard input."""
    output: Path | None
    """None is standard output, or nothing."""
    rain: Path | None = None
    """Place for an image of the rain; None is none."""
    found: os.stat_result | None = None
    """Status of the source when it was found; None if it had none, and for standard input."""

    @property
    def name(self) -> str:
        """Name of the input in messages."""
        return STREAM if self.source is None else str(self.source)


@dataclass(frozen=True)
class Plan:
    """Jobs of a run, and the outcomes of inputs that make no job."""

    inputs: list[Job | Outcome]
    """In the order of the arguments."""
    folder: Path | None = None
    """The folder for all outputs, if there is one."""
    single: bool = False
    """Whether the input is one file, or standard input."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Entries of folders that are no inputs, by kind."""

    @property
    def jobs(self) -> list[Job]:
        """The inputs to work on."""
        return [each for each in self.inputs if isinstance(each, Job)]


def plan_deraining(
    sources: Sequence[str],
    destination: str | None,
    *,
    recursive: bool,
    options: DerainOptions,
    rain: str | None = None,
) -> Plan:
    """Return the plan of a run that writes outputs.

    Args:
        sources: Files, folders, patterns, or `-` alone.
        destination: A file for one input, a folder, `-`, or None for a place beside each input.
        recursive: Whether to look into the folders in a folder.
        options: Their formats give the outputs their suffixes.
        rain: A PNG file for one input, or a folder, for images of what was taken out.

    Raises:
        ArgumentError: The arguments as a whole make no sense.
    """
    if STREAM in sources:
        return Plan([_plan_stream(sources, destination, rain)], single=True)
    folders = [source for source in sources if source and Path(source).is_dir()]
    if folders and destination is None:
        raise ArgumentError(
            f"{folders[0]} is a folder; say with `destination` where its outputs shall go"
        )
    left_out: Counter[str] = Counter()
    results = frozenset(
        os.path.realpath(place) for place in (destination, rain) if place not in (None, STREAM)
    )
    found = list(find_inputs(sources, results, recursive=recursive, left_out=left_out))
    # A path that is not there is one file too: it fails for that, not for where its output should
    # have gone.
    single = len(sources) == 1 and not folders and len(found) == 1
    into_folder = destination is not None and not _names_file(destination, single_file=single)
    if destination is not None and not into_folder and not single:
        raise ArgumentError(
            f"`destination` {destination} names one file, but the input is not one file; give a folder, such as "
            f"{destination}/"
        )
    rain_folder = rain is not None and not _names_rain(rain, single_file=single)

    def job(each: Found) -> Job:
        source, target = Path(each.path), None
        if destination is None:
            target = default_output(source, options)
        elif into_folder:
            below = Path(each.below)
            suffix = suffix_for(below, options)
            target = Path(destination) / (
                below if suffix == below.suffix else below.with_suffix(suffix)
            )
        elif destination != STREAM:
            target = Path(destination)
        streaks = None if rain is None else Path(rain)
        if streaks is not None and rain_folder:
            streaks /= Path(each.below).with_suffix(_RAIN_SUFFIX)
        return Job(source, target, streaks, each.stat)

    planned = [each if isinstance(each, Outcome) else job(each) for each in found]
    folder = Path(destination) if destination is not None and into_folder else None
    return Plan(list(_without_clashes(planned)), folder, single, left_out)


def plan_sensing(sources: Sequence[str], *, recursive: bool) -> Plan:
    """Return the plan of a run that writes nothing; each image is in it once."""
    if STREAM in sources:
        return Plan([_plan_stream(sources, None, None)], single=True)
    left_out: Counter[str] = Counter()
    planned: dict[str, Job | Outcome] = {}
    for each in find_inputs(sources, frozenset(), recursive=recursive, left_out=left_out):
        if isinstance(each, Outcome):
            planned.setdefault(each.input, each)
        else:
            planned.setdefault(find_place(each.path), Job(Path(each.path), None, None, each.stat))
    return Plan(list(planned.values()), None, len(sources) == len(planned) == 1, left_out)


def _plan_stream(sources: Sequence[str], destination: str | None, rain: str | None) -> Job:
    if len(sources) > 1:
        raise ArgumentError(
            "- (standard input) is one image and stands alone; give files by their names"
        )
    if rain is not None and not _names_rain(rain, single_file=True):
        raise ArgumentError(
            f"an image from standard input has no name; give `rain` a PNG file, not the folder {rain}"
        )
    streaks = None if rain is None else Path(rain)
    if destination is None or destination == STREAM:
        return Job(None, None, streaks)
    if not _names_file(destination, single_file=True):
        raise ArgumentError(
            f"an image from standard input has no name; give `destination` a file, not the folder {destination}"
        )
    return Job(None, Path(destination), streaks)


def _names_file(destination: str, *, single_file: bool) -> bool:
    """Return whether the destination is a file: it is one, or it is nothing yet and has the suffix of an image."""
    path = Path(destination)
    if destination == STREAM or os.path.isfile(path):  # noqa: PTH113 - takes names of any length
        return True
    if os.path.isdir(path) or destination.endswith(("/", os.sep)):  # noqa: PTH112
        return False
    _check_place(path)
    if path.suffix.lower() in _WRITTEN:
        return True
    if path.suffix and single_file:
        raise ArgumentError(
            f"`destination` {destination}: {describe_unwritten(path.suffix)}, or {destination}/ "
            "for a folder"
        )
    return False


def _check_place(path: Path) -> None:
    """Refuse a destination that can be neither a file nor a folder."""
    if not os.path.lexists(path):
        return
    if path.is_symlink() and not path.exists():
        raise ArgumentError(
            f"`destination` {path} is a link to {path.readlink()}, which does not exist; make that "
            "file or folder, or remove the link"
        )
    raise ArgumentError(
        f"`destination` {path} is a device, pipe or socket, where no file can be written; use - "
        "and redirect standard output, or name a file or folder"
    )


def _names_rain(rain: str, *, single_file: bool) -> bool:
    """Return whether the place for the rain is a file."""
    path = Path(rain)
    if path.is_dir() or rain.endswith(("/", os.sep)) or not (path.suffix or path.is_file()):
        return False
    if path.suffix.lower() != _RAIN_SUFFIX:
        raise ArgumentError(
            f"`rain` {rain}: rain is stored as PNG; give a name that ends in .png, or {rain}/ for a folder"
        )
    if not single_file:
        raise ArgumentError(
            f"`rain` {rain} names one file, but the input is not one file; give a folder, such as {rain}/"
        )
    return True


def _without_clashes(planned: Sequence[Job | Outcome]) -> Iterator[Job | Outcome]:
    """Leave out jobs given twice, and refuse outputs that would meet another output or an input."""
    inputs = {
        (each.found.st_dev, each.found.st_ino): each
        for each in planned
        if isinstance(each, Job) and each.found is not None
    }
    writers: dict[str, Job] = {}
    for each in planned:
        if isinstance(each, Outcome) or each.source is None:
            yield each
            continue
        given_twice = False
        for target in (each.output, each.rain):
            if target is None:
                continue
            other = writers.setdefault(find_place(str(target)), each)
            if other is not each and find_place(other.name) == find_place(each.name):
                given_twice = True
                break
            if other is not each or (target is each.rain and other.output == target):
                raise ArgumentError(
                    f"{other.name} and {each.name} would both be written to {target}; nothing was done. "
                    "Derain them into different folders, or leave `format` away"
                )
            there = read_status(str(target))
            replaced = None if there is None else inputs.get((there.st_dev, there.st_ino))
            # That the result is the job's own input is that job's failure.
            if replaced is not None and (
                target is each.rain or find_place(replaced.name) != find_place(each.name)
            ):
                raise ArgumentError(
                    f"the result of {each.name} would replace the input {replaced.name}; nothing was done. "
                    "Choose another output folder"
                )
        if not given_twice:
            yield each
