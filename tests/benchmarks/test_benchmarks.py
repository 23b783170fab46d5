"""The benchmarks run. How fast anything is, is no test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.identity_model import write_identity_model
from tests.waiting import HANG_SECONDS

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_identity_model(tmp_path / "identity.onnx"))


def run(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )


def test_models_are_timed_against_the_published_network_in_torch(model: str) -> None:
    arguments = [
        "--model",
        model,
        "-d",
        "cpu",
        "--size",
        "40",
        "--threads",
        "1",
        "--rounds",
        "1",
        "--runs",
        "2",
    ]
    result = run("latency.py", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["machine"]["cpu"]
    assert {"onnxruntime", "torch", "numpy", "Python"} <= report["machine"]["versions"].keys()
    assert (report["size"], report["threads"], report["rounds"]) == (40, 1, 2)
    names = ["identity, cpu, network", "identity, cpu, as used", "published, PyTorch eager"]
    assert list(report["timings"]) == list(report["ratios"]) == names
    assert report["ratios"]["published, PyTorch eager"] == {
        "median": 1,
        "lower_quartile": 1,
        "upper_quartile": 1,
    }
    table = run("latency.py", *arguments).stdout.splitlines()
    assert table[-1].endswith(" 1.00 [1.00, 1.00]")  # the published network, as fast as itself


def test_whole_commands_are_timed(model: str) -> None:
    result = run("startup.py", "--model", model, "--rounds", "1")
    assert result.returncode == 0, result.stderr
    for command in ("crdnet --version", "crdnet --help", "crdnet derain (512 x 512)"):
        assert command in result.stdout


@pytest.mark.parametrize("script", ["latency.py", "startup.py"])
def test_a_model_that_is_not_there_is_told_in_one_line(script: str) -> None:
    result = run(script, "--model", "nowhere.onnx", "--rounds", "1")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: ")
    assert "there is no model file nowhere.onnx" in result.stderr
    assert result.stderr.count("\n") == 1
