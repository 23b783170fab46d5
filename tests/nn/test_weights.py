"""The authors' checkpoints and our own weight files."""

from pathlib import Path

import pytest
import torch

from crdnet.errors import CheckpointError
from crdnet.nn import build_crdnet, load_published, load_weights, save_weights, translate_name
from tests.parity.published import golden_stage, state_dict_rows, write_checkpoints

DERAIN = ("stage1", "stage2", "refine")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    write_checkpoints(tmp_path, 3, DERAIN)
    return tmp_path


def test_every_entry_of_the_published_checkpoints_has_a_name_of_its_own() -> None:
    names = [translate_name(stage, key) for stage, key, _ in state_dict_rows()]
    assert len(set(names)) == len(names) == 355


def test_the_stage_derain_stands_in_for_refine(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, 3, DERAIN, refine_folder="derain")
    expected = golden_stage("refine")["high1.conv1.bias"]
    loaded = load_published(tmp_path, 3).state_dict()
    assert torch.equal(loaded["refinement.merge_streaks.conv1.bias"], expected)


def test_a_loaded_network_is_in_evaluation_mode(published: Path) -> None:
    assert not load_published(published, 3).training


def test_names_left_by_training_on_several_gpus_load_too(published: Path) -> None:
    state = {f"module.{key}": value for key, value in golden_stage("stage1").items()}
    torch.save({"epoch": 3, "state_dict": state}, published / "stage1" / "3.pth")
    load_published(published, 3)


def test_a_missing_epoch_is_named_with_those_that_are_there(published: Path) -> None:
    with pytest.raises(CheckpointError, match=r"stage1/9\.pth not found; epochs that are there: 3"):
        load_published(published, 9)


def test_a_missing_stage_is_named(published: Path) -> None:
    (published / "refine" / "3.pth").unlink()
    with pytest.raises(
        CheckpointError,
        match=r"refine/3\.pth and .*derain/3\.pth not found; no other epoch",
    ):
        load_published(published, 3)


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere is not a folder"):
        load_published(tmp_path / "nowhere", 3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: state.pop("conv_3_0.conv1.bias"), r"encoders\.0\.0\.conv1\.bias is missing"),
        (
            lambda state: state.update({"conv_3_0.conv1.bias": torch.zeros(5)}),
            r"conv1\.bias has shape \(5,\), not \(4,\)",
        ),
        (
            lambda state: state.update({"conv_5_0.extra": torch.zeros(1)}),
            "has an entry .conv_5_0.extra. that",
        ),
        (lambda state: state.update({"fresh": torch.zeros(1)}), "'fresh'"),
    ],
)
def test_what_is_missing_unknown_or_misshapen_is_named(
    published: Path,
    damage: object,
    message: str,
) -> None:
    state = golden_stage("stage1")
    assert callable(damage)
    damage(state)
    torch.save({"epoch": 3, "state_dict": state}, published / "stage1" / "3.pth")
    with pytest.raises(CheckpointError, match=message):
        load_published(published, 3)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken"])
def test_a_damaged_file_is_named(published: Path, content: bytes) -> None:
    (published / "stage2" / "3.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"stage2/3\.pth cannot be read"):
        load_published(published, 3)


def test_a_file_of_another_form_is_named(published: Path) -> None:
    torch.save({"weights": 1}, published / "stage2" / "3.pth")
    with pytest.raises(CheckpointError, match=r"stage2/3\.pth is not of the form"):
        load_published(published, 3)


class Malicious:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (Path("owned"),))


def test_no_code_in_a_checkpoint_is_run(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(published)
    torch.save({"epoch": 3, "state_dict": {"x": Malicious()}}, published / "stage1" / "3.pth")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_published(published, 3)
    assert not Path("owned").exists()


def test_saved_weights_load_unchanged(tmp_path: Path) -> None:
    network, other = build_crdnet(), build_crdnet()
    save_weights(network, tmp_path / "weights.safetensors")
    load_weights(other, tmp_path / "weights.safetensors")
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_weights(build_crdnet(refinement_width=6), tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"fuse1\.conv1\.weight has shape"):
        load_weights(build_crdnet(), tmp_path / "weights.safetensors")


def test_a_file_that_is_not_safetensors_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="cannot read the weights"):
        load_weights(build_crdnet(), tmp_path / "weights.safetensors")
