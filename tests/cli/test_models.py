import json
from pathlib import Path

import pytest

from crdnet import runtime
from crdnet.runtime import register_model, stored_models
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
    known = stored_models(folder)
    monkeypatch.setattr(runtime, "stored_models", lambda: known)
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
