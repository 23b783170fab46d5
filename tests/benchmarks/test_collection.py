"""The report of a collection counts what was done and refused, and finds what was lost."""

from pathlib import Path

import pytest
from benchmarks.quality import collection
from click.testing import CliRunner

from crdnet.images import WorkerCodec
from tests.images.making import SMOOTH, XMP, saved, with_chunk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kept = with_chunk(saved(), b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
    for name, content in {
        "a.png": kept,
        "b.jpg": saved(kind="JPEG"),
        "c.gif": saved(SMOOTH, "GIF"),
        "d.png": kept[:200],
        "e.txt": b"no image",
    }.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("has_exiftool", [True, False])
def test_files_are_counted_by_what_became_of_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, has_exiftool: bool
) -> None:
    if not has_exiftool:
        monkeypatch.setattr(collection, "which", lambda _: None)
    result = CliRunner().invoke(collection.main, ["report", str(folder)])
    assert result.output.startswith("3 done, 2 refused, 0 findings")
    assert "| 1 | FILE is not an image" in result.output
    assert result.exit_code == 0


def test_metadata_that_is_lost_in_silence_is_a_finding(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "which", lambda _: None)
    report = collection.Report()
    pairs: dict[Path, tuple[Path, tuple[str, ...]]] = {folder / "a.png": (folder / "b.jpg", ())}
    collection.compare_tags(pairs, report)
    assert report.findings == [f"{folder / 'a.png'}: lost in silence: XMP:XMP"]


def test_a_file_that_takes_too_long_is_a_finding(folder: Path, tmp_path: Path) -> None:
    report = collection.Report()
    with WorkerCodec(seconds=1e-6) as codec:
        collection.check_file(folder / "a.png", tmp_path / "out", codec, None, report)
    assert report.done == 0
    assert report.findings


def test_a_refusal_that_pillow_contradicts_is_a_finding(folder: Path) -> None:
    report, path = collection.Report(), folder / "b.jpg"
    collection.judge_refusal(path, f"{path} is damaged", report)
    assert report.findings == [f"Pillow reads it: {path} is damaged"]
