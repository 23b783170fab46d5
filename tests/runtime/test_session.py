"""A session that lives long: what it took for a large image goes back to the system."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.tiny import write_tiny_model
from tests.waiting import HANG_SECONDS

SIDE = 2048
FEATURES_BYTES = 4 * SIDE * SIDE * 4
"""Bytes of the four channels of the tiny model's first layer, which no caller ever sees."""
_SHRINK = f"""
import sys
from pathlib import Path
import numpy as np
from crdnet.runtime import Session, find_model

def resident_bytes():
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kilobytes) * 1024

session = Session(find_model(sys.argv[1]), "cpu", threads=1)
small = np.random.default_rng(0).random((16, 16, 3), np.float32)
before = session(small).derained
session(np.zeros(({SIDE}, {SIDE}, 3), np.float32))
kept = resident_bytes()
session.shrink()
print(kept - resident_bytes())
assert np.array_equal(session(small).derained, before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_shrinking_gives_back_what_a_large_image_took_and_changes_no_answer(
    tmp_path: Path,
) -> None:
    """Run in a subprocess, because this process may reuse memory that other tests have freed."""
    model = write_tiny_model(tmp_path / "tiny.onnx")
    done = subprocess.run(
        [sys.executable, "-c", _SHRINK, str(model)],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=True,
    )
    assert int(done.stdout) > 0.8 * FEATURES_BYTES
