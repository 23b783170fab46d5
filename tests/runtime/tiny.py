"""Tiny model files, built node by node; their results are wrong for tiles without a margin."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from crdnet.runtime.model import DENSITY_NAME, INPUT_NAME, OUTPUT_NAME, ModelInfo

TINY = ModelInfo(
    name="tiny",
    size_multiple=4,
    margin=20,
    version="1",
    training_data="nothing; random weights",
    scores={"none psnr": 1.5},
)
"""Two poolings make 4; it looks 1 + 2 + 4 + 4 + 1 pixels far, plus up to 3 for the pooling grid."""


def write_tiny_model(
    path: Path, info: ModelInfo | None = TINY, *, gain: float = 0.2, output: str = OUTPUT_NAME
) -> Path:
    """Write a two-level encoder and decoder with random weights and a residual.

    Args:
        path: The file.
        info: Its metadata; None writes none, as somebody else's model.
        gain: How much the network changes an image; 0 is the identity.
        output: Name of what it gives.
    """
    rng = np.random.default_rng(7)
    layers = [("a", 3, 4), ("b", 4, 6), ("c", 6, 6), ("d", 6, 3)]
    constants = [
        numpy_helper.from_array(
            rng.normal(0, 0.4, (after, before, 3, 3)).astype(np.float32), f"w_{name}"
        )
        for name, before, after in layers
    ]
    constants += [
        numpy_helper.from_array(np.array([1, 1, 4, 4], np.float32), "four_times"),
        numpy_helper.from_array(np.array(gain, np.float32), "gain"),
    ]

    def conv(source: str, name: str) -> onnx.NodeProto:
        return helper.make_node("Conv", [source, f"w_{name}"], [name], pads=[1, 1, 1, 1])

    def pool(source: str, name: str) -> onnx.NodeProto:
        return helper.make_node("MaxPool", [source], [name], kernel_shape=[2, 2], strides=[2, 2])

    nodes = [
        conv(INPUT_NAME, "a"),
        pool("a", "a_half"),
        conv("a_half", "b"),
        pool("b", "b_half"),
        conv("b_half", "c"),
        helper.make_node(
            "Resize",
            ["c", "", "four_times"],
            ["c_full"],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
        conv("c_full", "d"),
        helper.make_node("Mul", ["d", "gain"], ["change"]),
        helper.make_node("Add", [INPUT_NAME, "change"], [output]),
    ]
    shape: list[str | int | None] = ["batch", 3, "height", "width"]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if info is not None:
        helper.set_model_props(model, info.to_metadata())
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


STREAK_SIDE = 8
"""Cells of the model below."""


def write_streak_model(path: Path) -> Path:
    """Write a model that removes bright vertical lines of one pixel width.

    It subtracts the excess over the mean of the left and right neighbours, and returns that excess
    as density. It does not see wider lines, like a network trained on images of 500 pixels.
    """
    sticks_out = np.zeros((3, 1, 1, 3), np.float32)
    sticks_out[:] = np.array([-0.5, 1.0, -0.5], np.float32)
    luma = np.array([0.299, 0.587, 0.114], np.float32).reshape(1, 3, 1, 1)
    nodes = [
        helper.make_node("Pad", [INPUT_NAME, "around"], ["padded"], mode="edge"),
        helper.make_node("Conv", ["padded", "sticks_out"], ["ridge"], group=3),
        helper.make_node("Relu", ["ridge"], ["rain"]),
        helper.make_node("Sub", [INPUT_NAME, "rain"], [OUTPUT_NAME]),
        helper.make_node("Conv", ["rain", "luma"], ["change"]),
        helper.make_node(
            "AveragePool",
            ["change"],
            ["mean"],
            kernel_shape=[STREAK_SIDE] * 2,
            strides=[STREAK_SIDE] * 2,
        ),
        helper.make_node("Mul", ["mean", "levels"], [DENSITY_NAME]),
    ]
    constants = [
        numpy_helper.from_array(np.array([0, 0, 0, 1, 0, 0, 0, 1], np.int64), "around"),
        numpy_helper.from_array(sticks_out, "sticks_out"),
        numpy_helper.from_array(luma, "luma"),
        numpy_helper.from_array(np.array(255, np.float32), "levels"),
    ]
    shape: list[str | int | None] = ["batch", 3, "height", "width"]
    outputs = [
        helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, shape),
        helper.make_tensor_value_info(
            DENSITY_NAME, TensorProto.FLOAT, ["batch", 1, "rows", "columns"]
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "streak",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, shape)],
        outputs,
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    info = ModelInfo("streak", STREAK_SIDE, 8, "1", "nothing; it is arithmetic")
    helper.set_model_props(model, info.to_metadata())
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
