"""Plan of a run: the images to read, and the paths of their outputs.

Contradictory arguments, such as two inputs with one output, raise an error here, before any image
is read. A single faulty input becomes a failed outcome, and the run processes the others.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from crdnet.batch.inputs import Job, find_inputs, find_place, read_status
from crdnet.batch.options import BatchOptions
from crdnet.errors import ArgumentError
from crdnet.images import FORMAT_OF_SUFFIX, FORMATS
from crdnet.pipeline import (
    STREAM,
    DerainOptions,
    Outcome,
    choose_suffix,
    describe_unwritten,
    name_output,
)

Sources = str | Path | Sequence[str | Path]
"""A folder, a file or a pattern, or several; `-` alone is standard input."""
_RAIN_SUFFIX = ".png"
# The suffixes of formats that are not only read.
_WRITTEN = [suffix for suffix, kind in FORMAT_OF_SUFFIX.items() if kind in FORMATS.values()]


@dataclass(frozen=True)
class Plan:
    """Jobs of a run, and the outcomes of inputs that make no job."""

    inputs: list[Job | Outcome]
    """Jobs and outcomes, in the order of the arguments."""
    options: BatchOptions
    folder: Path | None = None
    """Folder of all outputs; None without one."""
    is_single: bool = False
    """True if the input is one file, or standard input."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Number of entries of folders that are not inputs, by kind."""

    @property
    def jobs(self) -> list[Job]:
        """The inputs to process."""
        return [each for each in self.inputs if isinstance(each, Job)]


def plan_deraining(
    sources: Sources,
    destination: str | Path | None,
    options: BatchOptions | None = None,
    *,
    recursive: bool = False,
) -> Plan:
    """Return the plan of a run that writes outputs.

    Args:
        sources: See `Sources`.
        destination: A folder, which mirrors the tree of the sources; a file for one input; `-` for
            standard output; or None to write beside each input.
        options: Other options; None is the defaults.
        recursive: If True, search subfolders too.

    Raises:
        ArgumentError: The arguments contradict each other.
    """
    sources, options = _list_texts(sources), options or BatchOptions()
    place = None if destination is None else os.fspath(destination)
    rain = None if options.rain is None else os.fspath(options.rain)
    if STREAM in sources:
        return Plan([_plan_stream(sources, place, rain)], options, is_single=True)
    folders = [source for source in sources if source and Path(source).is_dir()]
    if folders and place is None:
        raise ArgumentError(
            f"{folders[0]} is a folder; give a folder for its outputs with `destination`"
        )
    left_out: Counter[str] = Counter()
    results = frozenset(
        os.path.realpath(each) for each in (place, rain) if each not in (None, STREAM)
    )
    found = list(find_inputs(sources, results, recursive=recursive, left_out=left_out))
    # A missing path counts as one file: the error must be about the path, not about its output.
    single = len(sources) == 1 and not folders and len(found) == 1
    into_folder = place is not None and not _names_file(place, single_file=single)
    if place is not None and not into_folder and not single:
        raise ArgumentError(
            f"`destination` {place} names one file, but the input is not one file; give a folder, "
            f"such as {place}/"
        )
    outputs = _Outputs(place, rain, options.derain, into_folder=into_folder, single=single)
    planned = [each if isinstance(each, Outcome) else outputs.name_for(each) for each in found]
    folder = Path(place) if place is not None and into_folder else None
    return Plan(list(_remove_clashes(planned)), options, folder, single, left_out)


def plan_sensing(
    sources: Sources, options: BatchOptions | None = None, *, recursive: bool = False
) -> Plan:
    """Return the plan of a run that writes nothing; each image occurs once.

    Arguments and errors are those of `plan_deraining`.
    """
    sources, options = _list_texts(sources), options or BatchOptions()
    if STREAM in sources:
        return Plan([_plan_stream(sources, None, None)], options, is_single=True)
    left_out: Counter[str] = Counter()
    planned: dict[str, Job | Outcome] = {}
    for each in find_inputs(sources, frozenset(), recursive=recursive, left_out=left_out):
        place = each.input if isinstance(each, Outcome) else find_place(each.name)
        planned.setdefault(place, each)
    single = len(sources) == len(planned) == 1
    return Plan(list(planned.values()), options, None, single, left_out)


def _list_texts(sources: Sources) -> list[str]:
    several = [sources] if isinstance(sources, str | Path) else sources
    return [os.fspath(each) for each in several]


class _Outputs:
    """Names the outputs of the images of one run.

    Args:
        destination: A file or a folder; None writes beside each input.
        rain: File or folder for images of the rain; None writes none.
        options: Options with the format, which determines the suffixes.
        into_folder: True if the destination is a folder.
        single: True if the input is one file.
    """

    def __init__(
        self,
        destination: str | None,
        rain: str | None,
        options: DerainOptions,
        *,
        into_folder: bool,
        single: bool,
    ) -> None:
        self._destination = None if destination is None else Path(destination)
        # The path ./- is a file; only - itself is a stream.
        self._is_stream = destination == STREAM
        self._rain = None if rain is None else Path(rain)
        self._options = options
        self._into_folder = into_folder
        self._rain_into_folder = rain is not None and not _names_rain(rain, single_file=single)

    def name_for(self, job: Job) -> Job:
        """Return the job with the paths of its outputs."""
        assert job.source is not None
        below = Path(job.below)
        output, rain = self._destination, self._rain
        if output is None:
            output = name_output(job.source, self._options)
        elif self._into_folder:
            suffix = choose_suffix(below, self._options)
            output /= below if suffix == below.suffix else below.with_suffix(suffix)
        elif self._is_stream:
            output = None
        if rain is not None and self._rain_into_folder:
            rain /= below.with_suffix(_RAIN_SUFFIX)
        return replace(job, output=output, rain=rain)


def _plan_stream(sources: Sequence[str], destination: str | None, rain: str | None) -> Job:
    if len(sources) > 1:
        raise ArgumentError("- (standard input) must be the only input; give files by their names")
    if rain is not None and not _names_rain(rain, single_file=True):
        raise ArgumentError(
            "an image from standard input has no name; give `rain` a PNG file, not the folder "
            f"{rain}"
        )
    streaks = None if rain is None else Path(rain)
    if destination is None or destination == STREAM:
        return Job(rain=streaks)
    if not _names_file(destination, single_file=True):
        raise ArgumentError(
            "an image from standard input has no name; give `destination` a file, not the folder "
            f"{destination}"
        )
    return Job(output=Path(destination), rain=streaks)


def _names_file(destination: str, *, single_file: bool) -> bool:
    """Return whether the destination is a file.

    A path that does not exist counts as a file if it has the suffix of an image.
    """
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
    """Return whether the path for the rain is a file."""
    path = Path(rain)
    if path.is_dir() or rain.endswith(("/", os.sep)) or not (path.suffix or path.is_file()):
        return False
    if path.suffix.lower() != _RAIN_SUFFIX:
        raise ArgumentError(
            f"`rain` {rain}: rain is stored as PNG; give a name that ends in .png, or {rain}/ for "
            "a folder"
        )
    if not single_file:
        raise ArgumentError(
            f"`rain` {rain} names one file, but the input is not one file; give a folder, such as "
            f"{rain}/"
        )
    return True


def _remove_clashes(planned: Sequence[Job | Outcome]) -> Iterator[Job | Outcome]:
    """Leave out repeated jobs, and refuse an output that equals another output or an input."""
    # Compared by inode, because links and case-insensitive file systems give one file many names.
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
                    f"{other.name} and {each.name} would both be written to {target}; nothing was "
                    "done. Derain them into different folders, or omit `format`"
                )
            there = read_status(str(target))
            replaced = None if there is None else inputs.get((there.st_dev, there.st_ino))
            # An output that equals the job's own input fails only that job, later.
            if replaced is not None and (
                target is each.rain or find_place(replaced.name) != find_place(each.name)
            ):
                raise ArgumentError(
                    f"the result of {each.name} would replace the input {replaced.name}; nothing "
                    "was done. Choose another output folder"
                )
        if not given_twice:
            yield each
