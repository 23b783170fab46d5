"""Weights in and out: the authors' checkpoints, and our own safetensors files.

The authors keep one file per stage, `<root>/<stage>/<epoch>.pth`, each `{"epoch": int, "state_dict": ...}`. Their stages are
`stage1` (streaks), `stage2` (W-Net), `refine` (refinement head; their test script looks for it under `derain`) and `classfy`
(classifier). The rename table below is the whole relation between their names and ours.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from crdnet.errors import CheckpointError
from crdnet.nn.crdnet import CRDNet, CRDNetWithClassifier, build_classifier, build_crdnet

DERAIN_STAGES = ("stage1", "stage2", "refine")
"""Stages of the deraining path."""
CLASSIFIER_STAGE = "classfy"
"""Stage of the classifier, which only training needs."""

_FOLDERS = {"refine": ("refine", "derain")}
_DILATION_OF_BRANCH = {"3": 0, "7": 1, "9": 2}  # the authors number their encoders 3, 7, 9; dilations 1, 2, 3

_RENAMES: dict[str, list[tuple[str, Any]]] = {
    "stage1": [
        (r"conv_(\d)_(\d)\.", lambda m: f"network.streaks.encoders.{_DILATION_OF_BRANCH[m[1]]}.{m[2]}."),
        (r"deconv_3_(\d)\.", r"network.streaks.decoder.\1."),
    ],
    "stage2": [
        (r"encode(\d)\.", lambda m: f"network.background.first_encoder.{int(m[1]) - 1}."),
        (r"decode(\d)\.", lambda m: f"network.background.first_decoder.{int(m[1]) - 2}."),
        (r"eencode(\d)\.", lambda m: f"network.background.second_encoder.{int(m[1]) - 1}."),
        (r"ddecode(\d)\.", lambda m: f"network.background.second_decoder.{int(m[1]) - 1}."),
    ],
    "refine": [
        (r"high1\.", "network.refinement.merge_streaks."),
        (r"conv1\.(?=conv)", "network.refinement.fuse1."),
        (r"conv2\.(?=conv)", "network.refinement.fuse2."),
    ],
    "classfy": [
        (r"features\.", "classifier.features."),
        (r"classfier\.(\d)\.", lambda m: f"classifier.linears.{int(m[1]) // 2}."),
    ],
}


def our_name(stage: str, key: str) -> str:
    """Return the name that an entry of the authors' checkpoint of a stage has in `CRDNetWithClassifier`.

    Raises:
        CheckpointError: The published network has no such entry.
    """
    for pattern, replacement in _RENAMES[stage]:
        renamed, count = re.subn(f"^{pattern}", replacement, key)
        if count:
            return re.sub(r"\.bn\.", ".norm.", renamed)
    raise CheckpointError(f"{stage} has an entry {key!r} that the published CRDNet does not have")


def load_published(root: str | Path, epoch: int) -> CRDNet:
    """Return the published network with the authors' weights, in evaluation mode.

    Args:
        root: Folder that holds one folder per stage.
        epoch: Number of the checkpoints to read.

    Raises:
        CheckpointError: A file is missing or unreadable, or an entry is missing, unknown or misshapen; each is named.
    """
    network = build_crdnet()
    wanted = {f"network.{name}": value for name, value in network.state_dict().items()}
    found = _published_entries(Path(root), epoch, DERAIN_STAGES)
    _check_entries(found, wanted, f"the published checkpoints of epoch {epoch} in {root}")
    network.load_state_dict({name.removeprefix("network."): value for name, value in found.items()})
    return network.eval()


def load_published_with_classifier(root: str | Path, epoch: int) -> CRDNetWithClassifier:
    """Return the published network and its classifier with the authors' weights, in evaluation mode.

    See `load_published`; the stage `classfy` is read too.
    """
    network = build_classifier(build_crdnet())
    found = _published_entries(Path(root), epoch, (*DERAIN_STAGES, CLASSIFIER_STAGE))
    _check_entries(found, network.state_dict(), f"the published checkpoints of epoch {epoch} in {root}")
    network.load_state_dict(found)
    return network.eval()


def save_weights(network: nn.Module, path: str | Path) -> None:
    """Write a network's weights as a safetensors file."""
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Load a safetensors file of `save_weights` into a network.

    Raises:
        CheckpointError: The file is unreadable, or an entry is missing, unknown or misshapen; each is named.
    """
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the weights in {path}: {error}") from error
    _check_entries(found, network.state_dict(), str(path))
    network.load_state_dict(found)


def _published_entries(root: Path, epoch: int, stages: tuple[str, ...]) -> dict[str, Tensor]:
    if not root.is_dir():
        raise CheckpointError(f"{root} is not a folder; give the folder that holds {', '.join(stages)}")
    entries = {}
    for stage in stages:
        path = _find_stage(root, stage, epoch)
        for key, value in _state_dict(path).items():
            entries[our_name(stage, key)] = value
    return entries


def _find_stage(root: Path, stage: str, epoch: int) -> Path:
    candidates = [root / folder / f"{epoch}.pth" for folder in _FOLDERS.get(stage, (stage,))]
    for path in candidates:
        if path.is_file():
            return path
    epochs = sorted(
        {int(path.stem) for file in candidates for path in file.parent.glob("*.pth") if path.stem.isdigit()}
    )
    there = f"epochs that are there: {', '.join(map(str, epochs))}" if epochs else "no other epoch is there"
    raise CheckpointError(f"{' and '.join(map(str, candidates))} not found; {there}")


def _state_dict(path: Path) -> Mapping[str, Tensor]:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} cannot be read as a checkpoint of weights: {reason}") from error
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f'{path} is not of the form {{"epoch": int, "state_dict": {{name: tensor}}}}')
    # Training on several GPUs puts a prefix before every name.
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def _check_entries(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str) -> None:
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{name} is unknown" for name in found if name not in wanted]
    problems += [
        f"{name} has shape {tuple(found[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise CheckpointError(f"{where} do not fit this network: {'; '.join(problems[:8])}{more}")
