"""Callbacks that report a run: configuration, lines, a bar, and weights at an interrupt."""

import logging
import sys
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.utilities import rank_zero_only

from crdnet.files import write_whole
from crdnet.training.batches import Batch

CONFIG = "config.yaml"
INTERRUPTED = "interrupted.ckpt"
LINE_SECONDS = 30.0
"""Time between two lines within an epoch if there is no terminal."""

_log = logging.getLogger("crdnet.training")


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
        if _leaves_nothing(trainer):
            return
        write_whole(self._run / CONFIG, self._config.encode())
        _log.info(
            "%d parameters are trained; the run is in %s",
            _count_parameters(pl_module),
            self._run,
        )


class EpochLines(pl.Callback):
    """Log one line per epoch and, without a terminal, one every half minute within it."""

    def __init__(self) -> None:
        self._started = 0.0
        self._first_epoch = 0
        self._epoch_started = 0.0
        self._patches = 0
        self._patches_per_second = 0.0
        self._told = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the timer of an epoch."""
        del trainer, pl_module
        self._epoch_started = self._told = time.monotonic()
        self._patches = 0

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count the patches, without the time that validation takes."""
        del pl_module
        self._patches += len(batch.names) * trainer.world_size
        now = time.monotonic()
        self._patches_per_second = self._patches / max(1e-9, now - self._epoch_started)
        if trainer.is_global_zero and not sys.stderr.isatty() and now - self._told >= LINE_SECONDS:
            self._told = now
            loss = float(outputs["loss"]) if isinstance(outputs, dict) else float(outputs)
            _log.info(
                "epoch %d, batch %d of %s, step %d, %.3g patches/s: loss %.4g",
                trainer.current_epoch + 1,
                batch_idx + 1,
                trainer.num_training_batches,
                trainer.global_step,
                self._patches_per_second,
                loss,
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the timer of the run."""
        del pl_module
        self._started = time.monotonic()
        self._first_epoch = trainer.current_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log progress, speed and metrics."""
        pl_module.log("images_per_second", self._patches_per_second)
        self._log_line(trainer)

    @rank_zero_only
    def _log_line(self, trainer: pl.Trainer) -> None:
        done = trainer.current_epoch + 1
        figures = ", ".join(
            f"{name} {value:.4g}"
            for name, value in sorted(trainer.callback_metrics.items())
            if name != "images_per_second"
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


class EpochBar(RichProgressBar):
    """Progress bar of an epoch without the version number, since a run has a folder instead."""

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return the metrics to show after the bar."""
        shown = super().get_metrics(trainer, pl_module)
        shown.pop("v_num", None)
        return shown


class InterruptSaver(pl.Callback):
    """Save the weights of an interrupted run, and log how to continue.

    A resumed run starts at its last whole epoch, since batches follow from the epoch; the saved
    weights are for export, evaluation and `--model.start_from`.
    """

    def __init__(self, run: Path, last: str) -> None:
        self._run = run
        self._last = last

    @rank_zero_only
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Save the weights if the exception is an interrupt."""
        del pl_module
        if not isinstance(exception, KeyboardInterrupt) or _leaves_nothing(trainer):
            return
        self._run.mkdir(parents=True, exist_ok=True)
        trainer.save_checkpoint(self._run / INTERRUPTED)
        resumes = (self._run / self._last).exists()
        hint = (
            f"the same command with --resume goes on after epoch {trainer.current_epoch}"
            if resumes
            else "no epoch was finished, so the same command starts again"
        )
        _log.info(
            "interrupted at step %d: weights are in %s; %s",
            trainer.global_step,
            self._run / INTERRUPTED,
            hint,
        )


def _count_parameters(module: pl.LightningModule) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _leaves_nothing(trainer: pl.Trainer) -> bool:
    """Return whether a run is a trial with `fast_dev_run`."""
    return bool(getattr(trainer, "fast_dev_run", False))
