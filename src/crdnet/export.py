"""Export of trained networks to model files, with a check that both compute the same values.

This is the only module that imports both the torch networks and the runtime.
"""

import copy
import json
import logging
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import onnxruntime

from crdnet._version import __version__
from crdnet.errors import MissingExtraError, ModelError
from crdnet.files import write_whole
from crdnet.nn import CRDNet, Network, ResidualCRDNet, load_network
from crdnet.nn.blocks import DownBlock, UpBlock
from crdnet.nn.fusion import IMAGES, FusionNetwork
from crdnet.runtime import (
    DENSITY_NAME,
    FUSED_NAME,
    IMAGES_NAME,
    INPUT_NAME,
    OPSET,
    OUTPUT_NAME,
    ModelInfo,
    Session,
    find_model,
)
from crdnet.sizes import pad_to_multiple

try:
    import onnx
    import torch
    from torch import Tensor, nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval
except ModuleNotFoundError as error:
    raise MissingExtraError("exporting", "train") from error

AnyNetwork = TypeVar("AnyNetwork", bound=Network)
PARITY_SIZES = ((32, 32), (1, 1), (33, 47), (130, 75), (200, 301))
"""Heights and widths, some of them odd, at which the file is compared with torch."""
__all__ = [
    "ExportReport",
    "Network",
    "describe_model",
    "export_fusion",
    "export_network",
    "load_network",
    "measure_difference",
    "simplify",
]

PARITY_TOLERANCE = 1e-4
"""Largest allowed difference, in colours of [0, 1] and in log(1 + S) of the intensity S per cell.

That is a fortieth of a grey level of 255 and a hundredth of a per cent. Float32 sums in another
order differ by about 1e-6.
"""


@dataclass(frozen=True)
class ExportReport:
    """Size of a written model file and its difference from torch."""

    path: Path
    bytes: int
    largest_difference: float
    """Largest difference between torch and the file over `PARITY_SIZES`; see `PARITY_TOLERANCE`."""


def export_network(network: Network, path: str | Path, info: ModelInfo) -> ExportReport:
    """Write a network as a model file, if the file computes the same as the network.

    Args:
        network: Network with trained weights.
        path: Model file; an existing file is replaced.
        info: Metadata of the file.

    Raises:
        ModelError: File and network differ; `path` is left unchanged.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    # A copy, since the caller may go on training the network.
    network = copy.deepcopy(network).cpu().float().eval()
    content = _convert_to_onnx(simplify(network), info).SerializeToString()
    with tempfile.TemporaryDirectory() as folder:
        # The check needs a file, and a failed check must leave `path` untouched.
        candidate = Path(folder) / "candidate.onnx"
        candidate.write_bytes(content)
        difference = measure_difference(network, candidate)
    for output, found in difference._asdict().items():
        if not found <= PARITY_TOLERANCE:
            raise ModelError(
                f"the model file differs from the network by {found:.2g} in its {output}, "
                f"more than {PARITY_TOLERANCE:g}; it was not written",
            )
    write_whole(path, content)
    return ExportReport(path, len(content), max(difference))


def describe_model(
    network: Network,
    name: str,
    training_data: str = "not stated",
    scores: Mapping[str, float] | None = None,
) -> ModelInfo:
    """Return the metadata for the model file of a network."""
    return ModelInfo(
        name=name,
        size_multiple=network.size_multiple,
        margin=network.tile_margin,
        version=__version__,
        training_data=training_data,
        scores=scores or {},
    )


def simplify(network: AnyNetwork) -> AnyNetwork:
    """Return a network that computes the same with fewer operations.

    Every batch norm is folded into the convolution before it. Every transposed convolution of
    stride 1 becomes an equivalent convolution, since inference engines fuse and vectorise only
    those.
    """
    simple = copy.deepcopy(network)
    simple.eval()
    for block in simple.modules():
        if isinstance(block, UpBlock):
            block.conv1 = _convert_to_convolution(block.conv1)  # type: ignore[assignment]  # folded
            block.conv2 = _convert_to_convolution(block.conv2)  # type: ignore[assignment]  # folded
        if isinstance(block, DownBlock | UpBlock):
            # After the conversion, since the norm is folded into the new convolution.
            block.conv1 = fuse_conv_bn_eval(block.conv1, block.norm)
            block.norm = nn.Identity()  # type: ignore[assignment]  # folded
    return simple


class Difference(NamedTuple):
    """Largest differences between a model file and its network; see `PARITY_TOLERANCE`."""

    image: float
    density: float
    """0 if the network exports no density map."""


def measure_difference(network: Network, path: Path) -> Difference:
    """Compare a model file with a network on seeded noise of all `PARITY_SIZES`."""
    session = Session(find_model(path), "cpu", threads=1)
    rng = np.random.default_rng(0)
    image, density = [], []
    for height, width in PARITY_SIZES:
        rainy = pad_to_multiple(
            rng.random((height, width, 3), dtype=np.float32),
            network.size_multiple,
        )
        with torch.inference_mode():
            truth = _FreeOfChecks(network)(torch.from_numpy(rainy.transpose(2, 0, 1).copy())[None])
        derained, intensity = truth if isinstance(truth, tuple) else (truth, None)
        answer = session(rainy)
        image.append(np.abs(answer.derained - derained[0].permute(1, 2, 0).numpy()).max())
        if (answer.density is None) != (intensity is None):
            # A missing or additional density map must never pass.
            density.append(np.inf)
        elif answer.density is not None and intensity is not None:
            density.append(
                np.abs(np.log1p(answer.density) - np.log1p(intensity[0, 0].numpy())).max(),
            )
    # Unlike max(), np.max propagates a NaN.
    return Difference(float(np.max(image)), float(np.max(density, initial=0.0)))


def _convert_to_convolution(transposed: nn.ConvTranspose2d) -> nn.Conv2d:
    convolution = nn.Conv2d(transposed.in_channels, transposed.out_channels, 3, padding=1)
    with torch.no_grad():
        convolution.weight.copy_(transposed.weight.transpose(0, 1).flip(2, 3))
        assert transposed.bias is not None
        assert convolution.bias is not None
        convolution.bias.copy_(transposed.bias)
    return convolution.eval()


class _FreeOfChecks(nn.Module):
    """Network without its check of sides, which would fix them in the traced graph."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, rainy: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        network = self.network
        if isinstance(network, CRDNet):
            derained: Tensor = network.refinement(
                network.streaks(rainy),
                network.background(rainy),
                rainy,
            )
            return derained
        if not isinstance(network, ResidualCRDNet):
            return network.body(rainy)
        estimate = network.estimate_unchecked(rainy)
        if not _senses_intensity(network):
            return estimate.derained
        assert estimate.density is not None
        return estimate.derained, estimate.density


def _senses_intensity(network: Network) -> bool:
    """Return whether a network has an intensity map to export; density scores are not exported."""
    if not isinstance(network, ResidualCRDNet) or network.sensing is None:
        return False
    return network.sensing.says == "intensity"


def export_fusion(network: FusionNetwork, path: str | Path, info: ModelInfo) -> ExportReport:
    """Write a network of three frames as a model file, if the file computes the same.

    Args:
        network: Network with trained weights.
        path: Model file; an existing file is replaced.
        info: Metadata of the file.

    Raises:
        ModelError: File and network differ; `path` is left unchanged.
    """
    network = copy.deepcopy(network).cpu().float().eval()
    content = _write_graph(
        network,
        network.size_multiple,
        3 * IMAGES,
        (IMAGES_NAME, [FUSED_NAME]),
        info.to_metadata() | _describe_network(network),
    ).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    difference = 0.0
    for height, width in ((8, 8), (40, 72)):
        images = rng.random((1, 3 * IMAGES, height, width), dtype=np.float32)
        with torch.inference_mode():
            truth = network(torch.from_numpy(images)).numpy()
        (fused,) = session.run([FUSED_NAME], {IMAGES_NAME: images})
        difference = float(np.maximum(difference, np.abs(fused - truth).max()))
    if not difference <= PARITY_TOLERANCE:
        raise ModelError(
            f"the model file differs from the network by {difference:.2g}, more than "
            f"{PARITY_TOLERANCE:g}; it was not written"
        )
    write_whole(Path(path), content)
    return ExportReport(Path(path), len(content), difference)


def _describe_network(network: Network | FusionNetwork) -> dict[str, str]:
    """Return the arguments that build a network, so that its file can be fine-tuned."""
    return {"network": json.dumps({"kind": network.kind, "network": network.describe()})}


def _convert_to_onnx(network: Network, info: ModelInfo) -> onnx.ModelProto:
    outputs = [OUTPUT_NAME, *[DENSITY_NAME] * _senses_intensity(network)]
    return _write_graph(
        _FreeOfChecks(network),
        network.size_multiple,
        3,
        (INPUT_NAME, outputs),
        info.to_metadata() | _describe_network(network),
    )


def _write_graph(
    network: nn.Module,
    multiple: int,
    channels: int,
    names: tuple[str, list[str]],
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
    """Return the graph of a network with dynamic sides.

    Args:
        network: Network of one input.
        multiple: Number that divides both sides.
        channels: Channels of the input.
        names: Name of the input, names of the outputs.
        metadata: Metadata of the file.
    """
    shapes = {
        0: torch.export.Dim("batch"),
        2: multiple * torch.export.Dim("rows", min=1),
        3: multiple * torch.export.Dim("columns", min=1),
    }
    # torch.export treats a size of 1 as a constant, so the example has a batch of 2.
    example = torch.zeros(2, channels, 2 * multiple, 3 * multiple)
    # The exporter warns and logs about its own internals, which users cannot change.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            dynamic_shapes=[shapes],
            input_names=[names[0]],
            output_names=names[1],
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    model.producer_name, model.producer_version = "crdnet", __version__
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(metadata))
    for node in model.graph.node:
        # The exporter stores the stack of every operation, with paths of this machine.
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    return model
