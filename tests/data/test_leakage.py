"""Sets that share scenes are found, whatever the rain, size or crop."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crdnet.data import find_leaks, find_pairs, list_entries, split_scenes, write_list
from crdnet.errors import DataError
from tests.cli.runner import Crdnet
from tests.data.scenery import RgbImage, rain, save


@pytest.fixture
def crdnet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crdnet:
    return Crdnet(monkeypatch, capsys)


def detailed_scene(seed: int, height: int = 200, width: int = 300) -> RgbImage:
    """Return an image with detail at several scales, unlike that of any other seed."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3))
    for cells, weight in ((3, 1.0), (8, 0.8), (20, 0.6), (45, 0.4)):
        coarse = rng.integers(0, 256, (cells, cells * 3 // 2, 3), dtype=np.uint8)
        fine = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        image += weight * np.asarray(fine, dtype=np.float64)
    return np.asarray(image / 2.8, dtype=np.uint8)


def write_pairs(root: Path, scenes: list[RgbImage], name: str = "{}.png") -> Path:
    for index, clean in enumerate(scenes):
        save(rain(clean, seed=index), root / "input" / name.format(index))
        save(clean, root / "target" / name.format(index))
    return root


def resize(image: RgbImage, width: int, height: int) -> RgbImage:
    return np.asarray(Image.fromarray(image).resize((width, height)), dtype=np.uint8)


SCENES = [detailed_scene(seed) for seed in range(12)]
CHANGES = {
    "smaller": lambda image: resize(image, 150, 100),
    "cropped": lambda image: image[30:170, 90:280],
    "cropped hard": lambda image: image[50:140, 40:130],
    "mirrored": lambda image: image[:, ::-1].copy(),
    "rained on": lambda image: rain(image, share=0.2, seed=5),
    "graded": lambda image: np.asarray(255 * (image / 255) ** 0.8 * 0.9 + 10, dtype=np.uint8),
    "all": lambda image: resize(rain(image[20:180, 60:270], share=0.3)[:, ::-1].copy(), 120, 90),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_scene_is_found_after_a_change(change: str, tmp_path: Path) -> None:
    write_pairs(tmp_path / "a", SCENES)
    write_pairs(tmp_path / "b", [CHANGES[change](SCENES[index]) for index in (3, 7)])
    leaks = find_leaks({name: list_entries(tmp_path / name) for name in "ab"})
    found = {(leak.first, leak.second) for leak in leaks}
    assert found == {("input/3.png", "input/0.png"), ("input/7.png", "input/1.png")}
    assert {leak.kind for leak in leaks} == {"scene"}


def test_different_scenes_are_no_leak(tmp_path: Path) -> None:
    write_pairs(tmp_path / "a", SCENES)
    write_pairs(tmp_path / "b", [detailed_scene(seed) for seed in range(50, 62)])
    assert find_leaks({name: list_entries(tmp_path / name) for name in "ab"}) == []


def test_flat_images_say_nothing(tmp_path: Path) -> None:
    for name, grey in (("a", 100), ("b", 101)):
        save(np.full((60, 80, 3), grey, np.uint8), tmp_path / name / "grey.png")
    assert find_leaks({name: list_entries(tmp_path / name) for name in "ab"}) == []


def test_rain100l_and_rain100h_share_all_scenes(tmp_path: Path, crdnet: Crdnet) -> None:
    for name, share in (("Rain100L", 0.05), ("Rain100H", 0.5)):
        for index, clean in enumerate(SCENES, 1):
            save(rain(clean, share, seed=index), tmp_path / name / f"rain-{index:03}.png")
            save(clean, tmp_path / name / f"norain-{index:03}.png")
    ended = crdnet("data", "check", tmp_path / "Rain100L", tmp_path / "Rain100H")
    assert ended.code == 1
    assert "12 of 12 images share scenes with 12 of 12; 12 are the same file" in ended.out


def test_test_backgrounds_in_rain_train_h_are_counted(tmp_path: Path, crdnet: Crdnet) -> None:
    # RainTrainH repeats backgrounds of the test set under other names, saved again.
    test, others = SCENES[:3], [detailed_scene(seed) for seed in range(50, 54)]
    repeated = [resize(each, 301, 201) for each in (*test, *test)]
    write_pairs(tmp_path / "RainTrainH", [*repeated, *others])
    write_pairs(tmp_path / "Rain100H", test)
    csv_file = tmp_path / "shared.csv"
    ended = crdnet(
        "data", "check", tmp_path / "RainTrainH", tmp_path / "Rain100H", "--csv", csv_file
    )
    assert "6 of 10 images share scenes with 3 of 3; 0 are the same file" in ended.out
    assert len(csv_file.read_text().splitlines()) == 7


def test_sets_that_share_nothing_end_with_0(tmp_path: Path, crdnet: Crdnet) -> None:
    write_pairs(tmp_path / "a", SCENES[:2])
    save(SCENES[5], tmp_path / "photographs" / "x.png")
    ended = crdnet("data", "check", tmp_path / "a", tmp_path / "photographs", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert '"healthy": true' in ended.out


def test_one_set_twice_is_wrong_usage(tmp_path: Path, crdnet: Crdnet) -> None:
    write_pairs(tmp_path, SCENES[:1])
    assert crdnet("data", "check", tmp_path, tmp_path).code == 2


def test_a_split_keeps_scenes_apart_and_is_read_back(tmp_path: Path, crdnet: Crdnet) -> None:
    root = write_pairs(tmp_path / "set", [SCENES[index // 2] for index in range(16)])
    arguments = ("data", "split", root, "-o", tmp_path / "lists", "--validation", "0.25", "-q")
    ended = crdnet(*arguments)
    assert ended.code == 0, ended.err
    parts = {
        name: find_pairs(tmp_path / "lists" / f"{name}.csv") for name in ("training", "validation")
    }
    assert {name: len(pairs) for name, pairs in parts.items()} == {"training": 12, "validation": 4}
    numbers = [{int(pair.rainy_path.stem) // 2 for pair in pairs} for pairs in parts.values()]
    assert not numbers[0] & numbers[1]
    assert crdnet(*arguments).code == 2
    assert "add --overwrite" in crdnet(*arguments).err


def test_a_split_of_images_side_by_side_is_read_back(tmp_path: Path) -> None:
    for index, clean in enumerate(SCENES[:3]):
        both = np.concatenate([clean, rain(clean)], axis=1)
        save(both, tmp_path / "set" / f"{index}.png")
    pairs = find_pairs(tmp_path / "set", "clean-rainy")
    write_list(pairs, tmp_path / "all.csv")
    again = find_pairs(tmp_path / "all.csv")
    assert [pair.halves for pair in again] == [pair.halves for pair in pairs]
    assert np.array_equal(again[0].load().rainy, pairs[0].load().rainy)


@pytest.mark.parametrize("shares", [{"a": 0.5, "b": 0.6}, {"a": 1.5, "b": -0.5}])
def test_shares_that_are_none_are_refused(shares: dict[str, float], tmp_path: Path) -> None:
    pairs = find_pairs(write_pairs(tmp_path, SCENES[:2]))
    with pytest.raises(DataError, match="sum to 1"):
        split_scenes(pairs, shares, np.random.default_rng(0))


def test_the_same_file_is_found_in_a_folder_of_images(tmp_path: Path) -> None:
    save(SCENES[0], tmp_path / "a" / "x.png")
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a" / "x.png", tmp_path / "b" / "y.png")
    (leak,) = find_leaks({name: list_entries(tmp_path / name) for name in "ab"})
    assert (leak.first, leak.second, leak.kind) == ("x.png", "y.png", "file")
