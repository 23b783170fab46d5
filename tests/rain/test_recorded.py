"""Rain cut from a clip of a static camera and added to other scenes."""

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from crdnet.errors import DataError
from crdnet.rain import RecordedRain

Frame = npt.NDArray[np.uint8]
SIDE, FRAMES, BRIGHTER, STREAKS = 96, 24, 40, 4


@pytest.fixture(scope="module")
def scene() -> Frame:
    noise = np.random.default_rng(0).integers(30, 80, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def make_clip(scene: Frame, *, rain: bool, moving: bool = False) -> list[Frame]:
    """Return frames of a scene with streaks at random places, and a dark ball that swings."""
    rng = np.random.default_rng(1)
    frames = []
    for number in range(FRAMES):
        frame = scene.copy()
        for _ in range(STREAKS if rain else 0):
            top, left = rng.integers(0, SIDE - 20), rng.integers(0, SIDE - 2)
            place = np.s_[top : top + 20, left : left + 2]
            frame[place] = scene[place] + BRIGHTER
        if moving:
            frame[40:50, abs(number % 12 - 6) * 2 :][:, :12] = 0
        frames.append(frame)
    return frames


def test_the_streaks_of_a_clip_are_found_without_its_scene(scene: Frame) -> None:
    rain = RecordedRain.cut([make_clip(scene, rain=True)])
    window = rain.clips[0][0]
    levels = window.residual.astype(int) - 128
    assert levels.max() == pytest.approx(BRIGHTER, abs=2)
    # Streaks of 2 x 20 pixels, of which some may overlap; all else is the median.
    assert 0.8 < (levels[:, :, 0] > BRIGHTER // 2).sum() / (STREAKS * 40) <= 1.0
    assert np.abs(levels[levels < BRIGHTER // 2]).max() <= 2
    assert window.behind == pytest.approx(scene.mean(), abs=1)


def test_what_moves_is_no_rain(scene: Frame) -> None:
    rain = RecordedRain.cut([make_clip(scene, rain=True, moving=True)])
    for window in rain.clips[0]:
        levels = window.residual[42:48, :20].astype(int) - 128
        assert np.abs(levels).max() <= 2


@pytest.mark.parametrize("count", [5, FRAMES])
def test_a_clip_without_rain_is_refused_by_its_number(scene: Frame, count: int) -> None:
    rainy, dry = make_clip(scene, rain=True), make_clip(scene, rain=False)[:count]
    with pytest.raises(DataError, match=r"clip 2 shows no rain before a still background"):
        RecordedRain.cut([rainy, dry])


def test_added_rain_follows_from_the_seed_and_fades_before_bright_scenes(scene: Frame) -> None:
    rain = RecordedRain.cut([make_clip(scene, rain=True)])
    changes = {}
    for level in (30, 140, 255):
        clean = np.full((64, 48, 3), level, np.uint8)
        crops = [rain.add(clean, np.random.default_rng(seed)) for seed in range(20)]
        again = rain.add(clean, np.random.default_rng(7))
        assert np.array_equal(crops[7], again)
        changes[level] = float(np.mean([np.abs(crop.astype(int) - clean).mean() for crop in crops]))
    assert changes[30] > 1.5 * changes[140] > 0
    assert changes[255] == 0
    dark = np.full((64, 48, 3), 30, np.uint8)
    first, second = (rain.add(dark, np.random.default_rng(seed)) for seed in (7, 8))
    assert not np.array_equal(first, second)


def test_rain_is_brighter_than_the_scene(scene: Frame) -> None:
    rain = RecordedRain.cut([make_clip(scene, rain=True)])
    clean = np.full((64, 64, 3), 60, np.uint8)
    changes = [
        rain.add(clean, np.random.default_rng(seed)).astype(int) - clean for seed in range(20)
    ]
    brightest, darkest = (np.array([pick(each) for each in changes]) for pick in (np.max, np.min))
    assert np.median(brightest) > 12
    # Resizing overshoots beside a streak.
    assert (darkest > -0.3 * brightest - 2).all()
