import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from crdnet.data import Pair, ProblemKind, check
from crdnet.density import RainDensity
from crdnet.errors import DataError

from .scenery import rain, save, save_side_by_side, scene


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    """Two scenes, light and heavy, and a file that is no image."""
    for seed in (1, 2):
        save(scene(seed), tmp_path / "clean" / f"{seed}.png")
        save(rain(scene(seed), 0.1), tmp_path / "light" / f"{seed}.png")
        save(rain(scene(seed), 0.6), tmp_path / "heavy" / f"{seed}.png")
    (tmp_path / "list.txt").write_text("1\n2\n")
    return tmp_path


def test_a_healthy_set_is_counted(healthy: Path) -> None:
    report = check(healthy)
    assert report.healthy
    assert report.layout == "density-folders"
    assert (report.pairs, report.labelled, report.scenes, report.other_files) == (4, 4, 2, 1)
    assert report.densities == {RainDensity.LIGHT: 2, RainDensity.HEAVY: 2}
    assert report.intensities[RainDensity.LIGHT] < report.intensities[RainDensity.HEAVY]
    assert report.sizes == {(64, 48): 4}


def test_every_problem_is_named(healthy: Path) -> None:
    save(scene(3), healthy / "light" / "3.png")
    (healthy / "heavy" / "1.png").write_bytes(b"broken")
    save(scene(2, 40, 60), healthy / "heavy" / "2.png")
    save(scene(1), healthy / "light" / "1.png")
    report = check(healthy)
    assert not report.healthy
    assert {
        (
            problem.path.relative_to(healthy).as_posix(),
            problem.kind,
        )
        for problem in report.problems
    } == {
        ("light/3.png", ProblemKind.MISSING_PARTNER),
        ("heavy/1.png", ProblemKind.UNREADABLE),
        ("heavy/2.png", ProblemKind.SIZE_MISMATCH),
        ("light/1.png", ProblemKind.IDENTICAL),
    }
    for problem in report.problems:
        assert str(problem).count(str(problem.path)) == 1
    assert report.pairs == 2


@pytest.mark.parametrize("layout", ["rainy-clean", "clean-rainy"])
def test_halves_the_wrong_way_round_are_suspected(tmp_path: Path, layout: str) -> None:
    for seed in range(5):
        save_side_by_side(scene(seed), rain(scene(seed)), tmp_path / f"{seed}.png")
    problems = check(tmp_path, layout).problems
    assert [problem.kind for problem in problems] == [
        ProblemKind.WRONG_ORDER,
    ] * (layout == "rainy-clean")


def test_folders_the_wrong_way_round_are_suspected(tmp_path: Path) -> None:
    for seed in range(3):
        save(scene(seed), tmp_path / "input" / f"{seed}.png")
        save(rain(scene(seed)), tmp_path / "target" / f"{seed}.png")
    (problem,) = check(tmp_path).problems
    assert problem.kind is ProblemKind.WRONG_ORDER
    assert "of 3 sampled pairs, 3 look rainier in the clean image" in problem.reason


def test_one_image_that_looks_wrong_does_not_condemn_a_set(tmp_path: Path) -> None:
    for seed in range(3):
        halves = (scene(seed), rain(scene(seed)))
        save_side_by_side(*(halves[::-1] if seed == 1 else halves), tmp_path / f"{seed}.png")
    assert check(tmp_path, "clean-rainy").healthy


def test_the_report_is_json(healthy: Path) -> None:
    save(scene(3), healthy / "light" / "3.png")
    report = json.loads(json.dumps(check(healthy).as_dict()))
    assert report["densities"] == {"light": 2, "heavy": 2}
    assert report["sizes"] == {"64x48": 4}
    assert report["healthy"] is False
    assert [problem["kind"] for problem in report["problems"]] == ["missing partner"]


def test_progress_sees_every_pair(healthy: Path) -> None:
    seen: list[Pair] = []

    def progress(pairs: Sequence[Pair]) -> Sequence[Pair]:
        seen.extend(pairs)
        return pairs

    check(healthy, progress=progress)
    assert len(seen) == 4


def test_what_is_no_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        check(tmp_path)


def test_rain800_is_healthy(shared_data: Path) -> None:
    report = check(shared_data / "rain800" / "val")
    assert report.healthy, report.problems
    assert (report.layout, report.pairs, report.scenes, report.labelled) == (
        "clean-rainy",
        72,
        43,
        0,
    )
