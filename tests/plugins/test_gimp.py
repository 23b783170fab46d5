"""The GIMP plug-in: its call of the command, and its steps against a stand-in for GIMP's modules.

GIMP 3 itself is not packaged for the systems on which the tests run.
"""

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from PIL import Image

import crdnet
from tests.docs.markdown import REPOSITORY

PLUGIN = REPOSITORY / "plugins" / "gimp" / "crdnet-derain" / "crdnet-derain.py"
STREET = REPOSITORY / "examples" / "medium.jpg"


@pytest.fixture
def plugin() -> dict[str, Any]:
    return runpy.run_path(str(PLUGIN))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command of this repository, where the plug-in looks for it."""
    source = Path(crdnet.__file__).parents[1]
    path = tmp_path / "crdnet"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(source)!r})\n"
        "from crdnet.cli import main\nmain()\n",
        encoding="utf-8",
    )
    path.chmod(0o755)
    monkeypatch.setenv("CRDNET_COMMAND", str(path))
    return path


def write_layer(path: Path) -> np.ndarray:
    with Image.open(STREET) as street:
        part = street.crop((0, 0, 96, 64))
    part.save(path)
    return np.asarray(part)


def test_gimp_finds_the_plugin_by_its_folder_and_may_run_it() -> None:
    assert PLUGIN.stem == PLUGIN.parent.name
    assert PLUGIN.stat().st_mode & 0o111


def test_a_layer_is_derained_as_in_python(
    plugin: dict[str, Any], command: Path, tmp_path: Path
) -> None:
    rainy = write_layer(tmp_path / "layer.png")
    plugin["derain_file"](tmp_path / "layer.png", tmp_path / "derained.png")
    derained = np.asarray(Image.open(tmp_path / "derained.png"))
    np.testing.assert_array_equal(derained, crdnet.derain(rainy))


def test_a_missing_command_is_told_with_what_to_do(
    plugin: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CRDNET_COMMAND", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Exception, match="pipx install crdnet"):
        plugin["find_command"]()


def test_a_failure_of_the_command_is_told(
    plugin: dict[str, Any], command: Path, tmp_path: Path
) -> None:
    (tmp_path / "layer.png").write_bytes(b"no image")
    with pytest.raises(Exception, match="not an image"):
        plugin["derain_file"](tmp_path / "layer.png", tmp_path / "derained.png")


class Drawable:
    """A layer of the stand-in."""

    def __init__(self, path: Path | None = None) -> None:
        self.path, self.name, self.offsets = path, "Background", (7, 9)

    @staticmethod
    def new_from_drawable(layer: "Drawable", _copy: Any) -> "Drawable":
        return Drawable(layer.path)

    def get_offsets(self) -> tuple[bool, int, int]:
        return True, *self.offsets

    def set_offsets(self, left: int, top: int) -> None:
        self.offsets = (left, top)

    def get_name(self) -> str:
        return self.name

    def set_name(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> Any:
        return MagicMock()


def make_gimp(layer_file: Path, loaded: list[Drawable]) -> dict[str, ModuleType]:
    """Return modules that stand for GIMP's: files are copied instead of encoded."""

    def save(mode: object, image: object, file: Path, options: object) -> None:
        file.write_bytes(layer_file.read_bytes())

    def load(mode: object, image: object, file: Path) -> Drawable:
        kept = layer_file.with_name("loaded.png")
        kept.write_bytes(file.read_bytes())
        loaded.append(Drawable(kept))
        return loaded[-1]

    gimp = MagicMock()
    gimp.PlugIn, gimp.Layer = object, Drawable
    gimp.file_save, gimp.file_load_layer = save, load
    gimp.PDBStatusType = SimpleNamespace(
        SUCCESS="success", CALLING_ERROR="calling error", EXECUTION_ERROR="execution error"
    )
    gio = SimpleNamespace(File=SimpleNamespace(new_for_path=Path))
    glib = SimpleNamespace(Error=str)
    repository = ModuleType("gi.repository")
    repository.__dict__.update(Gimp=gimp, Gio=gio, GLib=glib)
    gi = ModuleType("gi")
    gi.__dict__.update(require_version=MagicMock(), repository=repository)
    return {"gi": gi, "gi.repository": repository}


def test_the_procedure_puts_the_derained_layer_above_the_rainy_one(
    plugin: dict[str, Any], command: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rainy = write_layer(tmp_path / "layer.png")
    loaded: list[Drawable] = []
    for name, module in make_gimp(tmp_path / "layer.png", loaded).items():
        monkeypatch.setitem(sys.modules, name, module)
    gimp, made = plugin["define_plugin"]()
    instance = made()
    assert instance.do_query_procedures() == ["plug-in-crdnet-derain"]
    instance.do_create_procedure("plug-in-crdnet-derain")
    run = gimp.ImageProcedure.new.call_args.args[3]
    procedure, image = MagicMock(), MagicMock()
    procedure.new_return_values = lambda status, error: (status, error)
    layer = Drawable(tmp_path / "layer.png")
    assert run(procedure, None, image, [layer], None, None) == ("success", None)
    (added,) = loaded
    assert added.name == "Background without rain"
    assert added.offsets == layer.offsets
    assert image.insert_layer.call_args.args[0] is added
    np.testing.assert_array_equal(np.asarray(Image.open(added.path)), crdnet.derain(rainy))
    status, error = run(procedure, None, image, [layer, layer], None, None)
    assert (status, error) == ("calling error", "Select one layer to remove the rain from.")
    monkeypatch.setenv("CRDNET_COMMAND", str(tmp_path / "nowhere"))
    status, error = run(procedure, None, image, [layer], None, None)
    assert status == "execution error"
    assert "cannot be run" in error
    assert image.undo_group_start.call_count == image.undo_group_end.call_count
