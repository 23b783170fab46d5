"""Writing whole or not at all."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import binary

from crdnet.errors import OutputError
from crdnet.files import write_whole


@given(content=binary(max_size=100))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "made" / "for" / "it.bin"
    write_whole(path, content)
    assert path.read_bytes() == content
    assert [each.name for each in path.parent.iterdir()] == ["it.bin"]


def test_the_mode_follows_from_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_what_is_there_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("precious")
    with pytest.raises(OutputError, match="something else wrote it meanwhile"):
        write_whole(path, b"new", overwrite=False)
    assert path.read_text() == "precious"
    write_whole(path, b"new")
    assert path.read_text() == "new"


def test_a_full_disk_leaves_the_old_file_and_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"cannot write .*a: No space left on device"):
        write_whole(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file/a\.txt: .*; choose a place"):
        write_whole(tmp_path / "file" / "a.txt", b"")
