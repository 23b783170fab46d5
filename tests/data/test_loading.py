from pathlib import Path

import numpy as np
import pytest

from crdnet.data import HalfOrder, LoadError, ProblemKind, find_pairs
from crdnet.density import RainDensity, compute_intensity
from crdnet.errors import DataError

from .scenery import RgbImage, rain, save, save_side_by_side, scene


@pytest.mark.parametrize("order", HalfOrder)
def test_both_halves_are_loaded_whichever_comes_first(tmp_path: Path, order: HalfOrder) -> None:
    clean, rainy = scene(1), rain(scene(1))
    halves = (rainy, clean) if order is HalfOrder.RAINY_CLEAN else (clean, rainy)
    save_side_by_side(*halves, tmp_path / "1.png")
    (pair,) = find_pairs(tmp_path, order.value)
    loaded = pair.load()
    np.testing.assert_array_equal(loaded.rainy, rainy)
    np.testing.assert_array_equal(loaded.clean, clean)
    np.testing.assert_array_equal(pair.load_clean(), clean)
    # A view would keep both halves in memory for as long as one of them lives.
    assert loaded.rainy.base is None
    assert loaded.clean.flags.c_contiguous


def test_separate_images_are_loaded(tmp_path: Path) -> None:
    clean, rainy = scene(1), rain(scene(1))
    save(rainy, tmp_path / "input" / "1.png")
    save(clean, tmp_path / "target" / "1.png")
    loaded = find_pairs(tmp_path)[0].load()
    np.testing.assert_array_equal(loaded.rainy, rainy)
    np.testing.assert_array_equal(loaded.clean, clean)


@pytest.mark.parametrize(("added", "density"), [(0, 0), (5, 1), (20, 2), (60, 3)])
def test_a_density_that_no_name_tells_is_measured(tmp_path: Path, added: int, density: int) -> None:
    clean = np.full((8, 8, 3), 90, np.uint8)
    save(clean + np.uint8(added), tmp_path / "rain" / "1.png")
    save(clean, tmp_path / "clear" / "1.png")
    (pair,) = find_pairs(tmp_path)
    assert pair.density is None
    assert pair.load().density == density


def test_a_density_that_a_name_tells_wins_over_the_measured_one(tmp_path: Path) -> None:
    save(scene(1), tmp_path / "heavy" / "1.png")
    save(scene(1), tmp_path / "clean" / "1.png")
    assert find_pairs(tmp_path)[0].load().density is RainDensity.HEAVY


def test_images_of_different_sizes_are_an_error_that_names_both(tmp_path: Path) -> None:
    save(scene(1, 48, 64), tmp_path / "input" / "1.png")
    save(scene(1, 48, 62), tmp_path / "target" / "1.png")
    with pytest.raises(
        LoadError,
        match=r"input/1\.png: is 64 x 48 but .*target/1\.png is 62 x 48",
    ) as caught:
        find_pairs(tmp_path)[0].load()
    assert caught.value.problem.kind is ProblemKind.SIZE_MISMATCH


def test_an_odd_width_cannot_be_halved(tmp_path: Path) -> None:
    save(scene(1, 8, 9), tmp_path / "1.png")
    with pytest.raises(DataError, match=r"1\.png: is 9 x 8, whose width cannot be halved"):
        find_pairs(tmp_path, "clean-rainy")[0].load()


def _side_by_side(root: Path, order: HalfOrder, count: int, swapped: int = 0) -> Path:
    for number in range(count):
        clean, rainy = scene(number), rain(scene(number), seed=number)
        rainy_first = (order is HalfOrder.RAINY_CLEAN) != (number < swapped)
        halves: tuple[RgbImage, RgbImage] = (rainy, clean) if rainy_first else (clean, rainy)
        save_side_by_side(*halves, root / f"{number}.png")
    return root


@pytest.mark.parametrize("order", HalfOrder)
@pytest.mark.parametrize("count", [1, 5])
def test_the_rainy_half_is_seen(tmp_path: Path, order: HalfOrder, count: int) -> None:
    pairs = find_pairs(_side_by_side(tmp_path, order, count))
    assert {pair.halves for pair in pairs} == {order}


def test_halves_that_disagree_must_be_named(tmp_path: Path) -> None:
    _side_by_side(tmp_path, HalfOrder.RAINY_CLEAN, 6, swapped=3)
    with pytest.raises(
        DataError,
        match=r"3 look rainy on the left, 3 on the right.*`layout` rainy-clean",
    ):
        find_pairs(tmp_path)


def test_dry_halves_must_be_named(tmp_path: Path) -> None:
    save_side_by_side(scene(1), scene(1), tmp_path / "1.png")
    with pytest.raises(DataError, match=r"order of halves cannot be seen.*`layout`"):
        find_pairs(tmp_path)


def test_an_unreadable_image_does_not_hide_the_order_of_the_others(tmp_path: Path) -> None:
    _side_by_side(tmp_path, HalfOrder.CLEAN_RAINY, 3)
    (tmp_path / "0.png").write_bytes(b"broken")
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["0.png", "1.png", "2.png"]
    with pytest.raises(DataError, match=r"0\.png: cannot be read"):
        pairs[0].load()


def test_photographs_are_not_taken_for_pairs(tmp_path: Path) -> None:
    for seed in range(6):
        save(scene(seed), tmp_path / f"{seed}.png")
    with pytest.raises(DataError, match="no layout is recognised"):
        find_pairs(tmp_path)


def test_rain800_is_clean_on_the_left(shared_data: Path) -> None:
    pairs = find_pairs(shared_data / "rain800" / "train")
    assert len(pairs) == 614
    assert {pair.halves for pair in pairs} == {HalfOrder.CLEAN_RAINY}


def test_rain800_turned_round_is_clean_on_the_right(shared_data: Path, tmp_path: Path) -> None:
    for pair in find_pairs(shared_data / "rain800" / "val")[::9]:
        loaded = pair.load()
        save_side_by_side(loaded.rainy, loaded.clean, tmp_path / f"{Path(pair.name).stem}.bmp")
    assert {pair.halves for pair in find_pairs(tmp_path)} == {HalfOrder.RAINY_CLEAN}


@pytest.mark.parametrize("folder", ["clean/bsds500", "real_rain"])
def test_real_photographs_are_not_taken_for_pairs(shared_data: Path, folder: str) -> None:
    with pytest.raises(DataError, match="no layout is recognised"):
        find_pairs(shared_data / folder)


def test_labels_of_the_synthetic_pairs_agree_with_their_intensity(shared_data: Path) -> None:
    pairs = find_pairs(shared_data / "val_synth")
    assert len(pairs) == 72
    assert len({pair.scene for pair in pairs}) == 24
    intensities: dict[RainDensity | None, list[float]] = {}
    for pair in pairs[::3]:
        loaded = pair.load()
        intensities.setdefault(pair.density, []).append(
            compute_intensity(loaded.rainy, loaded.clean)
        )
    light, medium, heavy = (np.median(intensities[RainDensity(grade)]) for grade in (1, 2, 3))
    assert light < medium < heavy
