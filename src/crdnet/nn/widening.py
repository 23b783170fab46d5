"""Widening of a network without changing its function.

Every channel is copied several times, and its outgoing weights are divided among the copies (Chen,
Goodfellow, Shlens, "Net2Net: Accelerating learning via knowledge transfer", ICLR 2016). This is
exact since all activations are ReLUs and sums. A little noise makes the copies differ, so that
their gradients differ too.
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
    """Set the weights of a wide network so that it computes the same as a narrow one.

    Args:
        narrow: Source of the weights.
        wide: Network with the same parts and integer multiples of the widths; changed in place.
        noise: Standard deviation of the noise, relative to that of each kernel; 0 is exact.
        seed: Seed of the noise.

    Returns:
        The wide network.

    Raises:
        CheckpointError: The parts differ, or a width is no integer multiple.
    """
    generator = torch.Generator().manual_seed(seed)
    weights, expected = narrow.state_dict(), wide.state_dict()
    if weights.keys() != expected.keys():
        raise CheckpointError(
            "a network can only grow into one of the same parts: dilations, scales, heads",
        )
    for name, target in expected.items():
        grown = weights[name]
        parts = _list_input_parts(name, grown, narrow)
        grown = _repeat_outputs(grown, target.shape[0], name)
        if grown.ndim > 1:
            grown = _split_inputs(grown, target.shape[1], parts, name)
            # Kernels that keep their shape stay exact, since they have no copies to separate.
            if noise and target.shape != weights[name].shape:
                grown = grown + noise * grown.std() * torch.randn(grown.shape, generator=generator)
        target.copy_(grown)
    return wide


def _list_input_parts(name: str, values: Tensor, network: ResidualCRDNet) -> tuple[int, ...]:
    """List the channels of the tensors that are concatenated to the input of a layer."""
    streaks = network.streaks
    dilated = () if streaks is None else (streaks.reduce.out_channels,) * len(streaks.dilated)
    if name == "streaks.merge.weight":
        return dilated
    if name == "sensing.conv1.weight":
        deepest = values.shape[1] - COLOURS_FOUND - sum(dilated)
        return (COLOURS_FOUND, deepest, *dilated)
    return tuple(values.shape[1:2])


def _repeat_outputs(values: Tensor, channels: int, name: str) -> Tensor:
    copies = _count_copies(values.shape[0], channels, name)
    # Whole blocks are repeated, so that concatenated inputs can be split by part.
    return values.repeat(copies, *[1] * (values.ndim - 1))


def _split_inputs(values: Tensor, channels: int, parts: Sequence[int], name: str) -> Tensor:
    """Return kernels for copied input channels, each copy with its share of the weight.

    The colours in the input of the sensing head are not copied; all other parts are.
    """
    fixed = COLOURS_FOUND if name == "sensing.conv1.weight" else 0
    copies = _count_copies(sum(parts) - fixed, channels - fixed, name)
    grown = []
    for number, part in enumerate(torch.split(values, list(parts), dim=1)):
        times = 1 if fixed and number == 0 else copies
        grown.append(part.repeat(1, times, *[1] * (values.ndim - 2)) / times)
    return torch.cat(grown, 1)


def _count_copies(before: int, after: int, name: str) -> int:
    if before < 1 or after % before:
        raise CheckpointError(
            f"{name}: {before} channels cannot grow to {after}; widths must be whole multiples"
        )
    return after // before
