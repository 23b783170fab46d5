"""What a network costs: parameters and multiplications per pixel of each of its parts.

    python benchmarks/cost.py          our network and the published one

Contract: counted, not timed: multiply-accumulate operations of all convolutions on a picture of 64 x 64, divided by its
pixels. Activations, additions and enlargements are not counted.
"""

from collections import defaultdict

import torch

from crdnet.nn import CRDNet, ResidualCRDNet, build_crdnet, build_residual_crdnet

SIDE = 64


def kilo_macs_by_part(network: CRDNet | ResidualCRDNet) -> dict[str, float]:
    """Return thousands of multiply-accumulate operations per pixel of each part, by its name."""
    macs: dict[str, float] = defaultdict(float)

    def counting(part: str) -> object:
        def count(
            module: torch.nn.Conv2d | torch.nn.ConvTranspose2d, _: tuple[torch.Tensor], output: torch.Tensor
        ) -> None:
            taps = module.kernel_size[0] * module.kernel_size[1]
            pixels = output.shape[2] * output.shape[3]
            macs[part] += taps * module.in_channels * module.out_channels * pixels / SIDE**2 / 1000

        return count

    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            module.register_forward_hook(counting(name.partition(".")[0]))  # type: ignore[arg-type]
    with torch.inference_mode():
        network(torch.zeros(1, 3, SIDE, SIDE))
    return macs


def main() -> None:
    for title, network in (("default", build_residual_crdnet()), ("paper", build_crdnet())):
        network.eval()
        macs = kilo_macs_by_part(network)
        print(f"\n{title}\n\n| part | parameters | kMAC per pixel |\n|---|---|---|")
        for part, module in network.named_children():
            parameters = sum(each.numel() for each in module.parameters())
            print(f"| `{part}` | {parameters:,} | {macs[part]:.2f} |")
        parameters = sum(each.numel() for each in network.parameters())
        print(f"| all | {parameters:,} | {sum(macs.values()):.2f} |")


if __name__ == "__main__":
    main()
