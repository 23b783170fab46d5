"""Which pairs show one scene, seen from their clean pictures.

The field's sets repeat scenes under names that do not tell: Rain800's validation part holds 43
scenes in 72 pairs, its training part 315 in 614. A split that does not know trains on what it
validates with, and a confidence interval that counts pairs as independent is too narrow.

Two clean pictures show one scene where their shapes agree and their fingerprints, luma at 16 x 16,
correlate to 0.98 and differ by 8 grey levels at most. In Rain800 nothing lies near that border: 483
of its repetitions differ by less than 0.25 levels, 6 more by 6 to 8, and the pairs after those by
more than 10. Pictures that were scaled, recompressed or slightly graded are found; crops, mirror
images and other moments at one place are not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from crdnet.data.listing import natural_order
from crdnet.data.pairs import Pair
from crdnet.density import luma
from crdnet.errors import DataError

_SIDE = 16
_MIN_CORRELATION = 0.98
_MAX_GREY_LEVELS = 8.0
_MAX_SHAPE_RATIO = 1.02
_BLOCK_ROWS = 512


@dataclass(frozen=True, eq=False, slots=True)
class Fingerprint:
    """What is left of a clean picture for telling its scene.

    Attributes:
        luma: Coarse luma (256,), in grey levels of 255.
        aspect: Width over height.
    """

    luma: npt.NDArray[np.float32]
    aspect: float

    @classmethod
    def of(cls, clean: npt.NDArray[np.uint8]) -> "Fingerprint":
        """Return the fingerprint of an RGB picture (h, w, 3)."""
        small = Image.fromarray(clean).resize((_SIDE, _SIDE), Image.Resampling.BOX)
        coarse = luma(np.asarray(small, dtype=np.float32)).astype(np.float32)
        return cls(coarse.ravel(), clean.shape[1] / clean.shape[0])


def group_scenes(pairs: Sequence[Pair]) -> dict[str, str]:
    """Tell the scene of each pair by reading every clean picture once.

    The time goes into reading, some 30 ms for a picture of one megapixel, and with the square of
    the pictures beyond some ten thousand.

    Args:
        pairs: Pairs of one data set.

    Returns:
        For each pair's name its scene, named like the naturally first `Pair.scene` among those that
        look alike.

    Raises:
        DataError: A clean picture cannot be read, or two pairs have one name.
    """
    if len({pair.name for pair in pairs}) < len(pairs):
        raise DataError("two pairs have one name; scenes are grouped within one data set, whose names differ")
    read: dict[tuple[Path, object], Fingerprint] = {}
    for pair in pairs:
        picture = (pair.clean_path, pair.halves)
        if picture not in read:
            read[picture] = Fingerprint.of(pair.load_clean())
    return scenes_of(pairs, [read[pair.clean_path, pair.halves] for pair in pairs])


def with_scenes(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs with the scenes that `group_scenes` sees in place of those that their names tell."""
    scenes = group_scenes(pairs)
    return [replace(pair, scene=scenes[pair.name]) for pair in pairs]


def scenes_of(pairs: Sequence[Pair], fingerprints: Sequence[Fingerprint]) -> dict[str, str]:
    """Return the scene of each pair by name, from the fingerprints of their clean pictures."""
    members: dict[int, list[str]] = {}
    labels = _connected(fingerprints)
    for label, pair in zip(labels, pairs, strict=True):
        members.setdefault(label, []).append(pair.scene)
    names = {label: _first(scenes) for label, scenes in members.items()}
    return {pair.name: names[label] for label, pair in zip(labels, pairs, strict=True)}


def _first(scenes: Iterable[str]) -> str:
    return natural_order(PurePosixPath(scene) for scene in scenes)[0].as_posix()


def _connected(fingerprints: Sequence[Fingerprint]) -> list[int]:
    """Number the groups of fingerprints that are alike, directly or through others."""
    parents = list(range(len(fingerprints)))

    def top(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    for first, second in _alike(fingerprints):
        parents[top(second)] = top(first)
    return [top(index) for index in range(len(fingerprints))]


def _alike(fingerprints: Sequence[Fingerprint]) -> Iterable[tuple[int, int]]:
    if not fingerprints:
        return
    planes = np.stack([fingerprint.luma for fingerprint in fingerprints])
    contrast = planes - planes.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(contrast, axis=1, keepdims=True)
    flat = lengths[:, 0] < 1e-3 * planes.shape[1]
    directions = np.divide(contrast, lengths, out=np.zeros_like(contrast), where=~flat[:, np.newaxis])
    # In blocks, as the whole matrix of a large set fills the memory.
    for start in range(0, len(planes), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        similar = directions[block] @ directions.T >= _MIN_CORRELATION
        # Flat pictures have no direction; among themselves, grey levels decide.
        similar |= flat[block, np.newaxis] & flat
        for row, second in np.argwhere(similar):
            first = start + int(row)
            if first < second and _same_shape_and_level(fingerprints[first], fingerprints[second]):
                yield first, int(second)


def _same_shape_and_level(first: Fingerprint, second: Fingerprint) -> bool:
    narrow, wide = sorted((first.aspect, second.aspect))
    grey_levels = float(np.abs(first.luma - second.luma).mean())
    return wide <= _MAX_SHAPE_RATIO * narrow and grey_levels <= _MAX_GREY_LEVELS
