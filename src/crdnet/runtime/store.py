"""Shipped models, and the lookup of a model by name.

The folder `crdnet/weights` holds the models and `manifest.json`, which names them:

    {"aliases": {"other name": "paper"},
     "models": {"paper": {"file": "paper.onnx", "sha256": "...", "summary": "...", "parameters":
     904546}}}

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


def list_models(folder: Path = WEIGHTS_FOLDER) -> tuple[StoredModel, ...]:
    """Return the shipped models, in the order of the manifest."""
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
        )
        for name, entry in manifest["models"].items()
    )


def find_model(model: str | Path, folder: Path = WEIGHTS_FOLDER) -> StoredModel:
    """Find a model by its name, or by the path of an .onnx file.

    Args:
        model: The name of a shipped model, one of its aliases such as `default`, or a path; a
            string is a path if it ends in `.onnx` or contains a folder.
        folder: Folder of the shipped models.

    Raises:
        ModelError: There is no such model.
    """
    if isinstance(model, Path) or model.endswith(".onnx") or Path(model).name != model:
        path = Path(model)
        if not path.is_file():
            raise ModelError(
                f"there is no model file {path}; give the path of an .onnx file or a model's name"
            )
        return StoredModel(name=path.stem, path=path)
    known = list_models(folder)
    for candidate in known:
        if model == candidate.name or model in candidate.aliases:
            return candidate
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
        folder: Folder of the shipped models.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.onnx"
    if source.resolve() != target.resolve():
        copyfile(source, target)
    manifest = _read_manifest(folder)
    entry = {
        "file": target.name,
        "sha256": sha256(target.read_bytes()).hexdigest(),
        "summary": summary,
    }
    manifest["models"][name] = entry | ({} if parameters is None else {"parameters": parameters})
    manifest["aliases"].pop(name, None)  # the name of a model overrides an alias
    manifest["aliases"].update(dict.fromkeys(aliases, name))
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return find_model(name, folder)


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
