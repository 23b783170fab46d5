from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdnet.data import read_rgb
from crdnet.errors import OutputError
from crdnet.evaluation import ImageFolder, refuse_existing, write_text


def test_a_saved_image_is_the_estimate_clipped_and_rounded(tmp_path: Path) -> None:
    estimate = np.linspace(-0.2, 1.2, 12 * 15 * 3, dtype=np.float32).reshape(12, 15, 3)
    ImageFolder(tmp_path).save("deep/er/7_3.jpg", estimate)
    saved = read_rgb(tmp_path / "deep" / "er" / "7_3.png")
    assert np.abs(saved / 255 - np.clip(estimate, 0, 1)).max() <= 0.5 / 255 + 1e-6
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["7_3.png"]


def test_names_that_would_share_a_file_are_refused() -> None:
    with pytest.raises(OutputError, match=r"a\.jpg and a\.png would both be saved"):
        ImageFolder(Path("out")).locate_all(["a.jpg", "b.jpg", "a.png"])


@settings(max_examples=20)
@given(
    names=st.lists(st.from_regex(r"[a-z]{1,3}(/[a-z.]{0,2}[a-z])?", fullmatch=True), unique=True),
)
def test_images_of_different_names_have_different_files(names: list[str]) -> None:
    assert len(set(ImageFolder(Path("out")).locate_all(f"{name}.jpg" for name in names))) == len(
        names
    )


def test_existing_files_are_refused_by_name(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    refuse_existing([first, second])
    second.touch()
    with pytest.raises(OutputError, match=r"b\.csv exists; .*`overwrite=True`"):
        refuse_existing([first, second])
    first.touch()
    with pytest.raises(OutputError, match=r"a\.csv and 1 more of the outputs exist"):
        refuse_existing([first, second])


def test_a_place_that_cannot_be_a_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_text(tmp_path / "file" / "report.md", "text")
