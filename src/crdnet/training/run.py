"""Training run: a folder with its configuration, checkpoints and curves.

    runs/a/config.yaml       complete configuration
    runs/a/last.ckpt         checkpoint after the latest epoch; `--resume` starts here
    runs/a/best.ckpt         checkpoint with the best PSNR on luma, if there is a validation set
    runs/a/interrupted.ckpt  weights at a Ctrl-C
    runs/a/curves/           TensorBoard

Checkpoints are written whole or not at all, so a run may be killed at any moment.
"""

import argparse
import contextlib
import logging
import os
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jsonargparse
import pytorch_lightning as pl
import torch
import yaml
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)

from crdnet.data import find_leaks, make_entries
from crdnet.errors import DataError, RecipeError, TrainingError
from crdnet.nn import read_checkpoint
from crdnet.recipes import find_recipe
from crdnet.training.base import MONITOR, DerainingTraining
from crdnet.training.batches import PairsData
from crdnet.training.crdnet import CRDNetTraining
from crdnet.training.image_log import ImageLog
from crdnet.training.mixture import MixedData
from crdnet.training.network import NetworkTraining
from crdnet.training.pair_sets import PairSetsData
from crdnet.training.progress import EpochBar, EpochLines, InterruptSaver, RunConfig
from crdnet.training.residual import ResidualTraining
from crdnet.training.typos import explain_typo, list_keys
from crdnet.training.visdom_curves import VisdomCurves

_log = logging.getLogger("crdnet.training")

Curves = Literal["tensorboard", "csv", "wandb", "mlflow", "visdom"]
Kind = Literal["published", "published-mixed", "residual", "pairs"]
KINDS: dict[str, tuple[type[DerainingTraining], type[pl.LightningDataModule]]] = {
    "published": (CRDNetTraining, PairsData),
    "published-mixed": (CRDNetTraining, MixedData),
    "residual": (ResidualTraining, MixedData),
    "pairs": (NetworkTraining, PairSetsData),
}
"""Training and data of a recipe by its key `kind`.

`published` trains the published network on pairs, `published-mixed` the same network on mixed data,
and `residual` the residual network (`default`, `best`) on mixed data. `pairs` trains an existing
network, or a class of the user, on sets of pairs.
"""

LAST = "last.ckpt"
BEST = "best.ckpt"

# Refused options of the Lightning trainer: their only value, and the alternative.
_DECIDED = {"default_root_dir": (None, "--run names the folder of the run")}


# Comparisons of a training with a validation image before a run; they take about 30 s.
_MOST_COMPARISONS = 60_000

# Warnings of Lightning about choices of this module, or without use to a user.
_NOISE = (
    r"(?s).*JSONARGPARSE_DEPRECATION_WARNINGS",
    r"(?s).*was deprecated in v4\.\d+\.\d+ and will be removed in v5",
    r".*isinstance\(treespec, LeafSpec\)",
    r".*does not have many workers",
    r".*smaller than the logging interval",
    r"Found \d+ module\(s\) in eval mode at the start of training",  # norms of loaded weights
    r"Total length of `\w+` across ranks is zero",  # a trial without validation images
    r"Checkpoint directory .* exists and is not empty",
)


class _Parsing(LightningCLI):
    """LightningCLI with the options of a run besides trainer, model and data."""

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the arguments, and report errors in one line."""
        try:
            self.config = parser.parse_args(args)  # type: ignore[arg-type]  # as LightningCLI does
        except jsonargparse.ArgumentError as error:
            reason = _join_lines(str(error))
            assert isinstance(args, list)
            recipes = [Path(each.removeprefix("--config=")) for each in args if _is_recipe(each)]
            hint = explain_typo(reason, recipes, list_keys(parser))
            raise RecipeError(f"the recipe is not valid: {hint or reason}") from error

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
            "--leaks",
            type=Literal["warn", "refuse", "ignore"],
            default="warn",
            help="What to do if validation scenes are among the training scenes.",
        )
        parser.add_argument(
            "--curves",
            type=Curves,
            default="tensorboard",
            help="Where curves are shown; `--trainer.logger` takes any logger of Lightning.",
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
                f"cannot resume: {last} does not exist; omit --resume to start the run",
            )
        if not resume and any((run / name).exists() for name in (LAST, BEST)):
            raise TrainingError(
                f"{run} already holds a run; add --resume to continue it, or choose another --run"
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
        logger: Any = trainer.logger
        if logger is None or logger is True:
            # A trial leaves nothing, and some loggers make their folder at once.
            logger = not trainer.fast_dev_run and _make_logger(
                run, self.config.curves, self.config.visdom_port
            )
        try:
            return super().instantiate_trainer(
                **kwargs,
                enable_progress_bar=sys.stderr.isatty(),
                callbacks=[
                    RunConfig(run, self.parser.dump(self.config, skip_validation=True)),
                    *callbacks,
                    *(self.config_init.trainer.callbacks or []),
                ],
                logger=logger,
                default_root_dir=run,
                # `EpochSampler` distributes the epoch; the sampler of Lightning would shuffle it.
                use_distributed_sampler=False,
            )
        except MisconfigurationException as error:
            reason = " ".join(str(error).split())
            if "accelerator" in reason.lower() or "gpu" in reason.lower():
                reason = (
                    f"--trainer.accelerator {self.config.trainer.accelerator} does not work here "
                    f"({reason}); omit it, or check the driver and the build of torch"
                )
            raise RecipeError(reason) from error


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
                # An abbreviation could name another option than the one that was meant.
                "allow_abbrev": False,
                "usage": "crdnet train --config NAME_OR_FILE --data.root FOLDER [--KEY VALUE ...]",
                "description": DESCRIPTION,
            },
        )
        run = Path(cli.config.run)
        if cli.config.resume:
            checkpoint = read_checkpoint(run / LAST)
            cli.model.check_resumable(checkpoint)
            cli.datamodule.first_epoch = checkpoint["epoch"] + 1
        # Checked here, where network and data are both known.
        if isinstance(cli.datamodule, MixedData | PairSetsData):
            cli.datamodule.check_sides(cli.model.size_multiple)
        # Set up before the trainer, so that missing data stops the run early.
        cli.datamodule.setup("fit")
        if cli.config.leaks != "ignore" and not cli.config.resume:
            _look_for_leaks(cli.datamodule, refuses=cli.config.leaks == "refuse")
        try:
            cli.trainer.fit(
                cli.model,
                cli.datamodule,
                ckpt_path=run / LAST if cli.config.resume else None,
            )
        except SystemExit as error:  # raised by Lightning at Ctrl-C
            raise KeyboardInterrupt from error
        except (DataError, RuntimeError) as error:
            if not _is_data_error(error):
                raise
            raise _explain_data_error(error) from error
    return run


def _look_for_leaks(data: Any, *, refuses: bool) -> None:
    """Warn of validation scenes that are also training scenes, or refuse them.

    Raises:
        DataError: There are such scenes, and `refuses` is True.
    """
    validation = make_entries(data.validation_sets.pairs)
    training = make_entries(data.training_pairs)
    if not validation or not training:
        return
    if len(validation) * len(training) > _MOST_COMPARISONS and not refuses:
        _log.info(
            "validation scenes were not looked for among %d training images; "
            "`crdnet data check TRAINING VALIDATION` does",
            len(training),
        )
        return
    leaks = find_leaks({"training": training, "validation": validation})
    shared = {leak.second for leak in leaks}
    if not shared:
        return
    message = (
        f"{len(shared)} of {len(validation)} validation images show scenes of the training, such "
        f"as {leaks[0].second} and {leaks[0].first}; their scores are too good; "
        "`crdnet data split` keeps scenes apart"
    )
    if refuses:
        raise DataError(message)
    _log.warning("%s", message)


def _is_recipe(argument: str) -> bool:
    return argument.startswith("--config=")


def _is_data_error(error: Exception) -> bool:
    # A loading process may send its error as a RuntimeError that quotes the traceback.
    last = str(error).strip().rpartition("\n")[2]
    return isinstance(error, DataError) or last.startswith("crdnet.data.problems.LoadError: ")


def _explain_data_error(error: Exception) -> DataError:
    """Return the error for a broken image during a run: one line that says how to continue."""
    # A loading process sends its error with a traceback, whose last line is the message.
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    reason = re.sub(r"^[\w.]+Error: ", "", lines[-1])
    return DataError(f"{reason}; repair or remove it, then continue with --resume")


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
        raise RecipeError(f"the recipe is not valid: {error}") from error
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
            f"the recipe is not valid: kind must be one of {', '.join(KINDS)}, got {kind!r}",
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
    callbacks: list[pl.Callback] = [last, EpochLines(), InterruptSaver(run, LAST)]
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
        callbacks.append(EpochBar())
    return callbacks


def _make_logger(run: Path, curves: Curves, visdom_port: int) -> Logger:
    if curves == "visdom":
        return VisdomCurves(port=visdom_port, environment=run.name)
    if curves == "csv":
        return CSVLogger(run, name="", version="curves")
    # Both would send usage reports; data may leave the machine only by an explicit upload.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    try:
        if curves == "wandb":
            return WandbLogger(name=run.name, save_dir=run, offline=True)
        if curves == "mlflow":
            return _make_mlflow_logger(run)
    except ModuleNotFoundError as error:
        raise RecipeError(
            f"--curves {curves} needs a package that is not installed; run: pip install {curves}"
        ) from error
    return TensorBoardLogger(run, name="", version="curves")


def _make_mlflow_logger(run: Path) -> MLFlowLogger:
    import sqlalchemy  # noqa: F401, PLC0415 - mlflow-skinny lacks it

    folder = (run / "curves").resolve()
    logger = MLFlowLogger(
        run.name,
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
        artifact_location=folder.as_uri(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    return logger


def _join_lines(message: str) -> str:
    """Return the message of an argument parser on one line, without its usage text."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith("usage:"))
