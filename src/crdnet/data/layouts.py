"""One function per layout of the field: match the images of a data set by their names.

No function opens an image. Each takes a `Listing` and returns a `Found`. Every image of the listing
is then in a pair, in a problem, or among those left aside.
"""

import re
from collections.abc import Container
from pathlib import PurePosixPath

from crdnet.data.labels import parse_folder_density, parse_stem_density
from crdnet.data.listing import Listing
from crdnet.data.loading import HalfOrder, Pair
from crdnet.data.matching import (
    Found,
    Key,
    Label,
    build_numbered_key,
    build_plain_key,
    find_place_density,
    ignore_label,
    match_pairs,
)
from crdnet.errors import DataError

RAINY_FOLDERS = frozenset(
    {"input", "inputs", "lq", "rain", "rainy", "rainy_image", "rainy_images", "rain_image"},
)
CLEAN_FOLDERS = frozenset(
    {
        "clean",
        "clear",
        "gt",
        "ground_truth",
        "groundtruth",
        "hq",
        "norain",
        "no_rain",
        "target",
        "targets",
    }
)
"""Names of folders, normalised by `normalise_folder`."""


def find_side_by_side(listing: Listing, order: HalfOrder) -> Found:
    """Find pairs whose images lie side by side in one file.

    Examples are DID-MDN and the first data set of CRDNet (rainy left), and Rain800 (clean left).
    The density is in the name of a folder (`Rain_Heavy/train2018new/7.jpg`), or in the last digit
    of the names if every name ends in one (`7_3.jpg`).
    """
    digits = [parse_stem_density(image.stem) for image in listing.images]
    # All names must end in a density: in a numbered set some end in 1, 2 or 3 by chance.
    named_by_digit = bool(digits) and all(digit is not None for digit in digits)
    found = Found()
    for image, digit in zip(listing.images, digits, strict=True):
        density = find_place_density(listing, image) or (digit if named_by_digit else None)
        path = listing.root / image
        name = listing.name_image(image)
        found.pairs.append(Pair(name, name, path, path, density, order))
    return found


def find_in_folders(listing: Listing) -> Found:
    """Match two folders by name: `input/a.png` with `target/a.png`; also `rain/` and `norain/`."""
    return _match_folders(listing, rainy_key=build_plain_key, label=ignore_label)


def find_numbered_density(listing: Listing) -> Found:
    """Match `rain/N_D.jpg` with `clear/N.jpg` for density D: the second data set of CRDNet.

    Raises:
        DataError: The name of a rainy image does not end in a density.
    """
    rainy_folder = find_folder(listing, RAINY_FOLDERS, "rainy")
    for image in listing.list_below(rainy_folder).images:
        if parse_stem_density(image.stem) is None:
            raise DataError(
                f"{listing.root / rainy_folder / image}: its name does not end in a density "
                "(_1, _2 or _3), as numbered-density demands; where the number counts variants, "
                "the layout is numbered-variants"
            )
    return _match_folders(listing, rainy_key=build_numbered_key, label=parse_stem_density)


def find_numbered_variants(listing: Listing) -> Found:
    """Match `rainy_image/N_V.jpg` with `ground_truth/N.jpg` for variant V, as in Rain1400."""
    return _match_folders(listing, rainy_key=build_numbered_key, label=ignore_label)


def find_rain_norain(listing: Listing) -> Found:
    """Match `rain-001.png` with `norain-001.png`, as in Rain100L and Rain100H, or in two folders.

    Other images are left aside: the training sets also hold `rainstreak-N.png` and
    `rainregion-N.png`, which show no scene.
    """
    words = {normalise_folder(folder) for folder in listing.folders}
    if words & RAINY_FOLDERS and words & CLEAN_FOLDERS:
        return find_in_folders(listing)
    rainy: list[PurePosixPath] = []
    clean: list[PurePosixPath] = []
    found = Found()
    for image in listing.images:
        prefix = parse_stem_prefix(image.stem)
        if prefix is None:
            found.aside.append(listing.name_image(image))
        else:
            (rainy if prefix == "rain" else clean).append(image)
    found += match_pairs(
        listing,
        rainy,
        clean,
        rainy_key=lambda image: str(image.parent / build_plain_key(image.stem)),
        clean_key=lambda image: str(image.parent / build_plain_key(image.stem)),
        expected=lambda image: f"no{image.name} beside it",
    )
    return found


def find_in_density_folders(listing: Listing) -> Found:
    """Match folders named after densities with a clean one: `light/a.png` with `clean/a.png`."""
    clean_folder = find_folder(listing, CLEAN_FOLDERS, "clean")
    found = Found()
    rainy_folders = {folder for folder in listing.folders if parse_folder_density(folder)}
    if not rainy_folders:
        raise DataError(
            f"{listing.root}: has no folder named light, medium or heavy, as density-folders needs",
        )
    chosen = {clean_folder, *rainy_folders}
    rainy = _list_inside(listing, rainy_folders)
    clean = _list_inside(listing, {clean_folder})
    found += match_pairs(
        listing,
        rainy,
        clean,
        rainy_key=lambda image: _build_folder_key(image, build_plain_key),
        clean_key=lambda image: _build_folder_key(image, build_plain_key),
        expected=lambda image: f"{clean_folder}/{image.stem}.*",
    )
    found.aside += _list_outside(listing, chosen)
    return found


def parse_stem_prefix(stem: str) -> str | None:
    """Return `rain` or `norain` if a name is that word and a number (`rain-001`), else None."""
    match = re.fullmatch(r"((?:no)?rain)[-_]?[0-9]+(?:x2)?", stem.casefold())
    return match[1] if match else None


def normalise_folder(name: str) -> str:
    """Return the name of a folder in lower case, with `_` for `-` and spaces."""
    return re.sub(r"[-_ ]+", "_", name.casefold())


def find_folder(listing: Listing, words: frozenset[str], role: str) -> str:
    """Return the only folder of a listing whose normalised name is among `words`.

    Raises:
        DataError: No folder matches, or several do.
    """
    matching = [folder for folder in listing.folders if normalise_folder(folder) in words]
    if len(matching) == 1:
        return matching[0]
    if matching:
        several = ", ".join(matching)
        raise DataError(
            f"{listing.root}: {several} could each be the {role} images; keep one of them there",
        )
    known = ", ".join(sorted(words))
    raise DataError(
        f"{listing.root}: has no folder with {role} images, which would be named one of {known}; "
        "rename yours, or name the layout where these are images side by side "
        "(--layout clean-rainy or rainy-clean)"
    )


def _match_folders(listing: Listing, rainy_key: Key, label: Label) -> Found:
    rainy_folder = find_folder(listing, RAINY_FOLDERS, "rainy")
    clean_folder = find_folder(listing, CLEAN_FOLDERS, "clean")
    rainy = _list_inside(listing, {rainy_folder})
    clean = _list_inside(listing, {clean_folder})
    found = match_pairs(
        listing,
        rainy,
        clean,
        rainy_key=lambda image: _build_folder_key(image, rainy_key),
        clean_key=lambda image: _build_folder_key(image, build_plain_key),
        expected=lambda image: f"{clean_folder}/{rainy_key(image.stem)}.*",
        label=label,
    )
    found.aside += _list_outside(listing, {rainy_folder, clean_folder})
    return found


def _build_folder_key(image: PurePosixPath, key: Key) -> str:
    # Rain200 keeps its rainy images one folder deeper than its clean ones (rain/X2/norain-1x2.png).
    between = [part for part in image.parts[1:-1] if part.casefold() != "x2"]
    return "/".join([*between, key(image.stem)])


def _list_inside(listing: Listing, folders: Container[str]) -> list[PurePosixPath]:
    return [image for image in listing.images if len(image.parts) > 1 and image.parts[0] in folders]


def _list_outside(listing: Listing, chosen: set[str]) -> list[str]:
    return [
        listing.name_image(image)
        for image in listing.images
        if len(image.parts) == 1 or image.parts[0] not in chosen
    ]
