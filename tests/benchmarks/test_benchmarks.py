"""Benchmarks of speed on small inputs. Times are not tested."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.identity_model import write_identity_model
from tests.waiting import HANG_SECONDS

REPOSITORY = Path(__file__).resolve().parents[2]
BENCHMARKS = REPOSITORY / "benchmarks"


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_identity_model(tmp_path / "identity.onnx"))


def run(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a benchmark, `speed.server` for instance."""
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{script}", *arguments],
        cwd=REPOSITORY,
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
    result = run("speed.performance", "latency", *arguments, "--json")
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
    table = run("speed.performance", "latency", *arguments).stdout.splitlines()
    assert table[-1].endswith(" 1.00 [1.00, 1.00]")  # the published network, as fast as itself


def test_whole_commands_are_timed(model: str) -> None:
    result = run("speed.performance", "commands", "--model", model, "--rounds", "1")
    assert result.returncode == 0, result.stderr
    for command in ("crdnet --version", "crdnet --help", "crdnet derain (512 x 512)"):
        assert command in result.stdout


@pytest.mark.parametrize("command", ["latency", "commands"])
def test_a_missing_model_is_an_error_of_one_line(command: str) -> None:
    result = run("speed.performance", command, "--model", "nowhere.onnx", "--rounds", "1")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: ")
    assert "there is no model file nowhere.onnx" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_cost_of_each_part_is_printed() -> None:
    result = run("speed.performance", "cost")
    assert result.returncode == 0, result.stderr
    assert "| all | 579,693 | 14.80 |" in result.stdout
    assert "| all | 904,546 | 13.29 |" in result.stdout


def test_engines_are_measured_in_processor_time(model: str) -> None:
    found = run("speed.engines", "resources", "--model", model, "--device", "cpu")
    assert found.returncode == 0, found.stderr
    assert {"engine", "open", "first", "memory"} <= json.loads(found.stdout).keys()
    nodes = run("speed.engines", "nodes", "--model", model, "--size", "40", "--rounds", "1")
    assert nodes.returncode == 0, nodes.stderr
    assert nodes.stdout.startswith("onnxruntime, float32: ")


def test_large_images_are_compared_with_the_network_and_with_a_whole_image(model: str) -> None:
    jpeg = run("speed.large", "jpeg", "--model", model, "--device", "cpu", "--rounds", "1")
    assert jpeg.returncode == 0, jpeg.stderr
    assert "the command takes" in jpeg.stdout
    small = ("--megapixels", "0.1", "--device", "cpu")
    tiff = run("speed.large", "tiff", "--model", model, *small)
    assert tiff.returncode == 0, tiff.stderr
    assert tiff.stdout.startswith("316 x 316: ")
