"""Files that do not stand still."""

import os
from pathlib import Path

import pytest

from crdnet.errors import ImageError
from crdnet.runtime import read_file


@pytest.mark.parametrize("change", ["append", "cut", "touch"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    place = tmp_path / "it.jpg"
    place.write_bytes(b"x" * 1000)
    fstat = os.fstat
    calls = []

    def fstat_then_change(file: int) -> os.stat_result:
        found = fstat(file)
        calls.append(file)
        if len(calls) == 1:
            if change == "append":
                place.write_bytes(b"x" * 2000)
            elif change == "cut":
                place.write_bytes(b"x" * 10)
            else:
                os.utime(place, ns=(5, 5))
        return found

    monkeypatch.setattr(os, "fstat", fstat_then_change)
    with pytest.raises(ImageError, match=r"it\.jpg changed while it was read"):
        read_file(place)


def test_a_file_that_stands_still_is_read_with_what_is_known_of_it(tmp_path: Path) -> None:
    place = tmp_path / "it.jpg"
    place.write_bytes(b"abc")
    content, found = read_file(place)
    assert content == b"abc"
    assert (found.st_size, found.st_mtime_ns) == (3, place.stat().st_mtime_ns)
