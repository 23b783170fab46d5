"""Splits of a data set by scene, written as list files."""

import csv
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

import numpy as np

from crdnet.data.leakage import Progress, group_alike, make_entries
from crdnet.data.loading import Pair
from crdnet.errors import DataError
from crdnet.files import write_whole


def split_scenes(
    pairs: Sequence[Pair],
    shares: Mapping[str, float],
    rng: np.random.Generator,
    progress: Progress = iter,
) -> dict[str, list[Pair]]:
    """Split pairs so that no scene is in two parts.

    Args:
        pairs: Pairs of a data set; their clean images are read and compared.
        shares: Share of the pairs by name of the part; they sum to 1.
        rng: Generator of the shuffle.
        progress: Wrapper of the entries while they are read.

    Raises:
        DataError: The shares do not sum to 1, there are fewer scenes than parts, or a clean image
            cannot be read.
    """
    if min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise DataError(f"shares of a split are above 0 and sum to 1, got {dict(shares)}")
    entries = make_entries(pairs)
    numbers = group_alike(entries, progress)
    by_file = {entry.files[0]: number for entry, number in zip(entries, numbers, strict=True)}
    scenes: dict[int, list[Pair]] = defaultdict(list)
    for pair in pairs:
        scenes[by_file[pair.clean_path]].append(pair)
    if len(scenes) < len(shares):
        raise DataError(f"{len(scenes)} scenes cannot be split into {len(shares)} parts")
    order = [list(scenes.values())[index] for index in rng.permutation(len(scenes))]
    parts: dict[str, list[Pair]] = {name: [] for name in shares}
    for scene in order:
        # The part that lacks most of its share gets the scene; the empty ones come first.
        name = min(shares, key=lambda part: len(parts[part]) / shares[part])
        parts[name] += scene
    return parts


def write_list(pairs: Sequence[Pair], path: Path) -> None:
    """Write pairs as a list file that `find_pairs` reads, with paths relative to its folder."""
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["rainy", "clean", "density", "halves"])
    folder = path.resolve().parent
    for pair in pairs:
        rainy, clean = (
            Path(os.path.relpath(each.resolve(), folder)).as_posix()
            for each in (pair.rainy_path, pair.clean_path)
        )
        density = "" if pair.density is None else pair.density.name.lower()
        rows.writerow([rainy, clean, density, pair.halves or ""])
    write_whole(path, text.getvalue().encode("utf-8", "surrogateescape"))
