"""A server in this process, with a model that knows lines one pixel wide."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from crdnet.server import Settings, create_app
from tests.runtime.tiny import write_streak_model
from tests.server.running import Running, running

BASE = "http://127.0.0.1:8000"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_streak_model(tmp_path_factory.mktemp("models") / "streak.onnx")


@pytest.fixture(scope="package")
def client(model: Path) -> Iterator[TestClient]:
    """A client of an app with small limits."""
    settings = Settings(
        models=(str(model), "paper"),
        device="cpu",
        max_bytes=2_000_000,
        max_pixels=1_000_000,
        budget_pixels=1_000_000,
        codec_seconds=20.0,
        body_seconds=20.0,
    )
    with TestClient(create_app(settings), base_url=BASE) as client:
        yield client


@pytest.fixture(scope="package")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server in a process of its own, with short deadlines."""
    log = tmp_path_factory.mktemp("log") / "server.log"
    limits = ("--header-seconds", 1, "--body-seconds", 2, "--answer-seconds", 2, "--max-megabytes", 4)
    with running("-m", model, "-m", "paper", "-d", "cpu", *limits, log=log) as server:
        yield server
