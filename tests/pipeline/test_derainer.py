import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers, sampled_from
from PIL import Image

import crdnet
from crdnet import Derainer
from crdnet.density import luma
from crdnet.errors import CRDNetError, DeviceError, ImageError, SizeError
from crdnet.runtime import Bands
from tests.runtime.tiny import TINY, write_streak_model, write_tiny_model
from tests.waiting import HANG_SECONDS


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.random(shape, dtype=np.float32)


def levels(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(0, 256, shape, dtype=np.uint8)


@settings(deadline=None, max_examples=40)
@given(height=integers(1, 90), width=integers(1, 90), side=integers(1, 50))
def test_tiles_agree_with_the_whole(tiny_model: Path, height: int, width: int, side: int) -> None:
    rainy = floats(np.random.default_rng(height * 100 + width), height, width, 3)
    whole = Derainer(tiny_model, threads=1, tile=0)
    tiled = Derainer(tiny_model, threads=1, tile=side)
    assert np.abs(whole.estimate(rainy) - tiled.estimate(rainy)).max() <= 1e-4
    grey_levels = (rainy * 255).astype(np.uint8)
    apart = np.abs(whole(grey_levels).astype(int) - tiled(grey_levels))
    assert apart.max() <= 1
    assert apart.mean() <= 255 * 1e-4  # what rounding makes of the difference above


def test_every_tile_is_reported(tiny_model: Path, rng: np.random.Generator) -> None:
    rainy = levels(rng, 90, 70, 3)
    network = Derainer(tiny_model, threads=1, tile=16).network
    of_array: list[tuple[int, int]] = []
    of_bands: list[tuple[int, int]] = []
    sensed = network.sense(rainy)
    network.derain(rainy, sensed, 1.0, lambda done, tiles: of_array.append((done, tiles)))
    bands = Bands(90, 70, lambda: iter([rainy]))
    list(network.derain(bands, sensed, 1.0, lambda done, tiles: of_bands.append((done, tiles))))
    assert of_array == of_bands == [(done, len(of_array)) for done in range(1, len(of_array) + 1)]
    assert len(of_array) > 3


def test_an_ensemble_is_the_mean_of_the_image_and_its_mirror_image(
    derainer: Derainer, rng: np.random.Generator
) -> None:
    rainy = floats(rng, 24, 36, 3)
    plain = derainer.session(rainy).derained
    mirrored = derainer.session(rainy[:, ::-1].copy()).derained[:, ::-1]
    assert np.abs(plain - mirrored).max() > 0.1  # the model's output depends on the direction
    expected = np.clip((plain + mirrored) / 2, 0, 1)
    np.testing.assert_allclose(derainer(rainy, ensemble=True), expected, atol=1e-6)
    turned = derainer(rainy[:, ::-1].copy(), ensemble=True)[:, ::-1]
    np.testing.assert_allclose(turned, expected, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(height=integers(1, 90), width=integers(1, 90), side=integers(1, 50))
def test_tiles_and_bands_of_an_ensemble_agree_with_the_whole(
    tiny_model: Path, height: int, width: int, side: int
) -> None:
    rainy = floats(np.random.default_rng(height * 100 + width), height, width, 3)
    whole = Derainer(tiny_model, threads=1, tile=0).network.enable_ensemble()
    tiled = Derainer(tiny_model, threads=1, tile=side).network.enable_ensemble()
    expected = whole.derain(rainy, whole.sense(rainy), 1.0)
    bands = Bands(height, width, lambda: iter(np.array_split(rainy, 3) if height > 2 else [rainy]))
    for derained in (
        tiled.derain(rainy, tiled.sense(rainy), 1.0),
        np.concatenate(list(tiled.derain(bands, tiled.sense(bands), 1.0))),
    ):
        assert np.abs(derained - expected).max() <= 1e-4


def test_an_ensemble_averages_the_sensed_rain(tmp_path: Path, rng: np.random.Generator) -> None:
    network = Derainer(write_streak_model(tmp_path / "streak.onnx")).network
    rainy = floats(rng, 48, 64, 3)
    sensed = network.enable_ensemble().sense(rainy)
    ways = [network.sense(each) for each in (rainy, np.ascontiguousarray(rainy[:, ::-1]))]
    assert sensed.intensity == pytest.approx(np.mean([each.intensity for each in ways]), rel=1e-4)


def test_tiles_with_too_small_a_margin_do_not(
    tmp_path: Path, tiny_model: Path, rng: np.random.Generator
) -> None:
    blinkered = write_tiny_model(tmp_path / "blinkered.onnx", replace(TINY, margin=0))
    rainy = floats(rng, 64, 64, 3)
    whole, tiled = Derainer(tiny_model, threads=1), Derainer(blinkered, threads=1, tile=16)
    assert np.abs(whole.estimate(rainy) - tiled.estimate(rainy)).max() > 1e-2


@settings(deadline=None, max_examples=30)
@given(
    height=integers(1, 20),
    width=integers(1, 20),
    grey=sampled_from([True, False]),
    real=sampled_from([True, False]),
)
def test_what_goes_in_comes_out(
    derainer: Derainer, height: int, width: int, grey: bool, real: bool
) -> None:
    rng = np.random.default_rng(0)
    shape = (height, width) if grey else (height, width, 3)
    rainy = floats(rng, *shape) if real else levels(rng, *shape)
    derained = derainer(rainy)
    assert (derained.shape, derained.dtype) == (rainy.shape, rainy.dtype)
    assert derained.min() >= 0
    assert derained.max() <= (1 if real else 255)


def test_an_array_is_padded_by_reflection_cropped_clipped_and_rounded(
    derainer: Derainer, rng: np.random.Generator
) -> None:
    rainy = levels(rng, 13, 22, 3)
    padded = np.pad(rainy, [(0, 3), (0, 2), (0, 0)], mode="reflect").astype(
        np.float32
    ) / np.float32(255)
    estimate = derainer.session(padded).derained[:13, :22]
    assert estimate.min() < 0  # so that clipping is seen
    assert estimate.max() > 1
    expected = np.rint(np.clip(estimate, 0, 1) * 255).astype(np.uint8)
    np.testing.assert_array_equal(derainer(rainy), expected)


def test_an_estimate_is_neither_clipped_nor_rounded(
    derainer: Derainer, rng: np.random.Generator
) -> None:
    rainy = floats(rng, 16, 16, 3)
    np.testing.assert_array_equal(derainer.estimate(rainy), derainer.session(rainy).derained)
    assert derainer.estimate(rainy).max() > 1


def test_a_grey_image_is_the_luma_of_its_colour_answer(
    derainer: Derainer, rng: np.random.Generator
) -> None:
    grey = floats(rng, 20, 24)
    colour = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_allclose(derainer(grey), luma(derainer(colour)), atol=1e-6)


def test_a_turned_view_is_read_as_it_looks(derainer: Derainer, rng: np.random.Generator) -> None:
    rainy = levels(rng, 20, 24, 3)[:, ::-1]
    np.testing.assert_array_equal(derainer(rainy), derainer(rainy.copy()))


def test_strength_blends_between_rainy_and_derained(
    derainer: Derainer, rng: np.random.Generator
) -> None:
    rainy = floats(rng, 20, 24, 3)
    derained = derainer(rainy)
    np.testing.assert_allclose(
        derainer(rainy, strength=0.25), rainy + 0.25 * (derained - rainy), atol=1e-6
    )
    dark = levels(rng, 20, 24, 3)
    np.testing.assert_array_equal(derainer(dark, strength=0.0), dark)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_outside_0_to_1_is_refused(derainer: Derainer, strength: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        derainer(np.zeros((4, 4, 3), np.uint8), strength=strength)


@pytest.mark.parametrize("shape", [(20, 24, 3), (20, 24)])
def test_rain_is_what_was_taken_out(
    derainer: Derainer, rng: np.random.Generator, shape: tuple[int, ...]
) -> None:
    rainy = levels(rng, *shape)
    result = derainer.run(rainy)
    assert result.rain.dtype == np.float32
    np.testing.assert_allclose(result.rain * 255, rainy.astype(float) - result.image, atol=1e-4)
    assert (result.density, result.probabilities, result.score) == (None, None, None)


def test_a_pil_image_gives_a_pil_image_with_its_description(
    derainer: Derainer, rng: np.random.Generator
) -> None:
    pixels = levels(rng, 20, 24, 3)
    image = Image.fromarray(pixels)
    image.info["icc_profile"] = b"a profile"
    derained = derainer(image)
    assert (derained.mode, derained.size) == ("RGB", (24, 20))
    assert derained.info["icc_profile"] == b"a profile"
    np.testing.assert_array_equal(np.asarray(derained), derainer(pixels))
    assert derainer(Image.fromarray(pixels[..., 0])).mode == "L"


@pytest.mark.parametrize(
    ("mode", "becomes"),
    [("RGBA", "RGBA"), ("LA", "LA"), ("I;16", "I;16"), ("P", "RGB"), ("1", "L"), ("CMYK", "RGB")],
)
def test_a_pil_image_keeps_its_mode_where_a_network_can_answer_in_it(
    derainer: Derainer, mode: str, becomes: str
) -> None:
    derained = derainer(Image.new(mode, (4, 4)))
    assert (derained.mode, derained.size) == (becomes, (4, 4))


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_a_pil_image_of_another_mode_is_refused_by_name(derainer: Derainer, mode: str) -> None:
    with pytest.raises(ImageError, match=f"'{mode}'"):
        derainer(Image.new(mode, (4, 4)))


def test_bytes_of_a_file_give_bytes_of_a_file(derainer: Derainer, rng: np.random.Generator) -> None:
    pixels = levels(rng, 20, 24, 3)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    with Image.open(BytesIO(derainer(buffer.getvalue()))) as derained:
        assert derained.format == "PNG"
        np.testing.assert_array_equal(np.asarray(derained), derainer(pixels))


def test_bytes_of_a_format_that_is_only_read_are_answered_in_words_of_python(
    derainer: Derainer, rng: np.random.Generator
) -> None:
    buffer = BytesIO()
    Image.fromarray(levels(rng, 20, 24, 3)).save(buffer, "BMP")
    with pytest.raises(ImageError, match=r"a BMP, .*derain_file with DerainOptions\(fallback_form"):
        derainer(buffer.getvalue())


def test_a_file_in_memory_that_is_dry_is_derained_only_if_asked(tmp_path: Path) -> None:
    model = write_streak_model(tmp_path / "streak.onnx")
    buffer = BytesIO()
    Image.new("RGB", (64, 48), (90, 120, 30)).save(buffer, "BMP")  # no rain at all
    png = BytesIO()
    Image.open(buffer).save(png, "PNG", compress_level=0)
    content = png.getvalue()
    assert crdnet.derain(content, model=model) == content
    assert crdnet.derain(content, model=model, always=True) != content


@pytest.mark.parametrize("path", ["street.jpg", Path("street.jpg")])
def test_a_path_is_an_error_that_names_derain_file(derainer: Derainer, path: str | Path) -> None:
    with pytest.raises(TypeError, match="derain_file"):
        derainer(path)


def test_something_else_is_an_error_that_names_what_is_taken(derainer: Derainer) -> None:
    with pytest.raises(TypeError, match=r"numpy array.*builtins\.list"):
        derainer([[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("image", "rule"),
    [
        (np.zeros((4, 4, 5), np.uint8), "alpha"),
        (np.zeros((4, 4, 3), np.int16), "uint16"),
        (np.zeros((4, 4, 3), np.float64), "float64"),
        (np.zeros((4, 4, 3), bool), "bool"),
        (np.zeros((4, 4, 1), np.uint8), r"\(h, w\)"),
        (np.zeros((4,), np.uint8), r"\(h, w\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"\(h, w\)"),
        (np.full((4, 4, 3), np.nan, np.float32), "NaN"),
        (np.full((4, 4), np.inf, np.float32), "infinity"),
        (np.full((4, 4, 3), 128, np.float32), "from 128 to 128"),
        (np.full((4, 4, 3), -0.5, np.float32), "from -0.5"),
    ],
)
def test_an_array_that_would_be_misread_is_refused(
    derainer: Derainer, image: np.ndarray, rule: str
) -> None:
    with pytest.raises(ImageError, match=rule):
        derainer(image)


def test_an_empty_array_is_refused(derainer: Derainer) -> None:
    with pytest.raises(SizeError, match="at least one pixel"):
        derainer(np.zeros((0, 4, 3), np.uint8))


def test_a_pil_image_without_a_pixel_is_refused(derainer: Derainer) -> None:
    with pytest.raises(SizeError, match="PIL image of 0 x 4"):
        derainer(Image.new("RGB", (0, 4)))


def test_a_masked_array_is_refused(derainer: Derainer) -> None:
    with pytest.raises(ImageError, match="masked array"):
        derainer(np.ma.masked_equal(np.zeros((4, 4, 3), np.uint8), 0))


def test_an_estimate_takes_float_colours_only(derainer: Derainer) -> None:
    with pytest.raises(ImageError, match="float32"):
        derainer.estimate(np.zeros((4, 4), np.float32))


def test_many_threads_get_the_answers_of_one(tiny_model: Path, rng: np.random.Generator) -> None:
    derainer = Derainer(tiny_model)
    several = [levels(rng, 30 + each, 40, 3) for each in range(16)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(derainer, several))
    for image, derained in zip(several, together, strict=True):
        np.testing.assert_array_equal(derained, derainer(image))


def test_a_derainer_pickles_as_its_arguments(tiny_model: Path, rng: np.random.Generator) -> None:
    derainer = Derainer(tiny_model, device="cpu", threads=1, tile=16)
    rainy = levels(rng, 40, 40, 3)
    derained = derainer(rainy)
    again = pickle.loads(pickle.dumps(derainer))
    assert repr(again) == repr(derainer)
    np.testing.assert_array_equal(again(rainy), derained)


_FORK = """
import os, sys, threading
import numpy as np
from crdnet import Derainer
derainer = Derainer(sys.argv[1], threads=2)
rainy = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
derained = derainer(rainy)
derainer._lock.acquire()  # as another thread may hold it at the moment of the fork
child = os.fork()
if child == 0:
    sys.exit(0 if np.array_equal(derainer(rainy), derained) else 5)
derainer._lock.release()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_of_fork_derains_and_ends(tiny_model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FORK, tiny_model], timeout=HANG_SECONDS, check=False
    )
    assert done.returncode == 0


def test_a_running_call_can_be_stopped_and_the_next_one_works(derainer: Derainer) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            while True:
                derainer(np.zeros((1500, 1500, 3), np.uint8))
        except CRDNetError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        time.sleep(0.05)
        derainer.stop()
    assert "stopped" in str(errors[0])
    derainer(np.zeros((8, 8, 3), np.uint8))


def test_an_unknown_device_is_refused(tiny_model: Path) -> None:
    with pytest.raises(DeviceError, match=r"'tpu'.*auto, cpu, cuda"):
        Derainer(tiny_model, device="tpu")


@pytest.mark.parametrize("arguments", [{"threads": 0}, {"tile": -1}])
def test_arguments_that_make_no_sense_are_refused(
    tiny_model: Path, arguments: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match="got"):
        Derainer(tiny_model, **arguments)  # type: ignore[arg-type]


def test_the_function_keeps_its_model_open(tiny_model: Path, rng: np.random.Generator) -> None:
    rainy = levels(rng, 20, 20, 3)
    np.testing.assert_array_equal(
        crdnet.derain(rainy, model=tiny_model), Derainer(tiny_model)(rainy)
    )


_QUIET = """
import os, pathlib, sys
import numpy as np
import crdnet
crdnet.derain(np.zeros((8, 8, 3), np.uint8), model=sys.argv[1], threads=1)
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
assert not list(pathlib.Path.home().rglob("*")), list(pathlib.Path.home().rglob("*"))
"""


def test_nothing_is_reported_to_anybody(tiny_model: Path, tmp_path: Path) -> None:
    """onnxruntime's telemetry leaves an identifier in the home folder before it calls home."""
    home = {
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PATH": os.environ["PATH"],
    }
    subprocess.run(
        [sys.executable, "-W", "error", "-c", _QUIET, tiny_model],
        env=home,
        timeout=HANG_SECONDS,
        check=True,
    )
