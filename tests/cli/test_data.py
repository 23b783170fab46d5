import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from crdnet.cli.data import command


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """One pair, in folders."""
    for folder, level in (("input", 120), ("target", 100)):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(tmp_path / folder / "1.png")
    return tmp_path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, ["check", *map(str, arguments)])


def test_a_healthy_set_is_0_and_told_on_stdout(pairs: Path) -> None:
    result = run(pairs)
    assert result.exit_code == 0
    assert "layout folders" in result.stdout
    assert "medium 1 (intensity 20.0)" in result.stdout
    assert "8 x 8: 1" in result.stdout
    assert result.stderr == ""


def test_problems_are_1_and_each_is_named(pairs: Path) -> None:
    (pairs / "input" / "2.png").touch()
    (pairs / "target" / "1.png").write_bytes(b"broken")
    result = run(pairs)
    assert result.exit_code == 1
    assert "problems   2" in result.stdout
    assert f"missing partner: {pairs / 'input' / '2.png'}: " in result.stdout
    assert f"unreadable: {pairs / 'target' / '1.png'}: " in result.stdout


def test_json_holds_the_whole_report(pairs: Path) -> None:
    result = run(pairs, "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["pairs"] == report["scenes"] == 1
    assert report["problems"] == []


def test_json_stays_json_where_there_is_no_data_set(tmp_path: Path) -> None:
    result = run(tmp_path / "none", "--json")
    assert result.exit_code == 1
    assert "no such folder" in json.loads(result.stdout)["error"]


def test_an_unknown_layout_is_wrong_usage(pairs: Path) -> None:
    assert run(pairs, "--layout", "coco").exit_code == 2


def test_a_layout_that_does_not_fit_is_1(pairs: Path) -> None:
    assert run(pairs, "--layout", "density-folders").exit_code == 1


def test_a_name_that_is_no_text_is_escaped(pairs: Path) -> None:
    (pairs / "input" / "\udcff.png").touch()
    result = run(pairs)
    assert result.exit_code == 1
    assert r"\udcff.png" in result.stdout
    assert json.loads(run(pairs, "--json").stdout)["problems"]


@pytest.mark.parametrize(("broken", "code"), [(False, 0), (True, 1)])
def test_the_command_line_ends_with_the_exit_code(pairs: Path, broken: bool, code: int) -> None:
    if broken:
        (pairs / "input" / "2.png").touch()
    ended = subprocess.run(
        [sys.executable, "-m", "crdnet.cli", "data", "check", str(pairs)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code
    assert ended.stderr == ""


def test_a_missing_folder_is_one_line_and_1(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "crdnet.cli", "data", "check", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert (
        ended.stderr
        == f"Error: {tmp_path / 'none'}: there is no such folder; name the folder of a data set\n"
    )


def test_neither_torch_nor_rich_is_imported_without_a_terminal(pairs: Path) -> None:
    program = (
        "import sys\n"
        "from crdnet.cli.data import command\n"
        "command.main(sys.argv[1:], standalone_mode=False)\n"
        "loaded = {'torch', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "check", str(pairs)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
