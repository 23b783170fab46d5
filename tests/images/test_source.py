"""Files that do not stand still."""

import os
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from crdnet.errors import ImageError
from crdnet.images import ImageSource


@pytest.fixture
def place(tmp_path: Path) -> Path:
    content = BytesIO()
    Image.new("RGB", (30, 20)).save(content, "JPEG")
    place = tmp_path / "it.jpg"
    place.write_bytes(content.getvalue())
    return place


@pytest.mark.parametrize("change", ["append", "cut", "touch"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    content = place.read_bytes()
    fstat = os.fstat
    calls = []

    def fstat_then_change(file: int) -> os.stat_result:
        found = fstat(file)
        calls.append(file)
        if len(calls) == 1:
            if change == "append":
                place.write_bytes(2 * content)
            elif change == "cut":
                place.write_bytes(content[:-10])
            else:
                os.utime(place, ns=(5, 5))
        return found

    monkeypatch.setattr(os, "fstat", fstat_then_change)
    with (
        pytest.raises(ImageError, match=r"it\.jpg changed while it was read"),
        ImageSource(place) as source,
    ):
        _ = source.content


def test_a_file_that_stands_still_is_read_with_what_is_known_of_it(place: Path) -> None:
    with ImageSource(place) as source:
        content, found = source.content, source.found
    assert content == place.read_bytes()
    assert found is not None
    assert (found.st_size, found.st_mtime_ns) == (len(content), place.stat().st_mtime_ns)


def test_too_large_an_image_is_refused_before_it_is_read(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.open("r+b") as file:
        file.truncate(10**11)  # sparse, and more than there is memory for
    with pytest.raises(ImageError, match="more than 599; cut it into parts or raise `max_pixels`"):
        ImageSource(place, max_pixels=599)
