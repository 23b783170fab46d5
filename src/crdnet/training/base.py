"""Base class of the trainings: abort on a non-finite loss, and validation on whole images."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from itertools import chain
from math import isfinite
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from crdnet.density import RainDensity
from crdnet.errors import TrainingError
from crdnet.metrics import score
from crdnet.sizes import round_up_size
from crdnet.training.batches import Batch

CHECKPOINT_KEY = "crdnet"
"""Key in checkpoints for the arguments that rebuild the network."""

MONITOR = "validation/psnr_y"
"""Metric that selects the best checkpoint: PSNR under the protocol `restormer-y`, in dB."""


def set_memory_format(network: nn.Module, memory_format: torch.memory_format) -> None:
    """Store the weights of a network in a memory layout."""
    network.to(memory_format=memory_format)  # type: ignore[call-overload]  # not in torch's stubs


class DerainingTraining(pl.LightningModule):
    """Base class of the trainings.

    Args:
        channels_last: Memory layout; faster on CPUs, with equal results except for rounding.
    """

    def __init__(self, *, channels_last: bool) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.validation_scores: dict[int, list[dict[str, float]]] = {}

    @property
    @abstractmethod
    def size_multiple(self) -> int:
        """Number that divides both sides of the inputs of the network."""

    @abstractmethod
    def estimate(
        self,
        padded: Tensor,
        height: int,
        width: int,
    ) -> tuple[Tensor, list[RainDensity | None]]:
        """Return the derained images, still padded, and their predicted grades or None."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return the options that rebuild the network and resume the run.

        The types are plain, so that loading a checkpoint never unpickles a class.
        """

    def check_resumable(self, checkpoint: Mapping[str, Any]) -> None:
        """Check that this training can resume from a checkpoint.

        Raises:
            TrainingError: The checkpoint has another network or optimizer; the message names each
                option that differs.
        """
        ours, theirs = (
            dict(_flatten(each)) for each in (self.describe(), checkpoint.get(CHECKPOINT_KEY, {}))
        )
        # Options of other kinds have other names, so only the kind is compared then.
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

    def convert_layout(self, rainy: Tensor) -> Tensor:
        """Convert a batch to the memory layout of the training."""
        return rainy.contiguous(memory_format=self.memory_format)

    def log_losses(self, losses: dict[str, Tensor], total: Tensor, batch: Batch) -> Tensor:
        """Log the losses of a batch, and return the total to minimise.

        Raises:
            TrainingError: The loss is not a finite number.
        """
        # A NaN would spread to all weights in one step, and to the checkpoint after it.
        if not isfinite(total.item()):
            raise TrainingError(
                f"the loss became {total.item()} at step {self.global_step}, "
                f"epoch {self.current_epoch}, on {', '.join(batch.names)}; look at these files, "
                "or lower model.optimizer.learning_rate and resume",
            )
        named = {f"loss/{name}": loss for name, loss in {**losses, "total": total}.items()}
        self.log_dict(
            named,
            on_epoch=True,
            on_step=False,
            batch_size=len(batch.names),
            sync_dist=True,
        )
        self.log("loss", total, prog_bar=True, logger=False, batch_size=len(batch.names))
        optimizers = self.optimizers()
        first = optimizers[0] if isinstance(optimizers, list) else optimizers
        self.log("learning_rate", first.param_groups[0]["lr"], batch_size=len(batch.names))
        return total

    def validation_step(
        self,
        batch: Batch,
        batch_idx: int,  # noqa: ARG002 - of Lightning
        dataloader_idx: int = 0,
    ) -> dict[str, Tensor]:
        """Score whole images and return the derained ones.

        Each image is padded like in the runtime and scored under the protocols `crdnet` and
        `restormer-y`. Its predicted density is compared with the label.
        """
        height, width = batch.rainy.shape[-2:]
        # Padded as in the runtime, so that validation measures the same.
        padded_height, padded_width = round_up_size(height, width, self.size_multiple)
        beyond = ((0, 0), (0, 0), (0, padded_height - height), (0, padded_width - width))
        # NumPy reflects repeatedly; torch refuses to pad by more than the image.
        reflected = np.pad(batch.rainy.cpu().numpy(), beyond, mode="reflect")
        padded = torch.from_numpy(reflected).to(batch.rainy)
        derained, grades = self.estimate(padded, height, width)
        derained = derained[..., :height, :width]
        for one, clean, grade, code in zip(derained, batch.clean, grades, batch.codes, strict=True):
            self.validation_scores.setdefault(dataloader_idx, []).append(
                _score_image(one, clean, grade, code)
            )
        return {"derained": derained}

    def on_validation_epoch_end(self) -> None:
        """Log the means over all images and, with several validation sets, over those of each."""
        scores, self.validation_scores = self.validation_scores, {}
        for name, mean in _average(list(chain.from_iterable(scores.values()))).items():
            shown = f"validation/{name}"
            self.log(shown, mean, prog_bar=shown == MONITOR, sync_dist=True)
        if len(scores) < 2:
            return
        sets = getattr(getattr(self.trainer, "datamodule", None), "validation_sets", None)
        names = list(sets.sets) if sets is not None else []
        for index, of_set in scores.items():
            set_name = names[index] if index < len(names) else str(index)
            for name, mean in _average(of_set).items():
                self.log(f"validation/{set_name}/{name}", mean, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the options that rebuild the network, and the progress of the run."""
        checkpoint[CHECKPOINT_KEY] = self.describe() | {
            "steps": self.global_step,
            "epochs": self.current_epoch,
        }


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value of nested mappings with its keys joined by dots."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _average(scores: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each score over images."""
    if not scores:
        return {}
    return {name: float(np.mean([each[name] for each in scores])) for name in scores[0]}


def _score_image(
    derained: Tensor, clean: Tensor, grade: RainDensity | None, code: Tensor
) -> dict[str, float]:
    ours, truth = (image.permute(1, 2, 0).float().cpu().numpy() for image in (derained, clean))
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
