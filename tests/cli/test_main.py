import subprocess
import sys
import time

import pytest

from crdnet import __version__
from tests.cli.runner import Crdnet


@pytest.fixture
def crdnet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crdnet:
    return Crdnet(monkeypatch, capsys)


def test_the_version_is_told(crdnet: Crdnet) -> None:
    done = crdnet("--version")
    assert (done.code, done.out) == (0, f"crdnet, version {__version__}\n")


def test_help_names_every_command(crdnet: Crdnet) -> None:
    done = crdnet("--help")
    assert done.code == 0
    for command in ("derain", "models", "evaluate", "data", "train", "export"):
        assert f"\n  {command} " in done.out


@pytest.mark.parametrize("arguments", [["nonsense"], ["derain", "--nonsense"]])
def test_wrong_usage_is_2(crdnet: Crdnet, arguments: list[str]) -> None:
    assert crdnet(*arguments).code == 2


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_the_command_line_starts_within_three_tenths_of_a_second(argument: str) -> None:
    def seconds() -> float:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "crdnet.cli", argument], capture_output=True, timeout=60, check=True
        )
        return time.perf_counter() - began

    # The best of a few, since a test machine is busy with other tests.
    assert min(seconds() for _ in range(5)) < 0.3
