"""Live curves in visdom per epoch: PSNR, SSIM, image loss and classifier loss, as published."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from crdnet.errors import MissingExtraError, TrainingError

CURVES = {
    "validation/psnr": "PSNR",
    "validation/ssim": "SSIM",
    "loss/image": "image loss",
    "loss/classifier": "classifier loss",
}
"""Title of the window of each logged metric."""


class VisdomCurves(Logger):
    """Logger that sends four curves and the images of a run to a visdom server.

    Args:
        server: Address of the server, started with `python -m visdom.server`.
        port: Port of the server.
        environment: Name of the visdom environment of the windows.

    Raises:
        MissingExtraError: visdom is not installed.
        TrainingError: No server answers.
    """

    def __init__(
        self, server: str = "http://localhost", port: int = 8097, environment: str = "crdnet"
    ) -> None:
        super().__init__()
        try:
            from visdom import Visdom  # noqa: PLC0415 - an extra
        except ModuleNotFoundError as error:
            raise MissingExtraError("live curves in visdom", "visdom") from error
        self._environment = environment
        try:
            self._visdom = Visdom(
                server=server,
                port=port,
                env=environment,
                raise_exceptions=True,
                use_incoming_socket=False,
            )
        except (ConnectionError, OSError) as error:
            raise TrainingError(
                f"no visdom server answers at {server}:{port}; start one with "
                f"`python -m visdom.server -port {port}`, or train with --curves tensorboard",
            ) from error

    @property
    def name(self) -> str:
        """Environment of the windows."""
        return self._environment

    @property
    def version(self) -> str:
        """Empty, since visdom has no versions."""
        return ""

    @rank_zero_only
    def log_hyperparams(
        self,
        params: dict[str, Any] | Namespace,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Do nothing: the configuration is stored beside the checkpoints."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a point to each of the four curves with a metric, at its epoch."""
        at = np.array([metrics.get("epoch", step if step is not None else 0)])
        for metric, title in CURVES.items():
            if metric in metrics:
                # The title names the window, so that a resumed run continues its curves.
                self._visdom.line(
                    Y=np.array([metrics[metric]]),
                    X=at,
                    win=title,
                    update="append",
                    opts={"title": title, "xlabel": "epoch", "ylabel": title},
                )

    @rank_zero_only
    def show_image(self, name: str, image: npt.NDArray[np.uint8], step: int) -> None:
        """Show an RGB image (h, w, 3) in a window of its own."""
        self._visdom.image(
            image.transpose(2, 0, 1),
            win=name,
            opts={"title": f"{name}, step {step}"},
        )
