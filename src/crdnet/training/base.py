"""What every training of ours shares: a stop when the loss is no number, and scores on whole pictures."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from crdnet.density import RainDensity
from crdnet.errors import TrainingError
from crdnet.metrics import score
from crdnet.sizes import round_up_size
from crdnet.training.pairs import Batch

CHECKPOINT_KEY = "crdnet"
"""Entry of our checkpoints that tells how to build the network again."""

MONITOR = "validation/psnr_y"
"""The figure by which the best checkpoint is chosen: PSNR under the protocol `restormer-y`."""


class DerainingTraining(pl.LightningModule):
    """Base of the trainings.

    Args:
        channels_last: Memory layout; faster on CPUs, the same result but for rounding.
    """

    def __init__(self, *, channels_last: bool) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.validation_scores: list[dict[str, float]] = []

    @property
    @abstractmethod
    def size_multiple(self) -> int:
        """What both sides of what the network is given must be multiples of."""

    @abstractmethod
    def estimate(self, padded: Tensor, height: int, width: int) -> tuple[Tensor, list[RainDensity | None]]:
        """Return the derained pictures, still padded, and the grades that the network gives them, if it gives any."""

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Return what is needed to build the network and to resume the run, by the options' names.

        The types are plain, so that no class is ever unpickled.
        """

    def check_resumes(self, checkpoint: Mapping[str, Any]) -> None:
        """Check that this training can go on from a checkpoint.

        Raises:
            TrainingError: The checkpoint is of another network or optimizer; names each option
                that differs.
        """
        ours, theirs = (
            dict(_flat(each)) for each in (self.description(), checkpoint.get(CHECKPOINT_KEY, {}))
        )
        shared = (
            ["kind"]
            if ours["kind"] != theirs.get("kind", ours["kind"])
            else sorted(ours.keys() & theirs.keys())
        )
        differ = [
            f"{name if name == 'kind' else f'model.{name}'} is {ours[name]} and was {theirs[name]}"
            for name in shared
            if ours[name] != theirs[name]
        ]
        if differ:
            raise TrainingError(
                f"cannot resume: {', '.join(differ)}; give the values that the run began with, "
                "or choose another --run"
            )

    def in_layout(self, rainy: Tensor) -> Tensor:
        """Return a batch in the memory layout of the training."""
        return rainy.contiguous(memory_format=self.memory_format)

    def logged(self, losses: dict[str, Tensor], total: Tensor, batch: Batch) -> Tensor:
        """Log the losses of a batch, and return what is minimised.

        Raises:
            TrainingError: The loss is not a finite number.
        """
        if not isfinite(total.item()):
            raise TrainingError(
                f"the loss became {total.item()} at step {self.global_step}, epoch {self.current_epoch}, on "
                f"{', '.join(batch.names)}; look at these files, or lower model.optimizer.learning_rate and resume"
            )
        named = {f"loss/{name}": loss for name, loss in losses.items()}
        self.log_dict(named, on_epoch=True, on_step=False, batch_size=len(batch.names), sync_dist=True)
        self.log("loss", total, prog_bar=True, logger=False, batch_size=len(batch.names))
        return total

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Score whole pictures and return the derained ones.

        Each picture is padded as the runtime pads it, scored under the protocols `crdnet` and `restormer-y`,
        and its density compared with its label.
        """
        height, width = batch.rainy.shape[-2:]
        padded_height, padded_width = round_up_size(height, width, self.size_multiple)
        beyond = ((0, 0), (0, 0), (0, padded_height - height), (0, padded_width - width))
        # NumPy reflects as often as it takes; torch refuses to pad by more than the picture.
        padded = torch.from_numpy(np.pad(batch.rainy.cpu().numpy(), beyond, mode="reflect")).to(batch.rainy)
        derained, grades = self.estimate(padded, height, width)
        derained = derained[..., :height, :width]
        for one, clean, grade, code in zip(derained, batch.clean, grades, batch.codes, strict=True):
            self.validation_scores.append(_scores(one, clean, grade, code))
        return {"derained": derained}

    def on_validation_epoch_end(self) -> None:
        """Log the means over the pictures."""
        if self.validation_scores:
            means = {
                f"validation/{name}": float(np.mean([scores[name] for scores in self.validation_scores]))
                for name in self.validation_scores[0]
            }
            for name, mean in means.items():
                self.log(name, mean, prog_bar=name == MONITOR, sync_dist=True)
            self.validation_scores.clear()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to build the network again."""
        checkpoint[CHECKPOINT_KEY] = self.description() | {
            "steps": self.global_step,
            "epochs": self.current_epoch,
        }


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value of nested mappings under its names joined by dots."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _scores(derained: Tensor, clean: Tensor, grade: RainDensity | None, code: Tensor) -> dict[str, float]:
    ours, truth = (picture.permute(1, 2, 0).float().cpu().numpy() for picture in (derained, clean))
    as_published, luma = score(ours, truth, "crdnet"), score(ours, truth, "restormer-y")
    figures = {
        "psnr": as_published.psnr,
        "ssim": as_published.ssim,
        "psnr_y": luma.psnr,
        "ssim_y": luma.ssim,
    }
    if grade is not None:
        label = RainDensity.from_scores(code.float().cpu().numpy())
        figures["density_accuracy"] = float(grade == label)
    return figures
