import json
from pathlib import Path

import pytest

from crdnet import runtime
from crdnet.runtime import FUSE, list_models, register_model
from tests.cli.runner import Crdnet
from tests.runtime.tiny import write_tiny_model


@pytest.fixture
def crdnet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crdnet:
    return Crdnet(monkeypatch, capsys)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights"
    source = write_tiny_model(tmp_path / "source.onnx")
    register_model(
        source, "tiny", "A tiny one.", parameters=1234, aliases=("default",), folder=folder
    )
    register_model(source, "other", "Another.", folder=folder)
    known = list_models(folder)
    monkeypatch.setattr(runtime, "list_models", lambda **task: () if task else known)
    return folder


@pytest.mark.usefixtures("weights")
def test_models_are_listed_with_size_summary_and_scores(crdnet: Crdnet) -> None:
    done = crdnet("models")
    assert done.code == 0
    for words in (
        "tiny (also called default)",
        "1,234 parameters",
        "A tiny one.",
        "none psnr: 1.5",
        "other",
    ):
        assert words in done.out


@pytest.mark.usefixtures("weights")
def test_json_lists_a_model_a_line(crdnet: Crdnet) -> None:
    tiny, other = map(json.loads, crdnet("models", "--json").out.splitlines())
    assert (tiny["name"], tiny["aliases"], tiny["parameters"]) == ("tiny", ["default"], 1234)
    assert tiny["scores"] == {"none psnr": 1.5}
    assert tiny["bytes"] > 1000
    assert other["parameters"] is None


def test_a_damaged_model_is_named_and_the_others_listed(crdnet: Crdnet, weights: Path) -> None:
    (weights / "tiny.onnx").write_bytes(b"damaged")
    done = crdnet("models")
    assert done.code == 1
    assert "'tiny' is damaged" in done.error_lines[0]
    assert "Another." in done.out


def test_the_cost_of_a_model_file_is_counted_and_measured(crdnet: Crdnet, tmp_path: Path) -> None:
    file = write_tiny_model(tmp_path / "tiny.onnx")
    done = crdnet(
        "models", "--cost", file, "--size", "40x24", "--threads", "1", "-d", "cpu", "--json"
    )
    assert done.code == 0, done.err
    cost = json.loads(done.out)
    weights = 9 * (3 * 4 + 4 * 6 + 6 * 6 + 6 * 3)
    constants = 4  # factors of the resizing, a float constant of the graph
    assert cost["parameters"] == weights + constants
    macs = 9 * (3 * 4 + 4 * 6 / 4 + 6 * 6 / 16 + 6 * 3)
    assert cost["kilo_macs"] == pytest.approx(macs / 1000)
    assert (cost["size_multiple"], cost["margin"]) == (4, 20)
    assert (cost["width"], cost["height"]) == (40, 24)
    assert cost["seconds"] > 0
    assert cost["peak_bytes"] is None or cost["peak_bytes"] > 1e7


def test_the_cost_of_a_model_for_clips_is_measured(crdnet: Crdnet) -> None:
    (video,) = list_models(task=FUSE)
    for name in ("video", video.path):
        done = crdnet("models", "--cost", name, "--size", "44x24", "--threads", "1", "--json")
        assert done.code == 0, done.err
        cost = json.loads(done.out)
        assert (cost["model"], cost["size_multiple"], cost["margin"]) == ("video", 8, 24)
        assert cost["seconds"] > 0


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tiny",), "need --cost"),
        (("--cost", "--size", "40"), "is not WIDTHxHEIGHT"),
        (("--cost", "--size", "0x40"), "is not WIDTHxHEIGHT"),
    ],
)
def test_costs_asked_for_wrongly_are_wrong_usage(
    crdnet: Crdnet, arguments: tuple[str, ...], message: str
) -> None:
    done = crdnet("models", *arguments)
    assert done.code == 2
    assert message in done.err


def test_a_file_that_is_no_model_is_one_line(crdnet: Crdnet, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no model")
    done = crdnet("models", "--cost", tmp_path / "a.onnx")
    assert done.code == 1
    assert len(done.error_lines) == 1
