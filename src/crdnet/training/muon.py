"""Muon optimizer for the kernels of convolutions.

Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; J. Liu et
    al., "Muon is scalable for LLM training", 2025, whose factor lets it share the learning rate of
    AdamW.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def view_as_matrix(values: Tensor, kernel: Tensor) -> Tensor:
    """Return values of a kernel (out, in, h, w) as a matrix with one row per output channel.

    The memory layout of the kernel gives the order of the columns. The matrix of the kernel itself
    is then a view, and the matrix of its gradient has the same order.
    """
    by_channel = kernel.ndim == 4 and not kernel.is_contiguous()
    return (values.permute(0, 2, 3, 1) if by_channel else values).flatten(1)


class KernelMuon(torch.optim.Optimizer):
    """Optimizer with `torch.optim.Muon` for kernels and `torch.optim.AdamW` for biases.

    `torch.optim.Muon` accepts only matrices, so kernels are viewed as matrices.

    Args:
        kernels: Parameters with two or more dimensions.
        biases: Parameters with one dimension, without weight decay.
        lr: Learning rate of both.
        weight_decay: Weight decay of the kernels.
    """

    def __init__(
        self,
        kernels: list[nn.Parameter],
        biases: list[nn.Parameter],
        *,
        lr: float,
        weight_decay: float,
    ) -> None:
        super().__init__([{"params": kernels}, {"params": biases}], {"lr": lr})
        self._matrices = [
            nn.Parameter(
                view_as_matrix(kernel.detach(), kernel),
            )
            for kernel in kernels
        ]
        self._rules: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(
                self._matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
            ),
            torch.optim.AdamW(biases, lr=lr, weight_decay=0.0),
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter with a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for kernel, matrix in zip(self.param_groups[0]["params"], self._matrices, strict=True):
            # Viewed again in every step, since moving a network or swapping weights replaces the
            # data.
            matrix.data = view_as_matrix(kernel, kernel)
            matrix.grad = None
            if kernel.grad is not None:
                matrix.grad = view_as_matrix(kernel.grad, kernel).to(matrix)
        for rule, group in zip(self._rules, self.param_groups, strict=True):
            rule.param_groups[0]["lr"] = group["lr"]
            rule.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the base class and of both rules."""
        return super().state_dict() | {"rules": [rule.state_dict() for rule in self._rules]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of both rules."""
        super().load_state_dict(state_dict)
        for rule, state in zip(self._rules, state_dict["rules"], strict=True):
            rule.load_state_dict(state)
