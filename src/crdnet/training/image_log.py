"""Logging of validation images: rainy, derained and clean side by side in every epoch."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger

from crdnet.training.batches import Batch


@runtime_checkable
class ImageLogger(Protocol):
    """Logger that can show an image."""

    def show_image(self, name: str, image: npt.NDArray[np.uint8], step: int) -> None:
        """Show an RGB image (h, w, 3)."""


class ImageLog(pl.Callback):
    """Log the first `count` validation images of every epoch as rainy | derained | clean."""

    def __init__(self, count: int = 2) -> None:
        self.count = count

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Show an image if it is one of the first."""
        del pl_module
        if batch_idx >= self.count or dataloader_idx or trainer.sanity_checking:
            return
        # NumPy has neither bfloat16 nor tensors on a GPU.
        strip = torch.cat([batch.rainy[0], outputs["derained"][0], batch.clean[0]], 2).float().cpu()
        image = (strip.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        name = f"rainy-derained-clean/{batch.names[0]}"
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(name, image, trainer.global_step, dataformats="HWC")
            elif isinstance(logger, WandbLogger):
                logger.log_image(name, [image], trainer.global_step)
            elif isinstance(logger, MLFlowLogger):
                file = f"{name.replace('/', '_')}_{trainer.global_step}.png"
                logger.experiment.log_image(logger.run_id, image, artifact_file=file)
            elif isinstance(logger, ImageLogger):
                logger.show_image(name, image, trainer.global_step)
