"""Multiply-accumulate operations (MACs) of the torch networks.

Model files have a separate counter, `crdnet.bench.count_cost`. Two counters are needed: this one
reports the parts of a network, which a file does not have, and counts networks that are never
exported; the other needs no torch and counts files of networks without a class in crdnet.
`tests/bench/test_cost.py` checks that both agree on the shipped models.
"""

from collections import defaultdict

import torch
from torch import Tensor, nn

Convolution = nn.Conv2d | nn.ConvTranspose2d


def count_kilo_macs(network: nn.Module, side: int = 64, channels: int = 3) -> dict[str, float]:
    """Count the operations of all convolutions in a forward pass, by part of the network.

    Activations, additions and upsampling are not counted.

    Args:
        network: Network that maps images (b, channels, h, w).
        side: Side of the square image of the pass, in pixels; the network must accept it.
        channels: Channels of the input.

    Returns:
        Thousands of multiply-accumulate operations per pixel, by name of the child module.
    """
    counts: dict[str, float] = defaultdict(float)

    def count_part(part: str, module: Convolution, output: Tensor) -> None:
        taps = module.kernel_size[0] * module.kernel_size[1]
        macs = taps * module.in_channels * module.out_channels * output.shape[2] * output.shape[3]
        counts[part] += macs / side**2 / 1000

    # Hooks see the sizes of every layer without a model of the network.
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, Convolution):
            part = name.partition(".")[0]
            hooks.append(
                module.register_forward_hook(
                    lambda module, _, output, part=part: count_part(part, module, output),
                )
            )
    try:
        with torch.inference_mode():
            network(torch.zeros(1, channels, side, side))
    finally:
        for hook in hooks:
            hook.remove()
    return dict(counts)
