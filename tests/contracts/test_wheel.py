"""The wheel holds the files that users need and no others, and works without torch."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from crdnet.runtime import list_models
from tests.waiting import HANG_SECONDS

REPOSITORY = Path(__file__).resolve().parents[2]
MANIFEST = "crdnet/weights/manifest.json"
_SIGNS_OF_NO_NETWORK = (
    "Connection refused",
    "Failed to establish a new connection",
    "Max retries exceeded",
    "Name or service not known",
    "Network is unreachable",
    "Temporary failure in name resolution",
    "timed out",
)
NEEDS_A_MODEL = pytest.mark.skipif(not list_models(), reason="crdnet has no shipped model yet")


def run(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        list(map(str, arguments)),
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )


def check_success_or_skip(result: "subprocess.CompletedProcess[str]") -> None:
    """Skip the test if there is no network; fail it if a process failed for another reason."""
    if result.returncode and any(
        sign in result.stdout + result.stderr for sign in _SIGNS_OF_NO_NETWORK
    ):
        pytest.skip("this test installs packages, and there is no network")
    assert result.returncode == 0, result.stdout + result.stderr


def install(python: Path, *packages: str | Path) -> None:
    """Install packages with the pins of this repository, for another Python."""
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    constraints = REPOSITORY / "constraints.txt"
    result = run(*pip, "--constraint", constraints, *packages, cwd=python.parent)
    check_success_or_skip(result)


def make_clean_environment() -> dict[str, str]:
    """Return the environment without what this Python and its tests put into it."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel of the working tree."""
    folder = tmp_path_factory.mktemp("dist")
    # Without hatchling, `build` installs it in an isolated environment.
    isolation = ["--no-isolation"] if find_spec("hatchling") else []
    check_success_or_skip(
        run(
            sys.executable,
            "-m",
            "build",
            "--wheel",
            *isolation,
            "--outdir",
            folder,
            REPOSITORY,
            cwd=folder,
        )
    )
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_holds_the_whole_package_its_licence_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.split("/")[0] for name in names}
    (information,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {"crdnet", information}
    assert f"{information}/licenses/LICENSE" in names
    source = REPOSITORY / "src"
    wanted = {path.relative_to(source).as_posix() for path in source.rglob("*.py")} | {
        "crdnet/py.typed"
    }
    assert wanted <= names
    assert not [
        name for name in names if "test" in name.lower() or name.endswith((".pyc", ".ckpt", ".tmp"))
    ]


@NEEDS_A_MODEL
def test_the_wheel_holds_every_model_of_the_manifest_undamaged(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        manifest = json.loads(archive.read(MANIFEST))
        assert "default" in manifest["aliases"] or "default" in manifest["models"]
        for entry in manifest["models"].values():
            content = archive.read(f"crdnet/weights/{entry['file']}")
            assert sha256(content).hexdigest() == entry["sha256"], entry["file"]


@NEEDS_A_MODEL
def test_every_model_file_in_the_wheel_is_in_the_manifest(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        files = {name.split("/")[-1] for name in archive.namelist() if name.endswith(".onnx")}
        manifest = json.loads(archive.read(MANIFEST))
    assert files == {entry["file"] for entry in manifest["models"].values()}


def test_the_wheel_holds_every_recipe(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        held = {
            name.split("/")[-1]: archive.read(name)
            for name in archive.namelist()
            if name.startswith("crdnet/configs/")
        }
    assert held == {path.name: path.read_bytes() for path in (REPOSITORY / "configs").iterdir()}


@pytest.mark.skipif(find_spec("pytorch_lightning") is None, reason="needs crdnet[train]")
@pytest.mark.parametrize("recipe", ["paper-cpu", "configs/paper-cpu.yaml"])
def test_the_training_line_of_the_readme_finds_its_recipe_in_the_wheel(
    wheel: Path, tmp_path: Path, recipe: str
) -> None:
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    (tmp_path / "empty").mkdir()
    code = "import crdnet; print(crdnet.__file__); from crdnet.cli import main; main()"
    arguments = ("train", "--config", recipe, "--data.root", "nowhere")
    result = run(
        *(sys.executable, "-c", code, *arguments),
        cwd=tmp_path / "empty",
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
    )
    assert Path(result.stdout.strip()).is_relative_to(tmp_path / "installed")
    assert (
        result.stderr == "Error: nowhere: there is no such folder; name the folder of a data set\n"
    )


@pytest.mark.slow
def test_the_wheel_derains_on_a_machine_without_torch(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    assert run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path).returncode == 0
    binaries = venv / ("Scripts" if os.name == "nt" else "bin")
    python, crdnet = binaries / "python", binaries / "crdnet"
    install(python, wheel)
    clean = make_clean_environment()

    where = run(python, "-c", "import crdnet; print(crdnet.__file__)", cwd=tmp_path, env=clean)
    assert Path(where.stdout.strip()).is_relative_to(venv), where.stderr
    torch = run(python, "-c", "import torch", cwd=tmp_path, env=clean)
    assert "ModuleNotFoundError: No module named 'torch'" in torch.stderr

    train = run(crdnet, "train", "--config", "recipe.yaml", cwd=tmp_path, env=clean)
    assert train.returncode == 1
    assert train.stderr.count("\n") == 1
    assert "pip install 'crdnet[train]'" in train.stderr

    shutil.copy(REPOSITORY / "examples" / "light.jpg", tmp_path / "street.jpg")
    derained = run(crdnet, "derain", "street.jpg", cwd=tmp_path, env=clean)
    if not list_models():
        assert "ships no models" in derained.stderr
        pytest.skip("crdnet has no shipped model yet; all before deraining was checked")
    assert derained.returncode == 0, derained.stderr
    assert (tmp_path / "street_derained.jpg").is_file()


@pytest.mark.skipif("CRDNET_CLEAN_INSTALL" not in os.environ, reason="`make soak` runs it")
@NEEDS_A_MODEL
def test_fine_tuning_takes_six_commands_of_one_page_in_a_clean_environment(
    wheel: Path, tmp_path: Path
) -> None:
    page = REPOSITORY / "docs" / "how-to" / "fine-tune.md"
    commands = [
        line.removeprefix("$ ")
        for line in page.read_text(encoding="utf-8").split("## ")[0].splitlines()
        if line.startswith("$ ")
    ]
    installation, *others = commands
    assert installation == "pip install 'crdnet[train]'"
    assert len(commands) <= 6
    venv = tmp_path / "venv"
    assert run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path).returncode == 0
    python = venv / "bin" / "python"
    # torch first and by its exact pin, as the Makefile does: a looser one may bring a CUDA build.
    pins = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    install(python, next(pin for pin in pins if pin.startswith("torch==")))
    install(python, f"{wheel}[train]")

    folder = tmp_path / "empty"
    rng = np.random.default_rng(0)
    for number in range(3):
        coarse = Image.fromarray(rng.integers(20, 140, (4, 6, 3), dtype=np.uint8))
        clean = np.asarray(coarse.resize((96, 64)))
        rainy = clean.copy()
        rainy[:, ::7] += np.uint8(80)
        for role, image in (("input", rainy), ("target", clean)):
            path = folder / "my_pairs" / role / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    shutil.copy(REPOSITORY / "examples" / "light.jpg", folder / "street.jpg")
    short = (
        " --trainer.max_epochs 1 --data.steps_per_epoch 2"
        " --data.sides '[[0, 64]]' --data.batch_sizes '[[0, 2]]'"
    )
    environment = make_clean_environment()
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"
    for command in others:
        shortened = command + short * command.startswith("crdnet train ")
        ended = run("bash", "-c", shortened, cwd=folder, env=environment)
        assert ended.returncode == 0, f"{command}:\n{ended.stdout}{ended.stderr}"
    with Image.open(folder / "street.jpg") as street:
        (derained,) = set(folder.glob("street*.jpg")) - {folder / "street.jpg"}
        with Image.open(derained) as result:
            assert result.size == street.size
