"""Pairs by a list file or by patterns, for sets whose names follow no layout.

A list is a CSV file with a header (`rainy`, `clean`, and optionally `density`, `intensity`,
`scene`, `halves`), such as the `labels.csv` of `crdnet synth`; a CSV file of two or three columns
without a header; or a text file with two paths per line, as SPA-Data has. Paths are relative to the
folder of the list, or to the folder above it.
"""

import csv
import glob
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from crdnet.data.loading import HalfOrder, Pair
from crdnet.data.matching import Found
from crdnet.data.problems import DataProblem, ProblemKind
from crdnet.data.tar_members import is_stored
from crdnet.density import RainDensity
from crdnet.errors import DataError

LIST_SUFFIXES = frozenset({".csv", ".tsv", ".txt"})
LABELS = "labels.csv"
"""List that `crdnet synth` writes into the folder of its pairs."""
_HEADER = ("rainy", "clean", "density")


def is_pair_list(path: Path) -> bool:
    """Return whether a file is a list of pairs by its suffix."""
    return path.suffix.lower() in LIST_SUFFIXES and path.is_file()


def find_listed(path: Path) -> Found:
    """Return the pairs of a list; images that do not exist become problems.

    Raises:
        DataError: The file cannot be read, or a line is invalid; the message names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    rows = _split_rows(path, text)
    if not rows:
        raise DataError(f"{path}: lists no pairs; write a line `rainy,clean` for each pair")
    found = Found()
    names: set[str] = set()
    for number, row in rows:
        if not row.get("rainy") or not row.get("clean"):
            raise DataError(
                f"{path}:{number}: does not name two images; a line holds a rainy and a clean path"
            )
        rainy, clean = (_locate(path, row[role]) for role in ("rainy", "clean"))
        missing = next((each for each in (rainy, clean) if not is_stored(each)), None)
        if missing is not None:
            reason = f"does not exist, and {path.name} line {number} lists it"
            found.problems.append(DataProblem(missing, ProblemKind.MISSING_PARTNER, reason))
            continue
        name = row["rainy"].lstrip("/")
        if name in names:
            raise DataError(f"{path}:{number}: lists {name} again; keep one line for it")
        names.add(name)
        scene = row.get("scene")
        density, halves = _parse_density(path, number, row), _parse_halves(path, number, row)
        scene = scene or PurePosixPath(row["clean"]).with_suffix("").as_posix().lstrip("/")
        found.pairs.append(Pair(name, scene, rainy, clean, density, halves))
    return found


def _split_rows(path: Path, text: str) -> list[tuple[int, dict[str, str]]]:
    """Return number and cells by column of each line that is not empty."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if path.suffix.lower() == ".txt" and lines and "," not in lines[0][1]:
        cells = [(number, line.split()) for number, line in lines]
        return [(number, dict(zip(_HEADER, row, strict=False))) for number, row in cells]
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    table = list(csv.reader((line for _, line in lines), delimiter=separator))
    header: Sequence[str] = [cell.strip().casefold() for cell in table[0]] if table else []
    if "rainy" in header and "clean" in header:
        table, lines = table[1:], lines[1:]
    elif {"rainy", "clean"} & set(header):
        raise DataError(f"{path}:1: has the columns {', '.join(header)}; it needs rainy and clean")
    else:
        header = _HEADER
    return [
        (number, {key: cell.strip() for key, cell in zip(header, row, strict=False)})
        for (number, _), row in zip(lines, table, strict=True)
    ]


def _locate(path: Path, name: str) -> Path:
    """Return the file of a name in a list, which may begin with a slash without being absolute."""
    inside = name.lstrip("/")
    candidates = [path.parent / inside, path.parent.parent / inside]
    if name.startswith("/"):
        candidates.insert(0, Path(name))
    return next((each for each in candidates if is_stored(each)), path.parent / inside)


def _parse_density(path: Path, number: int, row: dict[str, str]) -> RainDensity | None:
    said, intensity = row.get("density", "").casefold(), row.get("intensity", "")
    try:
        if said:
            return RainDensity(int(said)) if said.isdecimal() else RainDensity[said.upper()]
        return RainDensity.from_intensity(float(intensity)) if intensity else None
    except (KeyError, ValueError):
        grades = ", ".join(grade.name.lower() for grade in RainDensity)
        raise DataError(
            f"{path}:{number}: the density {said or intensity!r} is not one of {grades} or 0 to 3"
        ) from None


def _parse_halves(path: Path, number: int, row: dict[str, str]) -> HalfOrder | None:
    said = row.get("halves")
    if not said:
        return None
    if said not in tuple(HalfOrder):
        raise DataError(f"{path}:{number}: halves must be {' or '.join(HalfOrder)}, got {said!r}")
    return HalfOrder(said)


def match_patterns(rainy: str, clean: str) -> list[Pair]:
    """Return pairs of images by two patterns.

    Args:
        rainy: Pattern of rainy images with `*`, `**` and `?`, such as `in/*.png`.
        clean: Path of the clean image of each, with `{stem}`, `{name}` or `{parent}` of the rainy
            one, or `{1}`, `{2}`, ... for the text that a wildcard of `rainy` matches. It may have
            wildcards that match one file, such as `gt/{stem}.*`.

    Raises:
        DataError: No image matches, or a rainy image has no clean image or several.
    """
    paths = _expand(rainy)
    if not paths:
        raise DataError(f"no rainy image fits the pattern {rainy!r}; quote it and check the folder")
    expression = _compile_pattern(rainy)
    pairs = []
    for path in map(Path, paths):
        groups = expression.fullmatch(path.as_posix())
        values = {"stem": path.stem, "name": path.name, "parent": path.parent.as_posix()}
        try:
            wanted = clean.format(path.name, *(groups.groups() if groups else ()), **values)
        except (KeyError, IndexError, ValueError) as error:
            raise DataError(
                f"the pattern {clean!r} is not valid ({error}); it may hold {{stem}}, "
                "{name}, {parent} and {1}, {2}, ... for the wildcards of the rainy pattern"
            ) from None
        fitting = [wanted] if Path(wanted).is_file() else _expand(wanted)
        if len(fitting) != 1:
            problem = f"has {len(fitting)} clean images {wanted}; a rainy image has one"
            raise DataError(f"{path}: {problem}")
        scene = Path(fitting[0]).with_suffix("").as_posix()
        pairs.append(Pair(path.as_posix(), scene, path, Path(fitting[0])))
    return pairs


def _expand(pattern: str) -> list[str]:
    # Path.glob takes no absolute patterns.
    return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207


def _compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a glob pattern, with a group for each wildcard."""
    parts = re.split(r"(\*\*/|\*|\?)", PurePosixPath(pattern).as_posix())
    groups = {"**/": "((?:[^/]+/)*)", "*": "([^/]*)", "?": "([^/])"}
    return re.compile("".join(groups.get(part, re.escape(part)) for part in parts))
