"""One function per layout of the field: from the names of a data set's pictures to its pairs.

No function here opens a picture. Each takes a `Listing` and returns a `Found`, in which every
picture of the listing is in a pair, in a problem, or among those that the layout leaves aside.
"""

import re
from pathlib import PurePosixPath

from crdnet.data.labels import density_of_folder, density_of_stem
from crdnet.data.listing import Listing
from crdnet.data.matching import (
    Found,
    Key,
    Label,
    density_of_place,
    match_pairs,
    no_label,
    numbered_key,
    plain_key,
)
from crdnet.data.pairs import HalfOrder, Pair
from crdnet.errors import DataError

RAINY_FOLDERS = frozenset({"input", "inputs", "rain", "rainy", "rainy_image", "rainy_images", "rain_image"})
CLEAN_FOLDERS = frozenset(
    {"clean", "clear", "gt", "ground_truth", "groundtruth", "norain", "no_rain", "target", "targets"}
)
"""Names of folders, in lower case and with `_` for `-` and blanks."""


def side_by_side(listing: Listing, order: HalfOrder) -> Found:
    """Both pictures in one file: DID-MDN and CRDNet's first data set (rainy left), Rain800 (clean left).

    The density stands in a folder's name (`Rain_Heavy/train2018new/7.jpg`), or as the last digit of
    the names where every name carries one (`7_3.jpg`).
    """
    digits = [density_of_stem(picture.stem) for picture in listing.pictures]
    named_by_digit = bool(digits) and all(digit is not None for digit in digits)
    found = Found()
    for picture, digit in zip(listing.pictures, digits, strict=True):
        density = density_of_place(listing, picture) or (digit if named_by_digit else None)
        path = listing.root / picture
        name = listing.name(picture)
        found.pairs.append(Pair(name, name, path, path, density, order))
    return found


def folders(listing: Listing) -> Found:
    """Two folders, matched by name: `input/a.png` with `target/a.png`; `rain/` and `norain/` of Rain200."""
    return _match_folders(listing, rainy_key=plain_key, label=no_label)


def numbered_density(listing: Listing) -> Found:
    """`rain/N_D.jpg` with `clear/N.jpg`, where D is the density: CRDNet's second data set.

    Raises:
        DataError: A rainy picture's name does not end in a density.
    """
    rainy_folder = the_folder(listing, RAINY_FOLDERS, "rainy")
    for picture in listing.below(rainy_folder).pictures:
        if density_of_stem(picture.stem) is None:
            raise DataError(
                f"{listing.root / rainy_folder / picture}: its name does not end in a density "
                "(_1, _2 or _3), as numbered-density demands; where the number counts variants, "
                "the layout is numbered-variants"
            )
    return _match_folders(listing, rainy_key=numbered_key, label=density_of_stem)


def numbered_variants(listing: Listing) -> Found:
    """`rainy_image/N_V.jpg` with `ground_truth/N.jpg`, where V = 1..14 is no density: Rain1400."""
    return _match_folders(listing, rainy_key=numbered_key, label=no_label)


def rain_norain(listing: Listing) -> Found:
    """`rain-001.png` beside `norain-001.png`, as in Rain100L and Rain100H, or in two folders.

    Other pictures are left aside: the training sets hold `rainstreak-N.png` and `rainregion-N.png`
    as well, which show no scene.
    """
    words = {folder_word(folder) for folder in listing.folders}
    if words & RAINY_FOLDERS and words & CLEAN_FOLDERS:
        return folders(listing)
    rainy: list[PurePosixPath] = []
    clean: list[PurePosixPath] = []
    found = Found()
    for picture in listing.pictures:
        prefix = stem_prefix(picture.stem)
        if prefix is None:
            found.aside.append(listing.name(picture))
        else:
            (rainy if prefix == "rain" else clean).append(picture)
    found += match_pairs(
        listing,
        rainy,
        clean,
        rainy_key=lambda picture: str(picture.parent / plain_key(picture.stem)),
        clean_key=lambda picture: str(picture.parent / plain_key(picture.stem)),
        expected=lambda picture: f"no{picture.name} beside it",
    )
    return found


def density_folders(listing: Listing) -> Found:
    """Folders named after densities beside a clean one: `light/a.png`, `heavy/a.png` with `clean/a.png`."""
    clean_folder = the_folder(listing, CLEAN_FOLDERS, "clean")
    found = Found()
    rainy_folders = [folder for folder in listing.folders if density_of_folder(folder) is not None]
    if not rainy_folders:
        raise DataError(
            f"{listing.root}: has no folder named light, medium or heavy, which density-folders needs"
        )
    chosen = {clean_folder, *rainy_folders}
    rainy = [
        picture
        for picture in listing.pictures
        if picture.parts[0] in rainy_folders and len(picture.parts) > 1
    ]
    clean = [
        picture for picture in listing.pictures if picture.parts[0] == clean_folder and len(picture.parts) > 1
    ]
    found += match_pairs(
        listing,
        rainy,
        clean,
        rainy_key=lambda picture: _key_below_folder(picture, plain_key),
        clean_key=lambda picture: _key_below_folder(picture, plain_key),
        expected=lambda picture: f"{clean_folder}/{picture.stem}.*",
    )
    found.aside += _outside(listing, chosen)
    return found


def stem_prefix(stem: str) -> str | None:
    """Return `rain` or `norain` where a name is that word and a number (`rain-001`), else None."""
    match = re.fullmatch(r"((?:no)?rain)[-_]?[0-9]+(?:x2)?", stem.casefold())
    return match[1] if match else None


def folder_word(name: str) -> str:
    """Return a folder's name as `RAINY_FOLDERS` and `CLEAN_FOLDERS` write it."""
    return re.sub(r"[-_ ]+", "_", name.casefold())


def the_folder(listing: Listing, words: frozenset[str], role: str) -> str:
    """Return the one folder of a listing whose name is among some words.

    Raises:
        DataError: There is none, or there are several.
    """
    matching = [folder for folder in listing.folders if folder_word(folder) in words]
    if len(matching) == 1:
        return matching[0]
    if matching:
        several = ", ".join(matching)
        raise DataError(
            f"{listing.root}: {several} could each be the {role} pictures; keep one of them there"
        )
    known = ", ".join(sorted(words))
    raise DataError(
        f"{listing.root}: has no folder with {role} pictures, which would be named one of {known}; "
        "rename yours, or name the layout where these are pictures side by side "
        "(--layout clean-rainy or rainy-clean)"
    )


def _match_folders(listing: Listing, rainy_key: Key, label: Label) -> Found:
    rainy_folder = the_folder(listing, RAINY_FOLDERS, "rainy")
    clean_folder = the_folder(listing, CLEAN_FOLDERS, "clean")
    rainy = [
        picture for picture in listing.pictures if len(picture.parts) > 1 and picture.parts[0] == rainy_folder
    ]
    clean = [
        picture for picture in listing.pictures if len(picture.parts) > 1 and picture.parts[0] == clean_folder
    ]
    found = match_pairs(
        listing,
        rainy,
        clean,
        rainy_key=lambda picture: _key_below_folder(picture, rainy_key),
        clean_key=lambda picture: _key_below_folder(picture, plain_key),
        expected=lambda picture: f"{clean_folder}/{rainy_key(picture.stem)}.*",
        label=label,
    )
    found.aside += _outside(listing, {rainy_folder, clean_folder})
    return found


def _key_below_folder(picture: PurePosixPath, key: Key) -> str:
    # Rain200 keeps its rainy pictures one folder deeper (rain/X2/norain-1x2.png) than its clean
    # ones.
    between = [part for part in picture.parts[1:-1] if part.casefold() != "x2"]
    return "/".join([*between, key(picture.stem)])


def _outside(listing: Listing, chosen: set[str]) -> list[str]:
    return [
        listing.name(picture)
        for picture in listing.pictures
        if len(picture.parts) == 1 or picture.parts[0] not in chosen
    ]
