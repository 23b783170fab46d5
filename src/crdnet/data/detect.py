"""Recognition of the layout of a data set, and the search for its pairs."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from crdnet.data.half_order import decide_order
from crdnet.data.labels import parse_folder_density, parse_stem_density
from crdnet.data.layouts import (
    CLEAN_FOLDERS,
    RAINY_FOLDERS,
    find_folder,
    find_in_density_folders,
    find_in_folders,
    find_numbered_density,
    find_numbered_variants,
    find_rain_norain,
    find_side_by_side,
    normalise_folder,
    parse_stem_prefix,
)
from crdnet.data.listing import Listing, list_images, sort_naturally
from crdnet.data.lists import LABELS, find_listed, is_pair_list
from crdnet.data.loading import HalfOrder, Pair
from crdnet.data.matching import Found, build_numbered_key, build_plain_key
from crdnet.data.more_layouts import (
    find_cityscapes,
    find_gt_rain,
    find_in_gt,
    find_rainds,
    list_cityscapes_split,
    recognise_more,
)
from crdnet.data.problems import DataProblem
from crdnet.data.shards import find_in_shards, list_shards
from crdnet.errors import DataError

logger = logging.getLogger(__name__)

_FINDERS: dict[str, Callable[[Listing], Found]] = {
    "rainy-clean": lambda listing: find_side_by_side(listing, HalfOrder.RAINY_CLEAN),
    "clean-rainy": lambda listing: find_side_by_side(listing, HalfOrder.CLEAN_RAINY),
    "folders": find_in_folders,
    "numbered-density": find_numbered_density,
    "numbered-variants": find_numbered_variants,
    "rain-norain": find_rain_norain,
    "density-folders": find_in_density_folders,
    "rainds": find_rainds,
    "in-gt": find_in_gt,
    "gt-rain": find_gt_rain,
    "rain-cityscapes": find_cityscapes,
}

LAYOUTS = ("auto", *_FINDERS, "tree", "list", "shards")
"""Names of layouts that `find_pairs` accepts."""

_SPLITS = frozenset({"test", "testing", "train", "training", "val", "valid", "validation"})
_SHOWN_PROBLEMS = 5


def find_pairs(
    root: Path | str, layout: str = "auto", *, problems: list[DataProblem] | None = None
) -> list[Pair]:
    """Find the pairs of a data set by their names.

    No image is opened, except a few where the pixels must decide the order of halves.

    Args:
        root: Folder of the data set or of one of its splits, list file (.csv, .tsv, .txt), or shard
            (.tar).
        layout: One of `LAYOUTS`.
        problems: List that gets the images without a partner; the other pairs are then returned.

    Returns:
        The pairs in natural order of the paths of the rainy images, the same on every machine.

    Raises:
        DataError: The folder does not exist, holds no pairs or several splits, or its layout is
            not recognised. Without a list of problems also: an image has no partner.
    """
    layout, found, _ = apply_layout(Path(root), layout)
    if found.aside:
        logger.warning(
            "%s: %d images have no place in the layout %s and are left aside, such as %s",
            root,
            len(found.aside),
            layout,
            found.aside[0],
        )
    if problems is not None:
        problems += found.problems
    elif found.problems:
        raise DataError(_summarise_problems(Path(root), found.problems))
    return found.pairs


def apply_layout(root: Path, layout: str = "auto") -> tuple[str, Found, Listing]:
    """Match a data set with a layout; return the name of the layout, its result and the listing."""
    if layout not in LAYOUTS:
        raise DataError(f"there is no layout {layout!r}; the layouts are {', '.join(LAYOUTS)}")
    shards = list_shards(root)
    listed = root if is_pair_list(root) else root / LABELS
    if layout == "list" or (layout == "auto" and is_pair_list(listed)):
        if not is_pair_list(listed):
            raise DataError(f"{root}: is not a list of pairs; name a .csv, .tsv or .txt file")
        return "list", find_listed(listed), Listing(listed.parent, ())
    if layout == "shards" or root.suffix == ".tar":
        if not shards:
            raise DataError(f"{root}: holds no shards; name a .tar file or a folder of them")
        return "shards", find_in_shards(shards), Listing(root, ())
    listing = list_cityscapes_split(root) or list_images(root)
    if shards and layout == "auto" and not listing.images:
        others = listing.other_files - len(shards)
        return "shards", find_in_shards(shards), replace(listing, other_files=others)
    if not listing.images:
        raise DataError(f"{root}: holds no images; name the folder of a data set")
    _refuse_several_splits(listing)
    if layout == "auto":
        layout = recognise_layout(listing) or decide_order(listing).value
        logger.info("%s: recognised the layout %s", root, layout)
    found = _run_finder(layout, listing)
    if not found.pairs and not found.problems:
        raise DataError(
            f"{root}: holds {len(listing.images)} images but no pair of the layout {layout}",
        )
    return layout, found, listing


def _refuse_several_splits(listing: Listing) -> None:
    """Refuse several splits beside each other, at any depth: training on their union would leak."""
    folders_below = {folder for image in listing.images for folder in image.parents}
    splits: dict[PurePosixPath, list[str]] = {}
    for folder in sort_naturally(folders_below):
        if folder.name.casefold() in _SPLITS:
            splits.setdefault(folder.parent, []).append(folder.name)
    for parent, names in splits.items():
        if len(names) > 1:
            raise DataError(
                f"{listing.root / parent}: holds the splits {', '.join(names)}, "
                "which must not mix; name one of them, or keep them in data sets of their own",
            )


def recognise_layout(listing: Listing) -> str | None:
    """Return the layout that folders and names indicate; None for images side by side."""
    special = recognise_more(listing)
    if special is not None:
        return special
    # Folders first, since names of files are ambiguous.
    words = {normalise_folder(folder) for folder in listing.folders}
    if words & CLEAN_FOLDERS and words & RAINY_FOLDERS:
        return _recognise_naming(listing)
    if words & CLEAN_FOLDERS and any(parse_folder_density(folder) for folder in listing.folders):
        return "density-folders"
    if {"rain", "norain"} <= {
        parse_stem_prefix(image.stem) for image in listing.images if len(image.parts) == 1
    }:
        return "rain-norain"
    # Only after the layouts of a single set, whose folders could look like sets of their own.
    if any(recognise_layout(listing.list_below(folder)) for folder in listing.folders):
        return "tree"
    if words & (CLEAN_FOLDERS | RAINY_FOLDERS):
        find_folder(listing, CLEAN_FOLDERS, "clean")
        find_folder(listing, RAINY_FOLDERS, "rainy")
    return None


def _recognise_naming(listing: Listing) -> str:
    """Choose the naming of two folders that matches the most images."""
    rainy_folder = find_folder(listing, RAINY_FOLDERS, "rainy")
    clean_folder = find_folder(listing, CLEAN_FOLDERS, "clean")
    rainy = [image.stem for image in listing.list_below(rainy_folder).images]
    clean = {build_plain_key(image.stem) for image in listing.list_below(clean_folder).images}
    by_name = sum(build_plain_key(stem) in clean for stem in rainy)
    by_number = sum(build_numbered_key(stem) in clean for stem in rainy)
    # On a tie the stricter rule wins: numbers match more by accident.
    if by_name >= by_number:
        return "folders"
    # N_1, N_2, N_3 may be densities or variants of N. Only the names of the folders identify the
    # second data set of CRDNet. A density that no name gives is measured, so doubt does no harm.
    says_density = all(parse_stem_density(stem) is not None for stem in rainy)
    is_crdnet = (normalise_folder(rainy_folder), normalise_folder(clean_folder)) == (
        "rain",
        "clear",
    )
    return "numbered-density" if says_density and is_crdnet else "numbered-variants"


def _find_tree_pairs(listing: Listing) -> Found:
    """Find the pairs of several sets below one root, each with its layout, as in Rain13K."""
    found = Found()
    found.aside += [listing.name_image(image) for image in listing.images if len(image.parts) == 1]
    for folder in listing.folders:
        part = listing.list_below(folder)
        layout = recognise_layout(part)
        if layout is None:
            found.aside += [part.name_image(image) for image in part.images]
        else:
            found += _run_finder(layout, part)
    return found


def _run_finder(layout: str, listing: Listing) -> Found:
    return _find_tree_pairs(listing) if layout == "tree" else _FINDERS[layout](listing)


def _summarise_problems(root: Path, problems: list[DataProblem]) -> str:
    shown = "; ".join(str(problem) for problem in problems[:_SHOWN_PROBLEMS])
    more = len(problems) - _SHOWN_PROBLEMS
    rest = f"; and {more} more" if more > 0 else ""
    count = "1 image has" if len(problems) == 1 else f"{len(problems)} images have"
    listed = f"{shown}{rest}; `crdnet data check` names all of them"
    return f"{root}: {count} no single partner: {listed}"
