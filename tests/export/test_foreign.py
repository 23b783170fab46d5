"""Model files for other programs compute what the model computes, or are not written."""

import json
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from crdnet import foreign
from crdnet.errors import ModelError
from crdnet.export import describe_model, export_network
from crdnet.foreign import OPSETS, Adaptation, adapt_model, package_for_darktable
from crdnet.runtime import find_model
from tests.cli.runner import Crdnet
from tests.export.test_residual import network

PROVIDERS = ["CPUExecutionProvider"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("foreign") / "ours.onnx"
    export_network(network(), path, describe_model(network(), "Ours (1)", "seeded noise"))
    return path


def run(content: bytes | Path, rainy: np.ndarray, name: str = "rainy") -> np.ndarray:
    given = content.read_bytes() if isinstance(content, Path) else content
    session = ort.InferenceSession(given, providers=PROVIDERS)
    return np.asarray(session.run(None, {name: rainy})[0])


def make_rainy(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(2).random((1, 3, height, width), dtype=np.float32)


@pytest.mark.parametrize("half", [False, True])
def test_a_file_of_fixed_sides_computes_the_same(model: Path, tmp_path: Path, half: bool) -> None:
    path = tmp_path / "fixed.onnx"
    report = adapt_model(model, path, Adaptation(fixed=48, half=half, opset=17))
    assert report.bytes == path.stat().st_size
    session = ort.InferenceSession(path, providers=PROVIDERS)
    (given,) = session.get_inputs()
    assert (given.shape, given.type) == ([1, 3, 48, 48], "tensor(float)")
    assert [each.shape for each in session.get_outputs()] == [[1, 3, 48, 48], [1, 1, 3, 3]]
    rainy = make_rainy(48, 48)
    tolerance = 2e-2 if half else 1e-4
    np.testing.assert_allclose(run(path, rainy), run(model, rainy), rtol=0, atol=tolerance)
    types = {each.data_type for each in onnx.load(path).graph.initializer if each.dims}
    assert (onnx.TensorProto.FLOAT16 in types) == half


@pytest.mark.parametrize("opset", [OPSETS[0], 17, OPSETS[1]])
def test_a_file_of_another_opset_stays_a_model_of_ours(
    model: Path, tmp_path: Path, opset: int
) -> None:
    path = tmp_path / "other.onnx"
    adapt_model(model, path, Adaptation(opset=opset))
    loaded = onnx.load(path)
    assert [each.version for each in loaded.opset_import if not each.domain] == [opset]
    assert {each.key: each.value for each in loaded.metadata_props} == {
        each.key: each.value for each in onnx.load(model).metadata_props
    }
    rainy = make_rainy(32, 64)
    np.testing.assert_allclose(run(path, rainy), run(model, rainy), rtol=0, atol=1e-4)


def test_a_package_for_darktable_has_the_published_form(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "rain.dtmodel"
    package_for_darktable(model, path)
    with ZipFile(path) as package:
        names = package.namelist()
        folder = "derain-crdnet-ours-1"
        assert {f"{folder}/config.json", f"{folder}/model.onnx"} <= set(names)
        config = json.loads(package.read(f"{folder}/config.json"))
        content = package.read(f"{folder}/model.onnx")
    assert config["id"] == folder
    assert (config["task"], config["backend"], config["tiling"]) == ("denoise", "onnx", True)
    card = config["model_card"]
    assert set(card) == {
        "long_description",
        "scope",
        "author",
        "source",
        "paper",
        "license",
        "training_data",
        "training_data_license",
        "notes",
    }
    assert card["training_data"] == "seeded noise"
    graph = onnx.load(BytesIO(content))
    assert 11 <= graph.opset_import[0].version <= 17
    session = ort.InferenceSession(content, providers=PROVIDERS)
    assert [each.name for each in session.get_inputs()] == ["input"]
    assert [each.name for each in session.get_outputs()] == ["output"]


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 47), (100, 17)])
def test_the_model_in_a_package_takes_any_sides(
    model: Path, tmp_path: Path, height: int, width: int
) -> None:
    path = tmp_path / "rain.dtmodel"
    package_for_darktable(model, path)
    with ZipFile(path) as package:
        content = package.read(next(name for name in package.namelist() if "onnx" in name))
    rainy = make_rainy(height, width)
    missing = [(0, 0), (0, 0), (0, -height % 16), (0, -width % 16)]
    expected = run(model, np.pad(rainy, missing, mode="reflect"))[..., :height, :width]
    np.testing.assert_allclose(run(content, rainy, "input"), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("adaptation", "words"),
    [
        (Adaptation(fixed=100), "multiples of 16, got 100; use 96"),
        (Adaptation(opset=11), "from 14 to 23, got 11"),
    ],
)
def test_what_cannot_be_written_is_said(
    model: Path, tmp_path: Path, adaptation: Adaptation, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        adapt_model(model, tmp_path / "other.onnx", adaptation)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_differs_is_not_left_in_place(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "TOLERANCE", -1.0)
    path = tmp_path / "other.onnx"
    path.write_bytes(b"before")
    with pytest.raises(ModelError, match="differs from the model"):
        adapt_model(model, path, Adaptation(opset=17))
    with pytest.raises(ModelError, match="differs from the model"):
        package_for_darktable(model, path)
    assert path.read_bytes() == b"before"


def test_a_file_that_leaves_the_rain_is_not_left_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def return_input(model: onnx.ModelProto) -> onnx.ModelProto:
        del model.graph.node[:], model.graph.initializer[:], model.graph.output[1:]
        same = onnx.helper.make_node("Identity", ["rainy"], ["derained"])
        model.graph.node.append(same)
        return model

    monkeypatch.setattr(foreign, "_halve_precision", return_input)
    path = tmp_path / "other.onnx"
    with pytest.raises(ModelError, match="differs from the model"):
        adapt_model(find_model("default").path, path, Adaptation(half=True))
    assert not path.exists()


def test_the_command_writes_a_package_of_a_shipped_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rain.dtmodel"
    crdnet = Crdnet(monkeypatch, capsys)
    done = crdnet("export", "default", "--darktable", "-o", path)
    assert done.code == 0
    assert "differs from the model by at most" in done.out
    with ZipFile(path) as package:
        config = json.loads(package.read("derain-crdnet-rain/config.json"))
    assert config["model_card"]["training_data"].startswith("Rain800")
    wrong = crdnet("export", "default", "--darktable", "--fp16", "-o", path, "--overwrite")
    assert wrong.code == 2
