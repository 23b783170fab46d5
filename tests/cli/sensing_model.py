"""A model that takes brightness for rain, for tests of what stands around a model that senses."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from crdnet.runtime import DENSITY_NAME, INPUT_NAME, OUTPUT_NAME, ModelInfo

CELL = 4
INFO = ModelInfo(name="sensing", size_multiple=CELL, margin=0, version="1", training_data="nothing")


def write_sensing_model(path: Path) -> Path:
    """Write a model that halves colours, with an intensity of 100 times a cell's mean colour.

    So a black image is dry, and a white one has heavy rain.
    """
    nodes = [
        helper.make_node("Mul", [INPUT_NAME, "half"], [OUTPUT_NAME]),
        helper.make_node("ReduceMean", [INPUT_NAME, "channel"], ["grey"], keepdims=1),
        helper.make_node(
            "AveragePool", ["grey"], ["cells"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]
        ),
        helper.make_node("Mul", ["cells", "hundred"], [DENSITY_NAME]),
    ]
    shape: list[str | int | None] = ["batch", 3, "height", "width"]
    cells: list[str | int | None] = ["batch", 1, "rows", "columns"]
    graph = helper.make_graph(
        nodes,
        "sensing",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, shape),
            helper.make_tensor_value_info(DENSITY_NAME, TensorProto.FLOAT, cells),
        ],
        [
            numpy_helper.from_array(np.array(0.5, np.float32), "half"),
            numpy_helper.from_array(np.array(100, np.float32), "hundred"),
            numpy_helper.from_array(np.array([1], np.int64), "channel"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, INFO.to_metadata())
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
