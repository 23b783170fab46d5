"""Training run: a folder with its configuration, checkpoints and curves.

    runs/a/config.yaml   complete configuration
    runs/a/last.ckpt     checkpoint after the latest epoch; `--resume` starts here
    runs/a/best.ckpt     checkpoint with the best PSNR on luma, if there is a validation set
    runs/a/curves/       TensorBoard

Checkpoints are written whole or not at all, so a run may be killed at any moment.
"""

import argparse
import contextlib
import logging
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jsonargparse
import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint, RichProgressBar
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from crdnet.errors import RecipeError, TrainingError
from crdnet.files import write_whole
from crdnet.nn import read_checkpoint
from crdnet.recipes import find_recipe
from crdnet.training.base import MONITOR, DerainingTraining
from crdnet.training.batches import Batch, PairsData
from crdnet.training.crdnet import CRDNetTraining
from crdnet.training.image_log import ImageLog
from crdnet.training.mixture import MixedData
from crdnet.training.residual import ResidualTraining
from crdnet.training.visdom_curves import VisdomCurves

_log = logging.getLogger("crdnet.training")

Kind = Literal["published", "published-mixed", "residual"]
KINDS: dict[str, tuple[type[DerainingTraining], type[pl.LightningDataModule]]] = {
    "published": (CRDNetTraining, PairsData),
    "published-mixed": (CRDNetTraining, MixedData),
    "residual": (ResidualTraining, MixedData),
}
"""Training and data of a recipe by its key `kind`.

`published` trains the published network on pairs, `published-mixed` the same network on mixed data,
and `residual` the residual network (`default`, `best`) on mixed data.
"""

LAST = "last.ckpt"
CONFIG = "config.yaml"

_DECIDED = {
    "logger": (None, "--curves chooses where curves are shown, tensorboard or visdom"),
    "default_root_dir": (None, "--run names the folder of the run"),
    "fast_dev_run": (
        False,
        "it would leave no checkpoint; "
        "try a recipe with --trainer.max_epochs 1 --trainer.limit_train_batches 2",
    ),
}
"""Refused options of the Lightning trainer: their only value, and the alternative."""


# Warnings of Lightning about choices of this module, or without use to a user.
_NOISE = (
    r"(?s).*JSONARGPARSE_DEPRECATION_WARNINGS",
    r"(?s).*was deprecated in v4\.\d+\.\d+ and will be removed in v5",
    r".*isinstance\(treespec, LeafSpec\)",
    r".*does not have many workers",
    r".*smaller than the logging interval",
    r"Checkpoint directory .* exists and is not empty",
)


class RunConfig(pl.Callback):
    """Write the configuration into the run's folder when training begins.

    Writing it earlier would overwrite the configuration of a run that then fails to resume.
    """

    def __init__(self, run: Path, config: str) -> None:
        self._run = run
        self._config = config

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the file; a resumed run has loaded its checkpoint at this point."""
        del trainer
        write_whole(self._run / CONFIG, self._config.encode())
        _log.info(
            "%d parameters are trained; the run is in %s",
            _count_parameters(pl_module),
            self._run,
        )


class EpochLines(pl.Callback):
    """Log one line per epoch, for runs without a terminal."""

    def __init__(self) -> None:
        self._started = 0.0
        self._first_epoch = 0
        self._epoch_started = 0.0
        self._patches = 0
        self._patches_per_second = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the timer of an epoch."""
        del trainer, pl_module
        self._epoch_started, self._patches = time.monotonic(), 0

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count the patches, without the time that validation takes."""
        del pl_module, outputs, batch_idx
        self._patches += len(batch.names) * trainer.world_size
        self._patches_per_second = self._patches / max(1e-9, time.monotonic() - self._epoch_started)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the timer of the run."""
        del pl_module
        self._started = time.monotonic()
        self._first_epoch = trainer.current_epoch

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log progress, speed and metrics."""
        del pl_module
        done = trainer.current_epoch + 1
        figures = ", ".join(
            f"{name} {value:.4g}"
            for name, value in sorted(
                trainer.callback_metrics.items(),
            )
        )
        seconds_per_epoch = (time.monotonic() - self._started) / (done - self._first_epoch)
        left = ""
        if trainer.max_epochs and trainer.max_epochs > 0:
            minutes = seconds_per_epoch * (trainer.max_epochs - done) / 60
            left = f"/{trainer.max_epochs}, {minutes:.0f} min left"
        _log.info(
            "epoch %d%s, step %d, %.3g patches/s: %s",
            done,
            left,
            trainer.global_step,
            self._patches_per_second,
            figures,
        )


class _Bar(RichProgressBar):
    """Progress bar of an epoch without the version number, since a run has a folder instead."""

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return the metrics to show after the bar."""
        shown = super().get_metrics(trainer, pl_module)
        shown.pop("v_num", None)
        return shown


class _Parsing(LightningCLI):
    """LightningCLI with the options of a run besides trainer, model and data."""

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the arguments, and report errors in one line."""
        try:
            self.config = parser.parse_args(args)  # type: ignore[arg-type]
        except jsonargparse.ArgumentError as error:
            raise RecipeError(f"the recipe is not understood: {_join_lines(str(error))}") from error

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of a run."""
        parser.add_argument(
            "--kind",
            type=Kind,
            default="published",
            help="What is trained on what: the network as published on pairs, or mixed data, "
            "or the network of default and best on mixed data; "
            "decides which options model and data have.",
        )
        parser.add_argument(
            "--run",
            type=Path,
            default=Path("runs/crdnet"),
            help="Folder of the run.",
        )
        parser.add_argument(
            "--resume",
            action="store_true",
            help="Go on from the run's last checkpoint.",
        )
        parser.add_argument(
            "--curves",
            type=Literal["tensorboard", "visdom"],
            default="tensorboard",
            help="Where curves are shown.",
        )
        parser.add_argument(
            "--visdom_port",
            type=int,
            default=8097,
            help="Port of the visdom server on this machine.",
        )
        parser.add_argument(
            "--ema_decay",
            type=float | None,
            default=None,
            help="Decay per step of the moving average of the weights; null keeps none.",
        )

    def before_instantiate_classes(self) -> None:
        """Refuse options that would mix two runs or be ignored, before anything slow starts."""
        for option, (only, instead) in _DECIDED.items():
            if self.config.trainer[option] != only:
                raise RecipeError(f"--trainer.{option} is not supported: {instead}")
        # Cheap checks first: reading a data set or drawing a bank takes long.
        run, resume = Path(self.config.run), self.config.resume
        last = run / LAST
        if resume and not last.is_file():
            raise TrainingError(
                f"cannot resume: {last} is not there; leave out --resume to start the run",
            )
        if not resume and run.exists() and any(run.glob("*.ckpt")):
            raise TrainingError(
                f"{run} holds a run already; add --resume to go on with it, or choose another --run"
            )

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Build the trainer with the callbacks and the logger of a run."""
        run = Path(self.config.run)
        with_validation = self.config.data.validation is not None
        if not with_validation:
            kwargs["limit_val_batches"] = 0
        trainer = self.config_init.trainer
        if self.config.kind == "residual" and trainer.precision is None:
            on_gpu = trainer.accelerator != "cpu" and torch.cuda.is_available()
            kwargs["precision"] = "bf16-mixed" if on_gpu else "32-true"
        callbacks = _make_callbacks(run, self.config.ema_decay, with_validation=with_validation)
        return super().instantiate_trainer(
            **kwargs,
            enable_progress_bar=sys.stderr.isatty(),
            callbacks=[
                RunConfig(run, self.parser.dump(self.config, skip_validation=True)),
                *callbacks,
                *(self.config_init.trainer.callbacks or []),
            ],
            logger=_make_logger(run, self.config.curves, self.config.visdom_port),
            default_root_dir=run,
            # `EpochSampler` distributes the epoch; the sampler of Lightning would shuffle it again.
            use_distributed_sampler=False,
        )


def train(arguments: Sequence[str]) -> Path:
    """Train a network from a recipe.

    Args:
        arguments: Arguments of `crdnet train`: `--config NAME_OR_FILE` and options that override
            it, such as `--data.root`.

    Returns:
        Folder of the run.

    Raises:
        RecipeError: An option or a key of the recipe is invalid.
        TrainingError: The run would mix with another one, or its loss is not finite.
        DataError: A pair is missing or unreadable.
        KeyboardInterrupt: The run was interrupted; `--resume` continues from its last epoch.
    """
    with warnings.catch_warnings():
        for message in _NOISE:
            warnings.filterwarnings("ignore", message=message)
        for name in ("pytorch_lightning", "lightning_fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)  # its advice, and its advertisements
        logging.getLogger("pytorch_lightning.profilers").setLevel(
            logging.INFO
        )  # the report that was asked for
        kind, arguments = _put_recipes_first(arguments)
        cli = _Parsing(
            *KINDS[kind],
            run=False,
            args=arguments,
            save_config_callback=None,
            seed_everything_default=0,
            trainer_defaults={"enable_model_summary": False, "num_sanity_val_steps": 0},
            parser_kwargs={
                "exit_on_error": False,
                "usage": "crdnet train --config NAME_OR_FILE --data.root FOLDER [--KEY VALUE ...]",
                "description": DESCRIPTION,
            },
        )
        run = Path(cli.config.run)
        if cli.config.resume:
            checkpoint = read_checkpoint(run / LAST)
            cli.model.check_resumable(checkpoint)
            cli.datamodule.first_epoch = checkpoint["epoch"] + 1
        # Only here are network and data known together.
        if isinstance(cli.datamodule, MixedData):
            cli.datamodule.check_sides(cli.model.size_multiple)
        # Before the trainer, so that missing data stops the run early.
        cli.datamodule.setup("fit")
        try:
            cli.trainer.fit(
                cli.model,
                cli.datamodule,
                ckpt_path=run / LAST if cli.config.resume else None,
            )
        except SystemExit as error:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from error
    return run


def _put_recipes_first(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Return the requested kind, and the arguments with the files of the recipes first.

    The kind determines the options, so it is read before they are parsed. An option overrides a
    recipe in any position.
    """
    # Without abbreviations, since `--con` could mean an option of the main parser.
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--kind")
    early.add_argument("-c", "--config", action="append", default=[])
    try:
        asked, others = early.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise RecipeError(f"the recipe is not understood: {error}") from error
    recipes = [find_recipe(each) for each in asked.config]
    kind = asked.kind
    for path in reversed(recipes):
        # The main parser reads the recipe again and reports its errors.
        if kind is None:
            with contextlib.suppress(yaml.YAMLError, UnicodeDecodeError, AttributeError):
                kind = yaml.safe_load(path.read_text(encoding="utf-8")).get("kind")
    kind = "published" if kind is None else kind
    if kind not in KINDS:
        raise RecipeError(
            f"the recipe is not understood: kind is one of {', '.join(KINDS)}, got {kind!r}",
        )
    return kind, [*(f"--config={path}" for path in recipes), f"--kind={kind}", *others]


DESCRIPTION = """
Train a network from a recipe: CRDNet and its density classifier (with `kind: published-mixed`
on mixed data), or with `kind: residual` the network of `default` and `best`.
`crdnet train --list` lists the recipes that come with crdnet; `--config`
takes the name of one, or a file. Begin a run with
`crdnet train --config paper-cpu --data.root pairs/train --data.validation pairs/val --run runs/a`
and go on with it, after a crash or Ctrl-C, by the same line and `--resume`.
Every key of a recipe is an option too, and an option wins over the recipe.
`--kind residual --help` lists
those of the network of `default` and `best`.
"""


def _count_parameters(module: pl.LightningModule) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _make_callbacks(
    run: Path,
    ema_decay: float | None,
    *,
    with_validation: bool,
) -> list[pl.Callback]:
    last = ModelCheckpoint(
        run,
        filename=Path(LAST).stem,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )
    callbacks: list[pl.Callback] = [last, EpochLines()]
    if with_validation:
        best = ModelCheckpoint(
            run,
            filename="best",
            monitor=MONITOR,
            mode="max",
            enable_version_counter=False,
            auto_insert_metric_name=False,
        )
        callbacks += [best, ImageLog()]
    if ema_decay is not None:
        callbacks.append(EMAWeightAveraging(decay=ema_decay))
    if sys.stderr.isatty():
        callbacks.append(_Bar())
    return callbacks


def _make_logger(run: Path, curves: str, visdom_port: int) -> Logger:
    if curves == "visdom":
        return VisdomCurves(port=visdom_port, environment=run.name)
    return TensorBoardLogger(run, name="", version="curves")


def _join_lines(message: str) -> str:
    """Return the message of an argument parser on one line, without its usage text."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith("usage:"))
