"""Networks come with their weights from names, files, folders and the hub."""

import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from crdnet.errors import CheckpointError, MissingExtraError, ModelError
from crdnet.export import describe_model, export_network
from crdnet.nn import (
    CRDNet,
    Network,
    OwnNetwork,
    ResidualCRDNet,
    build_crdnet,
    build_residual_crdnet,
    load_network,
    measure_margin,
    measure_size_multiple,
    save_weights,
)

DILATED: dict[str, Any] = {
    "width": 4,
    "scale_widths": [4, 5, 6],
    "streak_width": 2,
    "dilations": [1, 4],
    "shrinkage": 3.0,
}
NARROW: dict[str, Any] = {
    "streak_widths": [2, 3],
    "dilations": [1, 3],
    "background_widths": [2, 3],
    "background_channels": 3,
    "refinement_width": 4,
}


class Blur(nn.Module):
    """A user's network: a learnt blur at half size, which starts as the identity."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, channels, 2, stride=2)
        self.conv = nn.Conv2d(channels, channels, 5, padding=2)
        self.up = nn.ConvTranspose2d(channels, 3, 2, stride=2)
        nn.init.zeros_(self.up.weight)

    def forward(self, rainy: Tensor) -> Tensor:
        change: Tensor = self.up(torch.relu(self.conv(torch.relu(self.down(rainy)))))
        return rainy + change


class Pooled(nn.Module):
    """A network that looks at the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Conv2d(3, 3, 1)

    def forward(self, rainy: Tensor) -> Tensor:
        change: Tensor = self.scale(rainy.mean((2, 3), keepdim=True))
        return rainy + change


def make_networks() -> list[Network]:
    torch.manual_seed(0)
    residual, published = build_residual_crdnet(**DILATED), build_crdnet(**NARROW)
    for network in (residual, published):
        for name, value in network.state_dict().items():
            if name.startswith("head.2") or "running" in name:
                value.copy_(0.5 + 0.1 * torch.rand_like(value))
    return [residual.eval(), published.eval()]


def answer(network: nn.Module) -> Tensor:
    rainy = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        derained: Tensor = network(rainy)
    return derained


@pytest.mark.parametrize("which", [0, 1], ids=["residual", "published"])
def test_a_network_survives_a_folder_a_file_and_a_model_file(which: int, tmp_path: Path) -> None:
    network = make_networks()[which]
    expected = answer(network)
    folder = network.save_pretrained(tmp_path / "folder", card="Trained on nothing.")
    save_weights(network, tmp_path / "a.safetensors")
    export_network(network, tmp_path / "a.onnx", describe_model(network, "a"))
    for source in (folder, tmp_path / "a.safetensors"):
        assert torch.equal(answer(type(network).from_pretrained(source)), expected)
        assert load_network(source).describe() == network.describe()
    back = load_network(tmp_path / "a.onnx")
    assert back.describe() == network.describe()
    # Folding the batch norms rounds.
    torch.testing.assert_close(answer(back), expected, rtol=1e-4, atol=1e-4)
    assert "Trained on nothing." in (folder / "README.md").read_text()


@pytest.mark.parametrize(("name", "kind"), [("default", ResidualCRDNet), ("paper", CRDNet)])
def test_a_shipped_network_and_its_model_file_are_one_function(name: str, kind: type) -> None:
    import crdnet  # noqa: PLC0415

    by_name = load_network(name)
    assert isinstance(by_name, kind)
    file = Path(crdnet.__file__).parent / "weights" / f"{name}.onnx"
    torch.testing.assert_close(answer(load_network(file)), answer(by_name), rtol=0, atol=1e-5)


def test_weights_of_another_kind_are_refused_by_name(tmp_path: Path) -> None:
    folder = make_networks()[1].save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="of kind 'published', not 'residual'"):
        ResidualCRDNet.from_pretrained(folder)


def test_weights_of_another_width_are_named(tmp_path: Path) -> None:
    folder = make_networks()[0].save_pretrained(tmp_path)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"streak_width": 2', '"streak_width": 3'))
    with pytest.raises(CheckpointError, match=r"streaks\.reduce\.weight has shape .* not "):
        load_network(folder)


@pytest.mark.parametrize("source", ["defualt", "nowhere/at/all", "nowhere.onnx", "nowhere.ckpt"])
def test_a_source_that_does_not_exist_is_one_line(source: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_network(source)
    assert source in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_card_is_read_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_networks()[0].save_pretrained(tmp_path)
    (folder / "README.md").unlink()
    with caplog.at_level(logging.WARNING, logger="crdnet.nn"):
        load_network(folder)
    assert "has no model card (README.md): licence and training data are unknown" in caplog.text


def test_the_hub_is_read_and_written_through_its_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    sent: dict[str, Any] = {}

    class Api:
        def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> None:
            sent["repo"] = (name, private, exist_ok)

        def upload_folder(self, *, repo_id: str, folder_path: str) -> str:
            for file in Path(folder_path).iterdir():
                (tmp_path / file.name).write_bytes(file.read_bytes())
            return f"https://hub/{repo_id}"

    def download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        sent["asked"] = (name, revision, sorted(allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(hub, "HfApi", Api)
    monkeypatch.setattr(hub, "snapshot_download", download)
    network = make_networks()[0]
    assert network.push_to_hub("me/rain") == "https://hub/me/rain"
    assert torch.equal(answer(load_network("me/rain", revision="v1")), answer(network))
    assert sent["repo"] == ("me/rain", True, True)
    files = ["README.md", "config.json", "model.safetensors"]
    assert sent["asked"] == ("me/rain", "v1", files)


def test_a_missing_hub_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'crdnet\[hub\]'"):
        load_network("me/rain")


def test_size_multiple_and_margin_of_an_own_network_are_measured() -> None:
    own = OwnNetwork(f"{__name__}.Blur", {"channels": 2})
    # Two pixels of the 5x5 kernel at half size.
    assert (own.size_multiple, own.tile_margin) == (2, 4)


def test_the_measured_margin_is_the_computed_one() -> None:
    network = build_residual_crdnet(**DILATED)
    assert measure_margin(network, network.size_multiple) == network.tile_margin


def test_a_network_that_pools_over_the_image_has_no_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crdnet.nn.own._PROBES", (32, 64))
    with pytest.raises(ModelError, match="tiles cannot equal the whole image"):
        measure_margin(Pooled(), 1)


@pytest.mark.parametrize(
    ("class_path", "message"),
    [
        ("nowhere.Net", "cannot be imported"),
        (f"{__name__}.answer", "is not a torch.nn.Module"),
        ("Net", "cannot be imported"),
    ],
)
def test_a_class_that_is_no_network_is_refused(class_path: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        OwnNetwork(class_path)


def test_a_network_of_another_output_size_is_refused() -> None:
    with pytest.raises(ModelError, match="its output is not an image of the size of the input"):
        measure_size_multiple(nn.Conv2d(3, 3, 3))
