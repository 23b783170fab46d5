"""Sensing rain, and taking it out at the size at which it is."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats
from PIL import Image as PILImage

import crdnet
from crdnet import Derainer
from crdnet.density import (
    LIGHT_TINT,
    LUMA_WEIGHTS,
    RainDensity,
    average_strongest,
    compute_density_score,
    compute_grade_probabilities,
    measure_misfit,
)
from crdnet.errors import ImageError, ModelError
from crdnet.runtime import ModelInfo, SenseReport
from crdnet.runtime.network import RowsRead
from crdnet.runtime.scales import (
    EMPTY,
    SAMPLE_SIDE,
    choose_reduction,
    list_reductions,
    list_samples,
    measure_detail,
    reduce_image,
)
from crdnet.runtime.sensing import LEAST_MISFIT, VISIBLE_STRONGEST, VISIBLE_TYPICAL
from tests.runtime.tiny import write_streak_model, write_tiny_model

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="session")
def streak_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_streak_model(tmp_path_factory.mktemp("models") / "streak.onnx")


def rain_of(height: int, width: int, thickness: int, rng: np.random.Generator) -> np.ndarray:
    """Return light in [0, 1] (h, w): vertical lines, blurred as in a large image."""
    lines = np.zeros((height // thickness, width // thickness), np.uint8)
    lines[:, rng.permutation(np.arange(2, lines.shape[1] - 2, 3))[: lines.shape[1] // 8]] = 120
    return (
        np.asarray(PILImage.fromarray(lines).resize((width, height), PILImage.Resampling.BICUBIC))
        / 255
    )


def rainy_scene(height: int, width: int, thickness: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a rainy image and its scene, (h, w, 3) float32."""
    rng = np.random.default_rng(5)
    clean = np.full((height, width, 3), 0.3, np.float32)
    clean[height // 2 :] = 0.4
    return (clean + rain_of(height, width, thickness, rng)[..., None]).astype(np.float32), clean


def test_a_report_follows_from_its_intensity() -> None:
    report = SenseReport(12.0, 0.5)
    assert report.density is RainDensity.MEDIUM
    assert report.probabilities == compute_grade_probabilities(12.0, 12.0 / VISIBLE_TYPICAL)
    assert report.score == compute_density_score(12.0)
    assert not report.dry
    assert SenseReport(0.1, 1.0).dry


def test_the_typical_cell_decides_whether_rain_is_visible() -> None:
    """A lookalike covers only a part of an image; it raises the mean but not the median."""
    textured = SenseReport(1.5, 1.0, typical=0.2 * VISIBLE_TYPICAL, strongest=12.0)
    assert textured.density is RainDensity.NONE
    assert SenseReport(0.9, 1.0, typical=1.1 * VISIBLE_TYPICAL).density is RainDensity.LIGHT
    almost = SenseReport(0.9, 1.0, typical=0.9 * VISIBLE_TYPICAL)
    assert almost.density is RainDensity.NONE
    assert not almost.dry  # next to the threshold it is not sure


@given(
    intensity=floats(0, 200),
    typical=floats(0, 200),
    strongest=floats(0, 200),
)
def test_the_probabilities_of_a_report_are_probabilities(
    intensity: float, typical: float, strongest: float
) -> None:
    probabilities = SenseReport(intensity, 1.0, typical, strongest).probabilities
    assert probabilities is not None
    assert min(probabilities.values()) >= 0
    assert sum(probabilities.values()) == pytest.approx(1)


def test_what_is_removed_counts_less_the_less_it_is_like_rain() -> None:
    """Rain veils the scene with white; what is mistaken for it has colours of its own."""
    like_rain = SenseReport(0.9, 1.0, typical=0.6, misfit=LEAST_MISFIT)
    assert like_rain.density is RainDensity.LIGHT
    unlike = SenseReport(0.9, 1.0, typical=0.6, misfit=3 * LEAST_MISFIT)
    assert unlike.density is RainDensity.NONE
    assert unlike.dry
    assert SenseReport(0.9, 1.0, typical=0.6).density is RainDensity.LIGHT  # unknown


@given(
    clean=arrays(np.float64, (6, 3), elements=floats(0, 0.85)),
    opacity=arrays(np.float64, (6, 1), elements=floats(0.01, 0.9)),
    tint=arrays(np.float64, 2, elements=floats(-0.5 * LIGHT_TINT, 0.5 * LIGHT_TINT)),
)
def test_rain_of_any_opacity_fits_on_any_colour(
    clean: np.ndarray, opacity: np.ndarray, tint: np.ndarray
) -> None:
    red, green, _ = LUMA_WEIGHTS
    blue = -(red * tint[0] + green * tint[1]) / LUMA_WEIGHTS[2]
    light = 1 + np.clip([*tint, blue], -LIGHT_TINT, LIGHT_TINT)
    rainy = clean + opacity * (light - clean)
    chance = 0.03 / 255 / np.abs((rainy - clean) @ LUMA_WEIGHTS).mean()
    if abs(blue) <= LIGHT_TINT:
        assert measure_misfit(rainy - clean, clean) == pytest.approx(chance, rel=1e-6)
    else:
        assert measure_misfit(rainy - clean, clean) < chance + LIGHT_TINT


def test_a_change_of_saturation_does_not_fit_rain() -> None:
    clean = np.array([[0.6, 0.3, 0.2]])
    brighter = 1.2 * clean  # as a texture lit more strongly
    change = brighter - clean
    assert measure_misfit(change, clean) > 2 * LEAST_MISFIT
    assert measure_misfit(np.zeros((4, 3)), np.ones((4, 3))) == np.inf


def test_the_misfit_of_a_report_is_that_of_what_is_removed() -> None:
    derainer = Derainer(threads=1)
    with PILImage.open(EXAMPLES / "medium.jpg") as image:
        rainy = np.asarray(image.convert("RGB"), np.float32) / np.float32(255)
    report = derainer.sense(rainy)
    derained = derainer.estimate(rainy, scale=report.scale)
    assert report.misfit is not None
    # A report looks at an eighth of the pixels.
    assert report.misfit == pytest.approx(measure_misfit(rainy - derained, derained), rel=0.1)
    assert report.misfit < 1.5 * LEAST_MISFIT


@pytest.mark.parametrize("first", range(4))
def test_the_misfit_sees_streaks_in_any_column(streak_model: Path, first: int) -> None:
    rainy = np.full((64, 64, 3), 0.3, np.float32)
    rainy[:, 4 + first :: 8] += 0.4
    misfit = Derainer(streak_model, threads=1).sense(rainy).misfit
    assert misfit is not None
    assert misfit < LEAST_MISFIT


def test_few_clear_streaks_are_visible_though_the_typical_cell_has_none() -> None:
    assert SenseReport(3.0, 1.0, typical=0.0, strongest=12.0).density is RainDensity.LIGHT


def test_rain_that_fills_a_small_part_of_an_image_is_seen() -> None:
    """The mean of few streaks is small; the strongest cells decide whether a person sees rain."""
    assert SenseReport(0.3, 1.0, typical=0.1, strongest=3.0).dry
    assert not SenseReport(0.3, 1.0, typical=0.1, strongest=VISIBLE_STRONGEST / 3).dry
    sparse = SenseReport(0.3, 1.0, typical=0.1, strongest=2 * VISIBLE_STRONGEST)
    assert sparse.density is RainDensity.LIGHT
    assert not sparse.dry
    assert sparse.probabilities is not None
    assert sum(sparse.probabilities.values()) == pytest.approx(1)
    assert sparse.probabilities[RainDensity.LIGHT] > 0.5
    assert sparse.intensity == 0.3
    # What is strong everywhere keeps the grade of its mean.
    assert SenseReport(12.0, 1.0, strongest=40.0).density is RainDensity.MEDIUM


@given(
    cells=arrays(np.float32, (7, 9), elements=floats(0, 64, width=32)),
    more=floats(0, 10),
)
def test_stronger_cells_never_look_drier(cells: np.ndarray, more: float) -> None:
    weaker, stronger = average_strongest(cells), average_strongest(cells + np.float32(more))
    assert stronger >= weaker
    assert weaker >= cells.mean() - 1e-4  # float32 sums of 63 numbers
    assert weaker <= cells.max() + 1e-4


def test_a_model_that_does_not_sense_says_unknown_and_not_dry(derainer: Derainer) -> None:
    report = derainer.sense(np.zeros((40, 30, 3), np.uint8))
    assert report.density is None
    assert report.probabilities is None
    assert report.score is None
    assert report.scale is None
    assert not report.dry


@pytest.mark.parametrize(("thickness", "scale"), [(1, 1.0), (2, 0.5), (4, 0.25)])
def test_rain_is_found_at_the_size_at_which_the_model_knows_it(
    streak_model: Path, thickness: int, scale: float
) -> None:
    rainy, clean = rainy_scene(640, 600, thickness)
    derainer = Derainer(streak_model, threads=1)
    report = derainer.sense(rainy)
    assert report.scale == scale
    result = derainer.run(rainy)
    assert (result.density, result.scale) == (report.density, scale)
    before, after = (float(np.abs(each - clean).mean()) for each in (rainy, result.image))
    assert after < 0.5 * before
    if thickness > 1:
        at_full_size = float(np.abs(derainer.estimate(rainy, scale=1.0) - clean).mean())
        assert at_full_size > 1.4 * after


@pytest.mark.parametrize("tile", [64, 200])
@pytest.mark.parametrize("size", [(300, 281), (389, 300)])
def test_tiles_agree_with_the_whole_at_a_reduced_size(
    streak_model: Path, tile: int, size: tuple[int, int]
) -> None:
    rng = np.random.default_rng(1)
    rainy = rng.random((*size, 3), dtype=np.float32)
    whole, tiled = (
        Derainer(streak_model, tile=0, threads=1),
        Derainer(streak_model, tile=tile, threads=1),
    )
    for scale in (1.0, 0.5):
        difference = np.abs(whole.estimate(rainy, scale=scale) - tiled.estimate(rainy, scale=scale))
        assert difference.max() <= 1e-5


@pytest.mark.parametrize("thickness", [1, 4])
@pytest.mark.parametrize("grey", [False, True])
def test_bands_agree_with_the_array(streak_model: Path, thickness: int, grey: bool) -> None:
    rainy, _ = rainy_scene(1111, 1040, thickness)
    pixels = np.rint(rainy * 255).astype(np.uint8)
    pixels = pixels[..., 0] if grey else pixels
    derainer = Derainer(streak_model, threads=1, tile=160)
    expected = derainer.run(pixels, strength=0.9)
    given: list[int] = []

    def bands() -> Iterator[np.ndarray]:
        given.append(0)
        for start in range(0, 1111, 100):
            given[-1] += 1
            yield pixels[start : start + 100]

    report, derained = derainer.run_bands(bands, 1111, 1040, strength=0.9)
    assert report == expected.sensed
    assert report.scale == 1 / thickness
    rows = next(derained)
    assert len(rows) < 700
    assert given[1] < 12  # the first rows are there before the last are read
    np.testing.assert_array_equal(np.concatenate([rows, *derained]), expected.image)
    assert len(given) == 2


def test_rows_that_were_passed_are_forgotten() -> None:
    rows = RowsRead(np.full((10, 4), start, np.uint8) for start in range(20))
    for start in range(0, 150, 15):
        given = rows.read_between(start, start + 30)
        np.testing.assert_array_equal(given[:, 0], np.arange(start, start + 30) // 10)
        assert rows.count <= 40


def test_what_is_not_rain_is_kept_at_a_reduced_size(streak_model: Path) -> None:
    rng = np.random.default_rng(2)
    fine = rng.integers(0, 256, (256, 256, 1), dtype=np.uint8).repeat(3, 2)
    estimate = Derainer(streak_model, threads=1).estimate(
        (fine / 255).astype(np.float32), scale=0.5
    )
    # Noise of single pixels would be gone had the image itself been reduced and enlarged.
    assert np.corrcoef(estimate.ravel(), fine.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_alpha_and_depth_come_out_as_they_came_in(streak_model: Path, dtype: type) -> None:
    rainy, _ = rainy_scene(96, 64, 1)
    top = 1 if dtype is np.float32 else np.iinfo(dtype).max
    rgba = np.concatenate([rainy, np.random.default_rng(0).random((96, 64, 1), np.float32)], axis=2)
    image: np.ndarray = (rgba * top).astype(dtype)
    derained = Derainer(streak_model, threads=1)(image)
    assert derained.dtype == dtype
    np.testing.assert_array_equal(derained[..., 3], image[..., 3])
    assert np.abs(derained[..., :3].astype(float) - image[..., :3]).max() > 0.1 * top
    np.testing.assert_array_equal(
        derained[..., :3], Derainer(streak_model, threads=1)(image[..., :3].copy())
    )


def test_16_bits_stay_16_bits_through_the_network(streak_model: Path) -> None:
    ramp = (
        np.linspace(2000, 60000, 96 * 64).reshape(96, 64, 1).round().astype(np.uint16).repeat(3, 2)
    )
    derained = Derainer(streak_model, threads=1)(ramp)
    assert len(np.unique(derained)) > 4000  # 8 bits on the way would leave at most 256
    assert np.abs(derained.astype(int) - ramp).max() <= 20


def test_a_surely_dry_file_comes_back_byte_for_byte_and_an_array_does_not(
    streak_model: Path,
) -> None:
    _, clean = rainy_scene(64, 64, 1)
    clean[40, 30] += 0.02  # what the model takes for a trace of rain
    pixels = np.rint(clean * 255).astype(np.uint8)
    file = BytesIO()
    PILImage.fromarray(pixels).save(file, "PNG", compress_level=1)
    derainer = Derainer(streak_model, threads=1)
    result = derainer.run(file.getvalue())
    assert result.left_alone
    assert result.image == file.getvalue()
    assert result.density is RainDensity.NONE
    assert derainer.run(file.getvalue(), always=True).image != file.getvalue()
    of_array = derainer.run(pixels)
    assert not of_array.left_alone
    assert (of_array.image != pixels).any()
    assert derainer.run(pixels, always=False).image is pixels


def test_sense_refuses_a_path_by_name(streak_model: Path) -> None:
    with pytest.raises(TypeError, match="bytes of the file"):
        crdnet.sense("street.jpg", model=streak_model)
    with pytest.raises(ImageError, match="float64"):
        crdnet.sense(np.zeros((4, 4, 3)), model=streak_model)


def test_sense_takes_what_derain_takes(streak_model: Path) -> None:
    rainy, _ = rainy_scene(64, 64, 1)
    pixels = np.rint(rainy * 255).astype(np.uint8)
    of_array = crdnet.sense(pixels, model=streak_model)
    assert of_array == crdnet.sense(PILImage.fromarray(pixels), model=streak_model)
    assert of_array.density is RainDensity.MEDIUM


def test_a_density_of_the_wrong_size_is_an_error_of_the_model(tmp_path: Path) -> None:
    path = write_streak_model(tmp_path / "wrong.onnx")
    model = onnx.load(path)
    info = ModelInfo("wrong", 4, 8, "1", "nothing")
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, info.to_metadata())
    onnx.save(model, path)
    with pytest.raises(ModelError, match="one number per cell of 4 pixels"):
        Derainer(path, threads=1).sense(np.zeros((16, 16, 3), np.uint8))


def test_a_small_image_is_looked_at_as_it_is_and_a_photograph_down_to_an_eighth() -> None:
    assert list_reductions(1, 1) == (1,)
    assert list_reductions(255, 4000) == (1,)
    assert list_reductions(256, 4000) == (1, 2)
    assert list_reductions(3000, 4000) == (1, 2, 4, 8)


def test_a_look_takes_at_most_a_quarter_of_a_megapixel_of_a_large_image_and_spreads_it() -> None:
    parts = list(list_samples(3000, 4000))
    assert sum(high * wide for _, _, high, wide in parts) <= 2**18
    assert all(
        0 <= top <= 3000 - high and 0 <= left <= 4000 - wide for top, left, high, wide in parts
    )
    assert len({top // 1000 for top, *_ in parts}) == 3
    assert list(list_samples(400, 300)) == [(0, 0, 400, 300)]
    assert {(high, wide) for _, _, high, wide in list_samples(7, 500_000)} == {(7, SAMPLE_SIDE)}


def chosen_of(intensities: list[float], details: list[float] | None = None) -> int:
    looks = [2**each for each in range(len(intensities))]
    return choose_reduction(
        dict(zip(looks, intensities, strict=True)),
        dict(zip(looks, details or [5.0] * len(looks), strict=True)),
    )


def test_the_finest_look_that_senses_nearly_all_is_chosen() -> None:
    assert chosen_of([0.0, 0.0]) == 1
    assert chosen_of([9.0, 10.0, 8.0]) == 1
    assert chosen_of([2.0, 10.0, 12.0]) == 2
    assert chosen_of([2.0, 4.0, 12.0]) == 4
    assert chosen_of([20.0, 30.0, 31.0]) == 2
    assert chosen_of([3.0, 4.5]) == 1  # what a coarse scale adds may be a lookalike
    assert chosen_of([0.1, 0.3, 0.9]) == 1  # next to nothing anywhere


def test_a_size_without_detail_is_not_chosen_whatever_is_sensed_there() -> None:
    assert chosen_of([30.0, 10.0, 9.0], [1.0, 5.0, 5.0]) == 2
    assert chosen_of([30.0, 30.0, 9.0], [1.0, 1.0, 5.0]) == 4
    assert chosen_of([30.0, 30.0, 9.0], [4.0, 1.0, 5.0]) == 4  # grain at full size does not count
    assert chosen_of([5.0, 4.0], [0.0, 0.0]) == 1  # a single colour


def test_an_enlarged_image_has_less_detail_than_its_half_and_a_sharp_one_has_not() -> None:
    with PILImage.open(EXAMPLES / "clean" / "light.jpg") as opened:
        part = opened.crop((0, 0, 256, 256))
        large = part.resize((512, 512), PILImage.Resampling.BICUBIC)
    sharp, enlarged = (np.asarray(each, np.float32) / np.float32(255) for each in (part, large))
    assert measure_detail(sharp) > EMPTY * measure_detail(reduce_image(sharp, 2))
    assert measure_detail(enlarged) < EMPTY * measure_detail(reduce_image(enlarged, 2))
    assert measure_detail(np.zeros((1, 1, 3), np.float32)) == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_reduction_keeps_the_mean_and_the_range(dtype: type) -> None:
    top = 1 if dtype is np.float32 else np.iinfo(dtype).max
    pixels: np.ndarray = (np.random.default_rng(0).integers(0, 2, (64, 32, 3)) * top).astype(dtype)
    small = reduce_image(pixels, 4)
    assert small.shape == (16, 8, 3)
    assert small.dtype == np.float32
    assert 0 <= small.min() <= small.max() <= 1
    assert small.mean() == pytest.approx(pixels.mean() / top, abs=0.01)


def test_a_float_and_a_byte_image_are_derained_alike(streak_model: Path) -> None:
    rainy, _ = rainy_scene(256, 256, 2)
    pixels = np.rint(rainy * 255).astype(np.uint8)
    derainer = Derainer(streak_model, threads=1)
    of_bytes, of_floats = derainer(pixels), derainer((pixels / 255).astype(np.float32))
    assert np.abs(of_bytes - of_floats * 255).max() <= 2


def test_an_unknown_scale_is_refused(tmp_path: Path) -> None:
    derainer = Derainer(write_tiny_model(tmp_path / "tiny.onnx"), threads=1)
    with pytest.raises(ValueError, match="0\\.125, got 0\\.3"):
        derainer.estimate(np.zeros((8, 8, 3), np.float32), scale=0.3)
