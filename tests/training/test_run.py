"""Runs of a tiny network from beginning to end."""

import logging
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from crdnet.errors import DataError, RecipeError, TrainingError
from crdnet.training import CRDNetTraining, train
from tests.training.tiny import KILLED, RECIPE, TinyRun
from tests.waiting import HANG_SECONDS


def assert_same(ours: Any, theirs: Any, where: str = "") -> None:
    """Compare two checkpoints' contents to the bit."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), where
        for key in ours:
            assert_same(ours[key], theirs[key], f"{where}/{key}")
    elif isinstance(ours, list | tuple):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(one, other, f"{where}/{index}")
    elif isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs), where
    else:
        assert ours == theirs, where


def test_a_run_killed_and_resumed_ends_where_an_unbroken_one_ends(tiny: TinyRun) -> None:
    train(tiny.arguments("unbroken"))
    tiny.wait_until_killed(tiny.start("killed", KILLED))
    assert tiny.checkpoint("killed")["crdnet"]["epochs"] == 0
    resumed = tiny.start("killed", "--resume")
    _, log = resumed.communicate(timeout=HANG_SECONDS)
    assert resumed.returncode == 0, log
    assert "epoch 2/4" in log

    ours, theirs = tiny.checkpoint("killed"), tiny.checkpoint("unbroken")
    for part in (
        "state_dict",
        "current_model_state",
        "optimizer_states",
        "lr_schedulers",
        "epoch",
        "global_step",
        "crdnet",
    ):
        assert_same(ours[part], theirs[part], part)


def test_a_run_leaves_its_configuration_its_checkpoints_and_its_curves(tiny: TinyRun) -> None:
    run = train(tiny.arguments("a"))
    assert {
        "config.yaml",
        "last.ckpt",
        "best.ckpt",
        "curves",
    } <= {path.name for path in run.iterdir()}
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["optimizer"]["learning_rate"] == 0.01
    assert config["data"]["crop"]["side"] == 16
    curves = EventAccumulator(str(run / "curves"), size_guidance={"images": 0})
    curves.Reload()
    scalars, images = curves.Tags()["scalars"], curves.Tags()["images"]
    assert {
        "loss/image",
        "loss/classifier",
        "loss/structure",
        "validation/psnr",
        "validation/ssim",
        "validation/psnr_y",
        "validation/ssim_y",
        "validation/density_accuracy",
    } <= set(scalars)
    assert len(curves.Scalars("validation/psnr")) == 4
    assert any(name.startswith("rainy-derained-clean/") for name in images)


def test_the_checkpoint_holds_the_average_and_the_weights_it_averages(tiny: TinyRun) -> None:
    train(tiny.arguments("a"))
    checkpoint = tiny.checkpoint("a")
    name = "model.network.refinement.fuse2.conv2.weight"
    average, current = checkpoint["state_dict"][name], checkpoint["current_model_state"][name]
    assert not torch.equal(average, current)
    torch.testing.assert_close(average, current, atol=0.05, rtol=0)


def test_training_makes_the_loss_smaller(tiny: TinyRun) -> None:
    run = train(tiny.arguments("a", "--trainer.max_epochs=8"))
    curves = EventAccumulator(str(run / "curves"))
    curves.Reload()
    losses = [point.value for point in curves.Scalars("loss/image")]
    assert losses[-1] < 0.5 * losses[0]


def test_a_loss_that_is_no_number_stops_the_run_with_the_batchs_names(tiny: TinyRun) -> None:
    with pytest.raises(
        TrainingError, match=r"the loss became nan at step \d+, epoch 0, on (input/\d.png(, |;)){4}"
    ):
        train(tiny.arguments("a", "--model.optimizer.learning_rate=1e30"))


def test_a_run_is_not_begun_on_top_of_another(tiny: TinyRun) -> None:
    train(tiny.arguments("a", "--trainer.max_epochs=1"))
    with pytest.raises(TrainingError, match="already holds a run; add --resume"):
        train(tiny.arguments("a"))


def test_nothing_is_resumed_where_nothing_is(tiny: TinyRun) -> None:
    with pytest.raises(TrainingError, match=r"last\.ckpt does not exist; omit --resume"):
        train(tiny.arguments("a", "--resume"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "--model.network.refinement_width=6",
            r"cannot resume: model\.network\.refinement_width is 6 and was 4; give the values",
        ),
        (
            "--model.classifier.hidden=[5]",
            r"cannot resume: model\.classifier\.hidden is \[5\] and was \[4\]",
        ),
    ],
)
def test_a_run_resumed_as_another_network_is_refused_and_left_as_it_is(
    tiny: TinyRun, option: str, message: str
) -> None:
    run = train(tiny.arguments("a", "--trainer.max_epochs=1"))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(TrainingError, match=message) as caught:
        train(tiny.arguments("a", "--resume", option))
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_the_configuration_is_written_only_when_the_checkpoint_has_been_loaded(
    tiny: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(tiny.arguments("a", "--trainer.max_epochs=1"))
    before = (run / "config.yaml").read_bytes()

    def fail(self: CRDNetTraining, checkpoint: dict[str, Any]) -> None:
        raise RuntimeError("the checkpoint does not load")

    monkeypatch.setattr(CRDNetTraining, "on_load_checkpoint", fail)
    with pytest.raises(RuntimeError, match="does not load"):
        train(tiny.arguments("a", "--resume"))
    assert (run / "config.yaml").read_bytes() == before


def test_the_folder_of_a_run_is_named_by_run_alone(tiny: TinyRun) -> None:
    message = r"--trainer\.default_root_dir is not supported: --run names the folder"
    with pytest.raises(RecipeError, match=message):
        train(tiny.arguments("a", "--trainer.default_root_dir=elsewhere"))
    assert not (tiny.folder / "a").exists()


def test_fast_dev_run_tries_everything_and_leaves_nothing(tiny: TinyRun) -> None:
    run = train(tiny.arguments("a", "--trainer.fast_dev_run=true"))
    assert not list(run.rglob("*.*"))


def test_no_logger_is_one_of_the_choices(tiny: TinyRun) -> None:
    run = train(tiny.arguments("a", "--trainer.logger=false", "--trainer.max_epochs=1"))
    assert {path.name for path in run.iterdir()} == {"config.yaml", "last.ckpt", "best.ckpt"}


@pytest.mark.parametrize("choice", ["curves", "logger"])
def test_losses_rate_and_speed_are_in_the_log_of_any_logger(tiny: TinyRun, choice: str) -> None:
    options = {
        "curves": ["--curves=csv"],
        "logger": [
            "--trainer.logger=pytorch_lightning.loggers.CSVLogger",
            f"--trainer.logger.save_dir={tiny.folder / 'a'}",
            "--trainer.logger.name=",
            "--trainer.logger.version=curves",
        ],
    }
    run = train(tiny.arguments("a", *options[choice], "--trainer.max_epochs=1"))
    columns = (run / "curves" / "metrics.csv").read_text().splitlines()[0].split(",")
    expected = {"loss/total", "loss/image", "learning_rate", "images_per_second"}
    assert expected | {"validation/psnr_y"} <= set(columns)


@pytest.mark.parametrize(("curves", "absent"), [("mlflow", "sqlalchemy"), ("wandb", "wandb")])
def test_a_missing_package_of_curves_is_named_and_nothing_is_left(
    tiny: TinyRun, monkeypatch: pytest.MonkeyPatch, curves: str, absent: str
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(RecipeError, match=f"run: pip install {curves}"):
        train(tiny.arguments("a", f"--curves={curves}"))
    assert not (tiny.folder / "a").exists()


def test_lines_are_logged_within_an_epoch_without_a_terminal(
    tiny: TinyRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("crdnet.training.progress.LINE_SECONDS", 0)
    with caplog.at_level(logging.INFO, logger="crdnet.training"):
        train(tiny.arguments("a", "--trainer.max_epochs=1"))
    assert re.search(r"epoch 1, batch 2 of 4, step 2, .* patches/s: loss ", caplog.text)


class Interrupting(pl.Callback):
    """Ends the first step of the second epoch as Ctrl-C does."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


def test_ctrl_c_saves_the_weights_and_names_resume(
    tiny: TinyRun, caplog: pytest.LogCaptureFixture
) -> None:
    interrupting = f"--trainer.callbacks+={__name__}.Interrupting"
    with (
        caplog.at_level(logging.INFO, logger="crdnet.training"),
        pytest.raises(KeyboardInterrupt),
    ):
        train(tiny.arguments("a", interrupting))
    assert "the same command with --resume goes on after epoch 1" in caplog.text
    assert tiny.checkpoint("a", "interrupted")["global_step"] == 5
    train(tiny.arguments("a", "--resume"))
    train(tiny.arguments("b"))
    assert_same(tiny.checkpoint("a")["state_dict"], tiny.checkpoint("b")["state_dict"])


def test_a_missing_gpu_is_one_line(tiny: TinyRun) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(
        RecipeError, match=r"--trainer\.accelerator gpu does not work here"
    ) as caught:
        train(tiny.arguments("a", "--trainer.accelerator=gpu"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"modle": {"channels_last": True}},
            r"a\.yaml line \d+: there is no key modle; .* model\?",
        ),
        (
            {"model": {"optimizer": {"learning_rte": 1}}},
            r"line \d+: there is no key model\.optimizer\.learning_rte; .*learning_rate\?",
        ),
    ],
)
def test_a_misspelt_key_is_named_with_its_line_and_the_nearest_one(
    tiny: TinyRun, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        train(tiny.arguments("a", recipe=RECIPE | change))


def test_a_misspelt_option_is_named_with_the_nearest_one(tiny: TinyRun) -> None:
    with pytest.raises(RecipeError, match=r"no option --data\.rot; did you mean data\.root\?"):
        train([*tiny.arguments("a"), "--data.rot=pairs"])


def test_validation_scenes_in_the_training_are_refused_when_asked(tiny: TinyRun) -> None:
    with pytest.raises(DataError, match="9 of 9 validation images show scenes of the training"):
        train(tiny.arguments("a", "--leaks=refuse"))


def test_help_is_one_screen_without_torch() -> None:
    code = (
        "import sys; sys.argv = ['crdnet', 'train', '--help']\n"
        "from crdnet.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'jsonargparse' not in sys.modules"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600
    ).stdout
    assert len(shown.splitlines()) <= 40
    assert max(map(len, shown.splitlines())) <= 120


def test_a_recipe_is_tried_on_two_batches(tiny: TinyRun) -> None:
    train(tiny.arguments("a", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"))
    assert tiny.checkpoint("a")["global_step"] == 2


@pytest.mark.parametrize("profiler", ["simple", "advanced"])
def test_the_profile_that_was_asked_for_is_printed(tiny: TinyRun, profiler: str) -> None:
    printed = StringIO()
    handler = logging.StreamHandler(printed)
    logging.getLogger("pytorch_lightning").addHandler(handler)
    try:
        train(tiny.arguments("a", "--trainer.max_epochs=1", f"--trainer.profiler={profiler}"))
    finally:
        logging.getLogger("pytorch_lightning").removeHandler(handler)
    assert "Profiler Report" in printed.getvalue()
    assert "optimizer_step" in printed.getvalue()


def test_an_option_wins_over_the_recipe_wherever_it_stands(tiny: TinyRun) -> None:
    config, *others = tiny.arguments("a")
    run = train(["--trainer.max_epochs=1", *others, config])
    assert tiny.checkpoint("a")["epoch"] == 0
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["max_epochs"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modle": {"channels_last": True}}, "modle"),
        ({"model": {"optimizer": {"learning_rte": 1}}}, "learning_rte"),
        ({"data": {"crop": {"side": "wide"}}}, "side"),
        ({"data": {"crop": {"side": 0}}}, "at least one pixel, got 0"),
        ({"data": {"batch_size": 0}}, "batch_size is at least 1"),
        ({"model": {"optimizer": {"learning_rate": -1.0}}}, "learning rates are above 0"),
    ],
)
def test_a_recipe_that_is_not_understood_is_refused_in_one_line(
    tiny: TinyRun, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        train(tiny.arguments("a", recipe=RECIPE | change))
    assert "\n" not in str(caught.value)
    assert not (tiny.folder / "a").exists()


def test_a_recipe_that_does_not_exist_is_refused(tiny: TinyRun) -> None:
    with pytest.raises(
        RecipeError, match=r"there is no recipe .*nowhere\.yaml'; give a YAML file or one of best, "
    ):
        train([f"--config={tiny.folder / 'nowhere.yaml'}"])


def test_a_data_folder_that_does_not_exist_is_named(tiny: TinyRun) -> None:
    with pytest.raises(DataError, match="nowhere"):
        train(tiny.arguments("a", f"--data.root={tiny.folder / 'nowhere'}"))
    assert not (tiny.folder / "a").exists()


def test_an_image_too_small_for_the_crop_is_named(tiny: TinyRun) -> None:
    with pytest.raises(DataError, match=r"\d.* is 40 x 48, too small for crops of 64"):
        train(tiny.arguments("a", "--data.crop.side=64"))


def test_images_of_several_sizes_cannot_share_a_batch(tiny: TinyRun) -> None:
    for folder in ("input", "target"):
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tiny.pairs / folder / "small.png")
    with pytest.raises(DataError, match="a batch holds images of one size"):
        train(tiny.arguments("a", "--data.crop.side=null"))


def test_a_run_without_validation_needs_none(tiny: TinyRun) -> None:
    run = train(tiny.arguments("a", "--data.validation=null", "--trainer.max_epochs=1"))
    assert not (run / "best.ckpt").exists()
    assert (run / "last.ckpt").exists()


def test_loading_in_other_processes_gives_the_same_run(tiny: TinyRun) -> None:
    train(tiny.arguments("a", "--trainer.max_epochs=1"))
    train(tiny.arguments("b", "--trainer.max_epochs=1", "--data.workers=2"))
    assert_same(tiny.checkpoint("a")["state_dict"], tiny.checkpoint("b")["state_dict"])


@pytest.mark.parametrize(
    "recipe",
    sorted(Path("configs").glob("*.yaml")),
    ids=lambda path: path.stem,
)
def test_the_recipes_that_ship_are_understood(recipe: Path, tmp_path: Path) -> None:
    begins = ["--model.start_from=default"] if recipe.stem == "fine-tune" else []
    with pytest.raises(DataError, match="nowhere"):
        train(
            [
                *begins,
                f"--config={recipe}",
                f"--data.root={tmp_path / 'nowhere'}",
                f"--run={tmp_path / 'run'}",
            ]
        )


def test_the_paper_recipe_states_the_published_settings() -> None:
    recipe = yaml.safe_load(Path("configs/paper.yaml").read_text())
    assert recipe["trainer"]["max_epochs"] == 1000
    assert recipe["data"]["batch_size"] == 16
    assert recipe["data"]["crop"]["side"] is None
    assert recipe["model"]["density_weight"] == 1
    assert recipe["model"]["structure_weight"] == 0.005
    optimizer = recipe["model"]["optimizer"]
    assert (optimizer["learning_rate"], optimizer["classifier_learning_rate"]) == (1e-4, 3e-6)
    assert optimizer["schedule"] == "constant"
    assert recipe["ema_decay"] is None
    assert not re.search(
        "network|classifier:",
        Path("configs/paper.yaml").read_text().split("optimizer:")[0].split("model:")[1],
    )


def test_validation_images_smaller_than_their_padding_are_scored(
    tiny: TinyRun,
    tmp_path: Path,
) -> None:
    small = np.random.default_rng(0).integers(0, 256, (11, 13, 3), dtype=np.uint8)
    for folder in ("input", "target"):
        (tmp_path / "small" / folder).mkdir(parents=True)
        Image.fromarray(small).save(tmp_path / "small" / folder / "a.png")
    network = {
        **RECIPE["model"]["network"],
        "background_widths": [2, 2, 2, 2, 2],
    }  # sides in multiples of 32
    recipe = RECIPE | {"model": RECIPE["model"] | {"network": network}}
    arguments = tiny.arguments("a", "--trainer.max_epochs=1", "--data.crop.side=32", recipe=recipe)
    train([*arguments, f"--data.validation={tmp_path / 'small'}"])
    assert tiny.checkpoint("a", "best")["epoch"] == 0
