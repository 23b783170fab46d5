"""Runs of our own network from beginning to end, and what its batches are made of."""

import os
import subprocess
import sys
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis.strategies import floats, integers
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from crdnet.data import find_pairs
from crdnet.density import RainDensity, compute_intensity
from crdnet.errors import CheckpointError, DataError, RecipeError, TrainingError
from crdnet.export import describe_model, export_network, load_network
from crdnet.nn import build_residual_crdnet, count_kilo_macs
from crdnet.rain import LayerBank, RecordedRain, RecordedWindow
from crdnet.training import MixtureSpec, ResidualSpec, ResidualTraining, train
from crdnet.training.batches import EpochSampler, collate
from crdnet.training.mixture import Mixture, compute_side_before_rotation, rotate_middle
from crdnet.training.residual import ImageLoss, charbonnier, load_teacher
from crdnet.training.sensing import map_intensity, sensing_loss
from tests.conftest import REPOSITORY
from tests.namespaces import make_machines
from tests.ray_machines import make_ray_machines
from tests.training.test_run import assert_same
from tests.training.tiny import KILLED, TinyRun
from tests.training.tiny import RECIPE as TINY
from tests.waiting import HANG_SECONDS

RECIPE: dict[str, Any] = {
    "kind": "residual",
    "seed_everything": 0,
    "ema_decay": 0.5,
    "trainer": {"max_epochs": 3, "accelerator": "cpu", "log_every_n_steps": 1},
    "model": {
        "network": {"width": 4, "scale_widths": [4, 5, 6], "streak_width": 2},
        "optimizer": {"learning_rate": 0.003, "warmup_steps": 2},
    },
    "data": {
        "batch_size": 4,
        "epoch_length": 14,
        "sides": [[0, 16], [1, 32]],
        "bank": {"per_density": 2, "side": 48, "scales": [1.0, 2.0]},
    },
}


PARTS = ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "crdnet")
"""Parts of a checkpoint from which training goes on."""


@pytest.fixture
def backgrounds(tmp_path: Path) -> Path:
    """Three smooth images of 60 x 50, one of them in a folder of its own."""
    rng = np.random.default_rng(1)
    root = tmp_path / "backgrounds"
    (root / "more").mkdir(parents=True)
    for name in ("a.png", "b.png", "more/c.png"):
        small = Image.fromarray(rng.integers(0, 180, (5, 6, 3), dtype=np.uint8))
        small.resize((60, 50), Image.Resampling.BICUBIC).save(root / name)
    return root


@pytest.fixture
def ours(tiny: TinyRun, backgrounds: Path) -> "OurRun":
    return OurRun(tiny, backgrounds)


class OurRun:
    """Starts runs on the backgrounds and the tiny pairs."""

    def __init__(self, tiny: TinyRun, backgrounds: Path) -> None:
        self.tiny = tiny
        self.backgrounds = backgrounds

        self.data = (f"--data.root={backgrounds}", f"--data.pairs={tiny.pairs}")

    def train(self, name: str, *more: str, change: dict[str, Any] | None = None) -> Path:
        return train(self.tiny.arguments(name, *self.data, *more, recipe=RECIPE | (change or {})))

    def start(self, name: str, *more: str) -> "subprocess.Popen[str]":
        return self.tiny.start(name, *self.data, *more, recipe=RECIPE)

    def compute_losses(self, name: str) -> dict[int, tuple[float, float]]:
        """Return the mean losses of each epoch, by the step that it ended at."""
        curves = EventAccumulator(str(self.tiny.folder / name / "curves"))
        curves.Reload()
        image, density = curves.Scalars("loss/image"), curves.Scalars("loss/classifier")
        return {
            one.step: (one.value, other.value)
            for one, other in zip(
                image,
                density,
                strict=True,
            )
        }


@pytest.mark.parametrize(("workers", "rule"), [(0, "adamw"), (2, "muon")])
def test_a_run_stopped_after_an_epoch_and_resumed_ends_where_an_unbroken_one_ends(
    ours: OurRun, monkeypatch: pytest.MonkeyPatch, workers: int, rule: str
) -> None:
    by_rule = f"--model.optimizer.rule={rule}"
    ours.train("unbroken", by_rule)

    def stop(module: ResidualTraining) -> None:
        if module.current_epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ResidualTraining, "on_train_epoch_start", stop)
        with pytest.raises(KeyboardInterrupt):
            ours.train("stopped", by_rule, f"--data.workers={workers}")
    assert ours.tiny.checkpoint("stopped")["crdnet"]["epochs"] == 0
    ours.train("stopped", "--resume", by_rule, f"--data.workers={workers}")
    resumed, unbroken = ours.tiny.checkpoint("stopped"), ours.tiny.checkpoint("unbroken")
    for part in PARTS:
        assert_same(resumed[part], unbroken[part], part)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model.network.width=6"], r"model\.network\.width is 6 and was 4;"),
        (["--model.optimizer.rule=muon"], r"model\.optimizer\.rule is muon and was adamw;"),
        (["--model.sensing_alone=true"], r"model\.sensing_alone is True and was False;"),
    ],
)
def test_a_run_resumed_as_another_training_is_refused_and_left_as_it_is(
    ours: OurRun, options: list[str], message: str
) -> None:
    run = ours.train("a", "--trainer.max_epochs=1")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(TrainingError, match=f"cannot resume: {message}"):
        ours.train("a", "--resume", *options)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_resumed_as_another_kind_is_refused(ours: OurRun) -> None:
    ours.train("a", "--trainer.max_epochs=1")
    with pytest.raises(TrainingError, match="cannot resume: kind is published and was residual;"):
        train(ours.tiny.arguments("a", "--resume"))


def test_a_run_killed_and_resumed_ends_where_an_unbroken_one_ends(ours: OurRun) -> None:
    ours.train("unbroken")
    ours.tiny.wait_until_killed(ours.start("killed", KILLED))
    assert ours.tiny.checkpoint("killed")["crdnet"]["epochs"] == 0
    ours.train("killed", "--resume")
    resumed, unbroken = ours.tiny.checkpoint("killed"), ours.tiny.checkpoint("unbroken")
    for part in PARTS:
        assert_same(resumed[part], unbroken[part], part)


@pytest.mark.slow
def test_two_processes_killed_and_resumed_take_the_steps_of_one_with_twice_the_batch(
    ours: OurRun,
) -> None:
    # An epoch of one step, so that what is logged of an epoch is the loss of a step.
    steps = ("--data.epoch_length=8", "--trainer.max_epochs=6", "--data.validation=null")
    ours.train("one", *steps, "--data.batch_size=8")
    two = (*steps, "--trainer.devices=2", "--trainer.strategy=ddp", "--data.batch_size=4")
    ours.tiny.wait_until_killed(ours.start("two", *two, KILLED))
    begun = ours.tiny.checkpoint("two")["global_step"]
    assert begun == 1
    resumed = ours.start("two", *two, "--resume")
    _, log = resumed.communicate(timeout=HANG_SECONDS)
    assert resumed.returncode == 0, log
    assert log.count("epoch 6/6") == 1, log
    assert "Warning" not in log

    alone, together = ours.compute_losses("one"), ours.compute_losses("two")
    assert list(alone) == [0, 1, 2, 3, 4, 5]
    assert set(together) >= set(range(begun, 6))
    for step, losses in together.items():
        # Means of two halves instead of one mean, in float32: errors of 1e-7 that AdamW, which
        # divides gradients by their own size, passes on to the steps that follow. Other batches
        # would differ by tenths.
        assert losses == pytest.approx(alone[step], rel=1e-3)
    for name, weight in ours.tiny.checkpoint("one")["current_model_state"].items():
        other = ours.tiny.checkpoint("two")["current_model_state"][name]
        torch.testing.assert_close(other, weight, rtol=0, atol=1e-3)  # six steps of up to 3e-3


@pytest.mark.slow
def test_two_machines_under_torchrun_take_the_steps_of_one_with_twice_the_batch(
    ours: OurRun,
) -> None:
    steps = ("--data.epoch_length=8", "--trainer.max_epochs=3", "--data.validation=null")
    ours.train("one", *steps, "--data.batch_size=8")
    two = (*steps, "--trainer.devices=1", "--trainer.num_nodes=2", "--trainer.strategy=ddp")
    words = ours.tiny.arguments("two", *ours.data, *two, "--data.batch_size=4", recipe=RECIPE)
    with make_machines(2) as machines:
        running = [
            subprocess.Popen(
                [
                    *machine.prefix,
                    *(sys.executable, "-m", "torch.distributed.run", "--nnodes=2"),
                    *(f"--node-rank={rank}", f"--master-addr={machines[0].address}"),
                    *("--master-port=29500", "--nproc-per-node=1", "-m", "--"),
                    *("crdnet.cli", "train", *words),
                ],
                cwd=REPOSITORY,
                env={**os.environ, **machine.environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank, machine in enumerate(machines)
        ]
        logs = [process.communicate(timeout=HANG_SECONDS)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], logs
    alone, together = ours.compute_losses("one"), ours.compute_losses("two")
    assert list(together) == list(alone) == [0, 1, 2]
    for step, losses in together.items():
        assert losses == pytest.approx(alone[step], rel=1e-3)  # see the test before


@pytest.mark.slow
def test_two_machines_under_ray_train_take_the_steps_of_one_with_twice_the_batch(
    ours: OurRun,
) -> None:
    pytest.importorskip("ray", reason="needs the extra cluster")
    steps = ("--data.epoch_length=8", "--trainer.max_epochs=3", "--data.validation=null")
    ours.train("one", *steps, "--data.batch_size=8")
    options = (*ours.data, *steps, "--data.batch_size=4")
    words = ours.tiny.arguments("two", *options, recipe=RECIPE)
    with make_ray_machines(1, 1) as machines:
        script = REPOSITORY / "examples/train_on_ray.py"
        driver = machines[0].start(script, 2, *words, cwd=REPOSITORY, stderr=subprocess.STDOUT)
        log, _ = driver.communicate(timeout=HANG_SECONDS)
    assert driver.returncode == 0, log
    alone, together = ours.compute_losses("one"), ours.compute_losses("two")
    assert list(together) == list(alone) == [0, 1, 2]
    for step, losses in together.items():
        assert losses == pytest.approx(alone[step], rel=1e-3)  # see the test before


def test_a_run_says_its_speed_draws_its_curves_and_can_be_exported(
    ours: OurRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "crdnet.training")
    run = ours.train("a", "--trainer.max_epochs=2")
    assert "patches/s" in caplog.text
    curves = EventAccumulator(str(run / "curves"))
    curves.Reload()
    scalars = set(curves.Tags()["scalars"])
    assert {
        "loss/image",
        "loss/classifier",
        "validation/psnr_y",
        "validation/density_accuracy",
    } <= scalars
    network = load_network(run / "last.ckpt")
    report = export_network(network, tmp_path / "ours.onnx", describe_model(network, "ours"))
    assert 0 < report.largest_difference < 1e-4
    about = ours.tiny.checkpoint("a")["crdnet"]
    assert about["kind"] == "residual"
    assert about["network"]["scale_widths"] == [4, 5, 6]


def test_steps_on_one_batch_make_both_losses_smaller(backgrounds: Path, pairs: Path) -> None:
    torch.manual_seed(0)
    samples = mixture(backgrounds, pairs, MixtureSpec(synthetic=1.0, real=0.0))
    batch = collate([samples[(3, index)] for index in range(4)])
    network = build_residual_crdnet(16, (16, 16, 16), 8)
    optimizer = torch.optim.AdamW(network.parameters(), 0.003)
    truth = map_intensity(batch.rainy, batch.clean, network.size_multiple)
    seen = []
    for _ in range(80):
        estimate = network.sense(batch.rainy)
        assert estimate.density is not None
        image, density = (
            charbonnier(estimate.derained, batch.clean),
            sensing_loss(estimate.density, truth, "intensity"),
        )
        optimizer.zero_grad()
        (image + 0.01 * density).backward()
        optimizer.step()
        seen.append((image.item(), density.item()))
    assert seen[-1][0] < 0.7 * seen[0][0]
    assert seen[-1][1] < 0.7 * seen[0][1]


@pytest.mark.parametrize("says", [None, "code", "classes"])
def test_a_run_of_an_ablation_trains(ours: OurRun, says: str | None) -> None:
    network = RECIPE["model"]["network"] | {"sensing": says, "dilations": [], "second_pass": False}
    run = ours.train("a", "--trainer.max_epochs=1", change={"model": {"network": network}})
    load_network(run / "last.ckpt")
    curves = EventAccumulator(str(run / "curves"))
    curves.Reload()
    assert ("validation/density_accuracy" in curves.Tags()["scalars"]) == (says is not None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"kind": "resdual"},
            "kind must be one of published, published-mixed, residual, pairs, got 'resdual'",
        ),
        ({"model": {"network": {"widht": 4}}}, "widht"),
        ({"model": {"optimizer": {"learning_rate": -1.0}}}, "learning rate is above 0"),
        ({"data": {"mixture": {"synthetic": 0.8, "real": 0.3}}}, "sum to at most 1"),
        ({"data": {"sides": [[1, 16]]}}, "sides begin at epoch 0"),
        ({"data": {"sides": [[0, 400]]}}, r"at most the bank's layers, got sides .*400"),
        ({"data": {"mixture": {"jpeg_quality": [90, 20]}}}, "jpeg_quality"),
        ({"data": {"mixture": {"rotation": 46.0}}}, "rotation in 0 to 45 degrees, got 0.5, 46.0"),
    ],
)
def test_a_recipe_that_is_not_understood_is_refused_in_one_line(
    ours: OurRun, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        ours.train("a", change=change)
    assert "\n" not in str(caught.value)
    assert not (ours.tiny.folder / "a").exists()


def test_an_option_wins_over_the_recipe_for_the_kind_too(tiny: TinyRun) -> None:
    with pytest.raises(RecipeError, match="batch_size is at least 1, workers"):
        train(["--kind=residual", f"--data.root={tiny.pairs}", "--data.batch_size=0"])


def test_a_folder_without_backgrounds_is_named(ours: OurRun, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DataError,
        match="empty holds no images; name a folder of images without rain",
    ):
        ours.train("a", f"--data.root={tmp_path / 'empty'}")


@given(length=integers(1, 60), processes=integers(1, 4), batch=integers(1, 5), epoch=integers(0, 3))
def test_processes_deal_an_epoch_out_without_repeating_anything(
    length: int, processes: int, batch: int, epoch: int
) -> None:
    alone = EpochSampler(length, 7)
    together = [EpochSampler(length, 7, process, processes) for process in range(processes)]
    for sampler in (alone, *together):
        sampler.set_epoch(epoch)
    dealt = [list(sampler) for sampler in together]
    assert {len(each) for each in dealt} == {len(together[0])} == {length // processes}
    order = list(alone)
    for step in range(length // (processes * batch)):
        ours = [address for each in dealt for address in each[step * batch : (step + 1) * batch]]
        theirs = order[step * processes * batch : (step + 1) * processes * batch]
        assert sorted(ours) == sorted(theirs)


def mixture(
    backgrounds: Path,
    pairs: Path | None,
    spec: MixtureSpec,
    *,
    recorded: RecordedRain | None = None,
    in_memory: bool = False,
) -> Mixture:
    bank = LayerBank.draw(np.random.default_rng(0), per_density=2, side=48)
    found = [] if pairs is None else find_pairs(pairs)
    paths = sorted(backgrounds.rglob("*.png"))
    sides = ((0, 16), (3, 32))
    return Mixture(paths, found, bank, recorded, spec, sides, 40, seed=7, in_memory=in_memory)


def test_the_shares_are_kept_and_dry_images_are_dry(backgrounds: Path, pairs: Path) -> None:
    mixed = mixture(backgrounds, pairs, MixtureSpec())
    samples = [mixed[(0, index)] for index in range(300)]
    real = [each for each in samples if each.names[0].startswith("input/")]
    dry = [each for each in samples if torch.equal(each.rainy, each.clean)]
    assert 0.22 < len(real) / 300 < 0.38
    assert 0.06 < len(dry) / 300 < 0.16
    assert all(each.codes.tolist() == list(RainDensity.NONE.code) for each in dry)
    grades = [RainDensity.from_scores(each.codes.numpy()) for each in samples]
    assert min(grades.count(grade) for grade in RainDensity) > 20


def test_without_pairs_their_share_is_synthetic(backgrounds: Path) -> None:
    mixed = mixture(backgrounds, None, MixtureSpec())
    samples = [mixed[(0, index)] for index in range(100)]
    assert sum(torch.equal(each.rainy, each.clean) for each in samples) < 25


def test_recorded_rain_has_its_share_and_without_clips_drops_have_it(backgrounds: Path) -> None:
    spec = MixtureSpec(synthetic=0.0, real=0.0, recorded=0.5)
    white = np.full((32, 32, 3), 255, np.uint8)
    window = RecordedWindow(white, behind=60.0, strength=127.0)
    with_clips = mixture(backgrounds, None, spec, recorded=RecordedRain(((window,),)))
    without = mixture(backgrounds, None, spec)
    brightened = []
    for mixed in (with_clips, without):
        samples = [mixed[(0, index)] for index in range(200)]
        rainy = [each for each in samples if not torch.equal(each.rainy, each.clean)]
        assert 0.35 < len(rainy) / 200 < 0.65
        everywhere = [each for each in rainy if (each.rainy > each.clean).float().mean() > 0.8]
        brightened.append(len(everywhere) / len(rainy))
    # This recorded rain brightens every pixel, and single drops do not.
    assert brightened[0] > 0.8
    assert brightened[1] < 0.4


def test_the_clean_images_of_pairs_are_rained_on_too_as_often_as_asked_for(
    backgrounds: Path, pairs: Path
) -> None:
    def from_pairs(share: float) -> int:
        mixed = mixture(backgrounds, pairs, MixtureSpec(synthetic=0.8, real=0.0, borrowed=share))
        samples = [mixed[(0, index)] for index in range(200)]
        borrowed = [each for each in samples if each.names[0].startswith("input/")]
        if borrowed:
            assert (
                0.1
                < sum(torch.equal(each.rainy, each.clean) for each in borrowed) / len(borrowed)
                < 0.35
            )
        return len(borrowed)

    assert from_pairs(0.0) == 0
    assert 60 < from_pairs(0.4) < 100
    assert from_pairs(1.0) == 200


def test_the_published_network_learns_from_the_same_mixture(ours: OurRun) -> None:
    """Its weights in whole numbers, its SSIM too where the rest is computed in bfloat16."""
    recipe = TINY | {"kind": "published-mixed", "data": RECIPE["data"], "model": TINY["model"]}
    ours.train("mixed", "--trainer.precision=bf16-mixed", change=recipe)
    network = load_network(ours.tiny.folder / "mixed" / "last.ckpt")
    assert all(weight.dtype == torch.float32 for weight in network.parameters())
    curves = EventAccumulator(str(ours.tiny.folder / "mixed" / "curves"))
    curves.Reload()
    assert all(0 < each.value < 2 for each in curves.Scalars("loss/structure"))


def test_a_sample_follows_from_seed_epoch_and_index_alone(backgrounds: Path, pairs: Path) -> None:
    one = mixture(backgrounds, pairs, MixtureSpec())
    other = mixture(backgrounds, pairs, MixtureSpec(), in_memory=True)
    for index in (5, 3, 5, 0):
        assert torch.equal(one[(2, index)].rainy, other[(2, index)].rainy)
        assert torch.equal(one[(2, index)].clean, other[(2, index)].clean)
    assert not torch.equal(one[(2, 5)].clean, one[(1, 5)].clean)


def test_crops_grow_as_the_schedule_says(backgrounds: Path, pairs: Path) -> None:
    samples = mixture(backgrounds, pairs, MixtureSpec())
    assert [samples[(epoch, 0)].rainy.shape[-1] for epoch in (0, 2, 3, 9)] == [16, 16, 32, 32]


def test_both_images_of_a_real_pair_are_resized_mirrored_and_exposed_alike(
    backgrounds: Path, tmp_path: Path
) -> None:
    # Rain that is one level everywhere stays one level wherever a crop is taken, if both images are
    # cut alike.
    rng = np.random.default_rng(3)
    small = rng.integers(0, 150, (5, 6, 3), dtype=np.uint8)
    clean = np.asarray(Image.fromarray(small).resize((48, 40), Image.Resampling.BICUBIC))
    for folder, image in (("input", clean + np.uint8(40)), ("target", clean)):
        (tmp_path / "flat" / folder).mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / "flat" / folder / "1.png")
    mixed = mixture(
        backgrounds,
        tmp_path / "flat",
        MixtureSpec(synthetic=0.0, real=1.0, exposure=0.0),
    )
    for index in range(20):
        sample = mixed[(0, index)]
        difference = 255 * (sample.rainy - sample.clean)
        assert difference.min() > 37.5  # bicubic resizing rounds, and overshoots where it clips
        assert difference.max() < 42.5


def test_every_kind_of_sample_is_graded_both_images_alike(backgrounds: Path, pairs: Path) -> None:
    kinds: tuple[dict[str, Any], ...] = (
        {"synthetic": 1.0},
        {"real": 1.0},
        {"drops": 1.0},
        {"camera": 1.0},
        {},
    )
    nothing = {"synthetic": 0.0, "real": 0.0, "lookalikes": 0.0, "jpeg": 0.0}
    for shares in kinds:
        plain, coloured = (
            mixture(backgrounds, pairs, MixtureSpec(**nothing | shares, grading=share))
            for share in (0.0, 1.0)
        )
        changed = sum(
            not np.array_equal(plain[(0, index)].clean, coloured[(0, index)].clean)
            for index in range(8)
        )
        assert changed >= 7, shares
        if not shares:
            assert all(np.array_equal(*coloured[(0, index)][:2]) for index in range(8))


def test_the_label_is_the_grade_of_the_crop_and_not_of_the_image(
    backgrounds: Path,
    pairs: Path,
) -> None:
    samples = mixture(backgrounds, pairs, MixtureSpec())
    for index in range(40):
        sample = samples[(0, index)]
        rainy, clean = (
            (255 * each)
            .round()
            .byte()
            .permute(
                1,
                2,
                0,
            )
            .numpy()
            for each in (sample.rainy, sample.clean)
        )
        assert (
            tuple(sample.codes.tolist())
            == RainDensity.from_intensity(compute_intensity(rainy, clean)).code
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lookalikes": -0.1}, "lookalikes is a share in 0 to 1, got -0.1"),
        ({"lookalikes": 1.1}, "lookalikes is a share in 0 to 1, got 1.1"),
        ({"lookalikes": nan}, "lookalikes is a share in 0 to 1, got nan"),
        ({"jpeg": 1.5}, "jpeg is a share in 0 to 1, got 1.5"),
        ({"grading": 1.1}, "grading is a share in 0 to 1, got 1.1"),
        ({"borrowed": -0.1}, "borrowed is a share in 0 to 1, got -0.1"),
        ({"rotation": -1.0}, "rotation in 0 to 45 degrees, got 0.5, -1.0"),
        ({"rotation": 45.5}, "got 0.5, 45.5"),
        ({"rotation": nan}, "got 0.5, nan"),
        ({"exposure": -0.5}, "exposure is at least 0"),
        ({"exposure": inf}, "exposure is at least 0 and finite"),
        ({"zoom": (0.0, 1.0)}, "zoom is a low and a high factor above 0"),
        ({"zoom": (0.5, inf)}, r"zoom .* got \(0.5, inf\)"),
        ({"synthetic": nan}, "shares are at least 0"),
    ],
)
def test_numbers_that_no_mixture_can_have_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        MixtureSpec(**change)


def test_lookalikes_stand_in_as_many_dry_images_as_asked_for(backgrounds: Path) -> None:
    def lively(share: float) -> list[bool]:
        mixed = mixture(backgrounds, None, MixtureSpec(synthetic=0.0, real=0.0, lookalikes=share))
        plain = mixture(backgrounds, None, MixtureSpec(synthetic=0.0, real=0.0, lookalikes=0.0))
        pairs = [(mixed[(0, index)], plain[(0, index)]) for index in range(150)]
        assert all(torch.equal(each.rainy, each.clean) for each, _ in pairs)
        # JPEG is drawn after the lookalike, so images without one may differ by it: slightly.
        return [bool((each.clean - other.clean).abs().max() > 0.15) for each, other in pairs]

    assert sum(lively(0.0)) == 0
    assert 0.25 < np.mean(lively(0.4)) < 0.55
    assert np.mean(lively(1.0)) > 0.9


def test_both_images_of_a_pair_are_rotated_alike(backgrounds: Path, tmp_path: Path) -> None:
    # Without rain two images are one; they stay one if every sample of them is shown alike.
    for folder in ("input", "target"):
        (tmp_path / "dry" / folder).mkdir(parents=True)
        image = np.random.default_rng(5).integers(0, 256, (60, 70, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "dry" / folder / "1.png")
    mixed = mixture(
        backgrounds,
        tmp_path / "dry",
        MixtureSpec(synthetic=0.0, real=1.0, rotation=45.0),
    )
    upright = mixture(
        backgrounds,
        tmp_path / "dry",
        MixtureSpec(synthetic=0.0, real=1.0, rotation=0.0),
    )
    samples = [mixed[(0, index)] for index in range(60)]
    assert all(torch.equal(each.rainy, each.clean) for each in samples)
    turned = [
        not torch.equal(each.clean, upright[(0, index)].clean) for index, each in enumerate(samples)
    ]
    assert 0.1 < np.mean(turned) < 0.45  # a quarter


def test_tilted_samples_show_rain_up_to_sixty_degrees_from_where_it_was(
    tmp_path: Path, backgrounds: Path
) -> None:
    # What the rain adds grows along x, so its gradient tells by how much a sample was rotated.
    clean = np.full((120, 120, 3), 60, np.uint8)
    rainy = clean + np.arange(120, dtype=np.uint8)[None, :, None]
    for folder, image in (("input", rainy), ("target", clean)):
        (tmp_path / "ramp" / folder).mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / "ramp" / folder / "1.png")
    spec: dict[str, Any] = {
        "synthetic": 0.0,
        "real": 1.0,
        "exposure": 0.0,
        "rotation": 0.0,
        "zoom": (1.0, 1.0),
    }

    def measure_angles(share: float) -> npt.NDArray[np.float64]:
        mixed = mixture(backgrounds, tmp_path / "ramp", MixtureSpec(**spec, tilted=share))
        angles = []
        for index in range(60):
            sample = mixed[(0, index)]
            added = (sample.rainy - sample.clean)[0].numpy()
            down, right = (float(np.diff(added, axis=axis).mean()) for axis in (0, 1))
            angles.append(np.degrees(np.arctan2(down, abs(right))))
        return np.array(angles)

    assert np.abs(measure_angles(0.0)).max() < 1
    every = np.abs(measure_angles(1.0))
    assert 50 < every.max() < 62
    assert 0.25 < np.mean(every > 30) < 0.75  # half
    assert 0.2 < np.mean(np.abs(measure_angles(0.5)) > 1) < 0.75  # half


@given(side=integers(1, 64), angle=floats(-90, 90))
@settings(deadline=None)
def test_no_corner_from_outside_the_image_is_rotated_in(side: int, angle: float) -> None:
    drawn = compute_side_before_rotation(side, angle)
    white = np.full((drawn, drawn, 3), 255, np.uint8)
    rotated = rotate_middle(white, angle, side)
    assert rotated.shape == (side, side, 3)
    assert rotated.min() == 255


def test_a_rotated_image_is_the_image_of_a_rotated_scene() -> None:
    # A ramp along x, rotated by an angle, is a ramp along the direction of that angle.
    side, angle = 31, 30.0
    drawn = compute_side_before_rotation(side, angle)
    middle = (drawn - 1) / 2
    ramp = np.rint(128 + 2 * (np.arange(drawn) - middle)).astype(np.uint8)
    rotated = rotate_middle(np.tile(ramp[None, :, None], (drawn, 1, 3)), angle, side)
    y, x = np.mgrid[:side, :side] + (drawn - side) // 2 - middle
    expected = 128 + 2 * (x * np.cos(np.radians(angle)) - y * np.sin(np.radians(angle)))
    assert np.abs(rotated[..., 0] - expected).max() < 1.5  # rounded twice


def test_crops_that_the_network_cannot_take_are_refused_before_the_first_epoch(
    ours: OurRun,
) -> None:
    with pytest.raises(
        RecipeError, match=r"multiples of 16, got sides \[\(0, 16\), \(1, 24\)\]; change data.sides"
    ):
        ours.train("a", change={"data": RECIPE["data"] | {"sides": [[0, 16], [1, 24]]}})
    assert not (ours.tiny.folder / "a").exists()


def test_a_run_in_half_precision_trains_on_the_cpu_and_keeps_whole_weights(ours: OurRun) -> None:
    ours.train("whole", "--trainer.max_epochs=1")
    ours.train("half", "--trainer.max_epochs=1", "--trainer.precision=bf16-mixed")
    whole, half = ours.compute_losses("whole"), ours.compute_losses("half")
    assert half.keys() == whole.keys()
    for step in whole:
        assert half[step] == pytest.approx(whole[step], rel=0.02)  # bfloat16 has 8 bits
        assert half[step] != whole[step]
    weights = ours.tiny.checkpoint("half")["state_dict"]
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


def best_recipe() -> dict[str, Any]:
    recipe: dict[str, Any] = yaml.safe_load(Path("configs/best.yaml").read_text())
    return recipe


def test_the_recipe_of_best_keeps_its_budget() -> None:
    network = build_residual_crdnet(**best_recipe()["model"]["network"])
    assert sum(each.numel() for each in network.parameters()) == 2_290_957
    assert network.tile_margin == 128
    assert sum(count_kilo_macs(network).values()) == pytest.approx(55.72, abs=0.01)


def test_the_recipe_of_best_trains_and_default_learns_from_it(ours: OurRun) -> None:
    recipe = best_recipe()
    short = {"max_epochs": 2, "accelerator": "cpu", "log_every_n_steps": 1}
    data = {
        **RECIPE["data"],
        "mixture": recipe["data"]["mixture"],
        "epoch_length": 4,
        "sides": [[0, 16]],
    }
    run = ours.train("best", change={**recipe, "trainer": recipe["trainer"] | short, "data": data})
    assert load_network(run / "last.ckpt").tile_margin == 128
    losses = ours.compute_losses("best")
    assert list(losses) == [0, 1]

    ours.train("alone", "--trainer.max_epochs=1")
    ours.train("pupil", "--trainer.max_epochs=1", f"--model.teacher={run / 'last.ckpt'}")
    alone, pupil = ours.tiny.checkpoint("alone"), ours.tiny.checkpoint("pupil")
    assert alone["state_dict"].keys() == pupil["state_dict"].keys()
    assert any(
        not torch.equal(
            weight,
            pupil["state_dict"][name],
        )
        for name, weight in alone["state_dict"].items()
    )


def test_a_pupil_comes_nearer_to_its_teacher(
    pairs: Path,
    backgrounds: Path,
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    spec = ResidualSpec(width=8, scale_widths=(8, 8, 8), streak_width=4)
    wise = ResidualTraining(spec)
    torch.nn.init.normal_(wise.network.head[-1].weight, std=0.05)  # type: ignore[arg-type]
    state = {name: weight.clone() for name, weight in wise.state_dict().items()}
    torch.save({"crdnet": wise.describe(), "state_dict": state}, tmp_path / "wise.ckpt")
    pupil = ResidualTraining(spec, teacher=tmp_path / "wise.ckpt", teacher_weight=10.0)
    assert pupil.state_dict().keys() == wise.state_dict().keys()

    batch = collate([mixture(backgrounds, pairs, MixtureSpec())[(0, index)] for index in range(4)])
    optimizer = torch.optim.AdamW(pupil.parameters(), 0.003)
    seen = []
    for _ in range(40):
        losses, total = pupil.compute_losses(batch)
        assert total.item() == pytest.approx(
            losses["image"].item()
            + 0.01 * losses["classifier"].item()
            + 10 * losses["teacher"].item(),
            rel=1e-5,
        )
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        seen.append(losses["teacher"].item())
    assert seen[-1] < 0.6 * seen[0]
    teacher = load_teacher(tmp_path / "wise.ckpt")
    assert all(
        torch.equal(
            weight,
            state[f"network.{name}"],
        )
        for name, weight in teacher.state_dict().items()
    )


def test_what_cannot_teach_is_named(tiny: TinyRun, tmp_path: Path) -> None:
    torch.save(
        {"crdnet": {"kind": "published", "network": {}}, "state_dict": {}},
        tmp_path / "theirs.ckpt",
    )
    with pytest.raises(
        CheckpointError,
        match=r"cannot start from .*theirs\.ckpt: it is not a checkpoint",
    ):
        ResidualTraining(teacher=tmp_path / "theirs.ckpt")
    spec = ResidualSpec(width=4, scale_widths=(4, 4, 4, 4), streak_width=2)
    deep = ResidualTraining(spec)
    torch.save({"crdnet": deep.describe(), "state_dict": deep.state_dict()}, tmp_path / "deep.ckpt")
    with pytest.raises(
        RecipeError,
        match=r"deep\.ckpt cannot be the teacher: it needs sides in multiples of 32",
    ):
        ResidualTraining(teacher=tmp_path / "deep.ckpt")


def test_the_density_head_alone_is_trained_on_a_network_that_stays_as_it_is(ours: OurRun) -> None:
    whole = ours.train("whole", "--trainer.max_epochs=1") / "last.ckpt"
    recipe = yaml.safe_load(Path("configs/default-sensing.yaml").read_text())
    data = {**RECIPE["data"], "mixture": recipe["data"]["mixture"]}
    alone = ours.train(
        "alone",
        "--trainer.max_epochs=1",
        f"--model.start_from={whole}",
        "--model.sensing_alone=true",
        change={"data": data},
    )
    before, after = (ours.tiny.checkpoint(name)["state_dict"] for name in ("whole", "alone"))
    assert before.keys() == after.keys()
    for name, weight in before.items():
        assert torch.equal(weight, after[name]) != name.startswith("network.sensing."), name
    assert load_network(alone / "last.ckpt").sensing is not None
    losses = ours.compute_losses("alone")
    assert list(losses) == [2]


def test_training_starts_from_a_network_that_can_grow_into_its_own_and_a_head_must_be_there(
    tmp_path: Path,
) -> None:
    small = ResidualTraining(ResidualSpec(width=5, scale_widths=(4, 4, 4), streak_width=2))
    torch.save(
        {"crdnet": small.describe(), "state_dict": small.state_dict()},
        tmp_path / "small.ckpt",
    )
    with pytest.raises(
        CheckpointError, match=r"small\.ckpt does not fit the recipe's network: .* whole multiples"
    ):
        ResidualTraining(start_from=tmp_path / "small.ckpt")
    with pytest.raises(RecipeError, match=r"network\.sensing is null"):
        ResidualTraining(ResidualSpec(sensing=None), sensing_alone=True)


@pytest.mark.parametrize(("loss", "weight"), [("psnr", 0.5), ("charbonnier", 2.0)])
def test_a_weight_of_rain_is_of_the_loss_by_psnr_and_at_least_1(
    loss: ImageLoss, weight: float
) -> None:
    with pytest.raises(RecipeError, match="rain_weight is at least 1, and 1 for every loss but"):
        ResidualTraining(loss=loss, rain_weight=weight)


def test_the_recipe_without_research_data_trains_the_network_of_default(ours: OurRun) -> None:
    recipe = yaml.safe_load(Path("configs/default-clear.yaml").read_text())
    stages = yaml.safe_load(Path("configs/default.yaml").read_text())
    assert recipe["model"]["network"] == stages["model"]["network"]
    short = {"max_epochs": 1, "accelerator": "cpu", "log_every_n_steps": 1}
    data = {
        **RECIPE["data"],
        "mixture": recipe["data"]["mixture"],
        "epoch_length": 4,
        "sides": [[0, 16]],
    }
    change = {**recipe, "trainer": recipe["trainer"] | short, "data": data}
    only_photographs = f"--data.root={ours.backgrounds}"
    run = train(ours.tiny.arguments("clear", only_photographs, recipe=RECIPE | change))
    assert load_network(run / "last.ckpt").tile_margin == 128
