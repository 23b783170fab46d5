"""Shipped models, and the lookup of a model by name.

The folder `crdnet/weights` holds the models and `manifest.json`, which names them:

    {"aliases": {"other name": "paper"},
     "models": {"paper": {"file": "paper.onnx", "sha256": "...", "summary": "...", "parameters":
     904546}}}

A model with a `task` does not derain images: `fuse` takes a frame of a clip and its neighbours.

A shipped model is read only if its SHA-256 equals the one in the manifest.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from shutil import copyfile
from typing import Any

from crdnet.errors import ModelError

WEIGHTS_FOLDER = Path(__file__).resolve().parent.parent / "weights"
MANIFEST = "manifest.json"
DERAIN, FUSE = "derain", "fuse"
"""Tasks of models: derain an image, or fuse a frame of a clip with its neighbours."""


@dataclass(frozen=True)
class StoredModel:
    """Model file with its description in the manifest."""

    name: str
    path: Path
    sha256: str | None = None
    """Expected SHA-256 of the content; None for a file that is not in the manifest."""
    summary: str = ""
    parameters: int | None = None
    aliases: tuple[str, ...] = ()
    """Other names of the model."""
    task: str = DERAIN

    def read(self) -> bytes:
        """Return the content of the file.

        Raises:
            ModelError: The file cannot be read, or its SHA-256 is not the expected one.
        """
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"the model {self.path} cannot be read: {error.strerror or error}"
            ) from error
        if self.sha256 is not None and sha256(content).hexdigest() != self.sha256:
            raise ModelError(
                f"the model {self.name!r} is damaged: {self.path} does not have the SHA-256 that "
                f"{MANIFEST} gives; install crdnet again (pip install --force-reinstall crdnet)"
            )
        return content


def list_models(folder: Path = WEIGHTS_FOLDER, *, task: str = DERAIN) -> tuple[StoredModel, ...]:
    """Return the shipped models for a task, in the order of the manifest."""
    return tuple(model for model in _read_models(folder) if model.task == task)


def _read_models(folder: Path) -> tuple[StoredModel, ...]:
    manifest = _read_manifest(folder)
    aliases: Mapping[str, str] = manifest["aliases"]
    return tuple(
        StoredModel(
            name=name,
            path=folder / entry["file"],
            sha256=entry["sha256"],
            summary=entry["summary"],
            parameters=entry.get("parameters"),
            aliases=tuple(alias for alias, target in aliases.items() if target == name),
            task=entry.get("task", DERAIN),
        )
        for name, entry in manifest["models"].items()
    )


def find_model(
    model: str | Path, folder: Path = WEIGHTS_FOLDER, *, task: str = DERAIN
) -> StoredModel:
    """Find a model by its name, or by the path of an .onnx file.

    Args:
        model: The name of a shipped model, one of its aliases such as `default`, or a path; a
            string is a path if it ends in `.onnx` or contains a folder.
        folder: Folder of the shipped models.
        task: Task of the model.

    Raises:
        ModelError: There is no such model.
    """
    if isinstance(model, Path) or model.endswith(".onnx") or Path(model).name != model:
        path = Path(model)
        if not path.is_file():
            raise ModelError(
                f"there is no model file {path}; give the path of an .onnx file or a model's name"
            )
        return StoredModel(name=path.stem, path=path, task=task)
    known = list_models(folder, task=task)
    for candidate in known:
        if model == candidate.name or model in candidate.aliases:
            return candidate
    if any(candidate.name == model for candidate in _read_models(folder)):
        raise ModelError(
            f"the model {model!r} does not {task}; it works on frames of clips, and "
            "`crdnet video` uses it by itself"
        )
    names = sorted(name for each in known for name in (each.name, *each.aliases))
    raise ModelError(
        f"there is no model {model!r}; known are "
        f"{', '.join(names) or 'none, this installation ships no models'}, "
        "and a path to an .onnx file works as well"
    )


def register_model(
    source: Path,
    name: str,
    summary: str,
    *,
    parameters: int | None = None,
    aliases: tuple[str, ...] = (),
    task: str = DERAIN,
    folder: Path = WEIGHTS_FOLDER,
) -> StoredModel:
    """Add a model file to the shipped models and to the manifest; return the shipped model.

    A shipped model of the same name is replaced.

    Args:
        source: An .onnx file with the metadata of a crdnet model.
        name: Name of the model for users.
        summary: One line for `crdnet models`.
        parameters: Number of parameters.
        aliases: Other names of the model, such as `default`; they are taken from other models.
        task: Task of the model.
        folder: Folder of the shipped models.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.onnx"
    if source.resolve() != target.resolve():
        copyfile(source, target)
    manifest = _read_manifest(folder)
    entry: dict[str, Any] = {
        "file": target.name,
        "sha256": sha256(target.read_bytes()).hexdigest(),
        "summary": summary,
    }
    if parameters is not None:
        entry["parameters"] = parameters
    if task != DERAIN:
        entry["task"] = task
    manifest["models"][name] = entry
    manifest["aliases"].pop(name, None)  # the name of a model overrides an alias
    manifest["aliases"].update(dict.fromkeys(aliases, name))
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return find_model(name, folder, task=task)


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Read and validate the manifest; return an empty one if there is no file."""
    path = folder / MANIFEST
    if not path.exists():
        return {"aliases": {}, "models": {}}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        for entry in manifest["models"].values():
            str(entry["file"]), str(entry["sha256"]), str(entry["summary"])
        dict(manifest["aliases"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"the list of models {path} is damaged ({error!r}); install crdnet again"
        ) from error
    return dict(manifest)
