"""Deployed code never imports torch: contract on the source, probe of running programs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import HANG_SECONDS

REPOSITORY = Path(__file__).resolve().parents[2]
CONTRACT = "What users run never imports torch"
ON_THE_TORCH_SIDE = ("crdnet.nn", "crdnet.training", "crdnet.export", "crdnet.gpu")
_IMPORT_THESE = (
    "from importlib import import_module\nfor name in {names!r}:\n    import_module(name)"
)
_PROBE = (
    "torch_side = {'torch', 'pytorch_lightning', 'jsonargparse', 'safetensors'}\n"
    "print(*sorted(torch_side & set(sys.modules)))"
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy of the package and its contracts, which a test may break."""
    shutil.copytree(
        REPOSITORY / "src",
        tmp_path / "src",
        ignore=shutil.ignore_patterns("__pycache__", "weights"),
    )
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )


def run_and_list_loaded(program: str, folder: Path) -> list[str]:
    """Run a program and return the packages of the torch side that it has imported."""
    code = f"import sys\n{program}\n{_PROBE}"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1].split()


def test_the_contracts_hold_for_a_copy_of_the_package(copy: Path) -> None:
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout
    assert f"{CONTRACT} KEPT" in result.stdout


@pytest.mark.parametrize(
    "planted", ["import torch\n", "def later() -> None:\n    from torch import nn\n"]
)
def test_the_torch_contract_can_fail(copy: Path, planted: str) -> None:
    with (copy / "src" / "crdnet" / "sizes.py").open("a", encoding="utf-8") as module:
        module.write(f"\n\n{planted}")
    result = lint_imports(copy)
    assert result.returncode == 1
    assert f"{CONTRACT} BROKEN" in result.stdout
    assert "crdnet.sizes is not allowed to import torch" in result.stdout


def list_deployed_modules() -> list[str]:
    """Return the names of all modules except those of the torch side."""
    source = REPOSITORY / "src"
    paths = (
        path.relative_to(source).with_suffix("")
        for path in source.rglob("*.py")
        if path.stem != "__main__"
    )
    names = (".".join(path.parts).removesuffix(".__init__") for path in paths)
    return sorted(name for name in names if not name.startswith(ON_THE_TORCH_SIDE))


def test_deployed_modules_do_not_import_torch(tmp_path: Path) -> None:
    names = list_deployed_modules()
    assert {"crdnet", "crdnet.pipeline.derainer", "crdnet.cli.derain", "crdnet.cli.train"} <= set(
        names
    )
    assert run_and_list_loaded(_IMPORT_THESE.format(names=names), tmp_path) == []


def test_the_import_probe_can_fail(tmp_path: Path) -> None:
    assert "torch" in run_and_list_loaded(_IMPORT_THESE.format(names=["crdnet.nn"]), tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--config", "recipe.yaml"],
        ["export", "pyproject.toml", "-o", "my.onnx"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_of_the_torch_side_names_its_extra_in_one_line(arguments: list[str]) -> None:
    missing = (
        "torch",
        "onnx",
        "onnxscript",
        "pytorch_lightning",
        "jsonargparse",
        "jaxtyping",
        "safetensors",
    )
    code = f"""
import sys
# An entry of None makes the import fail as if the package were not installed.
sys.modules.update(dict.fromkeys({missing!r}))
sys.argv = ["crdnet", *{arguments!r}]
from crdnet.cli import main
main()
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    assert result.returncode == 1
    assert "pip install 'crdnet[train]'" in result.stderr
    assert result.stderr.count("\n") == 1
