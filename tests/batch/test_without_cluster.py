"""What stands in for jobs where the extra `cluster` is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import HANG_SECONDS


@pytest.mark.parametrize("absent", ["pyarrow", "fsspec", "ray"])
def test_a_missing_package_is_one_line_with_its_pip_command(absent: str, tmp_path: Path) -> None:
    if absent == "ray":
        pytest.importorskip("pyarrow", reason="needs the extra cluster without Ray")
    (tmp_path / "a.png").write_bytes(b"no image")
    arguments = ["crdnet", "batch", f"{tmp_path}", f"{tmp_path / 'job'}"]
    program = (
        f"import sys; sys.modules[{absent!r}] = None; sys.argv = {arguments!r}\n"
        "from crdnet.cli import main; main()"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    assert finished.returncode == 1
    assert "run: pip install 'crdnet[cluster]'" in finished.stderr
    assert len(finished.stderr.splitlines()) == 1
