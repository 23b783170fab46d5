"""Cost of a model file per pixel, counted from the nodes that onnxruntime runs.

Neither torch nor a package for ONNX is needed: the profile of onnxruntime names every node and the
shapes of its inputs and outputs. Only convolutions and matrix products are counted; the rest costs
next to nothing and is fused into them. `crdnet.nn.count_kilo_macs` counts torch networks by part;
its module gives the reason for two counters.
"""

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort

from crdnet.runtime import FUSE, FUSED_IMAGES, IMAGES_NAME, INPUT_NAME, StoredModel, read_info
from crdnet.sizes import round_up_size

# Cost per pixel does not depend on the size, so a small image is enough.
_SIDE = 64
# onnxruntime numbers its severities and exposes no names for them.
_ERRORS_ONLY = 3


class Cost(NamedTuple):
    """Cost per pixel of the image."""

    macs: float
    """Multiply-accumulate operations."""
    samples: float
    """Samples through memory if each counted node reads its input and writes its output once."""


def count_cost(model: StoredModel) -> Cost:
    """Count the cost of a model on a small image.

    Raises:
        ModelError: The file is damaged or is not a crdnet model.
    """
    side, _ = round_up_size(_SIDE, _SIDE, read_info(model).size_multiple)
    nodes = [_count_node_cost(arguments) for arguments in _profile_nodes(model, side)]
    return Cost(*(sum(each) / side**2 for each in zip(*nodes, strict=True)))


def _profile_nodes(model: StoredModel, side: int) -> list[Mapping[str, Any]]:
    """Run a model on black images and return the profile's entry of each node."""
    with TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        # Nodes stay as in the file: an optimised convolution has another name.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        # The profile has no shape for weights that are packed in advance.
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(model.read(), options, providers=["CPUExecutionProvider"])
        session.run(None, make_black_input(model, side, side))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return [event["args"] for event in events if event["name"].endswith("_kernel_time")]


def make_black_input(model: StoredModel, height: int, width: int) -> dict[str, np.ndarray]:
    """Return the input of a model's graph for black images of a size that it takes."""
    name, images = (IMAGES_NAME, len(FUSED_IMAGES)) if model.task == FUSE else (INPUT_NAME, 1)
    return {name: np.zeros((1, 3 * images, height, width), np.float32)}


def _count_node_cost(arguments: Mapping[str, Any]) -> Cost:
    """Return the cost of a node for the whole image."""
    # A third input would be the bias, which adds no multiplication.
    before, *weights = _extract_shapes(arguments["input_type_shape"])[:2] or [[]]
    (after, *_) = _extract_shapes(arguments["output_type_shape"]) or [[]]
    match arguments["op_name"]:
        case "Conv":  # weights: (channels out, channels in of a group, kernel)
            macs = prod(after) * prod(weights[0][1:])
        case "ConvTranspose":  # weights: (channels in, channels out of a group, kernel)
            macs = prod(before) * prod(weights[0][1:])
        case "Gemm" | "MatMul":
            macs = prod(after) * before[-1]
        case _:
            return Cost(0, 0)
    return Cost(macs, prod(before) + prod(after))


def _extract_shapes(described: list[dict[str, list[int]]]) -> list[list[int]]:
    """Return the shapes in an entry of the profile, [{"float": [1, 3, 64, 64]}, ...]."""
    return [shape for each in described for shape in each.values()]
