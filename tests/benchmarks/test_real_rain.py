"""Measurements on marked streaks agree with known contrasts, and the marks are consistent."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.helpers import Rgb
from benchmarks.quality.marks import Box, MarkedCrop, Streak, measure, read_marks
from PIL import Image

from tests.benchmarks.test_benchmarks import run
from tests.examples.identity_model import write_identity_model

GROUND, LIGHT = 90, 60


@pytest.fixture(scope="module")
def marks() -> list[MarkedCrop]:
    return read_marks()


def draw_streak(light: int, slope: int = 0) -> Rgb:
    """Draw a streak of 4 columns on a background that rises by `slope` levels per column.

    The streak is `light` levels brighter than the background.
    """
    grey = np.full((60, 64), GROUND, np.uint8) + np.uint8(slope) * np.arange(64, dtype=np.uint8)
    grey[10:50, 30:34] += np.uint8(light)
    return np.repeat(grey[..., None], 3, axis=2)


def mark(*streak: float) -> MarkedCrop:
    """Return a crop of 64 x 60 pixels with one streak, by default the drawn one."""
    return MarkedCrop(
        "a.png",
        (64, 60),
        "drawn",
        Box(0, 0, 64, 60),
        (Streak(*(streak or (31.5, 12.0, 31.5, 48.0, 4.0))),),
        (Box(2, 2, 12, 12), Box(50, 2, 60, 12)),
    )


def test_the_contrast_of_a_drawn_streak_is_its_light() -> None:
    before, after, dry = measure(mark(), draw_streak(LIGHT), draw_streak(LIGHT // 2))
    assert (before, after, dry) == pytest.approx((LIGHT, LIGHT / 2, 0))


def test_a_slope_of_the_background_does_not_count_as_contrast() -> None:
    before, after, _ = measure(mark(), draw_streak(LIGHT, slope=1), draw_streak(0, slope=1))
    assert (before, after) == pytest.approx((LIGHT, 0))


def test_a_slanting_streak_is_measured_along_its_stroke() -> None:
    y, x = np.mgrid[:60, :64]
    grey = np.where(np.abs(x - y) <= 3, GROUND + LIGHT, GROUND).astype(np.uint8)
    image = np.repeat(grey[..., None], 3, axis=2)
    crop = mark(12.0, 12.0, 48.0, 48.0, 4.0)
    assert measure(crop, image, image)[0] == pytest.approx(LIGHT)


def test_a_streak_marked_beside_itself_is_noticed() -> None:
    crop = mark(36.5, 12.0, 36.5, 48.0, 4.0)
    image = draw_streak(LIGHT)
    assert measure(crop, image, image)[0] < 0


def test_the_change_is_the_mean_over_the_dry_places_and_all_colours() -> None:
    rainy = draw_streak(LIGHT)
    derained = rainy.copy()
    derained[2:12, 2:12, 0] -= np.uint8(6)
    assert measure(mark(), rainy, derained)[2] == pytest.approx(6 / 3 / 2)


def test_there_are_twenty_crops_of_twenty_images_with_two_to_six_streaks(
    marks: list[MarkedCrop],
) -> None:
    assert len({crop.image for crop in marks}) == len(marks) == 20
    for crop in marks:
        assert 2 <= len(crop.streaks) <= 6, crop.image
        sides = (crop.crop.right - crop.crop.left, crop.crop.bottom - crop.crop.top)
        assert all(96 <= side <= 200 for side in sides), crop.image


def test_marks_and_dry_places_lie_inside_their_crops(marks: list[MarkedCrop]) -> None:
    for crop in marks:
        inside = crop.crop
        assert 0 <= inside.left < inside.right <= crop.size[0], crop.image
        assert 0 <= inside.top < inside.bottom <= crop.size[1], crop.image
        for streak in crop.streaks:
            for x, y in ((streak.x0, streak.y0), (streak.x1, streak.y1)):
                assert inside.left <= x <= inside.right - 1, (crop.image, streak)
                assert inside.top <= y <= inside.bottom - 1, (crop.image, streak)
        for dry in crop.dry:
            assert inside.left <= dry.left < dry.right <= inside.right, (crop.image, dry)
            assert inside.top <= dry.top < dry.bottom <= inside.bottom, (crop.image, dry)


def test_no_streak_crosses_a_dry_place(marks: list[MarkedCrop]) -> None:
    for crop in marks:
        for streak in crop.streaks:
            x, y = (
                np.linspace(*ends, 200) for ends in ((streak.x0, streak.x1), (streak.y0, streak.y1))
            )
            reach = streak.width / 2
            for dry in crop.dry:
                across = (x > dry.left - reach) & (x < dry.right + reach)
                assert not (across & (y > dry.top - reach) & (y < dry.bottom + reach)).any(), (
                    crop.image
                )


@pytest.fixture(scope="module")
def photographs(marks: list[MarkedCrop], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of images of the marked names and sizes, bright at the marks."""
    folder = tmp_path_factory.mktemp("photographs")
    for crop in marks:
        grey = np.full(crop.size[::-1], GROUND, np.uint8)
        y, x = np.mgrid[: crop.size[1], : crop.size[0]]
        for streak in crop.streaks:
            middle, height = (streak.x0 + streak.x1) / 2, (streak.y0 + streak.y1) / 2
            grey[np.hypot(x - middle, y - height) <= streak.width] = GROUND + LIGHT
        Image.fromarray(grey).convert("RGB").save(folder / crop.image, quality=95)
    return folder


def test_a_model_that_changes_nothing_leaves_every_streak(
    photographs: Path, tmp_path: Path
) -> None:
    model = str(write_identity_model(tmp_path / "identity.onnx"))
    sheet = tmp_path / "sheet.jpg"
    result = run(
        "quality.real_rain",
        "marks",
        str(photographs),
        "--model",
        model,
        "--json",
        "--sheet",
        str(sheet),
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert [crop["ratio"] for crop in report["crops"]] == pytest.approx([1.0] * 20)
    assert report["set"]["ratio_mean"] == pytest.approx({"value": 1, "low": 1, "high": 1})
    assert (report["set"]["halved"], report["set"]["dry_change_mean"]["value"]) == (0, 0)
    with Image.open(sheet) as drawn:
        assert drawn.format == "JPEG"


@pytest.mark.parametrize("wrong", ["missing", "another"])
def test_other_photographs_are_an_error_of_one_line(wrong: str, tmp_path: Path) -> None:
    if wrong == "another":
        Image.new("RGB", (40, 30)).save(tmp_path / "18.jpg")
    model = str(write_identity_model(tmp_path / "identity.onnx"))
    result = run(
        "quality.real_rain",
        "marks",
        str(tmp_path),
        "--model",
        model,
        "--sheet",
        str(tmp_path / "sheet.jpg"),
    )
    assert result.returncode == 1
    assert result.stderr.startswith("Error: ")
    assert "18.jpg" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "sheet.jpg").exists()
