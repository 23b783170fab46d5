"""Running `crdnet` in this process, with what it prints caught."""

import sys
from dataclasses import dataclass

import pytest

from crdnet.cli import main


@dataclass(frozen=True)
class Finished:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def error_lines(self) -> list[str]:
        """The lines that tell of an error."""
        return [line for line in self.err.splitlines() if line.startswith("Error: ")]


class Crdnet:
    """Calls the command line with arguments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> Finished:
        self._monkeypatch.setattr(sys, "argv", ["crdnet", *map(str, arguments)])
        with pytest.raises(SystemExit) as ending:
            main()
        out, err = self._capsys.readouterr()
        assert isinstance(ending.value.code, int)
        return Finished(ending.value.code, out, err)
