"""Metrics agree with Octave, scikit-image and closed forms."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import metrics as skimage_metrics

from crdnet.errors import CRDNetError, ImageError, SizeError
from crdnet.metrics import PROTOCOLS, psnr, round_to_8bit, score

peak_signal_noise_ratio: Callable[..., float] = skimage_metrics.peak_signal_noise_ratio
structural_similarity: Callable[..., float] = skimage_metrics.structural_similarity
REFERENCE = json.loads((Path(__file__).parent / "golden" / "octave" / "reference.json").read_text())
Integers = npt.NDArray[np.int64]


def draw_images(height: int, width: int) -> tuple[Integers, Integers]:
    """Draw the images of golden/octave/reference.m: clean in 0..255, derained may leave it."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    stripes = np.abs((3 * x + 2 * y + 40 * c) % 256 - 128)
    texture = (x * y + 17 * c) % 64
    clean = 20 + stripes + texture
    noise = ((7919 * x + 104729 * y + 1299709 * c) % 65537) ** 2 % 65537
    streak = 40 * ((x + 5 * y) % 97 < 6)
    return clean, clean + noise % 61 - 30 + streak


def convert_to_8bit(image: Integers) -> npt.NDArray[np.uint8]:
    return np.clip(image, 0, 255).astype(np.uint8)


def make_grey(value: int, side: int = 16) -> npt.NDArray[np.uint8]:
    return np.full((side, side, 3), value, np.uint8)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "case",
    REFERENCE["cases"],
    ids=lambda case: f"{case['height']}x{case['width']}",
)
def test_scores_agree_with_octave(case: dict[str, Any], protocol: str) -> None:
    clean, derained = draw_images(case["height"], case["width"])
    assert (clean.sum(), derained.sum()) == (case["sum_clean"], case["sum_derained"])
    if protocol == "crdnet":
        scores = score(derained / 255, clean / 255, protocol)
    else:
        scores = score(convert_to_8bit(derained), convert_to_8bit(clean), protocol)
    # Both sides compute in doubles; they differ in the order of their sums alone.
    assert scores.psnr == pytest.approx(case["scores"][protocol]["psnr"], abs=1e-9)
    assert scores.ssim == pytest.approx(case["scores"][protocol]["ssim"], abs=1e-9)


def test_the_images_of_octave_distinguish_all_protocols() -> None:
    for case in REFERENCE["cases"]:
        if min(case["height"], case["width"]) >= 385:
            for quantity, least in (("psnr", 1e-3), ("ssim", 1e-4)):
                values = sorted(scores[quantity] for scores in case["scores"].values())
                assert min(np.diff(values)) > least


@given(
    height=st.integers(7, 40),
    width=st.integers(7, 40),
    spread=st.floats(0, 0.6),
    seed=st.integers(0, 2**32 - 1),
)
def test_protocol_crdnet_is_scikit_image_on_unclipped_floats(
    height: int, width: int, spread: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    clean = rng.random((height, width, 3))
    derained = clean + rng.normal(0, spread, clean.shape) + 1e-3
    scores = score(derained, clean, "crdnet")
    assert scores.psnr == pytest.approx(
        peak_signal_noise_ratio(clean, derained, data_range=1),
        abs=1e-9,
    )
    expected = structural_similarity(clean, derained, data_range=1, channel_axis=2)
    assert scores.ssim == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30)
@given(height=st.integers(11, 60), width=st.integers(11, 60), seed=st.integers(0, 2**32 - 1))
def test_protocol_toolbox_rgb_is_scikit_image_with_a_gaussian_window(
    height: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    derained = np.clip(clean + rng.integers(-40, 41, clean.shape), 0, 255).astype(np.uint8)
    scores = score(derained, clean, "toolbox-rgb")
    assert scores.psnr == pytest.approx(peak_signal_noise_ratio(clean, derained), abs=1e-9)
    expected = structural_similarity(
        clean.astype(np.float64),
        derained.astype(np.float64),
        data_range=255,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert scores.ssim == pytest.approx(expected, abs=1e-9)


@given(value=st.integers(0, 250), error=st.integers(1, 5))
def test_a_constant_error_gives_the_psnr_of_its_definition(value: int, error: int) -> None:
    expected = 20 * math.log10(255 / error)
    assert score(make_grey(value + error), make_grey(value), "toolbox-rgb").psnr == pytest.approx(
        expected,
        abs=1e-9,
    )
    assert score(make_grey(value + error), make_grey(value), "crdnet").psnr == pytest.approx(
        expected, abs=1e-4
    )  # float32


@given(value=st.integers(0, 200), error=st.integers(1, 55))
def test_a_grey_error_scores_higher_on_the_narrow_range_of_y(value: int, error: int) -> None:
    on_full_range = 20 * math.log10(255 / error)
    on_y = score(make_grey(value + error), make_grey(value), "prenet-y").psnr
    assert on_y - on_full_range == pytest.approx(20 * math.log10(255 / 219), abs=1e-9)


def test_y_of_8_bits_rounds_and_y_of_doubles_does_not() -> None:
    # One grey level is 219 / 255 = 0.86 of Y; rounded to 8 bits, 100 -> 101 is Y 102 -> 103.
    assert score(make_grey(101), make_grey(100), "restormer-y").psnr == pytest.approx(
        20 * math.log10(255),
        abs=1e-9,
    )
    assert score(make_grey(101), make_grey(100), "prenet-y").psnr == pytest.approx(
        20 * math.log10(255**2 / 219), abs=1e-9
    )


@pytest.mark.parametrize(
    ("colour", "y"),
    # 81.481, 144.553 and 40.966 before they are rounded.
    [
        ((255, 0, 0), 81),
        ((0, 255, 0), 145),
        ((0, 0, 255), 41),
        ((255, 255, 255), 235),
        ((0, 0, 0), 16),
    ],
)
def test_y_of_8_bits_of_the_primaries_is_rounded(colour: tuple[int, int, int], y: int) -> None:
    image = np.broadcast_to(np.array(colour, np.uint8), (16, 16, 3))
    black_is_16 = 20 * math.log10(255 / (y - 16)) if y > 16 else math.inf
    assert score(image, make_grey(0), "restormer-y").psnr == pytest.approx(black_is_16, abs=1e-9)


def test_ties_of_y_round_away_from_zero() -> None:
    weights = np.array([65481, 128553, 24966])
    r, g, b = np.meshgrid(*[np.arange(0, 256)] * 3, indexing="ij", sparse=True)
    ties = np.argwhere((weights[0] * r + weights[1] * g + weights[2] * b) % 255000 == 127500)
    assert len(ties) > 10
    for colour in ties:
        image = np.broadcast_to(colour.astype(np.uint8), (16, 16, 3))
        above_black = 10 ** (-score(image, make_grey(0), "restormer-y").psnr / 20) * 255
        assert above_black == pytest.approx(weights @ colour / 255000 + 0.5, abs=1e-6)


def test_downsampling_begins_at_384_pixels_of_the_shorter_side() -> None:
    def gap(height: int, width: int) -> float:
        clean, derained = (convert_to_8bit(image) for image in draw_images(height, width))
        return score(derained, clean, "prenet-y").ssim - score(derained, clean, "restormer-y").ssim

    assert abs(gap(383, 500)) < 1e-3
    assert gap(384, 500) > 0.1
    assert gap(500, 384) > 0.1


def test_only_protocol_crdnet_sees_values_outside_the_range() -> None:
    clean, derained = (image / 255 for image in draw_images(64, 64))
    assert derained.min() < 0 or derained.max() > 1
    for name in PROTOCOLS:
        same = score(derained, clean, name) == score(np.clip(derained, 0, 1), clean, name)
        assert same == (name != "crdnet")


@given(value=st.integers(0, 255))
def test_floats_become_the_8_bits_they_came_from(value: int) -> None:
    exact = np.full((1, 1, 3), value, np.float32) / np.float32(255)
    for nudge in (-0.4, 0.0, 0.4):
        assert (round_to_8bit(exact + np.float32(nudge / 255)) == value).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_identical_images_have_an_infinite_psnr_and_an_ssim_of_one(protocol: str) -> None:
    clean = convert_to_8bit(draw_images(64, 70)[0])
    as_network_sees_it = clean.astype(np.float32) / np.float32(255)
    for derained in (clean, as_network_sees_it):
        scores = score(derained, clean, protocol)
        assert scores.psnr == psnr(derained, clean, protocol) == math.inf
        assert scores.ssim == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=20)
@given(height=st.integers(11, 50), width=st.integers(11, 50))
def test_scores_are_symmetric_and_do_not_change_when_both_images_are_transposed(
    protocol: str, height: int, width: int
) -> None:
    clean, derained = (convert_to_8bit(image) for image in draw_images(height, width))
    scores = score(derained, clean, protocol)
    assert psnr(derained, clean, protocol) == scores.psnr
    assert score(clean, derained, protocol) == pytest.approx(scores, abs=1e-9)
    assert score(derained.swapaxes(0, 1), clean.swapaxes(0, 1), protocol) == pytest.approx(
        scores,
        abs=1e-9,
    )


def test_the_error_for_an_unknown_protocol_names_all_four() -> None:
    with pytest.raises(CRDNetError, match=r"'psnr'.*crdnet, toolbox-rgb, prenet-y, restormer-y"):
        score(make_grey(0), make_grey(0), "psnr")


@pytest.mark.parametrize(
    ("protocol", "side"),
    [("crdnet", 7), ("toolbox-rgb", 11), ("prenet-y", 11), ("restormer-y", 11)],
)
def test_an_image_smaller_than_the_window_is_a_size_error(protocol: str, side: int) -> None:
    score(make_grey(1, side), make_grey(0, side), protocol)
    with pytest.raises(SizeError, match=f"{side} x {side} pixels, got an image of {side - 1} x 40"):
        score(
            np.zeros((side - 1, 40, 3), np.uint8),
            np.zeros((side - 1, 40, 3), np.uint8),
            protocol,
        )


def test_images_of_two_sizes_are_a_size_error() -> None:
    with pytest.raises(SizeError, match=r"\(16, 16, 3\).*\(17, 17, 3\)"):
        score(make_grey(0), make_grey(0, 17), "crdnet")


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 1), (16, 16, 4), (1, 16, 16, 3)])
def test_arrays_that_are_not_rgb_are_a_size_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(SizeError, match="RGB"):
        score(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8), "crdnet")


@pytest.mark.parametrize(
    ("derained", "clean", "message"),
    [
        (np.full((16, 16, 3), np.nan), make_grey(0), "not finite"),
        (np.full((16, 16, 3), np.inf), make_grey(0), "not finite"),
        (make_grey(0), np.full((16, 16, 3), 255.0), r"255 to 255; scale them to \[0, 1\]"),
        (make_grey(0).astype(np.uint16), make_grey(0), "derained image is uint16"),
    ],
)
def test_arrays_without_valid_colours_are_an_image_error(
    derained: Any, clean: Any, message: str
) -> None:
    for protocol in PROTOCOLS:
        with pytest.raises(ImageError, match=message):
            score(derained, clean, protocol)


def test_arguments_are_not_changed() -> None:
    clean, derained = draw_images(390, 400)
    before = derained / 255, clean / 255
    for name in PROTOCOLS:
        arguments = before[0].copy(), before[1].copy()
        score(*arguments, name)
        assert all((a == b).all() for a, b in zip(arguments, before, strict=True))


def test_a_hundred_images_take_seconds() -> None:
    # A hundred pairs are meant to take less than 10 s; five of them here, with room for a busy
    # machine.
    clean, derained = (convert_to_8bit(image) for image in draw_images(500, 500))
    begin = time.process_time()
    for _ in range(5):
        score(derained, clean, "restormer-y")
    assert time.process_time() - begin < 2.5
