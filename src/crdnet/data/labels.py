"""Rain densities as data sets write them: in a folder's name, or as a digit that ends a file's name."""

import re
from collections.abc import Iterable

from crdnet.density import RainDensity

_FOLDER = re.compile(r"(?:rain[-_ ]?)?(light|medium|heavy)(?:[-_ ]?rain)?", re.IGNORECASE)
_DIGIT = re.compile(r".*[-_]([123])")


def density_of_folder(name: str) -> RainDensity | None:
    """Return the grade that a folder is named after (`Rain_Heavy`, `heavy`, `light_rain`), else None."""
    match = _FOLDER.fullmatch(name)
    return RainDensity[match[1].upper()] if match else None


def density_of_folders(names: Iterable[str]) -> RainDensity | None:
    """Return the grade of the innermost of nested folders that is named after one, else None."""
    grades = [grade for name in names if (grade := density_of_folder(name)) is not None]
    return grades[-1] if grades else None


def density_of_stem(stem: str) -> RainDensity | None:
    """Return the grade that a name without its ending carries as its last digit: 1 light, 2 medium, 3 heavy.

    The digit must stand apart (`17_3`, not `173`): in a set that merely counts its pictures it
    means nothing.
    """
    match = _DIGIT.fullmatch(stem)
    return RainDensity(int(match[1])) if match else None
