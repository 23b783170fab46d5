"""Matching of rainy with clean images by their names."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from crdnet.data.labels import find_folder_density
from crdnet.data.listing import Listing
from crdnet.data.loading import Pair
from crdnet.data.problems import DataProblem, ProblemKind
from crdnet.density import RainDensity

Key = Callable[[str], str]
"""Maps a name without suffix to a key that is equal for both images of a pair."""

Label = Callable[[str], RainDensity | None]
"""Maps the name of a rainy image without suffix to its density, or None."""


@dataclass
class Found:
    """Result of matching a listing with a layout.

    Attributes:
        pairs: Pairs in natural order of their rainy images.
        problems: Images without a partner, or with several.
        aside: Names below the root of images that do not belong to the layout.
    """

    pairs: list[Pair] = field(default_factory=list)
    problems: list[DataProblem] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Found") -> "Found":
        """Append the result of another part of the same data set."""
        self.pairs += other.pairs
        self.problems += other.problems
        self.aside += other.aside
        return self


def build_plain_key(stem: str) -> str:
    """Return the part of a name that both images of a scene share.

    The key ignores case, leading zeros, words for rain and its absence at either end, and the `x2`
    of Rain200.
    """
    # macOS stores names decomposed, so equal names may differ in bytes.
    text = unicodedata.normalize("NFC", stem).casefold()
    text = re.sub(r"^(?:no)?rain[-_ ]?(?=[0-9])", "", text)
    # Rain200 appends x2 to the numbers of its rainy images.
    text = re.sub(r"(?<=[0-9])x2$", "", text)
    text = re.sub(
        r"(?<=.)[-_ ](?:rain|norain|rainy|clean|clear|gt|hq|in|input|lq|target)$", "", text
    )
    # SPA-Data appends gt to the numbers of its clean images.
    text = re.sub(r"(?<=[0-9])gt$", "", text)
    return re.sub(r"[0-9]+", lambda digits: digits[0].lstrip("0") or "0", text)


def build_numbered_key(stem: str) -> str:
    """Return the key of N for `N_D` or `N_V`, and of the whole name otherwise."""
    match = re.fullmatch(r"(.+)_[0-9]+", stem)
    return build_plain_key(match[1] if match else stem)


def ignore_label(_: str) -> RainDensity | None:
    """Return None: the layout has no density in its names."""
    return None


def match_pairs(
    listing: Listing,
    rainy: Iterable[PurePosixPath],
    clean: Iterable[PurePosixPath],
    *,
    rainy_key: Callable[[PurePosixPath], str],
    clean_key: Callable[[PurePosixPath], str],
    expected: Callable[[PurePosixPath], str],
    label: Label = ignore_label,
) -> Found:
    """Match rainy and clean images with equal keys; images without a partner become problems."""
    partners = defaultdict(list)
    for image in clean:
        partners[clean_key(image)].append(image)
    keys = {image: rainy_key(image) for image in rainy}
    exact = {(key, image.stem) for image, key in keys.items()}
    found = Found()
    for image, key in keys.items():
        candidates = partners.get(key, [])
        # Equal names win over names with equal keys: the rainy 01.png must not take the clean 1.png
        # from the rainy 1.png.
        own_key = build_plain_key(image.stem)
        candidates = [clean for clean in candidates if clean.stem == image.stem] or [
            clean
            for clean in candidates
            if (key, clean.stem) not in exact or build_plain_key(clean.stem) != own_key
        ]
        if len(candidates) == 1:
            found.pairs.append(_make_pair(listing, image, candidates[0], label))
        else:
            found.problems.append(
                _report_no_single_partner(listing, image, candidates, expected(image)),
            )
    wanted = set(keys.values())
    for key, images in partners.items():
        if key not in wanted:
            found.problems += [_report_unwanted_clean(listing, image) for image in images]
    return found


def _make_pair(listing: Listing, rainy: PurePosixPath, clean: PurePosixPath, label: Label) -> Pair:
    density = find_place_density(listing, rainy) or label(rainy.stem)
    scene = PurePosixPath(listing.name_image(clean)).with_suffix("").as_posix()
    return Pair(
        listing.name_image(rainy),
        scene,
        listing.root / rainy,
        listing.root / clean,
        density,
    )


def _report_no_single_partner(
    listing: Listing, image: PurePosixPath, candidates: list[PurePosixPath], expected: str
) -> DataProblem:
    path = listing.root / image
    if not candidates:
        return DataProblem(path, ProblemKind.MISSING_PARTNER, f"has no clean image ({expected})")
    names = ", ".join(candidate.as_posix() for candidate in candidates)
    return DataProblem(
        path,
        ProblemKind.AMBIGUOUS_PARTNER,
        f"has several clean images ({names}); keep one",
    )


def _report_unwanted_clean(listing: Listing, image: PurePosixPath) -> DataProblem:
    return DataProblem(
        listing.root / image,
        ProblemKind.MISSING_PARTNER,
        "is clean and has no rainy image",
    )


def find_place_density(listing: Listing, image: PurePosixPath) -> RainDensity | None:
    """Return the density in the names of the folders of an image below the named root, else None.

    The name of the root itself is no label: people call a folder `heavy` for other reasons.
    """
    return find_folder_density([*listing.prefix.parts, *image.parts[:-1]])
