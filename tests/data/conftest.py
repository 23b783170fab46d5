"""Tiny data sets that are built where a test runs, and the large ones that some machines have."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the field's pictures, which are not ours to publish."""
    folder = Path(os.environ.get("CRDNET_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(
            f"needs the field's pictures, which are not at {folder}; CRDNET_SHARED says where they are"
        )
    return folder


Touch = Callable[..., Path]


@pytest.fixture
def touch(tmp_path: Path) -> Touch:
    """Make empty files by their names below the test's folder, for what is decided by names alone."""

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make
