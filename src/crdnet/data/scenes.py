"""Grouping of pairs by scene, from their clean images.

Data sets repeat scenes under unrelated names: the validation part of Rain800 holds 43 scenes in 72
pairs, its training part 315 in 614. A split that ignores this trains on scenes of the validation. A
confidence interval that treats pairs as independent is too narrow.

Two clean images show one scene if their aspects agree and their fingerprints, luma at 16 x 16,
correlate to 0.98 and differ by at most 8 grey levels. Rain800 has no pairs near this border: 483
repetitions differ by less than 0.25 levels, 6 more by 6 to 8, and all other pairs by more than 10.
Scaled, recompressed or slightly graded images are found. Crops, mirror images and other moments at
one place are not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from crdnet.data.listing import sort_naturally
from crdnet.data.loading import Pair
from crdnet.density import luma
from crdnet.errors import DataError

_SIDE = 16
# No pair of Rain800 is near these limits; see the module's docstring.
_MIN_CORRELATION = 0.98
_MAX_GREY_LEVELS = 8.0
_MAX_SHAPE_RATIO = 1.02
_BLOCK_ROWS = 512


@dataclass(frozen=True, eq=False, slots=True)
class Fingerprint:
    """Coarse description of a clean image for comparing scenes.

    Attributes:
        luma: Coarse luma (256,), in grey levels of 255.
        aspect: Width over height.
    """

    luma: npt.NDArray[np.float32]
    aspect: float

    @classmethod
    def from_image(cls, clean: npt.NDArray[np.uint8]) -> "Fingerprint":
        """Return the fingerprint of an RGB image (h, w, 3)."""
        small = Image.fromarray(clean).resize((_SIDE, _SIDE), Image.Resampling.BOX)
        coarse = luma(np.asarray(small, dtype=np.float32)).astype(np.float32)
        return cls(coarse.ravel(), clean.shape[1] / clean.shape[0])


def group_scenes(pairs: Sequence[Pair]) -> dict[str, str]:
    """Group pairs by scene; read every clean image once.

    Reading takes some 30 ms per megapixel. Comparing grows with the square of the number of images
    and dominates beyond some ten thousand.

    Args:
        pairs: Pairs of one data set.

    Returns:
        The scene by the name of the pair. A scene has the naturally first `Pair.scene` of its pairs
        as its name.

    Raises:
        DataError: A clean image cannot be read, or two pairs have the same name.
    """
    if len({pair.name for pair in pairs}) < len(pairs):
        raise DataError(
            "two pairs have one name; scenes are grouped within one data set, whose names differ",
        )
    read: dict[tuple[Path, object], Fingerprint] = {}
    for pair in pairs:
        # Several pairs may share one clean image, which is read once.
        image = (pair.clean_path, pair.halves)
        if image not in read:
            read[image] = Fingerprint.from_image(pair.load_clean())
    return name_scenes(pairs, [read[pair.clean_path, pair.halves] for pair in pairs])


def assign_scenes(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs with the scenes of `group_scenes` in place of those from their names."""
    scenes = group_scenes(pairs)
    return [replace(pair, scene=scenes[pair.name]) for pair in pairs]


def name_scenes(pairs: Sequence[Pair], fingerprints: Sequence[Fingerprint]) -> dict[str, str]:
    """Return the scene by the name of the pair, from the fingerprints of the clean images."""
    members: dict[int, list[str]] = {}
    labels = _number_groups(fingerprints)
    for label, pair in zip(labels, pairs, strict=True):
        members.setdefault(label, []).append(pair.scene)
    names = {label: _pick_first(scenes) for label, scenes in members.items()}
    return {pair.name: names[label] for label, pair in zip(labels, pairs, strict=True)}


def _pick_first(scenes: Iterable[str]) -> str:
    return sort_naturally(PurePosixPath(scene) for scene in scenes)[0].as_posix()


def _number_groups(fingerprints: Sequence[Fingerprint]) -> list[int]:
    """Return the number of the group of each fingerprint; similarity is taken as transitive."""
    parents = list(range(len(fingerprints)))

    def find_root(index: int) -> int:
        while parents[index] != index:
            # Path halving keeps the trees flat, so that long chains of images stay fast.
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    for first, second in _find_alike(fingerprints):
        parents[find_root(second)] = find_root(first)
    return [find_root(index) for index in range(len(fingerprints))]


def _find_alike(fingerprints: Sequence[Fingerprint]) -> Iterable[tuple[int, int]]:
    if not fingerprints:
        return
    planes = np.stack([fingerprint.luma for fingerprint in fingerprints])
    contrast = planes - planes.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(contrast, axis=1, keepdims=True)
    flat = lengths[:, 0] < 1e-3 * planes.shape[1]
    directions = np.divide(
        contrast,
        lengths,
        out=np.zeros_like(contrast),
        where=~flat[:, np.newaxis],
    )
    # In blocks, since the whole matrix of a large set would fill the memory.
    for start in range(0, len(planes), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        similar = directions[block] @ directions.T >= _MIN_CORRELATION
        # Flat images have no correlation; their grey levels alone decide.
        similar |= flat[block, np.newaxis] & flat
        for row, second in np.argwhere(similar):
            first = start + int(row)
            if first < second and _has_same_shape_and_level(
                fingerprints[first],
                fingerprints[second],
            ):
                yield first, int(second)


def _has_same_shape_and_level(first: Fingerprint, second: Fingerprint) -> bool:
    narrow, wide = sorted((first.aspect, second.aspect))
    grey_levels = float(np.abs(first.luma - second.luma).mean())
    return wide <= _MAX_SHAPE_RATIO * narrow and grey_levels <= _MAX_GREY_LEVELS
