"""Pairs of rainy and clean images: finding, reading and checking data sets.

The package needs numpy and Pillow, never torch.
"""

from crdnet.data.clips import Frame, drop_repeated, read_frames
from crdnet.data.detect import LAYOUTS, find_pairs
from crdnet.data.doctor import DataReport, check
from crdnet.data.image_reader import read_rgb
from crdnet.data.leakage import (
    ImageEntry,
    Leak,
    count_leaks,
    find_leaks,
    format_leaks,
    group_alike,
    list_entries,
    make_entries,
    make_entry,
    write_leaks,
)
from crdnet.data.listing import Listing, list_images
from crdnet.data.lists import find_listed, match_patterns
from crdnet.data.loading import HalfOrder, LoadedPair, Pair
from crdnet.data.problems import DataProblem, LoadError, ProblemKind
from crdnet.data.scenes import assign_scenes, group_scenes
from crdnet.data.shards import CLEAN_ROLES
from crdnet.data.splitting import split_scenes, write_list

__all__ = [
    "CLEAN_ROLES",
    "LAYOUTS",
    "DataProblem",
    "DataReport",
    "Frame",
    "HalfOrder",
    "ImageEntry",
    "Leak",
    "Listing",
    "LoadError",
    "LoadedPair",
    "Pair",
    "ProblemKind",
    "assign_scenes",
    "check",
    "count_leaks",
    "drop_repeated",
    "find_leaks",
    "find_listed",
    "find_pairs",
    "format_leaks",
    "group_alike",
    "group_scenes",
    "list_entries",
    "list_images",
    "make_entries",
    "make_entry",
    "match_patterns",
    "read_frames",
    "read_rgb",
    "split_scenes",
    "write_leaks",
    "write_list",
]
