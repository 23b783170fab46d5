"""What is scored: a derained picture beside its ground truth, whoever made it.

A `Case` is a promise of three pictures. It comes from pairs that a derainer is run on, or from folders with
the saved pictures of any method, which are matched by name: `a/7.png` with `a/7.jpg`, whatever the endings.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from crdnet.data import Pair, list_images, read_rgb
from crdnet.density import RainDensity, rain_strength
from crdnet.errors import DataError
from crdnet.metrics import ScorableImage

Thing = TypeVar("Thing")
Derain = Callable[[npt.NDArray[np.float32]], ScorableImage]
"""From RGB (h, w, 3), float32 in [0, 1], to an estimate of the clean picture, clipped or not."""


@dataclass(frozen=True, eq=False)
class LoadedCase:
    """The pictures of a case, RGB (h, w, 3) of one size."""

    clean: npt.NDArray[np.uint8]
    derained: ScorableImage
    rainy: npt.NDArray[np.uint8] | None = None
    """None where only results and ground truth are known."""
    density: RainDensity | None = None


@dataclass(frozen=True)
class Case:
    """One picture to score."""

    pair: Pair
    """Names the picture and its scene, and says where the ground truth lies."""
    load: Callable[[], LoadedCase]
    """Reads the pictures, and derains where that is to be done."""


@dataclass(frozen=True)
class Failure:
    """A picture that could not be scored."""

    name: str
    message: str
    """Says what is wrong, and names the picture."""


def model_cases(
    pairs: Iterable[Pair], derain: Derain, save: Callable[[str, ScorableImage], None] | None = None
) -> list[Case]:
    """Return cases that run a derainer on the rainy pictures of pairs.

    Args:
        pairs: What `crdnet.data.find_pairs` finds.
        derain: Anything that derains a picture; called from several threads if `evaluate` has several jobs.
        save: Called with a pair's name and its derained picture.
    """
    return [Case(pair, partial(_derain_pair, pair, derain, save)) for pair in pairs]


def saved_pair_cases(pairs: Iterable[Pair], results: Path) -> tuple[list[Case], list[Failure]]:
    """Return cases of saved pictures that bear the names of a data set's rainy pictures.

    Args:
        pairs: What `crdnet.data.find_pairs` finds.
        results: Folder of the derained pictures, laid out as the rainy ones.

    Returns:
        The cases, and what is wrong with the pictures that make none.

    Raises:
        DataError: There is no such folder, or it holds no pictures.
    """
    pairs = list(pairs)
    derained_by_key, failures = _pictures_by_key(results)
    pairs_by_key, found = _by_key((pair.name, pair.rainy_path, pair) for pair in pairs)
    failures += found
    # Many methods save `input/7.png` of a data set as `7.png`.
    flat = Counter(PurePosixPath(key).name for key in pairs_by_key)
    cases, used = [], set()
    for key, pair in pairs_by_key.items():
        name = PurePosixPath(key).name
        saved_key = name if key not in derained_by_key and flat[name] == 1 else key
        if saved_key in derained_by_key:
            cases.append(Case(pair, partial(_load_saved_pair, pair, derained_by_key[saved_key])))
            used.add(saved_key)
        else:
            failures.append(_failure(pair.rainy_path, f"has no derained picture {results / key}.*"))
    failures += _without_partner(derained_by_key, used, "has no rainy picture in the data set")
    return cases, failures


def saved_cases(results: Path, target: Path, rainy: Path | None = None) -> tuple[list[Case], list[Failure]]:
    """Return cases of saved pictures, matched by name with their ground truth.

    Args:
        results: Folder of derained pictures.
        target: Folder of clean pictures.
        rainy: Folder of rainy pictures, to score the input too; the density of the rain is then measured.

    Returns:
        The cases, each named as a scene of its own, and what is wrong with the pictures that make none.

    Raises:
        DataError: A folder is missing or holds no pictures.
    """
    derained_by_key, failures = _pictures_by_key(results)
    clean_by_key, found = _pictures_by_key(target)
    failures += found
    rainy_by_key: Mapping[str, Path] = {}
    if rainy is not None:
        rainy_by_key, found = _pictures_by_key(rainy)
        failures += found
    cases = []
    for key, clean_path in clean_by_key.items():
        if key not in derained_by_key:
            failures.append(_failure(clean_path, f"has no derained picture {results / key}.*"))
        elif rainy is not None and key not in rainy_by_key:
            failures.append(_failure(clean_path, f"has no rainy picture {rainy / key}.*"))
        else:
            derained_path, rainy_path = derained_by_key[key], rainy_by_key.get(key)
            pair = Pair(key, key, rainy_path or derained_path, clean_path)
            cases.append(Case(pair, partial(_load_saved, derained_path, clean_path, rainy_path)))
    failures += _without_partner(derained_by_key, clean_by_key, f"has no ground truth in {target}")
    return cases, failures


def _derain_pair(pair: Pair, derain: Derain, save: Callable[[str, ScorableImage], None] | None) -> LoadedCase:
    loaded = pair.load()
    derained = derain(loaded.rainy.astype(np.float32) / np.float32(255))
    if save is not None:
        save(pair.name, derained)
    return LoadedCase(loaded.clean, derained, loaded.rainy, loaded.density)


def _load_saved_pair(pair: Pair, derained_path: Path) -> LoadedCase:
    loaded = pair.load()
    derained = read_rgb(derained_path)
    _check_size(derained_path, derained, pair.clean_path, loaded.clean)
    return LoadedCase(loaded.clean, derained, loaded.rainy, loaded.density)


def _load_saved(derained_path: Path, clean_path: Path, rainy_path: Path | None) -> LoadedCase:
    derained, clean = read_rgb(derained_path), read_rgb(clean_path)
    _check_size(derained_path, derained, clean_path, clean)
    if rainy_path is None:
        return LoadedCase(clean, derained)
    rainy = read_rgb(rainy_path)
    _check_size(rainy_path, rainy, clean_path, clean)
    return LoadedCase(clean, derained, rainy, RainDensity.from_strength(rain_strength(rainy, clean)))


def _check_size(
    path: Path, picture: npt.NDArray[np.uint8], clean_path: Path, clean: npt.NDArray[np.uint8]
) -> None:
    if picture.shape != clean.shape:
        raise DataError(
            f"{path}: is {picture.shape[1]} x {picture.shape[0]} but its ground truth {clean_path} is "
            f"{clean.shape[1]} x {clean.shape[0]}; score pictures of one size"
        )


def _pictures_by_key(folder: Path) -> tuple[dict[str, Path], list[Failure]]:
    pictures = list_images(folder).images
    if not pictures:
        raise DataError(f"{folder}: holds no pictures; name a folder with pictures to score")
    return _by_key((picture.as_posix(), folder / picture, folder / picture) for picture in pictures)


def _by_key(named: Iterable[tuple[str, Path, Thing]]) -> tuple[dict[str, Thing], list[Failure]]:
    """Return things by their names without endings, and what is wrong with those that share one.

    Args:
        named: Name, file, and what goes by that name.
    """
    things: dict[str, Thing] = {}
    failures = []
    for name, path, thing in named:
        key = PurePosixPath(name).with_suffix("").as_posix()
        if key in things:
            failures.append(_failure(path, "another picture has the same name but for its ending; keep one"))
        else:
            things[key] = thing
    return things, failures


def _without_partner(pictures: Mapping[str, Path], partners: Container[str], reason: str) -> list[Failure]:
    return [_failure(path, reason) for key, path in pictures.items() if key not in partners]


def _failure(path: Path, reason: str) -> Failure:
    return Failure(str(path), f"{path}: {reason}")
