"""Pairs of pictures with and without rain: found in the layouts of the field, read, checked.

Stands on numpy and Pillow, never on torch.
"""

from crdnet.data.detect import LAYOUTS, find_pairs
from crdnet.data.pairs import HalfOrder, LoadedPair, Pair
from crdnet.data.pictures import read_rgb
from crdnet.data.problems import DataProblem, ProblemKind

__all__ = [
    "LAYOUTS",
    "DataProblem",
    "HalfOrder",
    "LoadedPair",
    "Pair",
    "ProblemKind",
    "find_pairs",
    "read_rgb",
]
