"""Model file that returns its input, for tests of the code around a model."""

from pathlib import Path

import onnx

from crdnet.runtime import ModelInfo
from crdnet.runtime.model import INPUT_NAME, OUTPUT_NAME


def write_identity_model(path: Path) -> Path:
    """Write a crdnet model that changes nothing."""
    shape: list[str | int | None] = ["batch", 3, "height", "width"]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", [INPUT_NAME], [OUTPUT_NAME])],
        "identity",
        [onnx.helper.make_tensor_value_info(INPUT_NAME, onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info(OUTPUT_NAME, onnx.TensorProto.FLOAT, shape)],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9
    )
    info = ModelInfo(name="identity", size_multiple=32, margin=0, version="1", training_data="none")
    onnx.helper.set_model_props(model, info.to_metadata())
    onnx.save(model, path)
    return path
