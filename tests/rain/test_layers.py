from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis.strategies import floats, integers
from PIL import Image
from skimage.draw import line_aa

from crdnet.errors import DataError, RecipeError
from crdnet.rain import (
    LineStreaks,
    NoiseStreaks,
    PhotorealStreaks,
    RainSpec,
    StreakLibrary,
    add_light,
    amplify,
    render,
)

Layer = npt.NDArray[np.uint8]
ONE_ALIKE = {"angle_spread_degrees": 0.0, "variation": 0.0, "sharpness": 1.0, "brightness": 1.0}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def library() -> StreakLibrary:
    """Three images of vertical strokes, drawn by numbers."""
    images = []
    for seed in range(3):
        image = np.zeros((60, 80), np.uint8)
        places = rng(seed).integers(0, (45, 80), (30, 2))
        for top, left in places:
            image[top : top + 15, left] = 200
        images.append(image)
    return StreakLibrary(("a", "b", "c"), tuple(images))


def single_line(
    angle: float,
    length: float = 60.0,
    width: float = 2.0,
    scale: float = 1.0,
) -> Layer:
    """Return a layer that holds one whole streak, found among seeds."""
    side = int(400 * scale)
    per_megapixel = 1e6 / (400 + length) ** 2
    spec = RainSpec((LineStreaks(per_megapixel, length, width, angle, **ONE_ALIKE),), scale=scale)
    for seed in range(60):
        layer = render(spec, side, side, rng(seed))
        if (
            layer.any()
            and not np.concatenate(
                [layer[0], layer[-1], layer[:, 0], layer[:, -1]],
            ).any()
        ):
            return layer
    raise AssertionError("no seed puts the streak inside")


def extent(layer: Layer) -> tuple[int, int]:
    rows, columns = np.nonzero(layer)
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def test_a_streak_is_as_long_and_as_wide_as_it_says() -> None:
    layer = single_line(0.0, length=60.0, width=2.0)
    rows, columns = extent(layer)
    # Antialiasing spends up to a pixel at either end.
    assert rows == pytest.approx(60, abs=2)
    assert columns == pytest.approx(2, abs=2)
    assert layer.sum() / 255 == pytest.approx(60 * 2, rel=0.05)


@pytest.mark.parametrize("angle", [-80.0, -30.0, 30.0, 44.9, 45.1, 90.0])
def test_a_streak_falls_in_its_direction(angle: float) -> None:
    layer = single_line(angle)
    rows, columns = np.nonzero(layer > 40)
    values, vectors = np.linalg.eigh(np.cov(rows, columns))
    down, right = vectors[:, 1] if vectors[0, 1] >= 0 else -vectors[:, 1]
    difference = np.degrees(np.arctan2(right, down)) - angle
    assert abs((difference + 90) % 180 - 90) < 2
    assert values[1] > 50 * values[0]


@pytest.mark.parametrize("angle", [0.0, 20.0, 60.0])
def test_scale_doubles_lengths_and_widths(angle: float) -> None:
    small, large = single_line(angle), single_line(angle, scale=2.0)
    # To two pixels at each end, which is where antialiasing does not scale.
    assert max(extent(large)) == pytest.approx(2 * max(extent(small)), abs=4)
    assert int(large.sum()) == pytest.approx(4 * int(small.sum()), rel=0.05)


def test_scale_keeps_the_share_of_the_image_that_is_covered() -> None:
    streaks = LineStreaks(3000.0, 30.0, 1.5, 10.0)
    one = render(RainSpec((streaks,)), 300, 300, rng())
    four = render(RainSpec((streaks,), scale=4.0), 1200, 1200, rng())
    # Some 300 streaks: their number varies by 6 %.
    assert four.mean() == pytest.approx(one.mean(), rel=0.15)


def test_a_thin_streak_agrees_with_scikit_image() -> None:
    layer = single_line(30.0, length=80.0, width=1.0)
    rows, columns = np.nonzero(layer > 100)
    ends = int(np.argmin(rows)), int(np.argmax(rows))
    theirs = np.zeros(layer.shape)
    row, column, light = line_aa(rows[ends[0]], columns[ends[0]], rows[ends[1]], columns[ends[1]])
    theirs[row, column] = 255 * light
    # Both spread a line of one pixel over two; where between two pixels it runs they may round
    # otherwise.
    both = np.corrcoef(theirs.ravel(), layer.ravel())[0, 1]
    assert both > 0.85


def test_sharp_streaks_have_harder_edges_than_soft_ones() -> None:
    def steepest(sharpness: float) -> int:
        streaks = LineStreaks(300.0, 60.0, 8.0, sharpness=sharpness, brightness=1.0, variation=0.0)
        layer = render(RainSpec((streaks,)), 200, 200, rng(3)).astype(int)
        return int(np.abs(np.diff(layer, axis=1)).max())

    assert steepest(1.0) > 2 * steepest(0.0)


@pytest.mark.parametrize("brightness", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("kind", [LineStreaks, NoiseStreaks])
def test_brightness_bounds_the_light(
    kind: type[LineStreaks] | type[NoiseStreaks],
    brightness: float,
) -> None:
    streaks = (
        NoiseStreaks(0.5, 30.0, brightness=brightness)
        if kind is NoiseStreaks
        else LineStreaks(20.0, 30.0, 3.0, brightness=brightness, variation=0.0)
    )
    layer = render(RainSpec((streaks,)), 400, 400, rng(1))
    # Bicubic resizing overshoots; the two streaks that may cross are too few to.
    assert 0.7 * 255 * brightness <= layer.max() <= 255 * brightness * 1.15


@given(level=floats(0.0, 0.9))
@settings(max_examples=15, deadline=None)
def test_more_noise_is_more_light(level: float) -> None:
    low, high = (
        render(
            RainSpec((NoiseStreaks(each, 20.0),)),
            80,
            100,
            rng(2),
        )
        for each in (level, level + 0.1)
    )
    assert high.sum(dtype=int) >= low.sum(dtype=int)


@pytest.mark.parametrize("angle", [-40.0, 0.0, 25.0])
def test_noise_is_blurred_in_its_direction(angle: float) -> None:
    layer = render(
        RainSpec((NoiseStreaks(0.6, 40.0, angle_degrees=angle),)),
        300,
        300,
        rng(),
    ).astype(float)
    layer -= layer.mean()
    shifted = {
        column: float((layer[10:, 20 + column : 280 + column] * layer[:-10, 20:280]).mean())
        for column in range(-12, 13)
    }
    along = max(shifted, key=lambda column: shifted[column])
    assert along == pytest.approx(10 * np.tan(np.radians(angle)), abs=1)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (37, 1), (33, 57)])
def test_layers_have_any_size(size: tuple[int, int]) -> None:
    spec = RainSpec(
        (
            LineStreaks(2000.0, 20.0, 2.0, 40.0),
            NoiseStreaks(0.5, 9.0, 3.0, 30.0),
            PhotorealStreaks(),
        ),
        blur_pixels=1.0,
        scale=2.5,
    )
    layer = render(spec, *size, rng(), library())
    assert layer.shape == size
    assert layer.dtype == np.uint8


def test_photoreal_streaks_repeat_beyond_their_image_and_keep_their_light() -> None:
    sources = library()
    layer = render(
        RainSpec((PhotorealStreaks(chains=1, rotation_degrees=0.0, shear=0.0, zoom=1.0),)),
        240,
        320,
        rng(4),
        sources,
    )
    assert np.array_equal(layer[:60, :80], layer[60:120, 80:160])
    share = layer.max() / 200
    assert 0.37 <= share <= 1.0
    assert layer.mean() / share == pytest.approx(
        np.mean([each.mean() for each in sources.images]),
        rel=0.5,
    )


def test_a_library_reads_a_folder_in_the_order_of_names(tmp_path: Path) -> None:
    for name, level in (("2.png", 20), ("1.png", 10)):
        Image.fromarray(np.full((4, 4), level, np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    read = StreakLibrary.read(tmp_path)
    assert read.names == ("1.png", "2.png")
    assert [int(image[0, 0]) for image in read.images] == [10, 20]


def test_libraries_of_other_images_have_another_digest() -> None:
    sources = library()
    assert sources.digest == library().digest
    assert sources.digest != StreakLibrary(sources.names, sources.images[::-1]).digest


def test_a_library_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        StreakLibrary.read(tmp_path / "none")
    with pytest.raises(DataError, match="holds no images"):
        StreakLibrary.read(tmp_path)
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"a\.png"):
        StreakLibrary.read(tmp_path)


def test_photoreal_streaks_need_a_library() -> None:
    with pytest.raises(RecipeError, match="library"):
        render(RainSpec((PhotorealStreaks(),)), 8, 8, rng())


@given(first=integers(0, 255), second=integers(0, 255))
def test_light_adds_up_and_is_clipped(first: int, second: int) -> None:
    total = add_light(np.full((1, 1), first, np.uint8), np.full((1, 1), second, np.uint8))
    assert total[0, 0] == min(first + second, 255)


@given(level=integers(0, 255), gain=floats(0.0, 4.0))
def test_gain_multiplies_and_is_clipped(level: int, gain: float) -> None:
    amplified = amplify(np.full((1, 1), level, np.uint8), gain)
    # A gain is rounded to 1/256, the result to a level.
    assert amplified[0, 0] == pytest.approx(min(level * gain, 255), abs=1.01)


def test_rain_of_a_seed_is_the_rain_that_it_was_when_this_was_written() -> None:
    """Golden sums of 64 x 96 layers, the same on every machine; a change here changes all data."""
    lines = LineStreaks(4000.0, 30.0, 1.6, 15.0, 5.0)
    flat = LineStreaks(500.0, 50.0, 5.0, -70.0, 20.0, 0.1)
    golden = {
        "lines": (RainSpec((lines, flat)), "6d683c924264002d"),
        "noise": (RainSpec((NoiseStreaks(0.7, 25.0, 1.3, -20.0),), scale=1.5), "ca19a3ce9f557387"),
        "photoreal": (RainSpec((PhotorealStreaks(),), scale=1.2), "46cf10f3b9cac9fe"),
        "blurred": (RainSpec((lines,), blur_pixels=1.0), "72f984885d469393"),
    }
    sums = {
        name: sha256(render(spec, 64, 96, rng(11), library()).tobytes()).hexdigest()[:16]
        for name, (spec, _) in golden.items()
    }
    assert sums == {name: expected for name, (_, expected) in golden.items()}
