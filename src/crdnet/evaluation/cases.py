"""Cases to score: a derained image and its ground truth.

A `Case` loads its images when it is scored. Cases come from pairs on which a derainer runs, or from
folders with saved images of any method. Saved images are matched by their names without suffixes:
`a/7.png` with `a/7.jpg`.
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
from crdnet.density import RainDensity, compute_intensity
from crdnet.errors import DataError
from crdnet.metrics import ScorableImage

Thing = TypeVar("Thing")
Derain = Callable[[npt.NDArray[np.float32]], ScorableImage]
"""Maps RGB (h, w, 3), float32 in [0, 1], to an estimate of the clean image, clipped or not."""


@dataclass(frozen=True, eq=False)
class LoadedCase:
    """Images of a case, RGB (h, w, 3) of one size."""

    clean: npt.NDArray[np.uint8]
    derained: ScorableImage
    rainy: npt.NDArray[np.uint8] | None = None
    """Rainy image; None if only results and ground truth are known."""
    density: RainDensity | None = None


@dataclass(frozen=True)
class Case:
    """Image to score."""

    pair: Pair
    """Name and scene of the image, and the path of its ground truth."""
    load: Callable[[], LoadedCase]
    """Function that reads the images, and derains if there is no saved result."""


@dataclass(frozen=True)
class Failure:
    """Image that could not be scored."""

    name: str
    message: str
    """Reason, with the name of the image."""


def make_model_cases(
    pairs: Iterable[Pair], derain: Derain, save: Callable[[str, ScorableImage], None] | None = None
) -> list[Case]:
    """Return cases that run a derainer on the rainy images of pairs.

    Args:
        pairs: Pairs, for example from `crdnet.data.find_pairs`.
        derain: Derainer; called from several threads if `evaluate` has several jobs.
        save: Called with the name of a pair and its derained image.
    """
    return [Case(pair, partial(_derain_pair, pair, derain, save)) for pair in pairs]


def make_saved_pair_cases(
    pairs: Iterable[Pair], results: Path, names: str | None = None
) -> tuple[list[Case], list[Failure]]:
    """Return cases of saved images with the names of the rainy images of a data set.

    A result may also have the name of the clean image (`norain-001` for `rain-001`), and all
    results may share an ending that the rainy images do not have (`001_derained`, `001x2`).

    Args:
        pairs: Pairs, for example from `crdnet.data.find_pairs`.
        results: Folder of the derained images, with the layout of the rainy images.
        names: Name of a result without suffix for the `{stem}` of a rainy image, such as
            `{stem}_out`; None finds it.

    Returns:
        The cases, and a failure for each image without a case.

    Raises:
        DataError: The folder does not exist or holds no images.
    """
    pairs = list(pairs)
    derained_by_key, failures = _index_images(results)
    pairs_by_key, found = _index_by_key((pair.name, pair.rainy_path, pair) for pair in pairs)
    failures += found
    # Many methods save `input/7.png` of a data set as `7.png`.
    flat = Counter(PurePosixPath(key).name for key in pairs_by_key)
    cases, used = [], set()
    ending = "" if names is not None else _find_ending(derained_by_key, pairs_by_key)
    for key, pair in pairs_by_key.items():
        candidates = _list_result_names(key, pair, names, ending, is_unique=_is_unique(flat, key))
        saved_key = next((each for each in candidates if each in derained_by_key), None)
        if saved_key is not None:
            cases.append(Case(pair, partial(_load_saved_pair, pair, derained_by_key[saved_key])))
            used.add(saved_key)
        else:
            failures.append(
                _make_failure(
                    pair.rainy_path, f"has no derained image {results / candidates[0]}.*"
                ),
            )
    failures += _report_without_partner(derained_by_key, used, "has no rainy image in the data set")
    return cases, failures


def _is_unique(counts: Mapping[str, int], key: str) -> bool:
    return counts[PurePosixPath(key).name] == 1


def _list_result_names(
    key: str, pair: Pair, names: str | None, ending: str, *, is_unique: bool
) -> list[str]:
    """List the names that the result of a pair may have, the likeliest first."""
    path = PurePosixPath(key)
    if names is not None:
        try:
            named = path.with_name(names.format(stem=path.name))
        except (KeyError, IndexError, ValueError) as error:
            raise DataError(
                f"the pattern {names!r} is not valid ({error}); "
                "write {stem} for the name of the rainy image"
            ) from None
        return [named.as_posix(), *([named.name] if is_unique else [])]
    listed = [key, key + ending]
    # A bare name is only used if it is unique in the data set.
    if is_unique:
        listed += [path.name, path.name + ending]
        clean = pair.clean_path.stem
        if pair.halves is None and clean != path.name:
            listed += [clean, path.with_name(clean).as_posix(), clean + ending]
    return listed


def _find_ending(results: Iterable[str], keys: Iterable[str]) -> str:
    """Return the ending that all results have and no rainy image has, such as `_derained`."""
    names = [PurePosixPath(result).name for result in results]
    shared = names[0] if names else ""
    for name in names:
        while not name.endswith(shared):
            shared = shared[1:]
    stems = {PurePosixPath(key).name for key in keys}
    # The longest one whose removal leaves names of rainy images; digits may belong to a number.
    for start in range(len(shared)):
        ending = shared[start:]
        if all(name.removesuffix(ending) in stems for name in names):
            return ending
    return ""


def make_saved_cases(
    results: Path, target: Path, rainy: Path | None = None
) -> tuple[list[Case], list[Failure]]:
    """Return cases of saved images, matched by name with their ground truth.

    Args:
        results: Folder of derained images.
        target: Folder of clean images.
        rainy: Folder of rainy images, to score the input too; the density is then measured.

    Returns:
        The cases, each a scene of its own, and a failure for each image without a case.

    Raises:
        DataError: A folder is missing or holds no images.
    """
    derained_by_key, failures = _index_images(results)
    clean_by_key, found = _index_images(target)
    failures += found
    rainy_by_key: Mapping[str, Path] = {}
    if rainy is not None:
        rainy_by_key, found = _index_images(rainy)
        failures += found
    cases = []
    for key, clean_path in clean_by_key.items():
        if key not in derained_by_key:
            failures.append(_make_failure(clean_path, f"has no derained image {results / key}.*"))
        elif rainy is not None and key not in rainy_by_key:
            failures.append(_make_failure(clean_path, f"has no rainy image {rainy / key}.*"))
        else:
            derained_path, rainy_path = derained_by_key[key], rainy_by_key.get(key)
            pair = Pair(key, key, rainy_path or derained_path, clean_path)
            cases.append(Case(pair, partial(_load_saved, derained_path, clean_path, rainy_path)))
    failures += _report_without_partner(
        derained_by_key,
        clean_by_key,
        f"has no ground truth in {target}",
    )
    return cases, failures


def _derain_pair(
    pair: Pair,
    derain: Derain,
    save: Callable[[str, ScorableImage], None] | None,
) -> LoadedCase:
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
    return LoadedCase(
        clean,
        derained,
        rainy,
        RainDensity.from_intensity(compute_intensity(rainy, clean)),
    )


def _check_size(
    path: Path, image: npt.NDArray[np.uint8], clean_path: Path, clean: npt.NDArray[np.uint8]
) -> None:
    if image.shape != clean.shape:
        raise DataError(
            f"{path}: is {image.shape[1]} x {image.shape[0]} but its ground truth {clean_path} is "
            f"{clean.shape[1]} x {clean.shape[0]}; score images of one size"
        )


def _index_images(folder: Path) -> tuple[dict[str, Path], list[Failure]]:
    images = list_images(folder).images
    if not images:
        raise DataError(f"{folder}: holds no images; name a folder with images to score")
    return _index_by_key((image.as_posix(), folder / image, folder / image) for image in images)


def _index_by_key(
    named: Iterable[tuple[str, Path, Thing]],
) -> tuple[dict[str, Thing], list[Failure]]:
    """Index things by name without suffix; names that occur twice become failures.

    Args:
        named: Name, file and thing.
    """
    things: dict[str, Thing] = {}
    failures = []
    for name, path, thing in named:
        key = PurePosixPath(name).with_suffix("").as_posix()
        if key in things:
            failures.append(
                _make_failure(path, "another image has the same name but for its ending; keep one")
            )
        else:
            things[key] = thing
    return things, failures


def _report_without_partner(
    images: Mapping[str, Path], partners: Container[str], reason: str
) -> list[Failure]:
    return [_make_failure(path, reason) for key, path in images.items() if key not in partners]


def _make_failure(path: Path, reason: str) -> Failure:
    return Failure(str(path), f"{path}: {reason}")
