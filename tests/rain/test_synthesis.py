import pickle
from dataclasses import replace
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis.strategies import booleans, floats, integers, sampled_from
from PIL import Image

from crdnet.density import RainDensity, compute_intensity
from crdnet.errors import ImageError, RecipeError
from crdnet.rain import (
    Haze,
    LayerBank,
    LineStreaks,
    NoiseStreaks,
    RainSpec,
    compose,
    compress,
    decompress,
    make_rainy_pair,
    measure_intensity,
    sample_spec,
    sample_target,
)
from tests.rain.test_layers import library, rng

RgbImage = npt.NDArray[np.uint8]
FALLING = (RainDensity.LIGHT, RainDensity.MEDIUM, RainDensity.HEAVY)


def scene(seed: int, height: int = 120, width: int = 160) -> RgbImage:
    """Return a smooth image, integers all the way."""
    coarse = np.random.default_rng(seed).integers(10, 200, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def bank() -> LayerBank:
    return LayerBank.draw(rng(1), per_density=6, side=192, scales=(1.0, 2.0), library=library())


@given(clean=integers(0, 255), light=integers(0, 255))
def test_the_ends_of_blending_are_adding_and_screening(clean: int, light: int) -> None:
    image, layer = np.full((1, 1, 3), clean, np.uint8), np.full((1, 1), light, np.uint8)
    added = compose(image, layer, RainSpec(blend=0.0))[0, 0, 0]
    screened = compose(image, layer, RainSpec(blend=1.0))[0, 0, 0]
    assert added == min(clean + light, 255)
    # The formula of screening, rounded once.
    assert screened == pytest.approx(255 - (255 - clean) * (255 - light) / 255, abs=0.501)


@given(seed=integers(0, 1000), blend=floats(0.0, 1.0), gain=floats(0.0, 4.0))
@settings(max_examples=40, deadline=None)
def test_rain_without_haze_only_adds_light(seed: int, blend: float, gain: float) -> None:
    clean = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    streaks = (LineStreaks(20_000.0, 12.0, 1.5), NoiseStreaks(0.5, 9.0))
    pair = make_rainy_pair(clean, RainSpec(streaks, blend=blend, gain=gain), rng(seed))
    assert (pair.rainy >= pair.clean).all()
    assert pair.clean is clean


@given(density=sampled_from(FALLING), seed=integers(0, 10_000), photoreal=booleans())
@settings(max_examples=40, deadline=None)
def test_a_pair_has_the_density_that_was_asked_for(
    density: RainDensity,
    seed: int,
    photoreal: bool,
) -> None:
    pair = make_rainy_pair(
        scene(seed),
        density,
        rng(seed),
        library=library() if photoreal else None,
    )
    assert pair.density is density
    assert RainDensity.from_intensity(pair.intensity) is density
    # Ours counts in integers, the other in 32-bit floats.
    assert pair.intensity == pytest.approx(compute_intensity(pair.rainy, pair.clean), abs=1e-3)


@given(density=sampled_from(RainDensity), seed=integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_the_same_seed_is_the_same_rain(density: RainDensity, seed: int) -> None:
    one, other = (
        make_rainy_pair(scene(2), density, rng(seed), scale=1.5, library=library(), jpeg_quality=80)
        for _ in range(2)
    )
    assert one.rainy.tobytes() == other.rainy.tobytes()
    assert one.streaks.tobytes() == other.streaks.tobytes()
    assert (one.spec, one.intensity) == (other.spec, other.intensity)


def test_another_seed_is_other_rain() -> None:
    one, other = (make_rainy_pair(scene(2), RainDensity.MEDIUM, rng(seed)) for seed in (1, 2))
    assert one.rainy.tobytes() != other.rainy.tobytes()


@pytest.mark.parametrize("quality", [None, 75])
def test_no_rain_leaves_the_image_alone(quality: int | None) -> None:
    pair = make_rainy_pair(scene(1), RainDensity.NONE, rng(), jpeg_quality=quality)
    assert np.array_equal(pair.rainy, pair.clean)
    assert pair.intensity == 0
    assert pair.density is RainDensity.NONE
    assert not pair.streaks.any()
    assert isinstance(pair.spec, RainSpec)
    assert pair.spec.layers == ()
    assert np.array_equal(pair.clean, scene(1)) is (quality is None)


def test_a_white_wall_says_that_no_rain_is_seen_on_it() -> None:
    white = np.full((60, 60, 3), 255, np.uint8)
    dry = [make_rainy_pair(white, RainDensity.HEAVY, rng(seed)) for seed in range(12)]
    for pair in (
        pair
        for pair in dry
        if isinstance(
            pair.spec,
            RainSpec,
        )
        and pair.spec.haze is None
    ):
        assert pair.density is RainDensity.NONE
        assert np.array_equal(pair.rainy, white)


def test_haze_veils_the_top_more_than_the_bottom() -> None:
    black = np.zeros((100, 10, 3), np.uint8)
    rainy = (
        make_rainy_pair(black, RainSpec(haze=Haze(beta=1.0, airlight=0.8)), rng())
        .rainy[:, 0, 0]
        .astype(int)
    )
    assert (np.diff(rainy) <= 0).all()
    assert rainy[0] == pytest.approx(204 * (1 - np.exp(-1)), abs=2)
    assert rainy[-1] <= 2


@given(quality=integers(30, 95))
@settings(max_examples=8, deadline=None)
def test_jpeg_meets_both_images_with_the_same_tables(quality: int) -> None:
    pair = make_rainy_pair(scene(3), RainDensity.MEDIUM, rng(3), jpeg_quality=quality)
    assert pair.jpeg_files is not None
    rainy, clean = (Image.open(__import__("io").BytesIO(file)) for file in pair.jpeg_files)
    assert rainy.quantization == clean.quantization  # type: ignore[attr-defined]
    assert np.array_equal(np.asarray(clean), pair.clean)
    assert np.array_equal(np.asarray(rainy), pair.rainy)
    assert np.array_equal(pair.clean, decompress(compress(scene(3), quality)))


@pytest.mark.parametrize("quality", [0, 101])
def test_a_quality_out_of_range_is_refused(quality: int) -> None:
    with pytest.raises(RecipeError, match="1 to 100"):
        make_rainy_pair(scene(3), RainDensity.LIGHT, rng(), jpeg_quality=quality)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3)])
def test_what_is_no_rgb_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="RGB"):
        make_rainy_pair(np.zeros(shape, np.uint8), RainDensity.LIGHT, rng())


def test_a_spec_is_rendered_as_it_stands() -> None:
    spec = RainSpec((LineStreaks(2000.0, 20.0, 2.0),), gain=0.5)
    half, full = (
        make_rainy_pair(
            scene(1),
            each,
            rng(5),
        )
        for each in (spec, replace(spec, gain=1.0))
    )
    assert half.spec is spec
    assert half.streaks.max() == pytest.approx(full.streaks.max() / 2, abs=1)


@given(density=sampled_from(FALLING), seed=integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_presets_aim_inside_their_grade(density: RainDensity, seed: int) -> None:
    assert RainDensity.from_intensity(sample_target(density, rng(seed))) is density
    assert sample_spec(density, rng(seed), scale=2.0).scale == 2.0


def test_every_grade_has_every_kind_of_rain() -> None:
    for density in FALLING:
        specs = [sample_spec(density, rng(seed), photoreal=True) for seed in range(300)]
        kinds = {type(layer).__name__ for spec in specs for layer in spec.layers}
        assert kinds == {"LineStreaks", "NoiseStreaks", "PhotorealStreaks"}
        angles = [
            layer.angle_degrees
            for spec in specs
            for layer in spec.layers
            if isinstance(
                layer,
                LineStreaks,
            )
        ]
        assert min(angles) < -20 < 20 < max(angles)
        widths = [
            layer.width
            for spec in specs
            for layer in spec.layers
            if isinstance(
                layer,
                LineStreaks,
            )
        ]
        assert min(widths) < 0.8 < 5 < max(widths)
        assert {spec.blend for spec in specs} > {0.0, 1.0}


@given(seed=integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_intensity_agrees_with_the_definition(seed: int) -> None:
    first, second = np.random.default_rng(seed).integers(0, 256, (2, 9, 7, 3), dtype=np.uint8)
    # Ours counts in integers, the other in 32-bit floats.
    assert measure_intensity(first, second) == pytest.approx(
        compute_intensity(first, second), abs=1e-3
    )


def test_a_bank_gives_pairs_of_the_density_asked_for(bank: LayerBank) -> None:
    clean = scene(4, 96, 96)
    pairs = [
        (density, bank.make_pair(clean, density, rng(seed)))
        for density in FALLING
        for seed in range(40)
    ]
    hit = sum(pair.density is density for density, pair in pairs)
    # A crop may fall where sparse rain of a large scale has no streak.
    assert hit >= 0.95 * len(pairs)
    for _, pair in pairs:
        assert pair.rainy.shape == clean.shape
        assert pair.intensity == pytest.approx(measure_intensity(pair.rainy, pair.clean))


def test_a_bank_leaves_dry_crops_dry(bank: LayerBank) -> None:
    pair = bank.make_pair(scene(4, 64, 48), RainDensity.NONE, rng())
    assert np.array_equal(pair.rainy, pair.clean)


def test_a_bank_travels_to_workers(bank: LayerBank) -> None:
    there: LayerBank = pickle.loads(pickle.dumps(bank))
    clean = scene(4, 64, 64)
    one, other = (
        each.make_pair(
            clean,
            RainDensity.HEAVY,
            rng(3),
            jpeg_quality=90,
        )
        for each in (bank, there)
    )
    assert np.array_equal(one.rainy, other.rainy)


def test_a_crop_larger_than_the_bank_is_refused(bank: LayerBank) -> None:
    with pytest.raises(RecipeError, match="larger than the bank's layers of 192 x 192"):
        bank.make_pair(scene(4, 10, 193), RainDensity.LIGHT, rng())


def test_a_bank_lacks_no_grade(bank: LayerBank) -> None:
    with pytest.raises(RecipeError, match="light, medium and heavy"):
        LayerBank({RainDensity.LIGHT: bank.layers[RainDensity.LIGHT]})
    with pytest.raises(RecipeError, match="per_density=0"):
        LayerBank.draw(rng(), per_density=0)


def test_pairs_of_a_seed_are_the_pairs_that_they_were_when_this_was_written() -> None:
    """Golden sums, the same on every machine; a change here changes all data of `crdnet synth`."""
    image = np.random.default_rng(0).integers(0, 200, (48, 64, 3), dtype=np.uint8)
    sums = {
        density.name: sha256(
            make_rainy_pair(image, density, rng(7), library=library()).rainy.tobytes()
        ).hexdigest()[:16]
        for density in FALLING
    }
    assert sums == {
        "LIGHT": "c900fc66eca4848a",
        "MEDIUM": "2a8c02dfc3f7c6e5",
        "HEAVY": "afeae1690eb94738",
    }
