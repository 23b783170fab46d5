"""Layouts of single data sets whose names follow rules of their own.

RainDS (Quan et al., CVPR 2021), Rain12 (Li et al., CVPR 2016), GT-Rain (Ba et al., ECCV 2022) and
RainCityscapes (Hu et al., CVPR 2019).
"""

import re
from collections import defaultdict
from pathlib import Path, PurePosixPath

from crdnet.data.layouts import CLEAN_FOLDERS, find_folder, normalise_folder
from crdnet.data.listing import Listing, list_images
from crdnet.data.matching import Found, build_plain_key, match_pairs

RAINDS_FOLDERS = frozenset({"rainstreak", "raindrop", "rainstreak_raindrop"})
CITYSCAPES_CLEAN, CITYSCAPES_RAINY = "leftimg8bit", "leftimg8bit_rain"
_RAINDS_WORDS = re.compile(r"^(?:pie[-_])?(?:(?:no)?rain|rd)(?:[-_]rain)?[-_]", re.IGNORECASE)
_IN_GT = re.compile(r"(.+)[-_](in|gt)", re.IGNORECASE)
_RAINY_CLEAN = re.compile(r"(.*)[-_](R|C)[-_](\d+)")
_CITYSCAPES = re.compile(r"(.+_leftImg8bit)(?:_rain_.*)?")


def find_rainds(listing: Listing) -> Found:
    """Match `rainstreak/rain-1.png`, `raindrop/rd-1.png` and both with `gt/norain-1.png`."""
    clean_folder = find_folder(listing, CLEAN_FOLDERS, "clean")

    def key(image: PurePosixPath) -> str:
        stem = _RAINDS_WORDS.sub("", image.stem)
        return "/".join([*image.parts[1:-1], build_plain_key(stem)])

    chosen = [image for image in listing.images if len(image.parts) > 1]
    rainy = [each for each in chosen if normalise_folder(each.parts[0]) in RAINDS_FOLDERS]
    clean = [each for each in chosen if each.parts[0] == clean_folder]
    found = match_pairs(
        listing,
        rainy,
        clean,
        rainy_key=key,
        clean_key=key,
        expected=lambda image: f"{clean_folder}/{_RAINDS_WORDS.sub('', image.stem)}.*",
    )
    taken = {*rainy, *clean}
    found.aside += [listing.name_image(each) for each in listing.images if each not in taken]
    return found


def find_in_gt(listing: Listing) -> Found:
    """Match `001_in.png` with `001_GT.png` beside it, as in Rain12."""
    roles: dict[str, list[PurePosixPath]] = {"in": [], "gt": []}
    found = Found()
    for image in listing.images:
        named = _IN_GT.fullmatch(image.stem)
        if named is None:
            found.aside.append(listing.name_image(image))
        else:
            roles[named[2].casefold()].append(image)
    found += match_pairs(
        listing,
        roles["in"],
        roles["gt"],
        rainy_key=_build_in_gt_key,
        clean_key=_build_in_gt_key,
        expected=lambda image: _IN_GT.sub(r"\1_GT.* beside it", image.stem),
    )
    return found


def _build_in_gt_key(image: PurePosixPath) -> str:
    named = _IN_GT.fullmatch(image.stem)
    assert named is not None
    return str(image.parent / build_plain_key(named[1]))


def find_gt_rain(listing: Listing) -> Found:
    """Match the rainy frames `X-R-005.png` of a scene with its clean `X-C-000.png`, as in GT-Rain.

    A scene with one clean frame, of a static camera, has it for all its rainy frames; otherwise
    the numbers must agree.
    """
    scenes: dict[str, dict[str, dict[str, PurePosixPath]]] = defaultdict(lambda: {"R": {}, "C": {}})
    found = Found()
    for image in listing.images:
        named = _RAINY_CLEAN.fullmatch(image.stem)
        if named is None:
            found.aside.append(listing.name_image(image))
        else:
            scenes[str(image.parent / named[1])][named[2]][named[3].lstrip("0")] = image
    for scene, frames in scenes.items():
        rainy, clean = frames["R"], frames["C"]
        shared = len(clean) == 1
        found += match_pairs(
            listing,
            rainy.values(),
            clean.values(),
            # The lambdas are called within the same iteration.
            rainy_key=lambda image: "" if shared else _number_of(image),  # noqa: B023
            clean_key=lambda image: "" if shared else _number_of(image),  # noqa: B023
            expected=lambda image: f"{scene}-C-{_number_of(image)}.*",  # noqa: B023
        )
    return found


def _number_of(image: PurePosixPath) -> str:
    named = _RAINY_CLEAN.fullmatch(image.stem)
    assert named is not None
    return named[3].lstrip("0")


def find_cityscapes(listing: Listing) -> Found:
    """Match `leftImg8bit_rain/*/X_leftImg8bit_rain_*.png`, `leftImg8bit/*/X_leftImg8bit.png`."""
    rainy_folder = find_folder(listing, frozenset({CITYSCAPES_RAINY}), "rainy")
    clean_folder = find_folder(listing, frozenset({CITYSCAPES_CLEAN}), "clean")

    def key(image: PurePosixPath) -> str:
        named = _CITYSCAPES.fullmatch(image.stem)
        return "/".join([*image.parts[1:-1], named[1] if named else image.stem])

    rainy = [image for image in listing.images if image.parts[0] == rainy_folder]
    clean = [image for image in listing.images if image.parts[0] == clean_folder]
    wanted = {key(image) for image in rainy}
    # The folder may hold all of Cityscapes, of which only a part has rainy images.
    others = [image for image in listing.images if image not in {*rainy, *clean}]
    unused = [image for image in clean if key(image) not in wanted]
    found = match_pairs(
        listing,
        rainy,
        [image for image in clean if key(image) in wanted],
        rainy_key=key,
        clean_key=key,
        expected=lambda image: f"{clean_folder}/{key(image)}.png",
    )
    found.aside += [listing.name_image(image) for image in (*others, *unused)]
    return found


def list_cityscapes_split(root: Path) -> Listing | None:
    """Return rainy and clean images of a split that is named by its rainy folder, else None.

    `RainCityscapes/leftImg8bit_rain/train` has its clean images in a folder beside its parent.
    """
    for parent in root.parents:
        base = parent.parent
        if normalise_folder(parent.name) == CITYSCAPES_RAINY and root.is_dir():
            inside = root.relative_to(parent).parts
            images = [
                image
                for image in list_images(base).images
                if image.parts[1 : 1 + len(inside)] == inside
            ]
            return Listing(base, tuple(images))
    return None


def recognise_more(listing: Listing) -> str | None:
    """Return the layout of this module that folders and names indicate, else None."""
    words = {normalise_folder(folder) for folder in listing.folders}
    if {CITYSCAPES_CLEAN, CITYSCAPES_RAINY} <= words:
        return "rain-cityscapes"
    if words & RAINDS_FOLDERS and words & CLEAN_FOLDERS:
        return "rainds"
    stems = [image.stem for image in listing.images]
    roles = {found[2].casefold() for stem in stems if (found := _IN_GT.fullmatch(stem))}
    if roles == {"in", "gt"} and not words & CLEAN_FOLDERS:
        return "in-gt"
    named = [found for stem in stems if (found := _RAINY_CLEAN.fullmatch(stem))]
    if len(named) == len(stems) and {found[2] for found in named} == {"R", "C"}:
        return "gt-rain"
    return None
