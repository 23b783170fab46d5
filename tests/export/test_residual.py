"""Our own network as a model file, with its map of the density beside the image."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch

from crdnet import Derainer, export
from crdnet.errors import CheckpointError, ModelError
from crdnet.export import describe_model, export_network, load_network, simplify
from crdnet.nn import ResidualCRDNet, Sensing, build_residual_crdnet
from crdnet.sizes import pad_to_multiple

TINY: dict[str, Any] = {"width": 4, "scale_widths": [4, 5, 6], "streak_width": 2}


def network(sensing: Sensing | None = "intensity") -> ResidualCRDNet:
    torch.manual_seed(0)
    built = build_residual_crdnet(**TINY, sensing=sensing)
    torch.nn.init.normal_(built.head[-1].weight, std=0.1)  # type: ignore[arg-type]
    return built.eval()


def outputs(path: Path) -> dict[str, list[Any]]:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return {each.name: each.shape for each in session.get_outputs()}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "ours.onnx"
    export_network(network(), path, describe_model(network(), "ours"))
    return path


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (5, 33), (70, 47)])
def test_image_and_density_of_any_size_agree_with_torch(
    exported: Path,
    size: tuple[int, int],
) -> None:
    rainy = np.random.default_rng(1).random((*size, 3), dtype=np.float32)
    padded = pad_to_multiple(rainy, 16).transpose(2, 0, 1)[None].copy()
    with torch.inference_mode():
        expected = network().sense(torch.from_numpy(padded))
    session = ort.InferenceSession(exported, providers=["CPUExecutionProvider"])
    derained, density = session.run(["derained", "density"], {"rainy": padded})
    assert expected.density is not None
    np.testing.assert_allclose(derained, expected.derained.numpy(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(density, expected.density.numpy(), rtol=1e-4, atol=1e-4)
    ours = Derainer(model=str(exported)).estimate(rainy)
    np.testing.assert_allclose(
        ours,
        derained[0].transpose(1, 2, 0)[: size[0], : size[1]],
        rtol=0,
        atol=1e-5,
    )


def test_tiles_give_what_the_whole_image_gives(exported: Path) -> None:
    rainy = np.random.default_rng(2).random((330, 290, 3), dtype=np.float32)
    whole = Derainer(model=str(exported), tile=0).estimate(rainy)
    tiled = Derainer(model=str(exported), tile=320).estimate(rainy)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)  # sums in another order


@pytest.mark.parametrize(
    ("spoils", "named"),
    [("sensing.conv2.bias", r"0\.\d+ in its density"), ("head.2.bias", r"0\.01 in its image")],
)
def test_a_file_whose_density_or_image_is_wrong_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoils: str, named: str
) -> None:
    def spoiled(network: ResidualCRDNet) -> ResidualCRDNet:
        simple = simplify(network)
        with torch.no_grad():
            simple.state_dict()[spoils] += 0.01
        return simple

    monkeypatch.setattr(export, "simplify", spoiled)
    with pytest.raises(
        ModelError, match=f"differs from the network by {named}, more than 0.0001; it was not"
    ):
        export_network(network(), tmp_path / "ours.onnx", describe_model(network(), "ours"))
    assert list(tmp_path.iterdir()) == []


def test_a_density_that_is_no_number_is_not_exported(tmp_path: Path) -> None:
    broken = network()
    with torch.no_grad():
        broken.state_dict()["sensing.conv2.bias"] += float("nan")
    with pytest.raises(ModelError, match="differs from the network by nan in its density"):
        export_network(broken, tmp_path / "ours.onnx", describe_model(broken, "ours"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_lost_its_density_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def numb(network: ResidualCRDNet) -> ResidualCRDNet:
        simple = simplify(network)
        simple.sensing = None
        return simple

    monkeypatch.setattr(export, "simplify", numb)
    with pytest.raises(ModelError, match="differs from the network by inf in its density"):
        export_network(network(), tmp_path / "ours.onnx", describe_model(network(), "ours"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sensing", [None, "code", "classes"])
def test_only_a_map_of_the_intensity_goes_into_the_file(
    tmp_path: Path,
    sensing: Sensing | None,
) -> None:
    built = network(sensing)
    export_network(built, tmp_path / "ours.onnx", describe_model(built, "ours"))
    assert set(outputs(tmp_path / "ours.onnx")) == {"derained"}


def test_a_checkpoint_of_our_network_builds_our_network(tmp_path: Path) -> None:
    built = network()
    state = {f"network.{name}": value for name, value in built.state_dict().items()}
    torch.save(
        {"crdnet": {"kind": "residual", "network": TINY}, "state_dict": state},
        tmp_path / "last.ckpt",
    )
    loaded = load_network(tmp_path / "last.ckpt")
    rainy = torch.rand(1, 3, 16, 32)
    with torch.inference_mode():
        assert torch.equal(loaded(rainy), built(rainy))


def test_a_network_of_another_version_is_named(tmp_path: Path) -> None:
    torch.save(
        {"crdnet": {"kind": "later", "network": {}}, "state_dict": {}},
        tmp_path / "last.ckpt",
    )
    with pytest.raises(
        CheckpointError,
        match=r"kind 'later', and this version knows published, residual",
    ):
        load_network(tmp_path / "last.ckpt")
