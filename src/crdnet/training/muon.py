"""Muon for the kernels of convolutions.

Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; J. Liu et al., "Muon is
    scalable for LLM training", 2025, whose factor lets it share the learning rate of AdamW.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def as_matrix(values: Tensor, kernel: Tensor) -> Tensor:
    """Return values of a kernel (out, in, h, w) as a matrix with a row for each output channel.

    The kernel's layout orders the columns, so its own matrix is a view of it and its gradient's has the same order.
    """
    by_channel = kernel.ndim == 4 and not kernel.is_contiguous()
    return (values.permute(0, 2, 3, 1) if by_channel else values).flatten(1)


class KernelMuon(torch.optim.Optimizer):
    """`torch.optim.Muon`, which takes matrices alone, for kernels, and `torch.optim.AdamW` for biases, as one.

    Args:
        kernels: Parameters of two dimensions or more.
        biases: Parameters of one dimension; they have no weight decay.
        lr: Learning rate of both.
        weight_decay: Of the kernels.
    """

    def __init__(
        self, kernels: list[nn.Parameter], biases: list[nn.Parameter], *, lr: float, weight_decay: float
    ) -> None:
        super().__init__([{"params": kernels}, {"params": biases}], {"lr": lr})
        self._matrices = [nn.Parameter(as_matrix(kernel.detach(), kernel)) for kernel in kernels]
        self._rules: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(
                self._matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
            ),
            torch.optim.AdamW(biases, lr=lr, weight_decay=0.0),
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for kernel, matrix in zip(self.param_groups[0]["params"], self._matrices, strict=True):
            # Seen anew at every step: what moves a network or swaps its weights need not know of the matrices.
            matrix.data = as_matrix(kernel, kernel)
            matrix.grad = None if kernel.grad is None else as_matrix(kernel.grad, kernel).to(matrix)
        for rule, group in zip(self._rules, self.param_groups, strict=True):
            rule.param_groups[0]["lr"] = group["lr"]
            rule.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both rules beside that of every optimizer."""
        return super().state_dict() | {"rules": [rule.state_dict() for rule in self._rules]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of both rules back."""
        super().load_state_dict(state_dict)
        for rule, state in zip(self._rules, state_dict["rules"], strict=True):
            rule.load_state_dict(state)
