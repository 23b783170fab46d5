"""Lists, patterns, shards, and the layouts of single data sets, as small fake trees."""

import csv
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crdnet.data import check, find_pairs, match_patterns, split_scenes, write_list
from crdnet.density import RainDensity
from crdnet.errors import DataError
from tests.data.scenery import rain, save, scene

Touch = Callable[..., Path]


def match(root: Path, layout: str = "auto", below: str = ".") -> list[tuple[str, str]]:
    return [
        (pair.name, pair.clean_path.relative_to(root).as_posix())
        for pair in find_pairs(root / below, layout)
    ]


def test_spa_data_is_matched_by_folders(touch: Touch) -> None:
    root = touch("rain/001.png", "rain/010.png", "gt/001gt.png", "gt/010gt.png")
    assert match(root) == [("rain/001.png", "gt/001gt.png"), ("rain/010.png", "gt/010gt.png")]


def test_spa_data_is_matched_by_its_list(touch: Touch) -> None:
    root = touch("real_test/rain/001.png", "real_test/gt/001gt.png")
    (root / "real_test.txt").write_text("/real_test/rain/001.png /real_test/gt/001gt.png\n")
    expected = [("real_test/rain/001.png", "real_test/gt/001gt.png")]
    assert match(root, below="real_test.txt") == expected


def test_a_list_may_lie_in_the_folder_that_its_paths_begin_with(touch: Touch) -> None:
    root = touch("real/rain/1.png", "real/gt/1.png")
    (root / "real" / "list.txt").write_text("/real/rain/1.png /real/gt/1.png\n")
    assert match(root, below="real/list.txt") == [("real/rain/1.png", "real/gt/1.png")]


def test_rainds_has_three_kinds_of_rain_on_one_clean_image(touch: Touch) -> None:
    rainy = ["raindrop/rd-1.png", "rainstreak/rain-1.png", "rainstreak_raindrop/rd-rain-1.png"]
    root = touch(*rainy, "gt/norain-1.png")
    assert match(root) == [(name, "gt/norain-1.png") for name in rainy]
    assert {pair.scene for pair in find_pairs(root)} == {"gt/norain-1"}


def test_real_rainds_numbers_its_images(touch: Touch) -> None:
    root = touch("rainstreak/12.png", "raindrop/12.png", "gt/12.png")
    assert [name for name, _ in match(root)] == ["raindrop/12.png", "rainstreak/12.png"]


def test_rain12_has_both_images_in_one_folder(touch: Touch) -> None:
    root = touch("001_in.png", "001_GT.png", "002_in.png", "002_GT.png")
    assert match(root) == [("001_in.png", "001_GT.png"), ("002_in.png", "002_GT.png")]


def test_gt_rain_has_one_clean_frame_for_a_static_scene(touch: Touch) -> None:
    root = touch("Oinari/Webcam-C-000.png", "Oinari/Webcam-R-000.png", "Oinari/Webcam-R-001.png")
    clean = "Oinari/Webcam-C-000.png"
    assert match(root) == [(f"Oinari/Webcam-R-{n}.png", clean) for n in ("000", "001")]


def test_gt_rain_with_several_clean_frames_is_matched_by_number(touch: Touch) -> None:
    names = [f"s/W-{role}-00{n}.png" for role in "RC" for n in range(2)]
    assert match(touch(*names)) == [(f"s/W-R-00{n}.png", f"s/W-C-00{n}.png") for n in range(2)]


CITY = "aachen/aachen_000004_000019_leftImg8bit"
RAINED = f"{CITY}_rain_alpha_0.01_beta_0.005_dropsize_0.01_pattern_1.png"


def test_rain_cityscapes_is_matched_across_its_two_trees(touch: Touch) -> None:
    root = touch(f"leftImg8bit_rain/train/{RAINED}", f"leftImg8bit/train/{CITY}.png")
    assert match(root) == [(f"leftImg8bit_rain/train/{RAINED}", f"leftImg8bit/train/{CITY}.png")]


def test_a_split_of_rain_cityscapes_is_named_by_its_rainy_folder(touch: Touch) -> None:
    splits = ("train", "val")
    root = touch(
        *(f"leftImg8bit_rain/{split}/{RAINED}" for split in splits),
        *(f"leftImg8bit/{split}/{CITY}.png" for split in splits),
    )
    assert match(root, below="leftImg8bit_rain/val") == [
        (f"leftImg8bit_rain/val/{RAINED}", f"leftImg8bit/val/{CITY}.png")
    ]
    with pytest.raises(DataError, match="which must not mix"):
        find_pairs(root)


def test_the_folders_of_basicsr_are_matched(touch: Touch) -> None:
    assert match(touch("lq/a.png", "gt/a.png")) == [("lq/a.png", "gt/a.png")]


def test_a_csv_list_gives_pairs_densities_and_scenes(touch: Touch) -> None:
    root = touch("x/1.png", "y/1.png", "x/2.png", "x/3.png")
    (root / "list.csv").write_text(
        "clean,rainy,density,scene\ny/1.png,x/1.png,heavy,a\ny/1.png,x/2.png,,a\n"
        "y/1.png,x/3.png,1,\n"
    )
    pairs = find_pairs(root / "list.csv")
    assert [pair.density for pair in pairs] == [RainDensity.HEAVY, None, RainDensity.LIGHT]
    assert [pair.scene for pair in pairs] == ["a", "a", "y/1"]


def test_a_list_without_header_has_rainy_then_clean(touch: Touch) -> None:
    root = touch("x/1.png", "y/1.png")
    (root / "list.csv").write_text("x/1.png,y/1.png\n")
    assert match(root, below="list.csv") == [("x/1.png", "y/1.png")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no pairs"),
        ("rainy,density\nx/1.png,heavy\n", "it needs rainy and clean"),
        ("rainy,clean\nx/1.png,\n", r"list\.csv:2: does not name two images"),
        (
            "rainy,clean,density\nx/1.png,y/1.png,wet\n",
            "the density 'wet' is not one of none, light",
        ),
        ("x/1.png,y/1.png\nx/1.png,y/1.png\n", r"list\.csv:2: lists x/1.png again"),
    ],
)
def test_a_list_that_is_not_understood_is_named_by_line(
    touch: Touch, text: str, message: str
) -> None:
    root = touch("x/1.png", "y/1.png")
    (root / "list.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        find_pairs(root / "list.csv")


def test_a_listed_image_that_does_not_exist_is_a_problem(touch: Touch) -> None:
    root = touch("x/1.png")
    (root / "list.csv").write_text("x/1.png,y/1.png\n")
    with pytest.raises(DataError, match=r"y/1\.png: does not exist, and list\.csv line 1 lists it"):
        find_pairs(root / "list.csv")


def test_labels_of_synth_are_read_back(tmp_path: Path) -> None:
    clean = scene(1)
    save(clean, tmp_path / "target" / "a.png")
    save(rain(clean), tmp_path / "input" / "a_0.png")
    with (tmp_path / "labels.csv").open("w") as file:
        rows = csv.writer(file)
        rows.writerow(["rainy", "clean", "density", "intensity", "photo"])
        rows.writerow(["input/a_0.png", "target/a.png", "heavy", "41.5", "a.jpg"])
    (pair,) = find_pairs(tmp_path)
    assert (pair.name, pair.density, pair.scene) == ("input/a_0.png", RainDensity.HEAVY, "target/a")
    report = check(tmp_path)
    assert (report.layout, report.labelled, report.healthy) == ("list", 1, True)


def test_patterns_match_by_stem_and_by_wildcards(touch: Touch) -> None:
    root = touch("in/a_1.png", "in/b_2.png", "gt/a_1.jpg", "gt/b_2.jpg", "t/a.png", "t/b.png")
    by_stem = match_patterns(f"{root}/in/*.png", f"{root}/gt/{{stem}}.*")
    assert [pair.clean_path.name for pair in by_stem] == ["a_1.jpg", "b_2.jpg"]
    by_wildcard = match_patterns(f"{root}/in/*_*.png", f"{root}/t/{{1}}.png")
    assert [pair.clean_path.name for pair in by_wildcard] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("rainy", "clean", "message"),
    [
        ("out/*.png", "gt/{stem}.png", "no rainy image fits"),
        ("in/*.png", "gt/{stem}.jpg", "has 0 clean images"),
        ("in/*.png", "gt/{step}.png", "is not valid"),
        ("in/*.png", "gt/*.png", "has 2 clean images"),
    ],
)
def test_a_pattern_that_fits_nothing_is_one_line(
    touch: Touch, rainy: str, clean: str, message: str
) -> None:
    root = touch("in/a.png", "gt/a.png", "gt/b.png")
    with pytest.raises(DataError, match=message) as caught:
        match_patterns(f"{root}/{rainy}", f"{root}/{clean}")
    assert "\n" not in str(caught.value)


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def encode(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_shards_are_read_in_any_order(tmp_path: Path) -> None:
    scenes = [scene(seed) for seed in range(4)]
    for number in range(2):
        with tarfile.open(tmp_path / f"train-{number}.tar", "w") as tar:
            for index in range(2):
                clean = scenes[2 * number + index]
                add(tar, f"{index}.rainy.png", encode(rain(clean)))
                add(tar, f"{index}.clean.png", encode(clean))
                add(tar, f"{index}.json", b'{"density": "medium"}')
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs][:2] == [
        "train-0.tar/0.rainy.png",
        "train-0.tar/1.rainy.png",
    ]
    for pair, clean in reversed(list(zip(pairs, scenes, strict=True))):
        loaded = pair.load()
        assert np.array_equal(loaded.clean, clean)
        assert loaded.density is RainDensity.MEDIUM
    assert len(find_pairs(tmp_path / "train-1.tar")) == 2


def test_a_split_of_shards_is_read_back(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for seed in range(3):
            add(tar, f"./{seed}.rainy.png", encode(rain(scene(seed))))
            add(tar, f"./{seed}.clean.png", encode(scene(seed)))
    report = check(tmp_path)
    assert (report.healthy, report.pairs, report.other_files) == (True, 3, 0)
    shares = {"training": 0.7, "validation": 0.3}
    parts = split_scenes(find_pairs(tmp_path), shares, np.random.default_rng(0))
    for name, pairs in parts.items():
        file = tmp_path / "lists" / f"{name}.csv"
        file.parent.mkdir(exist_ok=True)
        write_list(pairs, file)
        again = find_pairs(file)
        assert [pair.rainy_path.resolve() for pair in again] == [one.rainy_path for one in pairs]
        assert np.array_equal(again[0].load().clean, pairs[0].load().clean)
    (tmp_path / "lists" / "other.csv").write_text("rainy,clean\n../a.tar/9.png,../a.tar/8.png\n")
    with pytest.raises(DataError, match=r"a\.tar/9\.png: does not exist"):
        find_pairs(tmp_path / "lists" / "other.csv")


def test_a_sample_without_partner_and_a_broken_shard_are_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "0.input.png", encode(scene(0)))
    with pytest.raises(DataError, match="has no partner in its shard"):
        find_pairs(tmp_path / "a.tar")
    (tmp_path / "a.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(DataError, match=r"a\.tar: cannot be read as a tar file"):
        find_pairs(tmp_path / "a.tar")
