"""A server in this process, with a model that knows lines one pixel wide."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from crdnet.server import Settings, create_app
from tests.runtime.tiny import write_streak_model
from tests.server.running import Running, run_server
from tests.waiting import HANG_SECONDS, wait_until

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
        codec_seconds=HANG_SECONDS,
        body_seconds=HANG_SECONDS,
    )
    with TestClient(create_app(settings), base_url=BASE) as client:
        # The images that warm the models up are counted too.
        wait_until(lambda: client.get("/readyz").status_code == 200)
        yield client


@pytest.fixture(scope="package")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server in a process of its own, whose deadlines no test reaches."""
    log = tmp_path_factory.mktemp("log") / "server.log"
    names = ("header", "body", "answer", "codec", "queue", "grace")
    limits = [word for name in names for word in (f"--{name}-seconds", HANG_SECONDS)]
    with run_server(
        "-m", model, "-m", "paper", "-d", "cpu", "--max-megabytes", 4, *limits, log=log
    ) as server:
        yield server


@pytest.fixture(scope="package")
def impatient(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server in a process of its own, with short deadlines for its clients."""
    log = tmp_path_factory.mktemp("log") / "impatient.log"
    limits = ("--header-seconds", 1, "--body-seconds", 1, "--answer-seconds", 1)
    with run_server("-m", model, "-d", "cpu", *limits, log=log) as server:
        yield server
