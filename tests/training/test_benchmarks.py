"""Output of the training benchmarks on small inputs; speed and quality are not tested."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.benchmarks.test_benchmarks import run


def table(text: str, first: str) -> list[str]:
    """Return the cells of a row, by its first one."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


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
    result = run("speed.training", "loading", *paths, "--batches", "1", "--rounds", "1")
    assert result.returncode == 0, result.stderr
    for side in (64, 96, 128, 160):
        cells = table(result.stdout, str(side))
        own, trained, ratio = (float(cell) for cell in cells[2:])
        assert own > 0
        assert ratio == pytest.approx(own / trained, rel=0.02, abs=0.06)  # rounded


def test_a_missing_folder_is_an_error_of_one_line() -> None:
    result = run("speed.training", "loading", "nowhere")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: nowhere")
    assert result.stderr.count("\n") == 1
