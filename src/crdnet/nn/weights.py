"""Loading of the checkpoints of the authors of CRDNet.

The authors store one file per stage, `<root>/<stage>/<epoch>.pth`, each with
`{"epoch": int, "state_dict": ...}`. Their stages are `stage1` (streaks), `stage2` (W-Net), `refine`
(refinement head; their test script expects `derain`) and `classfy` (classifier). The table below
maps all their names to ours.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from crdnet.errors import CheckpointError
from crdnet.nn.checkpoints import check_entries, read_checkpoint
from crdnet.nn.crdnet import CRDNet, CRDNetWithClassifier, build_classifier, build_crdnet

DERAIN_STAGES = ("stage1", "stage2", "refine")
"""Stages of the deraining path."""
CLASSIFIER_STAGE = "classfy"
"""Stage of the classifier, which only training needs."""

_FOLDERS = {"refine": ("refine", "derain")}
_BRANCHES = (3, 7, 9)  # how the authors number the encoders of dilation 1, 2 and 3

_PREFIXES: dict[str, dict[str, str]] = {
    "stage1": {
        **{
            f"conv_{branch}_{level}.": f"network.streaks.encoders.{index}.{level}."
            for index, branch in enumerate(_BRANCHES)
            for level in range(3)
        },
        **{f"deconv_3_{level}.": f"network.streaks.decoder.{level}." for level in range(3)},
    },
    "stage2": {
        f"{theirs}{level + first}.": f"network.background.{ours}.{level}."
        for theirs, first, ours in (
            ("encode", 1, "first_encoder"),
            ("decode", 2, "first_decoder"),
            ("eencode", 1, "second_encoder"),
            ("ddecode", 1, "second_decoder"),
        )
        for level in range(5)
    },
    "refine": {
        "high1.": "network.refinement.merge_streaks.",
        "conv1.": "network.refinement.fuse1.",
        "conv2.": "network.refinement.fuse2.",
    },
    "classfy": {
        "features.": "classifier.features.",
        **{f"classfier.{2 * index}.": f"classifier.linears.{index}." for index in range(3)},
    },
}


def translate_name(stage: str, key: str) -> str:
    """Return the name in `CRDNetWithClassifier` of an entry in the authors' checkpoint of a stage.

    Raises:
        CheckpointError: The published network has no such entry.
    """
    for theirs, ours in _PREFIXES[stage].items():
        if key.startswith(theirs):
            return ours + re.sub(r"^bn\.", "norm.", key.removeprefix(theirs))
    raise CheckpointError(
        f"stage {stage} has an entry {key!r} that the published CRDNet does not have",
    )


def load_published(root: str | Path, epoch: int) -> CRDNet:
    """Load the published network with the weights of the authors, in evaluation mode.

    Args:
        root: Folder with one folder per stage.
        epoch: Number of the checkpoints to read.

    Raises:
        CheckpointError: A file is missing or unreadable, or an entry is missing, unknown or
            misshapen; the message names each.
    """
    network = build_crdnet()
    _load_stages(nn.ModuleDict({"network": network}), Path(root), epoch, DERAIN_STAGES)
    return network.eval()


def load_published_with_classifier(root: str | Path, epoch: int) -> CRDNetWithClassifier:
    """Load the published network and its classifier, in evaluation mode.

    See `load_published`; this also reads the stage `classfy`.
    """
    network = build_classifier(build_crdnet())
    _load_stages(network, Path(root), epoch, (*DERAIN_STAGES, CLASSIFIER_STAGE))
    return network.eval()


def _load_stages(network: nn.Module, root: Path, epoch: int, stages: tuple[str, ...]) -> None:
    if not root.is_dir():
        raise CheckpointError(
            f"{root} is not a folder; give the folder that holds {', '.join(stages)}",
        )
    wanted = network.state_dict()
    entries = {}
    for stage in stages:
        path = _find_stage(root, stage, epoch)
        theirs = _read_state_dict(path)
        found = {translate_name(stage, key): value for key, value in theirs.items()}
        # A file holds one stage, so only entries of this stage may be missing.
        prefixes = tuple(_PREFIXES[stage].values())
        check_entries(
            found,
            {name: value for name, value in wanted.items() if name.startswith(prefixes)},
            str(path),
        )
        entries.update(found)
    network.load_state_dict(entries)


def _find_stage(root: Path, stage: str, epoch: int) -> Path:
    candidates = [root / folder / f"{epoch}.pth" for folder in _FOLDERS.get(stage, (stage,))]
    for path in candidates:
        if path.is_file():
            return path
    found = [path for file in candidates for path in file.parent.glob("*.pth")]
    epochs = sorted(
        {int(path.stem) for path in found if path.stem.isdigit()},
    )
    known = ", ".join(map(str, epochs))
    there = f"epochs that are there: {known}" if known else "no other epoch is there"
    raise CheckpointError(f"{' and '.join(map(str, candidates))} not found; {there}")


def _read_state_dict(path: Path) -> Mapping[str, Tensor]:
    checkpoint = read_checkpoint(path)
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or any(not isinstance(each, Tensor) for each in state.values()):
        raise CheckpointError(
            f'{path} is not of the form {{"epoch": int, "state_dict": {{name: tensor}}}}',
        )
    # DataParallel (training on several GPUs) adds this prefix to every name.
    return {str(key).removeprefix("module."): value for key, value in state.items()}
