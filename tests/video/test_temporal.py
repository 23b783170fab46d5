"""Neighbouring frames: what they help with, and what they must not touch."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from crdnet import Derainer
from crdnet.video import FrameNetwork, TemporalDerainer
from crdnet.video import flow as flow_module
from crdnet.video.flow import estimate_flow, find_shift, warp
from crdnet.video.temporal import STILL_FRAMES
from tests.video.clips import Frame, add_streaks, draw_background

HEIGHT, WIDTH, SIDE = 96, 128, 24


@pytest.fixture(scope="module")
def network(streak_model: Path) -> FrameNetwork:
    return FrameNetwork(Derainer(streak_model, device="cpu", threads=1))


@pytest.fixture(scope="module")
def blind(streak_model: Path) -> FrameNetwork:
    """A network that leaves half of the rain in each frame, as networks do in heavy rain."""

    class Half(FrameNetwork):
        def derain(self, frame: Frame):  # type: ignore[no-untyped-def]
            estimate = super().derain(frame)
            left = 0.5 * estimate.rainy + 0.5 * estimate.derained
            return estimate._replace(derained=np.rint(left).astype(np.uint8))

    return Half(Derainer(streak_model, device="cpu", threads=1))


def draw_textured(offset: tuple[int, int] = (0, 0)) -> Frame:
    """A scene with detail in both directions that is no streak."""
    base = draw_background(HEIGHT, WIDTH, offset=offset).astype(float)
    rows, columns = np.mgrid[offset[0] : offset[0] + HEIGHT, offset[1] : offset[1] + WIDTH]
    blobs = 20 * np.sin(rows * 0.31 + 2 * np.sin(columns * 0.11)) * np.sin(columns * 0.17)
    scene: Frame = np.clip(base + blobs[..., np.newaxis], 0, 255).astype(np.uint8)
    return scene


def run(derainer: TemporalDerainer, rainy: list[Frame]) -> list[npt.NDArray[np.float32]]:
    """Return the derained frames in grey levels."""
    derained = [each.derained for frame in rainy if (each := derainer.push(frame))]
    return [*derained, *(each.derained for each in derainer.flush())]


def measure_error(derained: list[npt.NDArray[np.float32]], clean: list[Frame]) -> float:
    """Return the mean squared error of the frames in the middle."""
    pairs = list(zip(derained, clean, strict=True))[2:-1]
    return float(np.mean([np.square(one - two.astype(np.float32)).mean() for one, two in pairs]))


def measure_flicker(derained: list[npt.NDArray[np.float32]], clean: list[Frame]) -> float:
    errors = [one - two for one, two in zip(derained, clean, strict=True)]
    return float(np.mean([np.abs(b - a).mean() for a, b in pairwise(errors[2:-1])]))


@pytest.mark.parametrize("shift", [(0, 0), (1, 3), (0, -5)])
def test_rain_that_the_network_leaves_is_taken_out_by_neighbours(
    shift: tuple[int, int], blind: FrameNetwork
) -> None:
    clean = [draw_textured((50 + shift[0] * n, 100 + shift[1] * n)) for n in range(9)]
    rainy = [add_streaks(frame, n) for n, frame in enumerate(clean)]
    single = run(TemporalDerainer(blind, temporal=False), rainy)
    fused = run(TemporalDerainer(blind), rainy)
    # Moving a neighbour by a part of a pixel costs some of the gain.
    gain = 1.4 if any(shift) else 2.5
    assert measure_error(fused, clean) < measure_error(single, clean) / gain
    if not any(shift):
        assert measure_flicker(fused, clean) < 0.5 * measure_flicker(single, clean)


@pytest.mark.parametrize("static", ["auto", "on", "off"])
@pytest.mark.parametrize("step", [3, 9, 31])
def test_a_moving_square_leaves_no_ghost(step: int, static: str, network: FrameNetwork) -> None:
    """It runs over the scene on a known path, slower and faster than its own size."""
    scene = draw_textured((50, 100))
    clean, places = [], []
    for n in range(9):
        frame = scene.copy()
        left = (5 + step * n) % (WIDTH - SIDE)
        frame[30 : 30 + SIDE, left : left + SIDE] = (230, 40, 60)
        clean.append(frame)
        places.append(left)
    rainy = [add_streaks(frame, n, levels=40) for n, frame in enumerate(clean)]
    single = run(TemporalDerainer(network, temporal=False, always=True), rainy)
    derainer = TemporalDerainer(network, static=static, always=True)  # type: ignore[arg-type]
    fused = run(derainer, rainy)
    for n in range(1, 8):
        where = np.zeros((HEIGHT, WIDTH), bool)
        for m in (n - 1, n, n + 1):
            where[30 : 30 + SIDE, places[m] : places[m] + SIDE] = True
        errors = [np.square(derained[n] - clean[n])[where].mean() for derained in (single, fused)]
        # Nothing of the square where it was or will be, and nothing of the scene where it is.
        # A dense flow blurs the border of the square a little; a ghost would cost several times
        # as much.
        assert errors[1] <= 1.2 * errors[0] + 4
        assert (np.abs(fused[n] - single[n])[where] > 30).mean() < 0.01


def test_where_nothing_rains_neighbours_change_nothing(network: FrameNetwork) -> None:
    clean = [draw_textured((50, 100 + 2 * n)) for n in range(6)]
    rng = np.random.default_rng(0)
    noisy = [
        np.clip(frame + rng.normal(0, 1, frame.shape), 0, 255).astype(np.uint8) for frame in clean
    ]
    single = run(TemporalDerainer(network, temporal=False, always=True), noisy)
    fused = run(TemporalDerainer(network, always=True), noisy)
    # 0.1 dB is 2.3 %.
    assert measure_error(fused, noisy) <= 1.023 * measure_error(single, noisy) + 0.3
    left_alone = [each for frame in noisy if (each := TemporalDerainer(network).push(frame))]
    assert all(each.left_alone for each in left_alone)


def test_fusion_restarts_at_a_cut(network: FrameNetwork) -> None:
    """The frames around a cut are those of two clips."""
    scenes = [draw_textured((50, 100)), 255 - draw_textured((500, 900))]
    rainy = [add_streaks(scenes[n // 4], n) for n in range(8)]
    whole = run(TemporalDerainer(network), rainy)
    parts = [
        each for half in (rainy[:4], rainy[4:]) for each in run(TemporalDerainer(network), half)
    ]
    for one, two in zip(whole, parts, strict=True):
        assert np.array_equal(one, two)


def test_a_static_camera_is_found_and_left(network: FrameNetwork) -> None:
    derainer = TemporalDerainer(network, always=True)
    offsets = [0] * 8 + [4, 8, 12]
    frames = [add_streaks(draw_textured((50, 100 + each)), n) for n, each in enumerate(offsets)]
    told = [each.is_static for frame in frames if (each := derainer.push(frame))]
    assert told == [n >= STILL_FRAMES and n < 8 for n in range(10)]


def test_a_static_scene_grows_clearer(blind: FrameNetwork) -> None:
    scene = draw_textured((50, 100))
    rainy = [add_streaks(scene, n) for n in range(16)]
    fused = run(TemporalDerainer(blind, static="on"), rainy)
    single = run(TemporalDerainer(blind, temporal=False), rainy)
    late = [
        float(np.square(each[10:15] - scene.astype(np.float32)).mean())
        for each in (np.array(single), np.array(fused))
    ]
    assert late[1] < late[0] / 4


def test_a_frame_comes_out_when_the_next_goes_in(network: FrameNetwork) -> None:
    derainer = TemporalDerainer(network)
    frames = [add_streaks(draw_background(), n) for n in range(3)]
    assert derainer.push(frames[0], "a") is None
    assert derainer.push(frames[1], "b").payload == "a"  # type: ignore[union-attr]
    assert derainer.push(frames[2], "c").payload == "b"  # type: ignore[union-attr]
    assert [each.payload for each in derainer.flush()] == ["c"]


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_strength_takes_out_a_share(strength: float, network: FrameNetwork) -> None:
    rainy = [add_streaks(draw_background(), n) for n in range(4)]
    whole = run(TemporalDerainer(network), rainy)
    share = run(TemporalDerainer(network, strength=strength), rainy)
    for before, all_, some in zip(rainy, whole, share, strict=True):
        expected = before + strength * (all_ - before.astype(np.float32))
        # A frame is held in 257ths of a grey level.
        assert np.allclose(some, expected, atol=1 / 257)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.0, -6.0), (0.5, 2.25)])
def test_a_displacement_is_found(shift: tuple[float, float], dense: bool) -> None:
    if dense:
        pytest.importorskip("cv2")
    # Moved exactly, in the frequency domain.
    noise = np.fft.fft2(np.random.default_rng(1).normal(0, 1, (HEIGHT, WIDTH)))
    rows, columns = np.meshgrid(np.fft.fftfreq(HEIGHT), np.fft.fftfreq(WIDTH), indexing="ij")
    smooth = noise * np.exp(-((rows**2 + columns**2) * 60))

    def draw(down: float, right: float) -> npt.NDArray[np.float32]:
        moved = smooth * np.exp(-2j * np.pi * (rows * down + columns * right))
        image = np.fft.ifft2(moved).real
        return np.asarray(110 + 35 * image / image.std(), np.float32)

    here, there = draw(0, 0), draw(*shift)
    assert find_shift(here, there) == pytest.approx(shift, abs=0.6)
    flow = estimate_flow(here, there, dense=dense)
    inside = (slice(12, -12), slice(12, -12))
    apart = flow - np.reshape(shift, (2, 1, 1))
    assert np.abs(apart[:, *inside]).mean() < 0.25
    (moved,) = warp([there], flow)
    assert np.abs(moved - here)[inside].mean() < 1.5


def test_blocks_cover_a_frame_of_any_size() -> None:
    here = np.random.default_rng(1).uniform(0, 255, (113, 129)).astype(np.float32)
    flow = estimate_flow(here, here, dense=False)
    assert flow.shape == (2, 113, 129)
    assert np.abs(flow).max() < 0.1


def test_a_frame_is_left_alone_by_the_majority_of_its_neighbours(network: FrameNetwork) -> None:
    """A single frame that seems rainy is left alone, a single one that seems dry is not."""
    rain = [False, False, True, False, False, True, True, False, True, True]
    scene = draw_background()
    derainer = TemporalDerainer(network)
    frames = [add_streaks(scene, n) if rainy else scene for n, rainy in enumerate(rain)]
    told = [each.left_alone for frame in frames if (each := derainer.push(frame))]
    assert told == [True, True, True, True, True, False, False, False, False]


def test_the_displacements_of_a_half_are_those_of_the_whole(
    network: FrameNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = [draw_textured((50 + 2 * n, 100 + 4 * n)) for n in range(5)]
    rainy = [add_streaks(frame, n) for n, frame in enumerate(clean)]
    whole = run(TemporalDerainer(network), rainy)
    monkeypatch.setattr(flow_module, "_LARGE_PIXELS", HEIGHT * WIDTH - 1)
    half = run(TemporalDerainer(network), rainy)
    assert not np.array_equal(whole[1], half[1])
    assert measure_error(half, clean) < 1.2 * measure_error(whole, clean) + 0.5
