"""Laws of what looks like rain and is none."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers

from crdnet.errors import ImageError
from crdnet.rain import LOOKALIKES
from tests.rain.test_layers import rng

NAMES = sorted(LOOKALIKES)


def noise(height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(height * 10_000 + width).integers(
        0,
        256,
        (height, width, 3),
        dtype=np.uint8,
    )


def test_there_are_those_that_fool_derainers() -> None:
    drawn_on_images = ["blades", "dots", "fence", "hair", "point_lights", "stars", "text", "wall"]
    drawn_whole = [
        "bar_chart",
        "bright_sky",
        "corrugated",
        "facade",
        "line_chart",
        "line_drawing",
        "spreadsheet",
    ]
    assert sorted(NAMES) == sorted(drawn_on_images + drawn_whole)


@pytest.mark.parametrize("name", NAMES)
@given(seed=integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_the_same_seed_is_the_same_image_and_the_input_is_left_alone(name: str, seed: int) -> None:
    image = noise(40, 56)
    before = image.copy()
    one, other = (LOOKALIKES[name](image, rng(seed)) for _ in range(2))
    assert np.array_equal(one, other)
    assert np.array_equal(image, before)
    assert one.shape == image.shape
    assert one.dtype == np.uint8


@pytest.mark.parametrize("name", NAMES)
@given(seed=integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_something_is_drawn_and_another_seed_draws_something_else(name: str, seed: int) -> None:
    image = noise(64, 64)
    one, other = (LOOKALIKES[name](image, rng(each)) for each in (seed, seed + 1))
    assert not np.array_equal(one, image)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("name", ["fence", "hair", "text"])
def test_between_what_is_drawn_the_image_is_seen_as_it_was(name: str) -> None:
    kept = [
        (LOOKALIKES[name](noise(96, 96), rng(seed)) == noise(96, 96)).mean() for seed in range(20)
    ]
    assert max(kept) > 0.5
    assert min(kept) < 0.95


def test_lamps_shine_at_night() -> None:
    grey = np.full((96, 96, 3), 120, np.uint8)
    for seed in range(20):
        night = LOOKALIKES["point_lights"](grey, rng(seed))
        assert night.min() < 60
        assert night.max() > 120


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (7, 500), (500, 7)])
def test_images_of_any_shape_keep_it(name: str, size: tuple[int, int]) -> None:
    for seed in range(5):
        assert LOOKALIKES[name](noise(*size), rng(seed)).shape == (*size, 3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)],
    ids=lambda wrong: str(wrong.shape),
)
def test_what_is_no_rgb_image_is_refused(name: str, wrong: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match="RGB images"):
        LOOKALIKES[name](wrong, rng())
