"""The model of three frames: its graph, and what it may not do to clips."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from crdnet import Derainer
from crdnet.errors import ModelError
from crdnet.runtime import FUSE, UNKNOWN, ModelInfo, find_model, read_info
from crdnet.video import FrameNetwork, FusionModel, TemporalDerainer
from crdnet.video import tiles as tiles_module
from crdnet.video.engine import Estimate
from crdnet.video.fusion import Neighbour, Seen, list_images
from crdnet.video.temporal import Static
from crdnet.video.tiles import HeldFrame
from tests.runtime.tiny import write_tiny_model
from tests.video.clips import Frame, add_streaks, draw_background

pytest.importorskip("torch")

import torch

from crdnet.export import export_fusion
from crdnet.nn import count_kilo_macs
from crdnet.nn.fusion import FusionNetwork

HEIGHT, WIDTH, SIDE = 90, 122, 24
Colours = npt.NDArray[np.float32]


def draw_colours(seed: int) -> Colours:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 255, (HEIGHT, WIDTH, 3)).astype(np.float32)


def draw_neighbours() -> tuple[Seen, Neighbour, Neighbour]:
    seen = Seen.from_estimate(draw_colours(0), draw_colours(1))
    plane = np.ones((HEIGHT, WIDTH), np.float32)
    one, two = (
        Neighbour(draw_colours(seed), draw_colours(seed + 1), plane, plane, None) for seed in (2, 4)
    )
    return seen, one, two


def write_model(path: Path, *, random: bool) -> Path:
    torch.manual_seed(0)
    network = FusionNetwork()
    if random:
        for weights in network.parameters():
            torch.nn.init.normal_(weights, 0, 0.05)
    info = ModelInfo("test", 8, network.tile_margin, "1", "nothing", task=FUSE)
    export_fusion(network, path, info)
    return path


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "random.onnx", random=True)


def test_the_cost_with_the_network_of_single_frames_is_20_kmac_per_pixel() -> None:
    own = sum(count_kilo_macs(FusionNetwork(), channels=21).values())
    assert own == pytest.approx(5.10, abs=0.01)
    assert own + 14.80 < 20


def test_a_new_network_changes_nothing(tmp_path: Path) -> None:
    model = FusionModel(write_model(tmp_path / "new.onnx", random=False), threads=1)
    fused = draw_colours(9)
    assert np.allclose(model(*draw_neighbours(), fused), fused, atol=1e-3)


@pytest.mark.parametrize("static", ["off", "on"])
def test_tiles_agree_with_the_whole(
    static: Static, random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera that pans over a scene, in a frame of no round size."""
    height, width = 241, 331
    rng = np.random.default_rng(3)
    clean = [draw_background(height, width, offset=(60, 100 + 3 * n)) for n in range(4)]
    answers = [
        HeldFrame.from_estimate(
            add_streaks(frame, number),
            np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8),
        )
        for number, frame in enumerate(clean)
    ]

    class Known(FrameNetwork):
        def __init__(self) -> None:
            self._held = iter(answers)

        def derain(self, frame: Frame) -> Estimate:  # noqa: ARG002 - the answers are known
            held = next(self._held)
            return Estimate(held.rainy, held.derained, UNKNOWN)

    def derain_all() -> npt.NDArray[np.float32]:
        model = FusionModel(random_model, threads=1)
        derainer = TemporalDerainer(Known(), static=static, always=True, fusion=model)
        done = [each.derained for frame in clean if (each := derainer.push(frame))]
        return np.array([*done, *(each.derained for each in derainer.flush())])

    whole = derain_all()
    assert np.abs(whole - clean).mean() > 1
    monkeypatch.setattr(tiles_module, "WHOLE_PIXELS", 0)
    monkeypatch.setattr(tiles_module, "TILE_PIXELS", 64)
    apart = np.abs(derain_all() - whole)
    # A tile rounds coordinates otherwise, which may decide whether a pixel counts as moved.
    assert (apart > 0.02).mean() < 0.001
    assert apart.max() < 2


def test_a_frame_takes_the_place_of_a_missing_neighbour() -> None:
    here, before, _ = draw_neighbours()
    images = list_images(here, before, None, here.derained)
    assert [id(each) for each in images] == [
        id(each)
        for each in (
            *(here.derained, here.derained, here.rainy),
            *(before.colours, before.rainy),
            *(here.derained, here.rainy),
        )
    ]


def test_models_of_other_tasks_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"does not derain; .*`crdnet video` uses it") as caught:
        Derainer("video")
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="does not fuse"):
        FusionModel("default")
    with pytest.raises(ModelError, match="for task 'derain'"):
        FusionModel(write_tiny_model(tmp_path / "tiny.onnx"))
    info = read_info(find_model("video", task=FUSE))
    assert (info.name, info.margin) == ("video", FusionNetwork.tile_margin)


@pytest.fixture(scope="module")
def network() -> FrameNetwork:
    return FrameNetwork(Derainer(device="cpu", threads=1))


def derain(network: FrameNetwork, rainy: list[Frame], *, fuses: bool) -> list[Colours]:
    fusion = FusionModel(threads=1) if fuses else None
    derainer = TemporalDerainer(network, temporal=fuses, always=True, fusion=fusion)
    derained = [each.derained for frame in rainy if (each := derainer.push(frame))]
    return [*derained, *(each.derained for each in derainer.flush())]


@pytest.mark.parametrize("step", [3, 9, 31])
def test_a_moving_square_leaves_no_ghost(step: int, network: FrameNetwork) -> None:
    """It runs over the scene on a known path, slower and faster than its own size."""
    scene = draw_background(HEIGHT, WIDTH)
    clean, places = [], []
    for number in range(8):
        frame = scene.copy()
        left = (5 + step * number) % (WIDTH - SIDE)
        frame[30 : 30 + SIDE, left : left + SIDE] = (230, 40, 60)
        clean.append(frame)
        places.append(left)
    rainy = [add_streaks(frame, number, levels=40) for number, frame in enumerate(clean)]
    single, fused = (derain(network, rainy, fuses=each) for each in (False, True))
    for number in range(1, 7):
        where = np.zeros((HEIGHT, WIDTH), bool)
        for near in (number - 1, number, number + 1):
            where[30 : 30 + SIDE, places[near] : places[near] + SIDE] = True
        errors = [np.square(each[number] - clean[number])[where].mean() for each in (single, fused)]
        assert errors[1] <= 1.2 * errors[0] + 4
        assert (np.abs(fused[number] - clean[number])[where] > 40).mean() < 0.01


def test_where_nothing_rains_it_stays_within_a_tenth_of_a_decibel(network: FrameNetwork) -> None:
    rng = np.random.default_rng(0)
    clean = [draw_background(HEIGHT, WIDTH, offset=(50, 100 + 2 * n)) for n in range(6)]
    noisy = [
        np.clip(frame + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8) for frame in clean
    ]
    single, fused = (
        np.mean([np.square(np.rint(a) - b).mean() for a, b in zip(each, noisy, strict=True)])
        for each in (derain(network, noisy, fuses=False), derain(network, noisy, fuses=True))
    )
    # Half a grey level is what rounding loses.
    assert fused <= 1.023 * single + 0.25


def test_rain_that_single_frames_keep_is_taken_out(network: FrameNetwork) -> None:
    clean = [draw_background(HEIGHT, WIDTH, offset=(50, 100 + n)) for n in range(8)]
    rainy = [add_streaks(frame, number, levels=90) for number, frame in enumerate(clean)]
    single, fused = (
        np.mean([np.square(a - b).mean() for a, b in zip(each[1:-1], clean[1:-1], strict=True)])
        for each in (derain(network, rainy, fuses=False), derain(network, rainy, fuses=True))
    )
    assert fused < 0.7 * single


def test_the_next_frame_begins_with_the_result(network: FrameNetwork) -> None:
    begun: list[Colours] = []

    def brighten(
        here: Seen, before: Neighbour | None, after: Neighbour | None, fused: Colours
    ) -> Colours:
        begun.append(here.derained if before is None else before.colours)
        return fused + 3

    scene = draw_background(HEIGHT, WIDTH)
    derainer = TemporalDerainer(network, static="on", always=True, fusion=brighten)
    derained = [
        each.derained for number in range(4) if (each := derainer.push(add_streaks(scene, number)))
    ]
    for result, before in zip(derained, begun[1:], strict=False):
        assert np.array_equal(result, before)


@pytest.mark.parametrize("step", [0, 1])
def test_results_that_are_carried_on_do_not_drift(step: int, network: FrameNetwork) -> None:
    clean = [draw_background(HEIGHT, WIDTH, offset=(50, 100 + step * n)) for n in range(30)]
    rainy = [add_streaks(frame, number, levels=50) for number, frame in enumerate(clean)]
    fused = derain(network, rainy, fuses=True)
    errors = [np.square(one - two).mean() for one, two in zip(fused, clean, strict=True)]
    assert np.mean(errors[20:29]) <= 1.1 * np.mean(errors[2:8]) + 0.25
