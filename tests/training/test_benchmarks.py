"""Output of the training benchmarks on small inputs; speed and quality are not tested."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.waiting import HANG_SECONDS

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )


def table(text: str, first: str) -> list[str]:
    """Return the cells of a row, by its first one."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_measures_of_intensity_agree_on_lossless_rain_and_the_mean_is_nearest_after_jpeg(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    for folder in ("input", "target"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        clean = rng.integers(20, 200, (50, 72, 3), dtype=np.uint8)
        rain = np.zeros((50, 72, 1), np.uint8)
        rain[2:-2, 2:-2] = rng.integers(0, 55, (46, 68, 1))
        Image.fromarray(clean).save(tmp_path / "target" / f"{number}.png")
        Image.fromarray(clean + rain).save(tmp_path / "input" / f"{number}.png")
    result = run("intensity.py", str(tmp_path), "--jpeg", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert table(result.stdout, "none") == ["none", "3", *["0, 0, 0; 0.0 %"] * 3]
    plain, taught = (
        float(cell.split("; ")[1].removesuffix(" %"))
        for cell in table(result.stdout, "quality 60")[2:4]
    )
    assert taught < 0.5 * plain
    assert "Positive part / absolute change: median 1.00, least 1.00" in result.stdout


def test_loading_is_compared_with_training(tmp_path: Path) -> None:
    (tmp_path / "backgrounds").mkdir()
    scene = np.random.default_rng(1).integers(0, 200, (70, 90, 3), dtype=np.uint8)
    Image.fromarray(scene).save(tmp_path / "backgrounds" / "a.png")
    recipe = {
        "model": {"network": {"width": 4, "scale_widths": [4, 4, 4], "streak_width": 2}},
        "data": {
            "batch_size": 1,
            "epoch_length": 8,
            "mixture": {"zoom": [0.5, 2.0]},
            "bank": {"per_density": 1, "side": 160, "scales": [1.0]},
        },
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    paths = (str(tmp_path / "backgrounds"), "--config", str(tmp_path / "tiny.yaml"))
    result = run("loading.py", *paths, "--batches", "1", "--rounds", "1")
    assert result.returncode == 0, result.stderr
    for side in (64, 96, 128, 160):
        cells = table(result.stdout, str(side))
        own, trained, ratio = (float(cell) for cell in cells[2:])
        assert own > 0
        assert ratio == pytest.approx(own / trained, rel=0.02, abs=0.06)  # rounded


@pytest.mark.parametrize("script", ["intensity.py", "loading.py"])
def test_a_folder_that_is_not_there_is_told_in_one_line(script: str) -> None:
    result = run(script, "nowhere")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: nowhere")
    assert result.stderr.count("\n") == 1
