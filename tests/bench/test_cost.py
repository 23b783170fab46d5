"""The counted cost of model files agrees with other counts."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from crdnet.bench.cost import count_cost
from crdnet.errors import ModelError
from crdnet.nn import build_crdnet, build_residual_crdnet, count_kilo_macs
from crdnet.nn.fusion import FusionNetwork
from crdnet.runtime import (
    FUSE,
    INPUT_NAME,
    OUTPUT_NAME,
    ModelInfo,
    StoredModel,
    find_model,
    list_models,
)
from tests.runtime.tiny import write_tiny_model


def test_the_cost_of_a_small_network_agrees_with_a_count_by_hand(tmp_path: Path) -> None:
    cost = count_cost(find_model(write_tiny_model(tmp_path / "tiny.onnx")))
    full, quarter, sixteenth = 9 * (3 * 4 + 6 * 3), 9 * 4 * 6, 9 * 6 * 6
    assert cost.macs == full + quarter / 4 + sixteenth / 16
    assert cost.samples == (3 + 4 + 6 + 3) + (4 + 6) / 4 + (6 + 6) / 16


@pytest.mark.parametrize("name", ["default", "paper"])
def test_the_cost_of_a_shipped_model_agrees_with_the_count_in_torch(name: str) -> None:
    network = build_residual_crdnet() if name == "default" else build_crdnet()
    assert count_cost(find_model(name)).macs / 1000 == pytest.approx(
        sum(count_kilo_macs(network.eval()).values()), rel=1e-3
    )


def test_the_cost_of_the_model_for_clips_agrees_with_the_count_in_torch() -> None:
    (stored,) = list_models(task=FUSE)
    assert count_cost(stored).macs / 1000 == pytest.approx(
        sum(count_kilo_macs(FusionNetwork(), channels=21).values()), rel=1e-3
    )


def test_groups_and_transposed_convolutions_are_counted_once(tmp_path: Path) -> None:
    depthwise = np.zeros((3, 1, 3, 3), np.float32)  # 27 operations a pixel
    transposed = np.zeros((3, 3, 1, 1), np.float32)  # 9
    nodes = [
        helper.make_node("Conv", [INPUT_NAME, "depthwise"], ["a"], group=3, pads=[1, 1, 1, 1]),
        helper.make_node("ConvTranspose", ["a", "transposed"], [OUTPUT_NAME]),
    ]
    shape: list[str | int | None] = ["batch", 3, "height", "width"]
    graph = helper.make_graph(
        nodes,
        "grouped",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(depthwise, "depthwise"),
            numpy_helper.from_array(transposed, "transposed"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, ModelInfo("grouped", 1, 1, "1", "nothing").to_metadata())
    path = tmp_path / "grouped.onnx"
    onnx.save(model, path)
    assert count_cost(find_model(path)).macs == 27 + 9


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "theirs.onnx", None)
    with pytest.raises(ModelError, match="not a crdnet model"):
        count_cost(StoredModel("theirs", path))
