"""The server stands on packages' public names, and not on the other app."""

import ast
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pytest

MODULES = sorted(Path(str(files("crdnet.server"))).glob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_the_server_imports_public_names_and_nothing_of_the_command_line(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if not name.startswith("crdnet") or name.startswith("crdnet.server"):
            continue
        assert isinstance(node, ast.ImportFrom)
        assert not name.startswith("crdnet.cli")
        package = import_module(name)
        if hasattr(package, "__path__"):
            packages = {each.name for each in node.names} - set(package.__all__)
            assert all(hasattr(import_module(f"{name}.{each}"), "__path__") for each in packages)
        else:
            assert name.count(".") == 1, f"{name} belongs to a package; import it from there"
