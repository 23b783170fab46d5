"""`crdnet bench` tells all that it promises, of models and devices that were asked for."""

import json
import sys
from pathlib import Path

import pytest

from crdnet import runtime
from crdnet.cli.progress import progress
from crdnet.runtime import list_installed_devices
from tests.cli.runner import Crdnet
from tests.cli.sensing_model import write_sensing_model
from tests.runtime.tiny import write_tiny_model


@pytest.fixture
def crdnet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crdnet:
    return Crdnet(monkeypatch, capsys)


@pytest.fixture
def quick(tmp_path: Path) -> list[str]:
    """Arguments that make a measurement short."""
    model = write_tiny_model(tmp_path / "tiny.onnx")
    return [
        "bench",
        "-m",
        str(model),
        "-d",
        "cpu",
        "--size",
        "0.01",
        "--rounds",
        "2",
        "--threads",
        "1",
    ]


def test_json_holds_everything(crdnet: Crdnet, quick: list[str], tmp_path: Path) -> None:
    sensing = write_sensing_model(tmp_path / "sensing.onnx")
    done = crdnet(*quick, "-m", sensing, "--size", "0.5", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["threads"], report["rounds"]) == (1, 2)
    assert {"Python", "numpy", "onnxruntime", "crdnet"} <= report["machine"]["versions"].keys()
    limits = {
        (each["kind"], each["measured_by"]): each["milliseconds"]["median"]
        for each in report["limits"]
    }
    assert limits[("float32", "numpy")] > 0
    assert limits[("copy", "numpy")] > 0
    rows = report["rows"]
    assert [(row["model"], row["height"] * row["width"] > 100_000) for row in rows] == [
        ("tiny", False),
        ("sensing", False),
        ("tiny", True),
        ("sensing", True),
    ]
    for row in rows:
        assert row["device"] == "cpu"
        assert "onnxruntime" in row["engine"]
        assert row["precision"] == "float32"
        for what in ("network_milliseconds", "image_milliseconds"):
            times = row[what]
            assert (
                0
                < times["fastest"]
                <= times["lower_quartile"]
                <= times["median"]
                <= times["upper_quartile"]
            )
        rate = row["height"] * row["width"] / 1e3 / row["network_milliseconds"]["median"]
        assert row["megapixels_per_second"] == pytest.approx(rate)
        # A new process takes longer for its first image than for the next ones.
        assert row["first_image_seconds"] > row["image_milliseconds"]["fastest"] / 1e3
        assert row["peak_memory_bytes"] is None or row["peak_memory_bytes"] > 2e7
    small, _, large, convolutionless = rows
    assert small["macs_per_pixel"] == large["macs_per_pixel"] == pytest.approx(344.25)
    assert 0 < large["share_of_product"] < 1
    assert large["share_of_copy"] > 0
    assert convolutionless["macs_per_pixel"] == 0
    if small["peak_memory_bytes"] is not None:
        assert large["peak_memory_bytes"] > small["peak_memory_bytes"]


def test_the_table_has_every_column(crdnet: Crdnet, quick: list[str]) -> None:
    done = crdnet(*quick)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.lstrip().startswith("MP"))
    for heading in (
        "model",
        "device",
        "precision",
        "network, ms",
        "MP/s",
        "of product",
        "of copy",
        "image, ms",
        "first, s",
    ):
        assert heading in lines[at]
    assert lines[at].endswith("peak, MB")
    row = lines[at + 1].split()
    assert row[:4] == ["0.01", "tiny", "cpu", "float32"]
    assert row.count("%") == 2
    for fact in (
        "1 threads",
        "cpu: onnxruntime",
        "matrix product in float32",
        "copy of memory",
        "2 rounds",
    ):
        assert fact in done.out
    assert done.err == ""


def test_markdown_has_a_table(crdnet: Crdnet, quick: list[str]) -> None:
    done = crdnet(*quick, "--markdown")
    assert done.code == 0, done.err
    table = [line for line in done.out.splitlines() if line.startswith("|")]
    assert len(table) == 3
    assert {line.count("|") for line in table} == {12}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--rounds", "0"], 2, "--rounds"),
        (["--size", "0"], 2, "--size"),
        (["--threads", "0"], 2, "--threads"),
        (["-m", "nonsense"], 2, "there is no model 'nonsense'"),
        (["-m", "nowhere.onnx"], 2, "there is no model file nowhere.onnx"),
        (["-d", "abacus"], 2, "'abacus' is not one of 'auto'"),
        (["--json", "--markdown"], 2, "cannot be combined"),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_line(
    crdnet: Crdnet, quick: list[str], arguments: list[str], code: int, words: str
) -> None:
    done = crdnet(*quick, *arguments)
    assert done.code == code
    assert done.out == ""
    assert words in done.err
    assert done.err.count("\n") == 1


@pytest.mark.skipif(
    "cuda" in list_installed_devices(), reason="this machine has the device that must not be there"
)
def test_a_device_that_is_not_there_is_told_in_one_line(crdnet: Crdnet, quick: list[str]) -> None:
    done = crdnet(*quick, "-d", "cuda")
    assert done.code == 1
    assert done.out == ""
    assert "'cuda'" in done.err
    assert done.err.count("\n") == 1


def test_every_device_that_is_installed_is_measured_unasked(
    crdnet: Crdnet, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same device twice stands for two.
    monkeypatch.setattr(runtime, "list_installed_devices", lambda: ("cpu", "cpu"))
    quick.remove("-d")
    quick.remove("cpu")
    done = crdnet(*quick, "--json")
    assert [row["device"] for row in json.loads(done.out)["rows"]] == ["cpu", "cpu"]


@pytest.mark.parametrize("quiet", [True, False])
def test_a_bar_is_drawn_on_a_terminal(
    quiet: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress(3, "steps", quiet=quiet) as advance:
        advance()
    assert ("1 of 3" in capsys.readouterr().err) == (not quiet)


@pytest.mark.parametrize("kind", ["theirs", "no model at all"])
def test_a_file_of_another_kind_is_told_in_one_line(
    crdnet: Crdnet, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "theirs.onnx"
    if kind == "theirs":
        write_tiny_model(path, None)
    else:
        path.write_bytes(b"no model at all")
    done = crdnet("bench", "-m", path, "-d", "cpu", "--size", "0.01", "--rounds", "1")
    assert done.code == 1
    assert "crdnet export" in done.err
    assert done.err.count("\n") == 1
