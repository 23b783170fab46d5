"""A run of a tiny network, for tests."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml

from tests.waiting import HANG_SECONDS

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPE: dict[str, Any] = {
    "seed_everything": 0,
    "ema_decay": 0.5,
    "trainer": {"max_epochs": 4, "accelerator": "cpu", "log_every_n_steps": 1},
    "model": {
        "network": {
            "streak_widths": [2, 3],
            "dilations": [1, 2],
            "background_widths": [2, 3],
            "background_channels": 3,
            "refinement_width": 4,
        },
        "classifier": {"widths": [3, 3], "hidden": [4], "pooling": "global"},
        "optimizer": {
            "learning_rate": 0.01,
            "classifier_learning_rate": 0.01,
            "schedule": "cosine",
            "warmup_steps": 2,
        },
    },
    "data": {
        "layout": "auto",
        "batch_size": 4,
        "crop": {"side": 16, "position": "random", "flip": True, "repeats": 2},
    },
}


class KillInTheSecondEpoch(pl.Callback):
    """Kill the process and its group, the whole run, between a step and the next checkpoint."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        if trainer.current_epoch == 1:
            os.killpg(0, signal.SIGKILL)


KILLED = "--trainer.callbacks+=tests.training.tiny.KillInTheSecondEpoch"
"""Argument of a run that is killed in its second epoch."""


@dataclass
class TinyRun:
    """Folders of tiny pairs and runs, and the commands that train on them."""

    pairs: Path
    folder: Path

    def arguments(self, name: str, *more: str, recipe: dict[str, Any] | None = None) -> list[str]:
        """Return the arguments of `crdnet train` for a run, its recipe written to a file."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe or RECIPE))
        return [
            f"--config={path}",
            f"--data.root={self.pairs}",
            f"--data.validation={self.pairs}",
            f"--run={self.folder / name}",
            *more,
        ]

    def start(
        self,
        name: str,
        *more: str,
        recipe: dict[str, Any] | None = None,
    ) -> "subprocess.Popen[str]":
        """Start `crdnet train` as a process that leads a group of the processes it starts."""
        command = [
            sys.executable,
            "-m",
            "crdnet.cli",
            "train",
            *self.arguments(name, *more, recipe=recipe),
        ]
        return subprocess.Popen(
            command,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_until_killed(self, process: "subprocess.Popen[str]") -> None:
        """Wait for the end of a run that was started with `KILLED`."""
        _, log = process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == -signal.SIGKILL, log

    def checkpoint(self, name: str, which: str = "last") -> dict[str, Any]:
        """Return a checkpoint of a run."""
        loaded: dict[str, Any] = torch.load(self.folder / name / f"{which}.ckpt", weights_only=True)
        return loaded
