"""Growing a network without changing what it computes.

Every channel becomes several copies of itself, and what leaves a channel is divided among its copies
(Chen, Goodfellow, Shlens, "Net2Net: Accelerating learning via knowledge transfer", ICLR 2016). The
activations between are ReLUs and sums, which copies pass unchanged. A little noise makes the copies
differ, so that training can tell them apart.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from crdnet.errors import CheckpointError
from crdnet.nn.residual import COLOURS_FOUND, ResidualCRDNet


@torch.no_grad()
def widen(
    narrow: ResidualCRDNet, wide: ResidualCRDNet, *, noise: float = 0.0, seed: int = 0
) -> ResidualCRDNet:
    """Give a wide network the weights of a narrow one, so that both compute the same.

    Args:
        narrow: Network to take the weights from.
        wide: Network of the same parts whose widths are whole multiples; it is changed.
        noise: Standard deviation of the noise, in standard deviations of each kernel; 0 is exact.
        seed: Of the noise.

    Returns:
        The wide network.

    Raises:
        CheckpointError: The parts differ, or a width is no whole multiple.
    """
    generator = torch.Generator().manual_seed(seed)
    weights, expected = narrow.state_dict(), wide.state_dict()
    if weights.keys() != expected.keys():
        raise CheckpointError("a network can only grow into one of the same parts: dilations, scales, heads")
    for name, target in expected.items():
        grown = weights[name]
        parts = _input_parts(name, grown, narrow)
        grown = _repeat_outputs(grown, target.shape[0], name)
        if grown.ndim > 1:
            grown = _split_inputs(grown, target.shape[1], parts, name)
            if noise and target.shape != weights[name].shape:
                grown = grown + noise * grown.std() * torch.randn(grown.shape, generator=generator)
        target.copy_(grown)
    return wide


def _input_parts(name: str, values: Tensor, network: ResidualCRDNet) -> tuple[int, ...]:
    """Return the channels of each tensor that the input of a layer is joined of."""
    streaks = network.streaks
    dilated = () if streaks is None else (streaks.reduce.out_channels,) * len(streaks.dilated)
    if name == "streaks.merge.weight":
        return dilated
    if name == "sensing.conv1.weight":
        deepest = values.shape[1] - COLOURS_FOUND - sum(dilated)
        return (COLOURS_FOUND, deepest, *dilated)
    return tuple(values.shape[1:2])


def _repeat_outputs(values: Tensor, channels: int, name: str) -> Tensor:
    copies = _copies(values.shape[0], channels, name)
    return values.repeat(copies, *[1] * (values.ndim - 1))


def _split_inputs(values: Tensor, channels: int, parts: Sequence[int], name: str) -> Tensor:
    """Return kernels that read every copy of an input channel, each with its share of the weight.

    The colours that the sensing head sees are not copied; of the other parts each grows alike.
    """
    fixed = COLOURS_FOUND if name == "sensing.conv1.weight" else 0
    copies = _copies(sum(parts) - fixed, channels - fixed, name)
    grown = []
    for number, part in enumerate(torch.split(values, list(parts), dim=1)):
        times = 1 if fixed and number == 0 else copies
        grown.append(part.repeat(1, times, *[1] * (values.ndim - 2)) / times)
    return torch.cat(grown, 1)


def _copies(before: int, after: int, name: str) -> int:
    if before < 1 or after % before:
        raise CheckpointError(
            f"{name}: {before} channels cannot grow to {after}; widths must be whole multiples"
        )
    return after // before
