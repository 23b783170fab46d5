"""From trained weights to a model file that runs without torch."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

from crdnet import Derainer, export
from crdnet.cli.export import command
from crdnet.errors import CheckpointError, ModelError, OutputError
from crdnet.export import ExportReport, describe_model, export_network, load_network, simplify
from crdnet.nn import CRDNet, build_crdnet, load_published
from tests.parity.published import golden_figures, golden_image, write_checkpoints

TINY: dict[str, Any] = {
    "streak_widths": (2, 3),
    "dilations": (1, 2),
    "background_widths": (2, 3),
    "background_channels": 3,
    "refinement_width": 4,
}


@pytest.fixture(scope="module")
def network() -> CRDNet:
    """A tiny network whose norms have seen something."""
    torch.manual_seed(0)
    network = build_crdnet(**TINY)
    with torch.no_grad():
        for _ in range(3):
            network.train()(torch.rand(2, 3, 32, 32))
    return network.eval()


@pytest.fixture(scope="module")
def report(network: CRDNet, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """The tiny network as a model file."""
    info = describe_model(network, "mine", "nine images of noise", {"noise psnr": 12.5})
    return export_network(network, tmp_path_factory.mktemp("export") / "mine.onnx", info)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    write_checkpoints(root, 5, ("stage1", "stage2", "refine"))
    return root


def with_torch(network: CRDNet, rainy: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        derained: torch.Tensor = network(torch.from_numpy(rainy.transpose(2, 0, 1).copy())[None])
    return derained[0].permute(1, 2, 0).numpy()


def test_the_published_network_survives_the_whole_way_to_the_runtime(
    published: Path,
    tmp_path: Path,
) -> None:
    output = tmp_path / "theirs.onnx"
    result = CliRunner().invoke(
        command,
        ["--published", str(published), "--epoch", "5", "-o", str(output)],
    )
    assert result.exit_code == 0, result.output
    derainer = Derainer(model=str(output))
    for rainy, derained in zip(
        golden_image("eval", 2, 64, 96), golden_figures()["eval_derained"], strict=True
    ):
        ours = derainer.estimate(rainy.permute(1, 2, 0).numpy())
        np.testing.assert_allclose(ours, derained.transpose(1, 2, 0), rtol=0, atol=1e-4)


def test_folding_norms_and_turning_kernels_round_changes_nothing(published: Path) -> None:
    network = load_published(published, 5)
    simple = simplify(network)
    assert not any(
        isinstance(
            part,
            torch.nn.BatchNorm2d | torch.nn.ConvTranspose2d,
        )
        for part in simple.modules()
    )
    rainy = golden_image("eval", 2, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(simple(rainy), network(rainy), rtol=0, atol=1e-4)


def test_the_file_tells_what_a_caller_must_know(network: CRDNet, report: ExportReport) -> None:
    model = onnx.load(report.path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["name"] == "mine"
    assert metadata["task"] == "derain"
    assert metadata["size_multiple"] == str(network.size_multiple)
    assert metadata["margin"] == str(network.tile_margin)
    assert metadata["training_data"] == "nine images of noise"
    assert "12.5" in metadata["scores"]
    assert report.bytes == report.path.stat().st_size
    assert 0 <= report.largest_difference <= 1e-4


def test_the_file_says_nothing_of_the_machine_it_was_made_on(report: ExportReport) -> None:
    content = report.path.read_bytes()
    for trace in (b"site-packages", b"crdnet/nn", b".py", str(Path.cwd()).encode()):
        assert trace not in content


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 9), (7, 61), (33, 2)])
def test_an_image_of_any_size_agrees_with_torch(
    network: CRDNet, report: ExportReport, size: tuple[int, int]
) -> None:
    rainy = np.random.default_rng(1).random((*size, 3), dtype=np.float32)
    height, width = (-(-side // 4) * 4 for side in size)
    padded = np.pad(rainy, ((0, height - size[0]), (0, width - size[1]), (0, 0)), mode="reflect")
    expected = with_torch(network, padded)[: size[0], : size[1]]
    np.testing.assert_allclose(
        Derainer(model=str(report.path)).estimate(rainy),
        expected,
        rtol=0,
        atol=1e-5,
    )


def test_a_file_that_disagrees_with_the_network_is_not_left_behind(
    network: CRDNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(network: CRDNet) -> CRDNet:
        simple = simplify(network)
        with torch.no_grad():
            simple.state_dict()["refinement.fuse2.conv2.bias"] += 0.01
        return simple

    monkeypatch.setattr(export, "simplify", spoiled)
    with pytest.raises(ModelError, match=r"differs from the network by 0\.01"):
        export_network(network, tmp_path / "mine.onnx", describe_model(network, "mine"))
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_computes_no_numbers_is_not_exported(
    network: CRDNet,
    tmp_path: Path,
) -> None:
    broken = build_crdnet(**TINY)
    with torch.no_grad():
        broken.state_dict()["refinement.fuse2.conv2.bias"] += float("nan")
    with pytest.raises(ModelError, match="differs from the network by nan"):
        export_network(broken, tmp_path / "mine.onnx", describe_model(broken, "mine"))


def test_a_place_that_cannot_be_written_to_is_named(network: CRDNet, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file/mine\.onnx"):
        export_network(network, tmp_path / "file" / "mine.onnx", describe_model(network, "mine"))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"last\.ckpt cannot be read"):
        load_network(path)


def test_a_checkpoint_of_something_else_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match="not a checkpoint of `crdnet train`"):
        load_network(tmp_path / "last.ckpt")


def test_what_exists_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_text("precious")
    result = CliRunner().invoke(command, ["some.ckpt", "-o", str(tmp_path / "mine.onnx")])
    assert result.exit_code == 2
    assert "exists; add --overwrite" in result.output
    assert (tmp_path / "mine.onnx").read_text() == "precious"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.ckpt", "--published", "b", "--epoch", "1"],
        ["--published", "b"],
        ["a.ckpt", "--score", "psnr"],
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(command, [*arguments, "-o", str(tmp_path / "mine.onnx")])
    assert result.exit_code == 2
