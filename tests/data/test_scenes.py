from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from crdnet.data import Pair, assign_scenes, find_pairs, group_scenes
from crdnet.data.scenes import Fingerprint, name_scenes
from crdnet.errors import DataError

from .scenery import rain, save, save_side_by_side, scene


def _pairs(count: int) -> list[Pair]:
    return [Pair(f"{n}.png", f"{n}.png", Path(f"{n}.png"), Path(f"{n}.png")) for n in range(count)]


def _grouped(*images: np.ndarray) -> list[set[str]]:
    scenes = name_scenes(_pairs(len(images)), [Fingerprint.from_image(image) for image in images])
    return [
        {name for name, scene in scenes.items() if scene == wanted}
        for wanted in dict.fromkeys(scenes.values())
    ]


def test_one_scene_under_two_names_is_one_scene(tmp_path: Path) -> None:
    for number, seed in enumerate([7, 8, 7, 9, 8]):
        save_side_by_side(scene(seed), rain(scene(seed), seed=number), tmp_path / f"{number}.png")
    pairs = find_pairs(tmp_path)
    assert group_scenes(pairs) == {
        "0.png": "0.png",
        "1.png": "1.png",
        "2.png": "0.png",
        "3.png": "3.png",
        "4.png": "1.png",
    }
    seen = assign_scenes(pairs)
    assert [pair.name for pair in seen] == [pair.name for pair in pairs]
    assert [pair.scene for pair in seen] == ["0.png", "1.png", "0.png", "3.png", "1.png"]


def test_a_shared_clean_image_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(scene(1), tmp_path / "clean" / "1.png")
    for density in ("light", "medium", "heavy"):
        save(rain(scene(1)), tmp_path / density / "1.png")
    pairs = find_pairs(tmp_path)
    reads: list[str] = []
    load_clean = Pair.load_clean

    def counted(pair: Pair) -> np.ndarray:
        reads.append(pair.name)
        return load_clean(pair)

    monkeypatch.setattr(Pair, "load_clean", counted)
    assert set(group_scenes(pairs).values()) == {"clean/1"}
    assert len(reads) == 1


def test_recompressed_scaled_and_graded_images_keep_their_scene(tmp_path: Path) -> None:
    whole = scene(1, 240, 320)
    Image.fromarray(whole).save(tmp_path / "a.jpg", quality=40)
    recompressed = np.asarray(Image.open(tmp_path / "a.jpg"))
    scaled = np.asarray(Image.fromarray(whole).resize((160, 120)))
    graded = np.clip(whole * 0.97 + 3, 0, 255).astype(np.uint8)
    assert _grouped(whole, recompressed, scaled, graded) == [{"0.png", "1.png", "2.png", "3.png"}]


def test_another_shape_or_another_brightness_is_another_scene() -> None:
    whole = scene(1, 240, 320)
    squeezed = np.asarray(Image.fromarray(whole).resize((280, 240)))
    assert len(_grouped(whole, squeezed, whole // 2)) == 3


def test_flat_images_are_told_apart_by_their_level() -> None:
    levels = [np.full((20, 20, 3), level, np.uint8) for level in (10, 12, 200, 0)]
    assert _grouped(*levels[:3]) == [{"0.png", "1.png"}, {"2.png"}]
    assert _grouped() == []


@settings(max_examples=25, deadline=None)
@given(seeds=st.lists(st.integers(0, 5), max_size=8), random=st.randoms())
def test_scenes_are_the_same_in_whatever_order_the_pairs_come(
    seeds: list[int],
    random: Random,
) -> None:
    pairs = _pairs(len(seeds))
    prints = [Fingerprint.from_image(scene(seed, 20, 24)) for seed in seeds]
    scenes = name_scenes(pairs, prints)
    order = random.sample(range(len(seeds)), len(seeds))
    assert name_scenes([pairs[i] for i in order], [prints[i] for i in order]) == scenes
    for one, first in enumerate(seeds):
        for two, second in enumerate(seeds):
            assert (scenes[f"{one}.png"] == scenes[f"{two}.png"]) == (first == second)


def test_pairs_of_two_sets_with_one_name_are_refused(tmp_path: Path) -> None:
    save_side_by_side(scene(1), rain(scene(1)), tmp_path / "1.png")
    with pytest.raises(DataError, match="two pairs have one name"):
        group_scenes(find_pairs(tmp_path) * 2)


def test_an_unreadable_clean_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"1\.png: cannot be read"):
        group_scenes(find_pairs(tmp_path, "clean-rainy"))


def test_rain800_repeats_its_scenes(shared_data: Path) -> None:
    scenes = group_scenes(find_pairs(shared_data / "rain800" / "val"))
    assert len(scenes) == 72
    assert len(set(scenes.values())) == 43


def test_the_synthetic_scenes_are_those_of_their_names(shared_data: Path) -> None:
    pairs = find_pairs(shared_data / "val_synth")
    assert assign_scenes(pairs) == pairs
