"""Folder in which the blocks of the documentation run, with the files that they name."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.docs.markdown import REPOSITORY

EXAMPLES = REPOSITORY / "examples"
SIZE = (128, 96)


def _reduce(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)


def write_files(folder: Path) -> None:
    """Write the files that the documentation names.

    street.jpg, a.png     one rainy image each
    photos/               two rainy images, one of them in a folder of its own
    pairs/                data set: input/ and target/
    DID-MDN-training/     data set: side by side, by density
    """
    rainy = {name: _reduce(EXAMPLES / f"{name}.jpg") for name in ("light", "medium", "heavy")}
    clean = {name: _reduce(EXAMPLES / "clean" / f"{name}.jpg") for name in rainy}
    for part in ("photos/holiday", "pairs/input", "pairs/target"):
        (folder / part).mkdir(parents=True)
    rainy["medium"].save(folder / "street.jpg", quality=90)
    rainy["heavy"].save(folder / "a.png")
    rainy["light"].save(folder / "photos" / "garden.jpg", quality=90)
    rainy["heavy"].save(folder / "photos" / "holiday" / "table.png")
    for name, image in rainy.items():
        image.save(folder / "pairs" / "input" / f"{name}.png")
        clean[name].save(folder / "pairs" / "target" / f"{name}.png")
        side_by_side = Image.fromarray(np.hstack([np.asarray(image), np.asarray(clean[name])]))
        place = folder / "DID-MDN-training" / f"Rain_{name.capitalize()}" / "train2018new"
        place.mkdir(parents=True)
        side_by_side.save(place / "0.jpg", quality=95, subsampling=0)


@pytest.fixture(scope="session")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the files, made once."""
    folder = tmp_path_factory.mktemp("docs")
    write_files(folder)
    return folder


@pytest.fixture
def reader_folder(laid_out: Path, tmp_path: Path) -> Path:
    """Fresh copy of the folder, for one block."""
    shutil.copytree(laid_out, tmp_path, dirs_exist_ok=True)
    return tmp_path
