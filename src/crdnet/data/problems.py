"""What can be wrong with a data set, as a value that can be listed, counted and raised."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from crdnet.errors import DataError


class ProblemKind(StrEnum):
    """What can be wrong with a picture of a data set."""

    MISSING_PARTNER = "missing partner"
    AMBIGUOUS_PARTNER = "ambiguous partner"
    UNREADABLE = "unreadable"
    SIZE_MISMATCH = "size mismatch"
    IDENTICAL = "identical"
    WRONG_ORDER = "wrong order"


@dataclass(frozen=True, slots=True)
class DataProblem:
    """One thing that is wrong with a data set.

    Attributes:
        path: The picture at fault, or the data set's root where the set as a whole is.
        kind: What is wrong, for counting.
        reason: What is wrong, for reading: a clause that goes on from the path.
    """

    path: Path
    kind: ProblemKind
    reason: str

    def __str__(self) -> str:
        """Return the problem as one line that begins with its path."""
        return f"{self.path}: {self.reason}"


class PictureError(DataError):
    """A picture or pair that cannot be loaded; says, besides the message, which one and why."""

    def __init__(self, problem: DataProblem) -> None:
        super().__init__(problem)
        self.problem = problem
