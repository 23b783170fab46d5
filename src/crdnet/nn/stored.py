"""Reading of stored networks from a file, a folder or a name, without building a network.

A network is stored as its kind, the arguments that build it, and its weights. Sources are the
models that come with crdnet, `.safetensors`, checkpoints of `crdnet train`, model files of
`crdnet export`, folders of `save_pretrained`, and repositories of the Hugging Face hub. A file that
does not state its arguments gets them from the shapes of its weights.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from crdnet.errors import CheckpointError, MissingExtraError
from crdnet.nn.checkpoints import read_checkpoint

KEY = "crdnet"
"""Key of the description in safetensors metadata and in checkpoints."""
ONNX_KEY = "network"
"""Key of the description in the metadata of a model file."""
CONFIG_FILE, WEIGHTS_FILE, CARD_FILE = "config.json", "model.safetensors", "README.md"
SUFFIXES = (".safetensors", ".ckpt", ".onnx")

_SHIPPED = Path(__file__).resolve().parent.parent / "weights"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_log = logging.getLogger("crdnet.nn")


@dataclass(frozen=True, eq=False)
class StoredNetwork:
    """Kind, arguments and weights of a network.

    Attributes:
        source: Name or path, for messages.
        kind: `residual`, `published` or `custom`.
        arguments: Arguments of the builder; for `custom` its `class_path` and `init_args`.
        state: Weights by name.
    """

    source: str
    kind: str
    arguments: Mapping[str, Any]
    state: Mapping[str, Tensor]


def read_stored(source: str | Path, *, revision: str | None = None) -> StoredNetwork:
    """Read a stored network.

    Args:
        source: Name of a shipped model (`default`, `paper`), path of a `.safetensors`, `.ckpt` or
            `.onnx` file, folder of `save_pretrained`, or `owner/name` on the hub (extra: hub).
        revision: Branch, tag or commit on the hub.

    Raises:
        CheckpointError: There is no such source, or it holds no network of crdnet.
        MissingExtraError: The hub is named, and huggingface_hub is not installed.
    """
    path, name = Path(source), str(source)
    if path.is_dir():
        return _read_folder(path)
    if path.suffix in SUFFIXES:
        return _READERS[path.suffix](path)
    shipped = _list_shipped()
    if name in shipped:
        return _READERS[shipped[name].suffix](shipped[name])
    if path.is_file():
        return read_training_checkpoint(path)
    if _HUB_NAME.fullmatch(name) and not path.parent.exists():
        return _read_folder(_download(name, revision))
    raise CheckpointError(
        f"there are no weights {name!r}; name a model ({', '.join(sorted(shipped))}), a file "
        f"({', '.join(SUFFIXES)}), a folder of save_pretrained or OWNER/NAME on the hub"
    )


def read_safetensors(path: Path) -> StoredNetwork:
    """Read a safetensors file of `save_weights`."""
    try:
        with safe_open(path, framework="pt") as file:
            about = (file.metadata() or {}).get(KEY)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the weights in {path}: {error}") from error
    return _describe(path, None if about is None else json.loads(about), state)


def read_training_checkpoint(path: Path) -> StoredNetwork:
    """Read a checkpoint of `crdnet train`, with averaged weights if the run has them."""
    checkpoint = read_checkpoint(path)
    about = checkpoint.get(KEY) if isinstance(checkpoint, Mapping) else None
    if not isinstance(about, Mapping):
        raise CheckpointError(
            f"{path} is not a checkpoint of `crdnet train`; "
            "for the authors' files use --published ROOT --epoch N",
        )
    state: Mapping[str, Tensor] = checkpoint["state_dict"]
    # The published network is trained inside a model that also holds its classifier.
    prefix = "model.network." if any(key.startswith("model.") for key in state) else "network."
    state = {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
    # Checkpoints from before the residual network have no kind.
    return StoredNetwork(str(path), about.get("kind", "published"), about["network"], state)


def read_onnx(path: Path) -> StoredNetwork:
    """Read the weights in a model file of `crdnet export`.

    The file of a published network has folded batch norms, which are restored as identity norms.
    """
    try:
        import onnx  # noqa: PLC0415 - slow to import, and only this source needs it
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading weights from a model file", "train") from error

    if not path.is_file():
        raise CheckpointError(f"there is no model file {path}; check the path")
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's errors have no class that is typed
        raise CheckpointError(f"{path} cannot be read as a model file: {error}") from error
    metadata = {each.key: each.value for each in model.metadata_props}
    state = {
        each.name.removeprefix("network."): torch.from_numpy(
            onnx.numpy_helper.to_array(each).copy()
        )
        for each in model.graph.initializer
        if each.name.startswith("network.")
    }
    if not state:
        raise CheckpointError(
            f"{path} holds no weights with the names that crdnet uses; "
            "use the .safetensors or .ckpt of the model, "
            "or a file of this version's `crdnet export`"
        )
    about = metadata.get(ONNX_KEY)
    stored = _describe(path, None if about is None else json.loads(about), state)
    if stored.kind != "published":
        return stored
    return StoredNetwork(stored.source, stored.kind, stored.arguments, _unfold(stored.state))


_READERS: Mapping[str, Callable[[Path], StoredNetwork]] = {
    ".safetensors": read_safetensors,
    ".ckpt": read_training_checkpoint,
    ".onnx": read_onnx,
}


def _read_folder(folder: Path) -> StoredNetwork:
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise CheckpointError(
            f"{folder} holds no {WEIGHTS_FILE}; name a folder that save_pretrained wrote"
        )
    if not (folder / CARD_FILE).is_file():
        _log.warning(
            "%s has no model card (%s): licence and training data are unknown; "
            "ask its author before you publish results",
            folder,
            CARD_FILE,
        )
    stored = read_safetensors(weights)
    config = folder / CONFIG_FILE
    if not config.is_file():
        return stored
    try:
        about = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(
            f"{config} is not JSON ({error}); download the folder again"
        ) from error
    return _describe(folder, about, stored.state)


def _download(name: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - only for the hub
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"reading {name} from the hub", "hub") from error
    try:
        # Weights and text only: nothing in a repository is ever run.
        files = [CONFIG_FILE, WEIGHTS_FILE, CARD_FILE]
        return Path(snapshot_download(name, revision=revision, allow_patterns=files))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{name} is neither a file here nor a repository that can be reached: {reason}"
        ) from error


def _list_shipped() -> dict[str, Path]:
    """Return the files of the shipped weights by name, aliases included.

    A model file holds its weights too.
    """
    files = {
        path.stem: path
        for suffix in (".onnx", ".safetensors")
        for path in _SHIPPED.glob(f"*{suffix}")
    }
    manifest = _SHIPPED / "manifest.json"
    if manifest.is_file():
        aliases: Mapping[str, str] = json.loads(manifest.read_text(encoding="utf-8"))["aliases"]
        files |= {alias: files[name] for alias, name in aliases.items() if name in files}
    return files


def _describe(
    source: Path, about: Mapping[str, Any] | None, state: Mapping[str, Tensor]
) -> StoredNetwork:
    if about is None:
        about = infer_description(state)
    if about is None or "kind" not in about or "network" not in about:
        raise CheckpointError(
            f"{source} holds no network that crdnet knows, by its description or the names of its "
            "weights; give a file of `crdnet export --weights` or save_pretrained"
        )
    return StoredNetwork(str(source), about["kind"], about["network"], state)


def infer_description(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Return kind and arguments of a network from the shapes of its weights; None if unknown.

    Shapes do not show dilations and shrinkage, which are assumed as 1, 2, 3 and so on, and as 0.
    """

    def count(pattern: str) -> int:
        return len({found[1] for key in state if (found := re.match(pattern, key))})

    def width(name: str) -> int:
        return int(state[name].shape[0])

    if "stem.weight" in state and "head.2.weight" in state:
        scales, dilations = count(r"first\.encoder\.(\d+)\."), count(r"streaks\.dilated\.(\d+)\.")
        outputs = state.get("sensing.conv2.bias")
        sensing = {1: "intensity", 3: "code", 4: "classes"}
        network: dict[str, Any] = {
            "width": width("stem.weight"),
            "scale_widths": [width(f"first.encoder.{n}.conv1.weight") for n in range(scales)],
            "streak_width": width("streaks.reduce.weight") if dilations else 16,
            "dilations": list(range(1, dilations + 1)),
            "second_pass": any(key.startswith("second.") for key in state),
            "sensing": None if outputs is None else sensing[len(outputs)],
        }
        return {"kind": "residual", "network": network}
    if "refinement.fuse1.conv1.weight" in state and "streaks.encoders.0.0.conv1.weight" in state:
        levels, depth = (
            count(r"streaks\.encoders\.0\.(\d+)\."),
            count(r"background\.first_encoder\.(\d+)\."),
        )
        second = state["background.second_encoder.0.conv1.weight"]
        network = {
            "streak_widths": [width(f"streaks.encoders.0.{n}.conv1.weight") for n in range(levels)],
            "dilations": list(range(1, count(r"streaks\.encoders\.(\d+)\.") + 1)),
            "background_widths": [
                width(f"background.first_encoder.{n}.conv1.weight") for n in range(depth)
            ],
            "background_channels": int(second.shape[1]),
            "refinement_width": width("refinement.fuse1.conv2.weight"),
        }
        return {"kind": "published", "network": network}
    return None


def _unfold(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a published network from those of its simplified graph."""
    unfolded: dict[str, Tensor] = {}
    for name, value in state.items():
        in_decoder = re.search(r"decoder\.\d+\.conv\d\.weight$", name) is not None
        # A transposed convolution of stride 1 is a convolution with a flipped kernel.
        unfolded[name] = value.flip(2, 3).transpose(0, 1).contiguous() if in_decoder else value
        block = re.fullmatch(r"((?:streaks|background)\..*)\.conv1\.bias", name)
        if block:
            ones = torch.ones_like(value)
            norm = f"{block[1]}.norm."
            epsilon = torch.nn.BatchNorm2d(1).eps
            unfolded |= {
                norm + "weight": ones,
                norm + "bias": torch.zeros_like(value),
                norm + "running_mean": torch.zeros_like(value),
                norm + "running_var": ones - epsilon,
                norm + "num_batches_tracked": torch.tensor(0),
            }
    return unfolded
