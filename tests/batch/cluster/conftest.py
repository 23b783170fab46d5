"""Images, a quick model and an S3 server for the tests of jobs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.sensing_model import write_sensing_model

pytest.importorskip("pyarrow", reason="needs the extra cluster")
pytest.importorskip("fsspec", reason="needs the extra cluster")

from tests.batch.cluster.s3_server import S3Server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put Ray's tests first: they take longest, and no worker waits for them at the end."""
    items.sort(key=lambda item: item.path.name != "test_ray.py")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that halves colours and takes brightness for rain."""
    return write_sensing_model(tmp_path_factory.mktemp("model") / "sensing.onnx")


def write_image(path: Path, grey: int) -> None:
    """Write a tiny image; a black one is dry for the model."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), grey, np.uint8)).save(path, "PNG")


def write_damaged_images(folder: Path, count: int) -> None:
    """Write tiny images, of which one in a hundred is damaged."""
    for number in range(count):
        place = folder / f"{number // 100:03}/{number:05}.png"
        write_image(place, number % 256)
        if number % 100 == 50:
            place.write_bytes(place.read_bytes()[:40])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of 100 images in three folders, every tenth of them dry."""
    folder = tmp_path / "images"
    for number in range(100):
        name = f"{'abc'[number % 3]}/{number:03}.png"
        write_image(folder / name, 0 if number % 10 == 0 else 100 + number)
    return folder


@pytest.fixture(scope="session")
def _s3_server() -> Iterator[S3Server]:
    # One for all tests: fsspec keeps file systems, with the address of their server.
    with S3Server() as server:
        yield server


@pytest.fixture
def s3(_s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server of the S3 protocol on this machine, with two empty buckets."""
    for name, value in _s3_server.environment.items():
        monkeypatch.setenv(name, value)
    yield _s3_server
    _s3_server.clear()
