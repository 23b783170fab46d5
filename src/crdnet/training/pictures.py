"""A picture in the log: rainy, derained and clean side by side, once per epoch."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger

from crdnet.training.pairs import Batch


@runtime_checkable
class ShowsPictures(Protocol):
    """A logger of ours that can show a picture."""

    def show_picture(self, name: str, picture: npt.NDArray[np.uint8], step: int) -> None:
        """Show an RGB picture (h, w, 3)."""


class PictureLog(pl.Callback):
    """Logs the first `count` validation pictures of every epoch as rainy | derained | clean."""

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
        """Show a picture, if its turn is among the first."""
        del pl_module
        if batch_idx >= self.count or dataloader_idx or trainer.sanity_checking:
            return
        strip = torch.cat([batch.rainy[0], outputs["derained"][0], batch.clean[0]], 2).float().cpu()
        picture = (strip.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        name = f"rainy-derained-clean/{batch.names[0]}"
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(name, picture, trainer.global_step, dataformats="HWC")
            elif isinstance(logger, ShowsPictures):
                logger.show_picture(name, picture, trainer.global_step)
