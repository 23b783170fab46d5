"""Pairs of rainy and clean images: finding, reading and checking data sets.

The package needs numpy and Pillow, never torch.
"""

from crdnet.data.detect import LAYOUTS, find_pairs
from crdnet.data.doctor import DataReport, check
from crdnet.data.image_reader import read_rgb
from crdnet.data.listing import Listing, list_images
from crdnet.data.loading import HalfOrder, LoadedPair, Pair
from crdnet.data.problems import DataProblem, LoadError, ProblemKind
from crdnet.data.scenes import assign_scenes, group_scenes

__all__ = [
    "LAYOUTS",
    "DataProblem",
    "DataReport",
    "HalfOrder",
    "Listing",
    "LoadError",
    "LoadedPair",
    "Pair",
    "ProblemKind",
    "assign_scenes",
    "check",
    "find_pairs",
    "group_scenes",
    "list_images",
    "read_rgb",
]
