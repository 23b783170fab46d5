import subprocess
import sys

import click
import pytest

from crdnet import __version__
from crdnet.cli.main import cli
from crdnet.devices import DEVICES
from crdnet.recipes import list_recipes
from tests.cli.runner import Crdnet
from tests.waiting import HANG_SECONDS


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


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("street.jpg", "crdnet derain street.jpg"),
        ("a b.png", "crdnet derain 'a b.png'"),
        (".", "crdnet derain ."),
        ("dreain", "crdnet derain"),
    ],
)
def test_what_is_no_command_is_answered_with_the_one_that_is_meant(
    crdnet: Crdnet, name: str, meant: str
) -> None:
    done = crdnet(name)
    assert done.code == 2
    assert f"there is no command {name!r}; did you mean `{meant}`?" in done.err


_WITHOUT_THE_EXTRA = """
import sys
for name in ("torch", "lightning", "jsonargparse"):
    sys.modules[name] = None
from crdnet.cli import main
sys.argv = ["crdnet", "train", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], [], ["--help-all"]])
def test_the_help_of_train_needs_no_extra(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_THE_EXTRA, *arguments],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    if arguments and arguments[0] in ("--help", "-h"):
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Usage: crdnet train")
    else:
        assert "Traceback" not in done.stderr
        assert "pip install 'crdnet[train]'" in done.stderr


@pytest.mark.parametrize("name", ["derain", "sense", "serve", "bench"])
def test_every_device_can_be_asked_for(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    (device,) = (param for param in command.params if param.name in ("device", "devices"))
    assert isinstance(device.type, click.Choice)
    assert tuple(device.type.choices) == DEVICES == ("auto", "cpu", "cuda", "openvino")


def test_every_recipe_is_listed(crdnet: Crdnet) -> None:
    done = crdnet("train", "--list")
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()] == list(list_recipes())
    assert "CRDNet as published" in done.out
