"""Matching rainy pictures with clean ones by what their names have in common."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from crdnet.data.labels import density_of_folders
from crdnet.data.listing import Listing
from crdnet.data.pairs import Pair
from crdnet.data.problems import DataProblem, ProblemKind
from crdnet.density import RainDensity

Key = Callable[[str], str]
"""From a name without ending to what it must have in common with its partner's."""

Label = Callable[[str], RainDensity | None]
"""From a rainy picture's name without ending to the density that it tells, if it does."""


@dataclass
class Found:
    """What a layout makes of a listing.

    Attributes:
        pairs: The pairs, in natural order of their rainy pictures.
        problems: Pictures without a partner, or with several.
        aside: Pictures that the layout has no place for, by their names below the root.
    """

    pairs: list[Pair] = field(default_factory=list)
    problems: list[DataProblem] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Found") -> "Found":
        """Take in what was found elsewhere in the same data set."""
        self.pairs += other.pairs
        self.problems += other.problems
        self.aside += other.aside
        return self


def plain_key(stem: str) -> str:
    """Return what a scene's two pictures have in common by name.

    Case, leading zeros, the words for rain and its absence at either end, and the `x2` of Rain200
    do not count.
    """
    text = unicodedata.normalize("NFC", stem).casefold()
    text = re.sub(r"^(?:no)?rain[-_ ]?(?=[0-9])", "", text)
    text = re.sub(r"(?<=[0-9])x2$", "", text)
    text = re.sub(r"(?<=.)[-_ ](?:rain|norain|rainy|clean|clear|gt|input|target)$", "", text)
    return re.sub(r"[0-9]+", lambda digits: digits[0].lstrip("0") or "0", text)


def numbered_key(stem: str) -> str:
    """Return the N of `N_D` or `N_V`, and a name without such a number as it is."""
    match = re.fullmatch(r"(.+)_[0-9]+", stem)
    return plain_key(match[1] if match else stem)


def no_label(_: str) -> RainDensity | None:
    """Tell that a name says nothing about density."""
    return None


def match_pairs(
    listing: Listing,
    rainy: Iterable[PurePosixPath],
    clean: Iterable[PurePosixPath],
    *,
    rainy_key: Callable[[PurePosixPath], str],
    clean_key: Callable[[PurePosixPath], str],
    expected: Callable[[PurePosixPath], str],
    label: Label = no_label,
) -> Found:
    """Pair the rainy pictures with the clean ones of the same key; whatever stays alone is a problem."""
    partners = defaultdict(list)
    for picture in clean:
        partners[clean_key(picture)].append(picture)
    keys = {picture: rainy_key(picture) for picture in rainy}
    exact = {(key, picture.stem) for picture, key in keys.items()}
    found = Found()
    for picture, key in keys.items():
        candidates = partners.get(key, [])
        # Names that are equal to the letter win over names that merely mean the same, for both pictures:
        # 01.png has no claim on the clean 1.png of the rainy 1.png.
        candidates = [clean for clean in candidates if clean.stem == picture.stem] or [
            clean
            for clean in candidates
            if (key, clean.stem) not in exact or plain_key(clean.stem) != plain_key(picture.stem)
        ]
        if len(candidates) == 1:
            found.pairs.append(_pair(listing, picture, candidates[0], label))
        else:
            found.problems.append(_no_single_partner(listing, picture, candidates, expected(picture)))
    wanted = set(keys.values())
    for key, pictures in partners.items():
        if key not in wanted:
            found.problems += [_unwanted_clean(listing, picture) for picture in pictures]
    return found


def _pair(listing: Listing, rainy: PurePosixPath, clean: PurePosixPath, label: Label) -> Pair:
    density = density_of_place(listing, rainy) or label(rainy.stem)
    scene = PurePosixPath(listing.name(clean)).with_suffix("").as_posix()
    return Pair(listing.name(rainy), scene, listing.root / rainy, listing.root / clean, density)


def _no_single_partner(
    listing: Listing, picture: PurePosixPath, candidates: list[PurePosixPath], expected: str
) -> DataProblem:
    path = listing.root / picture
    if not candidates:
        return DataProblem(path, ProblemKind.MISSING_PARTNER, f"has no clean picture ({expected})")
    names = ", ".join(candidate.as_posix() for candidate in candidates)
    return DataProblem(path, ProblemKind.AMBIGUOUS_PARTNER, f"has several clean pictures ({names}); keep one")


def _unwanted_clean(listing: Listing, picture: PurePosixPath) -> DataProblem:
    return DataProblem(
        listing.root / picture, ProblemKind.MISSING_PARTNER, "is clean and has no rainy picture"
    )


def density_of_place(listing: Listing, picture: PurePosixPath) -> RainDensity | None:
    """Return the density that one of a picture's folders is named after, the data set's own included."""
    return density_of_folders([listing.root.name, *listing.prefix.parts, *picture.parts[:-1]])
