"""The documentation of the server: its client works, and what it lists is what there is."""

import re
import subprocess
import sys
from pathlib import Path

import click

from crdnet.cli.serve import command
from crdnet.server.problems import Kind
from tests.docs.markdown import REPOSITORY, blocks_in
from tests.server.images import JPEG
from tests.server.running import Running

TEXT = (REPOSITORY / "docs" / "server.md").read_text(encoding="utf-8")


def test_the_client_of_ten_lines_works(server: Running, tmp_path: Path) -> None:
    (program,) = (
        block.text for block in blocks_in(TEXT, "server.md") if block.language == "python"
    )
    assert program.count("\n") <= 12
    (tmp_path / "street.jpg").write_bytes(JPEG)
    program = program.replace("http://127.0.0.1:8000", server.url)
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "dur=" in result.stdout
    assert (tmp_path / "clean.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_every_kind_of_problem_is_told_with_its_status() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith(("| 4", "| 5"))]
    for kind in set(Kind) - {Kind.CLIENT_GONE}:
        assert [row for row in rows if f"`{kind.slug}`" in row and str(kind.status) in row], kind


def test_the_defaults_are_as_told() -> None:
    defaults = {
        f"--{(p.name or '').replace('_', '-')}": p.default
        for p in command.params
        if isinstance(p, click.Option)
    }
    rows = re.findall(r"(?m)^\| (`--[^|]+) \| ([\d, ]+) \|", TEXT)
    assert len(rows) >= 8
    for names, values in rows:
        told = dict(
            zip(re.findall(r"--[\w-]+", names), map(float, values.split(", ")), strict=True)
        )
        assert told == {name: defaults[name] for name in told}
