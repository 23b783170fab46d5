"""Problems of data sets, as values to list and count and as an error to raise."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from crdnet.errors import DataError


class ProblemKind(StrEnum):
    """Kind of problem of a data set."""

    MISSING_PARTNER = "missing partner"
    AMBIGUOUS_PARTNER = "ambiguous partner"
    UNREADABLE = "unreadable"
    SIZE_MISMATCH = "size mismatch"
    IDENTICAL = "identical"
    WRONG_ORDER = "wrong order"


@dataclass(frozen=True, slots=True)
class DataProblem:
    """Problem of a data set.

    Attributes:
        path: Path of the affected image, or the root if the whole set is affected.
        kind: Kind of problem, for counting.
        reason: Description for people: a clause whose subject is the path.
    """

    path: Path
    kind: ProblemKind
    reason: str

    def __str__(self) -> str:
        """Return the problem as one line that begins with the path."""
        return f"{self.path}: {self.reason}"


class LoadError(DataError):
    """Image or pair that cannot be loaded; `problem` holds its path and the reason."""

    def __init__(self, problem: DataProblem) -> None:
        super().__init__(problem)
        self.problem = problem
