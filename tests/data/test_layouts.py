"""Layouts are told by names alone, so that empty files are enough to test them."""

import logging
import pickle
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdnet.data import LAYOUTS, DataProblem, HalfOrder, Pair, ProblemKind, find_pairs
from crdnet.data.labels import parse_folder_density
from crdnet.data.listing import sort_naturally
from crdnet.density import RainDensity
from crdnet.errors import DataError

Touch = Callable[..., Path]
NONE, LIGHT, MEDIUM, HEAVY = None, RainDensity.LIGHT, RainDensity.MEDIUM, RainDensity.HEAVY


def told(root: Path, layout: str = "auto") -> list[tuple[str, str, RainDensity | None]]:
    """Return of each pair the names of its images below the root, and its label."""
    return [
        (pair.name, pair.clean_path.relative_to(root).as_posix(), pair.density)
        for pair in find_pairs(root, layout)
    ]


# -- side by side --


@pytest.mark.parametrize("layout", ["rainy-clean", "clean-rainy"])
def test_side_by_side_images_are_both_halves_of_their_pair(touch: Touch, layout: str) -> None:
    root = touch("10.jpg", "9.jpg")
    assert [pair.name for pair in find_pairs(root, layout)] == ["9.jpg", "10.jpg"]
    for pair in find_pairs(root, layout):
        assert pair.rainy_path == pair.clean_path == root / pair.name
        assert pair.halves is HalfOrder(layout)
        assert pair.scene == pair.name


def test_densities_of_did_mdn_come_from_its_folders(touch: Touch) -> None:
    root = touch(*(f"Rain_{grade}/train2018new/0.jpg" for grade in ("Heavy", "Medium", "Light")))
    assert told(root, "rainy-clean") == [
        (f"Rain_{grade.name.title()}/train2018new/0.jpg",) * 2 + (grade,)
        for grade in (HEAVY, LIGHT, MEDIUM)
    ]


def test_the_name_of_the_root_is_no_label(touch: Touch) -> None:
    root = touch("Rain_Heavy/train2018new/0.jpg") / "Rain_Heavy"
    assert told(root, "rainy-clean") == [("train2018new/0.jpg", "train2018new/0.jpg", NONE)]


def test_densities_of_data_1_are_the_last_digits_of_its_names(touch: Touch) -> None:
    root = touch("1_3.jpg", "2_1.jpg", "3_2.jpg")
    assert [density for *_, density in told(root, "rainy-clean")] == [HEAVY, LIGHT, MEDIUM]


@pytest.mark.parametrize(
    "names",
    [["1_3.jpg", "2_4.jpg"], ["1_1.jpg", "2.jpg"], ["1.jpg", "2.jpg", "3.jpg"]],
)
def test_digits_are_densities_only_where_every_name_has_one(touch: Touch, names: list[str]) -> None:
    assert {density for *_, density in told(touch(*names), "rainy-clean")} == {NONE}


# -- two folders --


@pytest.mark.parametrize(
    ("rainy", "clean"),
    [
        ("input", "target"),
        ("rainy", "clean"),
        ("rain", "norain"),
        ("rain", "gt"),
        ("Rainy_Image", "Ground-Truth"),
    ],
)
def test_two_folders_are_matched_by_name(touch: Touch, rainy: str, clean: str) -> None:
    names = ("a.png", "b 2.png", "b 10.png")
    root = touch(*(f"{folder}/{name}" for folder in (rainy, clean) for name in names))
    assert told(root) == [(f"{rainy}/{name}", f"{clean}/{name}", NONE) for name in names]


def test_the_images_of_a_pair_may_be_of_different_formats(touch: Touch) -> None:
    assert told(touch("input/1.jpg", "target/1.PNG")) == [("input/1.jpg", "target/1.PNG", NONE)]


def test_folders_within_both_folders_must_agree(touch: Touch) -> None:
    root = touch("input/x/1.png", "input/y/1.png", "target/x/1.png", "target/y/1.png")
    assert told(root) == [(f"input/{f}/1.png", f"target/{f}/1.png", NONE) for f in "xy"]


def test_rain200_names_its_rainy_images_after_the_clean_ones(touch: Touch) -> None:
    root = touch("rain/X2/norain-1x2.png", "norain/norain-1.png")
    assert told(root) == [("rain/X2/norain-1x2.png", "norain/norain-1.png", NONE)]


def test_densities_of_data_2_are_the_digits_after_the_scene(touch: Touch) -> None:
    root = touch("rain/1_1.jpg", "rain/1_3.jpg", "rain/12_2.jpg", "clear/1.jpg", "clear/12.jpg")
    assert told(root) == [
        ("rain/1_1.jpg", "clear/1.jpg", LIGHT),
        ("rain/1_3.jpg", "clear/1.jpg", HEAVY),
        ("rain/12_2.jpg", "clear/12.jpg", MEDIUM),
    ]
    assert [pair.scene for pair in find_pairs(root)] == ["clear/1", "clear/1", "clear/12"]


def test_variants_of_rain1400_are_no_densities(touch: Touch) -> None:
    names = [f"rainy_image/{scene}_{variant}.jpg" for scene in (9, 10) for variant in range(1, 15)]
    root = touch(*names, "ground_truth/9.jpg", "ground_truth/10.jpg")
    assert [name for name, *_ in told(root)] == names
    assert {density for *_, density in told(root)} == {NONE}
    assert {pair.scene for pair in find_pairs(root)} == {"ground_truth/9", "ground_truth/10"}


def test_few_variants_are_no_densities_either(touch: Touch) -> None:
    root = touch("rainy_image/1_1.jpg", "rainy_image/1_2.jpg", "ground_truth/1.jpg")
    assert {density for *_, density in told(root)} == {NONE}


def test_variants_in_folders_named_like_those_of_data_2_are_no_densities(touch: Touch) -> None:
    root = touch("rain/1_1.jpg", "rain/1_14.jpg", "clear/1.jpg")
    assert {density for *_, density in told(root)} == {NONE}


def test_equal_names_win_over_numbers(touch: Touch) -> None:
    root = touch("rain/1_1.jpg", "rain/1_2.jpg", "clear/1_1.jpg", "clear/1_2.jpg")
    assert told(root) == [
        ("rain/1_1.jpg", "clear/1_1.jpg", NONE),
        ("rain/1_2.jpg", "clear/1_2.jpg", NONE),
    ]


def test_an_asked_for_density_must_stand_in_every_name(touch: Touch) -> None:
    root = touch("rain/1_1.jpg", "rain/1_4.jpg", "clear/1.jpg")
    with pytest.raises(DataError, match=r"1_4\.jpg.*numbered-variants"):
        find_pairs(root, "numbered-density")


# -- prefixes, densities beside one clean folder, trees --


def test_rain_and_norain_stand_beside_each_other(touch: Touch) -> None:
    root = touch("norain-002.png", "norain-010.png", "rain-002.png", "rain-010.png")
    assert told(root) == [(f"rain-{n}.png", f"norain-{n}.png", NONE) for n in ("002", "010")]


@pytest.mark.parametrize("layout", ["auto", "rain-norain"])
def test_rain_and_norain_may_have_folders(touch: Touch, layout: str) -> None:
    root = touch("rain/rain-001.png", "norain/norain-001.png")
    assert told(root, layout) == [("rain/rain-001.png", "norain/norain-001.png", NONE)]


def test_layers_of_rain_beside_the_images_are_left_aside_and_said(
    touch: Touch, caplog: pytest.LogCaptureFixture
) -> None:
    root = touch("norain-1.png", "rain-1.png", "rainstreak-1.png", "rainregion-1.png")
    assert told(root) == [("rain-1.png", "norain-1.png", NONE)]
    assert "2 images have no place in the layout rain-norain" in caplog.text


def test_folders_named_after_densities_share_a_clean_one(touch: Touch) -> None:
    folders = ("clean", "light", "medium", "heavy")
    root = touch(*(f"{folder}/{n}.webp" for folder in folders for n in ("01", "02")))
    assert told(root) == [
        (f"{grade.name.lower()}/{n}.webp", f"clean/{n}.webp", grade)
        for grade in (HEAVY, LIGHT, MEDIUM)
        for n in ("01", "02")
    ]
    assert {pair.scene for pair in find_pairs(root)} == {"clean/01", "clean/02"}


def test_a_tree_is_the_union_of_its_sets(touch: Touch) -> None:
    root = touch(
        *("train/Rain13K/input/1.jpg", "train/Rain13K/target/1.jpg"),
        *("train/Rain100L/rain-1.png", "train/Rain100L/norain-1.png"),
        *("train/Mine/heavy/1.png", "train/Mine/clean/1.png"),
    )
    expected = [
        ("Mine/heavy/1.png", "Mine/clean/1.png", HEAVY),
        ("Rain13K/input/1.jpg", "Rain13K/target/1.jpg", NONE),
        ("Rain100L/rain-1.png", "Rain100L/norain-1.png", NONE),
    ]
    assert told(root / "train") == expected
    below = [(f"train/{rainy}", f"train/{clean}", density) for rainy, clean, density in expected]
    assert told(root) == below


@pytest.mark.parametrize("deeper", ["", "Rain13K/", "a/b/"])
def test_splits_must_not_mix_at_any_depth(touch: Touch, deeper: str) -> None:
    root = touch(*(f"{deeper}{name}" for name in ("train/input/1.png", "train/target/1.png")))
    assert len(find_pairs(root)) == 1
    touch(*(f"{deeper}{name}" for name in ("Test/input/1.png", "Test/target/1.png")))
    with pytest.raises(DataError, match=f"{root / deeper}: holds the splits Test, train"):
        find_pairs(root)
    assert len(find_pairs(root / deeper / "Test")) == 1


# -- what is wrong --

BROKEN = {
    "folders": ["input/1.png", "input/2.png", "target/2.png", "target/3.png"],
    "numbered-density": ["rain/1_1.png", "rain/2_2.png", "clear/2.png", "clear/3.png"],
    "numbered-variants": [
        "rainy_image/1_1.png",
        "rainy_image/2_9.png",
        "ground_truth/2.png",
        "ground_truth/3.png",
    ],
    "rain-norain": ["rain-1.png", "rain-2.png", "norain-2.png", "norain-3.png"],
    "density-folders": ["light/1.png", "light/2.png", "clean/2.png", "clean/3.png"],
    "tree": ["set/input/1.png", "set/input/2.png", "set/target/2.png", "set/target/3.png"],
}


@pytest.mark.parametrize("layout", BROKEN)
@pytest.mark.parametrize("asked", ["auto", "by name"])
def test_images_without_a_partner_are_named(touch: Touch, layout: str, asked: str) -> None:
    root = touch(*BROKEN[layout])
    asked = layout if asked == "by name" else "auto"
    with pytest.raises(DataError) as caught:
        find_pairs(root, asked)
    assert "2 images have no single partner" in str(caught.value)
    assert str(root / BROKEN[layout][0]) in str(caught.value)
    assert str(root / BROKEN[layout][3]) in str(caught.value)
    problems: list[DataProblem] = []
    pairs = find_pairs(root, asked, problems=problems)
    assert [pair.name for pair in pairs] == [BROKEN[layout][1]]
    assert {problem.path for problem in problems} == {
        root / BROKEN[layout][0],
        root / BROKEN[layout][3],
    }
    assert {problem.kind for problem in problems} == {ProblemKind.MISSING_PARTNER}


def test_many_problems_are_counted_and_the_first_are_named(touch: Touch) -> None:
    root = touch("input/x.png", "target/x.png", *(f"input/{number}.png" for number in range(12)))
    with pytest.raises(DataError, match=r"12 images.*input/0\.png.*and 7 more") as caught:
        find_pairs(root)
    assert "11.png" not in str(caught.value)


def test_two_clean_images_of_one_name_are_ambiguous(touch: Touch) -> None:
    problems: list[DataProblem] = []
    root = touch("input/1.png", "target/1.png", "target/1.jpg")
    assert find_pairs(root, problems=problems) == []
    assert [(problem.path, problem.kind) for problem in problems] == [
        (root / "input/1.png", ProblemKind.AMBIGUOUS_PARTNER)
    ]


def test_the_clean_image_of_the_very_name_is_not_ambiguous(touch: Touch) -> None:
    root = touch("input/1.png", "input/01.png", "target/1.png", "target/01.png")
    assert told(root) == [
        ("input/01.png", "target/01.png", NONE),
        ("input/1.png", "target/1.png", NONE),
    ]


def test_a_name_that_merely_means_the_same_has_no_claim_beside_the_very_name(touch: Touch) -> None:
    problems: list[DataProblem] = []
    root = touch("input/1.png", "input/01.png", "target/1.png")
    assert [pair.name for pair in find_pairs(root, problems=problems)] == ["input/1.png"]
    assert [problem.path for problem in problems] == [root / "input/01.png"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no images"),
        (["readme.txt", ".hidden.png", "__MACOSX/1.png", ".cache/1.png"], "holds no images"),
        (["input/1.png"], "no folder with clean images"),
        (["target/1.png"], "no folder with rainy images"),
        (["input/1.png", "rain/1.png", "target/1.png"], "input, rain could each be the rainy"),
        (["1.png", "2.png"], "no layout is recognised"),
    ],
)
def test_a_folder_without_a_layout_is_an_error(
    touch: Touch,
    names: list[str],
    message: str,
) -> None:
    root = touch(*names)
    with pytest.raises(DataError, match=message) as caught:
        find_pairs(root)
    assert str(caught.value).startswith(f"{root}: ")


def test_a_missing_folder_and_a_file_are_errors(touch: Touch) -> None:
    root = touch("a.png")
    with pytest.raises(DataError, match="no such folder"):
        find_pairs(root / "none")
    with pytest.raises(DataError, match="is a file"):
        find_pairs(root / "a.png")


def test_an_unknown_layout_is_an_error_that_lists_the_known_ones(touch: Touch) -> None:
    with pytest.raises(DataError, match=r"no layout 'coco'.*rainy-clean"):
        find_pairs(touch("a.png"), "coco")


@pytest.mark.parametrize(
    "layout", [name for name in LAYOUTS if not name.endswith("clean") and "rainy" not in name]
)
def test_a_layout_that_is_not_there_is_an_error(touch: Touch, layout: str) -> None:
    with pytest.raises(DataError):
        find_pairs(touch("photos/a.png", "photos/b.png"), layout)


# -- order, names, links --


def test_files_that_are_no_images_are_no_problem(touch: Touch) -> None:
    root = touch(
        "input/1.png",
        "target/1.png",
        "input/Thumbs.db",
        "target/.DS_Store",
        "input/._1.png",
        "list.txt",
    )
    assert len(find_pairs(root)) == 1


def test_folders_may_be_links(touch: Touch) -> None:
    root = touch("elsewhere/1.png", "set/a/input/1.png", "set/b/input/1.png") / "set"
    for folder in ("a", "b"):
        (root / folder / "target").symlink_to(root.parent / "elsewhere", target_is_directory=True)
    assert [pair.name for pair in find_pairs(root)] == ["a/input/1.png", "b/input/1.png"]


def test_a_link_that_leads_back_is_not_followed(touch: Touch) -> None:
    root = touch("input/1.png", "target/1.png")
    (root / "input" / "again").symlink_to(root, target_is_directory=True)
    assert [pair.name for pair in find_pairs(root)] == ["input/1.png"]


def test_names_are_unique_where_only_endings_differ(touch: Touch) -> None:
    root = touch("input/1.png", "input/1.jpg", "target/1.png")
    assert [pair.name for pair in find_pairs(root)] == ["input/1.jpg", "input/1.png"]


def test_a_pair_travels_to_a_worker(touch: Touch) -> None:
    for pair in find_pairs(touch("input/1.png", "target/1.png")):
        assert pickle.loads(pickle.dumps(pair)) == pair


def test_the_recognised_layout_is_logged(touch: Touch, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "crdnet"):
        find_pairs(touch("input/1.png", "target/1.png"))
    assert "recognised the layout folders" in caplog.text


@given(st.lists(st.integers(0, 10_000), unique=True))
def test_numbers_are_counted_not_spelled(numbers: list[int]) -> None:
    paths = [PurePosixPath(f"a/{number}.jpg") for number in numbers]
    assert sort_naturally(paths) == [PurePosixPath(f"a/{number}.jpg") for number in sorted(numbers)]


@given(
    st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1), unique=True),
    st.randoms(),
)
def test_the_order_of_any_names_does_not_depend_on_how_they_come(
    names: list[str],
    random: Random,
) -> None:
    paths = list({PurePosixPath(name) for name in names})
    shuffled = random.sample(paths, len(paths))
    assert sort_naturally(shuffled) == sort_naturally(paths)


@pytest.mark.parametrize(
    ("name", "grade"),
    [
        *(
            ("Rain_Heavy", HEAVY),
            ("heavy", HEAVY),
            ("MEDIUM", MEDIUM),
            ("light_rain", LIGHT),
            ("rain-light", LIGHT),
        ),
        *(
            ("lighthouse", NONE),
            ("medium_size", NONE),
            ("rain", NONE),
            ("Rain100H", NONE),
            ("", NONE),
        ),
    ],
)
def test_a_folder_is_a_density_where_it_says_nothing_else(
    name: str,
    grade: RainDensity | None,
) -> None:
    assert parse_folder_density(name) is grade


def test_a_pair_is_a_value() -> None:
    path = Path("a.png")
    assert Pair("a.png", "a", path, path) == Pair("a.png", "a", path, path)
