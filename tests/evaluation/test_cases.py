from pathlib import Path

import numpy as np
import pytest

from crdnet.data import Pair
from crdnet.density import RainDensity
from crdnet.errors import DataError
from crdnet.evaluation import (
    ImageFolder,
    evaluate,
    make_model_cases,
    make_saved_cases,
    make_saved_pair_cases,
)

from .conftest import rain_on, save, scene


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Saved results, ground truth and input of three scenes; the endings differ."""
    results, target, rainy = tmp_path / "results", tmp_path / "target", tmp_path / "rainy"
    for number in range(3):
        save(rain_on(scene(number), 3), results / f"{number}.png")
        save(scene(number), target / f"{number}.bmp")
        save(rain_on(scene(number), 60), rainy / f"{number}.tif")
    return results, target, rainy


def test_saved_images_are_matched_by_name_whatever_their_endings(
    folders: tuple[Path, Path, Path],
) -> None:
    results, target, rainy = folders
    cases, failures = make_saved_cases(results, target, rainy)
    assert [case.pair.name for case in cases] == ["0", "1", "2"]
    assert not failures
    loaded = cases[2].load()
    assert (loaded.clean == scene(2)).all()
    assert (loaded.derained == rain_on(scene(2), 3)).all()
    assert loaded.rainy is not None
    assert (loaded.rainy == rain_on(scene(2), 60)).all()
    assert loaded.density is RainDensity.MEDIUM  # a third of 60 grey levels


def test_without_rainy_images_the_input_has_no_scores(folders: tuple[Path, Path, Path]) -> None:
    evaluation = evaluate(make_saved_cases(*folders[:2])[0])
    assert [image.rainy for image in evaluation.images] == [None] * 3
    assert [image.density for image in evaluation.images] == [None] * 3


def test_images_without_partners_are_named_by_path(folders: tuple[Path, Path, Path]) -> None:
    results, target, rainy = folders
    (results / "0.png").rename(results / "zero.png")
    (rainy / "1.tif").unlink()
    cases, failures = make_saved_cases(results, target, rainy)
    assert [case.pair.name for case in cases] == ["2"]
    messages = [failure.message for failure in failures]
    assert messages == [
        f"{target / '0.bmp'}: has no derained image {results / '0'}.*",
        f"{target / '1.bmp'}: has no rainy image {rainy / '1'}.*",
        f"{results / 'zero.png'}: has no ground truth in {target}",
    ]


def test_two_images_of_one_name_are_named(folders: tuple[Path, Path, Path]) -> None:
    results, target, _ = folders
    save(scene(0), results / "1.webp")
    failures = make_saved_cases(results, target)[1]
    assert [failure.message for failure in failures] == [
        f"{results / '1.webp'}: another image has the same name but for its ending; keep one"
    ]


@pytest.mark.parametrize("which", [0, 2])
def test_images_of_another_size_are_named_with_both_sizes(
    folders: tuple[Path, Path, Path], which: int
) -> None:
    path = next(folders[which].glob("1.*"))
    save(scene(1)[:, :-2], path)
    evaluation = evaluate(make_saved_cases(*folders)[0])
    assert len(evaluation.images) == 2
    expected = f"{path}: is 46 x 40 but its ground truth {folders[1] / '1.bmp'} is 48 x 40"
    assert expected in evaluation.failures[0].message


def test_a_folder_that_is_missing_or_empty_is_a_data_error(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    results, target, _ = folders
    with pytest.raises(DataError, match="nowhere"):
        make_saved_cases(tmp_path / "nowhere", target)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds no images"):
        make_saved_cases(results, tmp_path / "empty")


def test_saved_images_score_as_they_did_when_they_were_made(
    pairs: list[Pair],
    tmp_path: Path,
) -> None:
    folder = ImageFolder(tmp_path / "saved")
    protocols = ["toolbox-rgb", "prenet-y", "restormer-y"]
    made = evaluate(
        make_model_cases(pairs, lambda rainy: 1.2 * rainy - np.float32(0.1), folder.save), protocols
    )
    cases, failures = make_saved_pair_cases(pairs, tmp_path / "saved")
    assert not failures
    assert evaluate(cases, protocols) == made


def test_results_need_not_repeat_the_folders_of_the_data_set(
    pairs: list[Pair],
    tmp_path: Path,
) -> None:
    light = [pair for pair in pairs if pair.name.startswith("light")]
    for number in range(3):
        save(scene(number), tmp_path / "flat" / f"{number}.png")
    cases, failures = make_saved_pair_cases(light, tmp_path / "flat")
    assert [case.pair.name for case in cases] == ["light/0.png", "light/1.png", "light/2.png"]
    assert not failures
    # Of light/0 and heavy/0, nobody could tell which one 0 is.
    cases, failures = make_saved_pair_cases(pairs, tmp_path / "flat")
    assert not cases
    assert len(failures) == 6 + 3


def test_a_result_without_a_pair_and_a_pair_without_a_result_are_named(
    pairs: list[Pair], tmp_path: Path
) -> None:
    for pair in pairs[1:]:
        save(scene(0), tmp_path / "saved" / pair.name)
    extra = save(scene(0), tmp_path / "saved" / "extra.png")
    cases, failures = make_saved_pair_cases(pairs, tmp_path / "saved")
    assert len(cases) == len(pairs) - 1
    assert [failure.message for failure in failures] == [
        f"{pairs[0].rainy_path}: has no derained image {tmp_path / 'saved' / 'heavy' / '0'}.*",
        f"{extra}: has no rainy image in the data set",
    ]
