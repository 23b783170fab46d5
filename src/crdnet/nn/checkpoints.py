"""Reading and writing of files of weights: torch checkpoints and safetensors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from crdnet.errors import CheckpointError
from crdnet.files import write_whole


def save_weights(network: nn.Module, path: str | Path) -> None:
    """Write the weights of a network as a safetensors file, with the arguments that build it."""
    kind, describe = getattr(network, "kind", None), getattr(network, "describe", None)
    about = None
    if kind is not None and describe is not None:
        about = {"crdnet": json.dumps({"kind": kind, "network": describe()})}
    values = {name: value.contiguous() for name, value in network.state_dict().items()}
    write_whole(Path(path), save(values, about))


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Load a safetensors file of `save_weights` into a network.

    Raises:
        CheckpointError: The file is unreadable, or an entry is missing, unknown or misshapen; the
            message names each.
    """
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the weights in {path}: {error}") from error
    check_entries(found, network.state_dict(), str(path))
    network.load_state_dict(found)


def read_checkpoint(path: str | Path) -> Any:
    """Read a torch file without running any code in it.

    Raises:
        CheckpointError: The file is missing, damaged, or holds more than tensors and plain types.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"there is no checkpoint {path}; check the path")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises any class of error on damaged bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint of weights: {reason}",
        ) from error


def check_entries(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str) -> None:
    """Check that weights have the names and shapes of a network.

    Raises:
        CheckpointError: An entry is missing, unknown or misshapen; the message names each.
    """
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
