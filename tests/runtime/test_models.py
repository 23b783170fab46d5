import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crdnet import Derainer
from crdnet.errors import ModelError
from crdnet.runtime import find_model, list_models, register_model
from crdnet.runtime.engines import read_info
from crdnet.runtime.model import ModelInfo
from crdnet.runtime.session import Session
from crdnet.runtime.store import StoredModel
from tests.runtime.tiny import TINY, write_tiny_model


@pytest.fixture
def store(tmp_path: Path, tiny_model: Path) -> Path:
    folder = tmp_path / "weights"
    register_model(
        tiny_model, "tiny", "A tiny one.", parameters=12, aliases=("default",), folder=folder
    )
    return folder


def test_a_model_takes_its_name_from_an_alias(tmp_path: Path, tiny_model: Path) -> None:
    register_model(tiny_model, "old", "First.", aliases=("default",), folder=tmp_path)
    register_model(tiny_model, "default", "Second.", folder=tmp_path)
    assert find_model("default", tmp_path).summary == "Second."
    assert find_model("old", tmp_path).aliases == ()


def test_a_registered_model_is_found_by_name_alias_and_path(store: Path) -> None:
    by_name = find_model("tiny", store)
    assert by_name == find_model("default", store)
    assert (by_name.summary, by_name.parameters, by_name.aliases) == (
        "A tiny one.",
        12,
        ("default",),
    )
    assert list_models(store) == (by_name,)
    assert find_model(str(by_name.path)).path == find_model(by_name.path).path == by_name.path
    assert read_info(by_name) == TINY


def test_registering_again_replaces_and_keeps_the_others(store: Path, tmp_path: Path) -> None:
    before = find_model("tiny", store)
    other = write_tiny_model(tmp_path / "other.onnx", gain=0.1)
    register_model(other, "other", "Another.", folder=store)
    register_model(other, "tiny", "Changed.", aliases=("default",), folder=store)
    assert [model.name for model in list_models(store)] == ["tiny", "other"]
    assert find_model("default", store).sha256 != before.sha256
    find_model("tiny", store).read()


def test_an_unknown_name_is_an_error_that_lists_the_known_ones(store: Path) -> None:
    with pytest.raises(ModelError, match=r"'nope'.*default, tiny"):
        find_model("nope", store)


def test_a_path_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model file .*gone\.onnx"):
        find_model(tmp_path / "gone.onnx")


def test_a_damaged_model_is_not_opened(store: Path) -> None:
    model = find_model("tiny", store)
    content = bytearray(model.path.read_bytes())
    content[len(content) // 2] ^= 1
    model.path.write_bytes(content)
    with pytest.raises(ModelError, match=r"damaged.*SHA-256.*install"):
        Session(model, "cpu", 1)


@pytest.mark.parametrize("text", ["not json", "{}", '{"models": {"a": {}}, "aliases": {}}', "[]"])
def test_a_damaged_list_of_models_is_named(store: Path, text: str) -> None:
    (store / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match=r"manifest\.json is damaged"):
        list_models(store)


def test_the_shipped_models_are_what_their_list_says() -> None:
    for model in list_models():
        info = read_info(model)
        assert info.name == model.name
        assert info.margin >= 0
    assert list_models() or not find_weights(), "weights lie there that the list does not name"


def find_weights() -> list[Path]:
    return list((Path(__file__).parents[2] / "src/crdnet/weights").glob("*.onnx"))


def session_of(path: Path) -> Session:
    return Session(StoredModel("it", path), "cpu", 1)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x07" * 50])
def test_a_file_that_is_not_a_model_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "it.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"it\.onnx") as caught:
        session_of(path)
    assert "\n" not in str(caught.value)


def test_a_model_without_our_metadata_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a crdnet model"):
        session_of(write_tiny_model(tmp_path / "theirs.onnx", info=None))


def test_a_model_that_gives_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="gives \\['clean'\\]"):
        session_of(write_tiny_model(tmp_path / "it.onnx", output="clean"))


def test_a_model_whose_metadata_is_wrong_fails_with_its_name(tmp_path: Path) -> None:
    derainer = Derainer(
        write_tiny_model(tmp_path / "liar.onnx", replace(TINY, size_multiple=1)), threads=1
    )
    with pytest.raises(ModelError, match=r"liar\.onnx failed on 7 x 5 pixels"):
        derainer(np.zeros((5, 7, 3), np.uint8))


def test_metadata_come_back_as_they_went() -> None:
    assert ModelInfo.from_metadata(TINY.to_metadata(), "it") == TINY


@pytest.mark.parametrize(
    "change",
    [
        {"margin": "wide"},
        {"scores": "{"},
        {"task": "dehaze"},
        {"colour": "yuv"},
        {"format": "crdnet/9"},
    ],
)
def test_damaged_or_foreign_metadata_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(ModelError, match="it "):
        ModelInfo.from_metadata(TINY.to_metadata() | change, "it")


def test_the_list_is_plain_json(store: Path) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    assert manifest["aliases"] == {"default": "tiny"}
    assert set(manifest["models"]["tiny"]) == {"file", "sha256", "summary", "parameters"}
