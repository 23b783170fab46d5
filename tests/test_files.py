"""Files are written whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import binary

from crdnet.errors import OutputError
from crdnet.files import hold_lock, means_full_disk, open_whole, remove_stale_parts, write_whole


@given(content=binary(max_size=100))
def test_written_content_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
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


def test_an_existing_file_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("precious")
    with pytest.raises(OutputError, match="another process wrote it"):
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


def test_a_path_below_a_file_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file/a\.txt: .*; choose a place"):
        write_whole(tmp_path / "file" / "a.txt", b"")


def test_a_file_gets_the_requested_times(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"", times_ns=(10**18, 10**18 + 7))
    assert (tmp_path / "a").stat().st_mtime_ns == 10**18 + 7


def test_a_full_disk_is_recognised_from_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="free some space") as caught:
        write_whole(tmp_path / "a", b"")
    assert means_full_disk(caught.value)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    (tmp_path / "a").touch()
    with pytest.raises(OutputError, match="choose a place") as other:
        write_whole(tmp_path / "a" / "b", b"")
    assert not means_full_disk(other.value)


def test_a_file_written_in_pieces_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with open_whole(path) as file:
        file.write(b"one")
        assert not path.exists()
        file.write(b"two")
    assert path.read_bytes() == b"onetwo"
    with suppress(ValueError), open_whole(path) as file:
        file.write(b"half")
        raise ValueError
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"onetwo"


def test_only_one_block_holds_a_lock_at_a_time(tmp_path: Path) -> None:
    with hold_lock(tmp_path / "lock") as first, hold_lock(tmp_path / "lock") as second:
        assert (first, second) == (True, False)
    with hold_lock(tmp_path / "lock") as third:
        assert third


def test_stale_parts_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".crdnet-1.part", "crdnet-1.part", ".crdnet-1.jpg", ".other.part"):
        (tmp_path / name).touch()
    remove_stale_parts(tmp_path, seconds=60.0)
    assert (tmp_path / ".crdnet-1.part").exists()
    remove_stale_parts(tmp_path, seconds=0.0)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        ".crdnet-1.jpg",
        ".other.part",
        "crdnet-1.part",
    ]
    remove_stale_parts(tmp_path / "nowhere", seconds=0.0)
