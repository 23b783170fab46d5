"""`python examples/demo.py`, as `make demo` runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from crdnet.runtime import list_models
from tests.examples.identity_model import write_identity_model
from tests.waiting import HANG_SECONDS

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"
NAMES = ("light", "medium", "heavy")


def run_demo(
    folder: Path, *arguments: str, wrapper: str = ""
) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-c", wrapper, str(DEMO)] if wrapper else [sys.executable, str(DEMO)]
    return subprocess.run(
        [*program, *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )


def read_gains(output: str) -> list[float]:
    """Return the gains in dB that the demo prints, in the order of the images."""
    return [
        float(line.split(" dB ")[2]) for line in output.splitlines() if line.split(".")[0] in NAMES
    ]


@pytest.fixture
def identity(tmp_path: Path) -> str:
    return str(write_identity_model(tmp_path / "identity.onnx"))


def test_the_demo_derains_the_examples_and_overwrites_its_earlier_results(
    tmp_path: Path, identity: str
) -> None:
    for _ in range(2):
        result = run_demo(tmp_path, "--model", identity)
        assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    made = {path.name for path in (tmp_path / "demo").iterdir()}
    assert made == {"before_after.png", *(f"{name}_derained.jpg" for name in NAMES)}
    with Image.open(tmp_path / "demo" / "before_after.png") as sheet:
        assert sheet.size == (2 * 512 + 8, 300 + 342 + 341 + 2 * 8)
    assert str(Path("demo") / "before_after.png") in result.stdout


def test_a_model_that_changes_nothing_gains_nothing(tmp_path: Path, identity: str) -> None:
    result = run_demo(tmp_path, "--model", identity)
    # The JPEG is written once more with its own tables, which moves few pixels by a level.
    assert read_gains(result.stdout) == pytest.approx([0, 0, 0], abs=0.05)


def test_the_demo_needs_the_base_installation_alone(tmp_path: Path, identity: str) -> None:
    extras = ("torch", "skimage", "scipy", "onnx", "yaml")
    wrapper = (
        "import runpy, sys\n"
        f"sys.modules.update(dict.fromkeys({extras!r}))\n"  # None there makes an import fail
        "del sys.argv[0]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    result = run_demo(tmp_path, "--model", identity, wrapper=wrapper)
    assert result.returncode == 0, result.stderr


def test_a_missing_model_is_reported_in_one_line(tmp_path: Path) -> None:
    result = run_demo(tmp_path, "--model", "nowhere.onnx")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: there is no model file nowhere.onnx")
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(not list_models(), reason="crdnet has no shipped model yet")
def test_the_shipped_model_removes_rain_from_the_examples(tmp_path: Path) -> None:
    result = run_demo(tmp_path)
    assert result.returncode == 0, result.stderr
    found = read_gains(result.stdout)
    assert len(found) == len(NAMES)
    assert sum(found) / len(found) > 0, result.stdout
