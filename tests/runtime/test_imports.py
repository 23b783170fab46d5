"""Modules that commands and `import crdnet` must not load, checked in a fresh interpreter."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import HANG_SECONDS

HEAVY = ("torch", "numpy", "PIL", "onnxruntime", "rich")


def modules_loaded_by(code: str, *arguments: str | Path) -> set[str]:
    """Return which of HEAVY some code has loaded when it ends."""
    probe = f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", probe, *arguments],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=True,
    )
    return set(done.stdout.split())


def test_deployed_side_does_not_import_torch(tiny_model: Path) -> None:
    code = (
        "import sys, numpy, crdnet\n"
        "crdnet.derain(numpy.zeros((8, 8, 3), 'uint8'), model=sys.argv[1], threads=1)"
    )
    assert modules_loaded_by(code, tiny_model) == {"numpy", "PIL", "onnxruntime"}


def test_importing_crdnet_loads_nothing_heavy() -> None:
    assert modules_loaded_by("import crdnet; dir(crdnet)") == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        *([command, "--help"] for command in ("derain", "sense", "serve", "models", "bench")),
        ["train", "--list"],
    ],
    ids=" ".join,
)
def test_the_command_line_loads_nothing_heavy_until_a_command_works(arguments: list[str]) -> None:
    code = f"""
import contextlib, io
from crdnet.cli.main import cli
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    cli({arguments!r}, standalone_mode=False)
"""
    assert modules_loaded_by(code) == set()


def test_the_import_probe_can_fail() -> None:
    assert modules_loaded_by("import numpy") == {"numpy"}
    assert modules_loaded_by("import torch") >= {"torch"}
