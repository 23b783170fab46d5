"""Recognising a data set's layout by its folders and names, and finding its pairs."""

import logging
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from crdnet.data.labels import density_of_folder, density_of_stem
from crdnet.data.layouts import (
    CLEAN_FOLDERS,
    RAINY_FOLDERS,
    density_folders,
    folder_word,
    folders,
    numbered_density,
    numbered_variants,
    rain_norain,
    side_by_side,
    stem_prefix,
    the_folder,
)
from crdnet.data.listing import Listing, list_pictures, natural_order
from crdnet.data.matching import Found, numbered_key, plain_key
from crdnet.data.order import decide_order
from crdnet.data.pairs import HalfOrder, Pair
from crdnet.data.problems import DataProblem
from crdnet.errors import DataError

logger = logging.getLogger(__name__)

_FINDERS: dict[str, Callable[[Listing], Found]] = {
    "rainy-clean": lambda listing: side_by_side(listing, HalfOrder.RAINY_CLEAN),
    "clean-rainy": lambda listing: side_by_side(listing, HalfOrder.CLEAN_RAINY),
    "folders": folders,
    "numbered-density": numbered_density,
    "numbered-variants": numbered_variants,
    "rain-norain": rain_norain,
    "density-folders": density_folders,
}

LAYOUTS = ("auto", *_FINDERS, "tree")
"""The names that `find_pairs` takes as a layout."""

_SPLITS = frozenset({"test", "testing", "train", "training", "val", "valid", "validation"})
_SHOWN_PROBLEMS = 5


def find_pairs(
    root: Path | str, layout: str = "auto", *, problems: list[DataProblem] | None = None
) -> list[Pair]:
    """Find the pairs of a data set by their names.

    No picture is opened, save a few where the order of halves is not given and has to be seen.

    Args:
        root: The folder of the data set, or of one of its splits.
        layout: One of `LAYOUTS`.
        problems: Where given, pictures without a partner are appended here and the good pairs are
            returned.

    Returns:
        The pairs, in an order that is the same on every machine: natural order of the rainy
        pictures' paths.

    Raises:
        DataError: There is no such folder, it holds no pairs or several splits, its layout cannot
            be told, or, where no list for problems is given, a picture has no partner.
    """
    layout, found, _ = find(Path(root), layout)
    if found.aside:
        logger.warning(
            "%s: %d pictures have no place in the layout %s and are left aside, such as %s",
            root,
            len(found.aside),
            layout,
            found.aside[0],
        )
    if problems is not None:
        problems += found.problems
    elif found.problems:
        raise DataError(_summary(Path(root), found.problems))
    return found.pairs


def find(root: Path, layout: str = "auto") -> tuple[str, Found, Listing]:
    """Return the name of a data set's layout, what it finds there, and the listing it worked on."""
    if layout not in LAYOUTS:
        raise DataError(f"there is no layout {layout!r}; the layouts are {', '.join(LAYOUTS)}")
    listing = list_pictures(root)
    if not listing.pictures:
        raise DataError(f"{root}: holds no pictures; name the folder of a data set")
    _refuse_several_splits(listing)
    if layout == "auto":
        layout = recognise(listing) or decide_order(listing).value
        logger.info("%s: recognised the layout %s", root, layout)
    found = _apply(layout, listing)
    if not found.pairs and not found.problems:
        raise DataError(f"{root}: holds {len(listing.pictures)} pictures but no pair of the layout {layout}")
    return layout, found, listing


def _refuse_several_splits(listing: Listing) -> None:
    """Refuse folders named after splits beside each other, at any depth: their union would leak."""
    folders_below = {folder for picture in listing.pictures for folder in picture.parents}
    splits: dict[PurePosixPath, list[str]] = {}
    for folder in natural_order(folders_below):
        if folder.name.casefold() in _SPLITS:
            splits.setdefault(folder.parent, []).append(folder.name)
    for parent, names in splits.items():
        if len(names) > 1:
            raise DataError(
                f"{listing.root / parent}: holds the splits {', '.join(names)}, which must not mix; "
                "name one of them, or keep them in data sets of their own"
            )


def recognise(listing: Listing) -> str | None:
    """Return the layout that folders and names show; None where none, as for pictures side by side."""
    words = {folder_word(folder) for folder in listing.folders}
    if words & CLEAN_FOLDERS and words & RAINY_FOLDERS:
        return _recognise_naming(listing)
    if words & CLEAN_FOLDERS and any(density_of_folder(folder) for folder in listing.folders):
        return "density-folders"
    if {"rain", "norain"} <= {
        stem_prefix(picture.stem) for picture in listing.pictures if len(picture.parts) == 1
    }:
        return "rain-norain"
    if any(recognise(listing.below(folder)) for folder in listing.folders):
        return "tree"
    if words & (CLEAN_FOLDERS | RAINY_FOLDERS):
        the_folder(listing, CLEAN_FOLDERS, "clean")
        the_folder(listing, RAINY_FOLDERS, "rainy")
    return None


def _recognise_naming(listing: Listing) -> str:
    """Tell how the pictures of two folders are matched: by what matches the most of them."""
    rainy_folder = the_folder(listing, RAINY_FOLDERS, "rainy")
    clean_folder = the_folder(listing, CLEAN_FOLDERS, "clean")
    rainy = [picture.stem for picture in listing.below(rainy_folder).pictures]
    clean = {plain_key(picture.stem) for picture in listing.below(clean_folder).pictures}
    by_name = sum(plain_key(stem) in clean for stem in rainy)
    by_number = sum(numbered_key(stem) in clean for stem in rainy)
    if by_name >= by_number:
        return "folders"
    # N_1, N_2, N_3 may be densities or the first of N's variants, and only the folders' names tell
    # CRDNet's second data set from the others. A density that is not read from a name is measured,
    # so doubt does no harm.
    says_density = all(density_of_stem(stem) is not None for stem in rainy)
    is_crdnet = (folder_word(rainy_folder), folder_word(clean_folder)) == ("rain", "clear")
    return "numbered-density" if says_density and is_crdnet else "numbered-variants"


def _tree(listing: Listing) -> Found:
    """Several sets below one root, each of a layout that its names show, as in Rain13K (`Rain13K/input`)."""
    found = Found()
    found.aside += [listing.name(picture) for picture in listing.pictures if len(picture.parts) == 1]
    for folder in listing.folders:
        part = listing.below(folder)
        layout = recognise(part)
        if layout is None:
            found.aside += [part.name(picture) for picture in part.pictures]
        else:
            found += _apply(layout, part)
    return found


def _apply(layout: str, listing: Listing) -> Found:
    return _tree(listing) if layout == "tree" else _FINDERS[layout](listing)


def _summary(root: Path, problems: list[DataProblem]) -> str:
    shown = "; ".join(str(problem) for problem in problems[:_SHOWN_PROBLEMS])
    more = len(problems) - _SHOWN_PROBLEMS
    rest = f"; and {more} more" if more > 0 else ""
    count = "1 picture has" if len(problems) == 1 else f"{len(problems)} pictures have"
    return f"{root}: {count} no single partner: {shown}{rest}; `crdnet data check` names all of them"
