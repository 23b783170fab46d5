"""Networks of users: any class that maps rainy colours to derained ones.

If a class states `size_multiple` and `tile_margin`, they are used unchecked; otherwise they are
measured. The class is imported by its path, so its module must be importable when the weights are
loaded. Files from the hub never name a class to import.
"""

import copy
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crdnet.errors import ModelError
from crdnet.nn.sharing import SharedNetwork
from crdnet.nn.sides import check_sides

MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128)
"""Candidates for a measured size multiple."""
# Sides of the images on which the reach is measured, in pixels; the first that suffices counts.
_PROBES = (160, 320, 640, 1280)


class OwnNetwork(SharedNetwork):
    """Network of a user's class.

    Args:
        class_path: Import path of the class, `package.module.Name`.
        init_args: Arguments of the class.
    """

    kind = "custom"
    body: nn.Module
    size_multiple: int
    tile_margin: int

    def __init__(self, class_path: str, init_args: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.class_path = class_path
        self.init_args = dict(init_args or {})
        self.body = _build(class_path, self.init_args)
        stated = getattr(self.body, "size_multiple", None)
        self.size_multiple = measure_size_multiple(self.body) if stated is None else int(stated)
        stated = getattr(self.body, "tile_margin", None)
        self.tile_margin = (
            measure_margin(self.body, self.size_multiple) if stated is None else int(stated)
        )

    @classmethod
    def build(cls, **arguments: Any) -> "OwnNetwork":
        """Build a network from the arguments of `describe`."""
        return cls(**arguments)

    def describe(self) -> dict[str, Any]:
        """Return the import path and the arguments of the class."""
        return {"class_path": self.class_path, "init_args": self.init_args}

    def forward(self, rainy: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Estimate the rain-free image; sides must be multiples of `size_multiple`."""
        check_sides(rainy, self.size_multiple)
        return self.body(rainy)


def _build(class_path: str, init_args: Mapping[str, Any]) -> nn.Module:
    module, _, name = class_path.rpartition(".")
    # The installed command does not search the current folder, where such a file usually lies.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelError(
            f"the class {class_path!r} cannot be imported ({error}); write package.module.Name of "
            "a class in the current folder or in an installed package"
        ) from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ModelError(f"{class_path} is not a torch.nn.Module; name a class that is one")
    try:
        network = found(**init_args)
    except TypeError as error:
        raise ModelError(f"{class_path} cannot be built: {error}; see network.init_args") from error
    assert isinstance(network, nn.Module)
    return network


@torch.no_grad()
def measure_size_multiple(network: nn.Module) -> int:
    """Return the smallest power of two whose multiples the network accepts as sides.

    Raises:
        ModelError: No candidate works, or the output has another size than the input.
    """
    network = copy.deepcopy(network).eval()
    reason = ""
    for multiple in MULTIPLES:
        try:
            # Odd counts of the multiple: an even one could hide a larger multiple.
            shapes = [(3 * multiple, 5 * multiple), (5 * multiple, 7 * multiple)]
            outputs = [network(torch.zeros(1, 3, *shape)) for shape in shapes]
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            continue
        if all(
            isinstance(output, Tensor) and output.shape == (1, 3, *shape)
            for output, shape in zip(outputs, shapes, strict=True)
        ):
            return multiple
        reason = "its output is not an image of the size of the input"
    raise ModelError(
        f"{type(network).__name__} does not map images (b, 3, h, w) to images of their size: "
        f"{reason}"
    )


def measure_margin(network: nn.Module, multiple: int) -> int:
    """Return the number of pixels around a tile that its result depends on.

    The reach is measured by gradients. All weights and inputs are made positive, so that no
    activation stops a gradient and no gradients cancel; norms use their running statistics.

    Args:
        network: Network without pooling over the whole image.
        multiple: Size multiple; the margin is rounded up to it.

    Raises:
        ModelError: The result depends on pixels farther away than can be measured.
    """
    probe = copy.deepcopy(network).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in probe.parameters():
            # Small enough to keep sums finite over many layers.
            fan_in = max(1, parameter[0].numel()) if parameter.ndim > 1 else 1
            values = torch.rand(parameter.shape, generator=generator).to(parameter)
            parameter.copy_((values + 0.5) / fan_in)
    probe.requires_grad_(False)
    for side in _PROBES:
        reach = _measure_reach(probe, multiple, side, generator)
        if reach is not None:
            return -(-reach // multiple) * multiple
    raise ModelError(
        f"{type(network).__name__} depends on pixels more than {_PROBES[-1] // 2} away, so tiles "
        "cannot equal the whole image; remove pooling over the image, or state a `tile_margin`"
    )


def _measure_reach(
    probe: nn.Module, multiple: int, side: int, generator: torch.Generator
) -> int | None:
    """Return the reach in pixels around the middle cell; None if it touches the border."""
    cells = max(3, -(-side // multiple) | 1)
    side = cells * multiple
    first = (cells // 2) * multiple
    seen = torch.zeros(side, side, dtype=torch.bool)
    # A maximum passes the gradient of only one input, so several images are needed to reach all.
    for _ in range(2):
        image = torch.rand(1, 3, side, side, generator=generator).add(0.5).requires_grad_()
        output = probe(image)[0, :, first : first + multiple, first : first + multiple]
        (gradient,) = torch.autograd.grad(output.sum(), image)
        seen |= gradient[0].abs().sum(0) > 0
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    if not len(rows):
        return 0
    low, high = min(int(rows[0]), int(columns[0])), max(int(rows[-1]), int(columns[-1]))
    if low == 0 or high == side - 1:
        return None
    return max(0, first - low, high - (first + multiple - 1))
