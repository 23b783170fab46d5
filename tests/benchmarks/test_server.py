"""The two-minute version of the soak: a small model, pictures up to 2 megapixels."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.tiny import write_streak_model

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "server.py"
MINUTES = 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_minutes_of_mixed_load_leave_the_server_as_it_was(tmp_path: Path) -> None:
    model = write_streak_model(tmp_path / "streak.onnx")
    command = [
        sys.executable,
        SCRIPT,
        "soak",
        "-m",
        model,
        "--minutes",
        MINUTES,
        "--clients",
        4,
        "--largest",
        2,
    ]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=500)
    assert result.returncode == 0, result.stdout + result.stderr
    assert json.loads(result.stdout)["statuses"]["200"] > 10
