"""Parsing of rain densities from the names of folders and files."""

import re
from collections.abc import Iterable

from crdnet.density import RainDensity

_FOLDER = re.compile(r"(?:rain[-_ ]?)?(light|medium|heavy)(?:[-_ ]?rain)?", re.IGNORECASE)
_DIGIT = re.compile(r".*[-_]([123])")


def parse_folder_density(name: str) -> RainDensity | None:
    """Return the grade in the name of a folder (`Rain_Heavy`, `heavy`, `light_rain`), else None."""
    match = _FOLDER.fullmatch(name)
    return RainDensity[match[1].upper()] if match else None


def find_folder_density(names: Iterable[str]) -> RainDensity | None:
    """Return the grade of the innermost of nested folders with a grade in its name, else None."""
    grades = [grade for name in names if (grade := parse_folder_density(name)) is not None]
    return grades[-1] if grades else None


def parse_stem_density(stem: str) -> RainDensity | None:
    """Return the grade in the last digit of a file name without its suffix, else None.

    1 is light, 2 medium, 3 heavy. The digit must stand apart (`17_3`, not `173`), since many sets
    just number their images.
    """
    # Other digits, such as variants up to 14, are no grade.
    match = _DIGIT.fullmatch(stem)
    return RainDensity(int(match[1])) if match else None
