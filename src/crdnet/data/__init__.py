"""Pairs of pictures with and without rain: found in the layouts of the field, read, checked.

Stands on numpy and Pillow, never on torch.
"""

from crdnet.data.detect import LAYOUTS, find_pairs
from crdnet.data.doctor import DataReport, check
from crdnet.data.listing import Listing, list_pictures
from crdnet.data.pairs import HalfOrder, LoadedPair, Pair
from crdnet.data.pictures import read_rgb
from crdnet.data.problems import DataProblem, PictureError, ProblemKind
from crdnet.data.scenes import group_scenes, with_scenes

__all__ = [
    "LAYOUTS",
    "DataProblem",
    "DataReport",
    "HalfOrder",
    "Listing",
    "LoadedPair",
    "Pair",
    "PictureError",
    "ProblemKind",
    "check",
    "find_pairs",
    "group_scenes",
    "list_pictures",
    "read_rgb",
    "with_scenes",
]
