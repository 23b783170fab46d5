"""What a network costs: parameters and multiplications per pixel of each of its parts.

    python benchmarks/cost.py          our network and the published one

Contract: counted, not timed: multiply-accumulate operations of all convolutions on a picture of 64 x 64, divided by its
pixels. Activations, additions and enlargements are not counted.
"""

from crdnet.nn import build_crdnet, build_residual_crdnet, count_kilo_macs


def main() -> None:
    for title, network in (("default", build_residual_crdnet()), ("paper", build_crdnet())):
        network.eval()
        macs = count_kilo_macs(network)
        print(f"\n{title}\n\n| part | parameters | kMAC per pixel |\n|---|---|---|")
        for part, module in network.named_children():
            parameters = sum(each.numel() for each in module.parameters())
            print(f"| `{part}` | {parameters:,} | {macs[part]:.2f} |")
        parameters = sum(each.numel() for each in network.parameters())
        print(f"| all | {parameters:,} | {sum(macs.values()):.2f} |")


if __name__ == "__main__":
    main()
