"""The live curves, sent to a real visdom server on this machine."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crdnet.errors import TrainingError
from crdnet.training import train
from crdnet.training.visdom_curves import CURVES, VisdomCurves
from tests.training.tiny import TinyRun
from tests.waiting import HANG_SECONDS, wait_until

visdom = pytest.importorskip("visdom", reason="visdom is not installed (extra: visdom)")

# The server's own start script first downloads its page's scripts; its curves need none of them.
SERVER = """
from visdom.server.run_server import start_server
start_server(port={port}, hostname="127.0.0.1", base_url="", env_path={path!r})
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            SERVER.format(port=port, path=str(tmp_path / "environments")),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: answers(port))
        yield port
    finally:
        process.terminate()
        process.wait(HANG_SECONDS)


def windows(port: int, environment: str) -> dict[str, Any]:
    client = visdom.Visdom(
        port=port,
        env=environment,
        use_incoming_socket=False,
        raise_exceptions=True,
    )
    found: dict[str, Any] = json.loads(client.get_window_data(env=environment))
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_draws_the_four_curves_of_the_original_and_an_image(
    tiny: TinyRun,
    server: int,
) -> None:
    train(tiny.arguments("live", "--curves=visdom", f"--visdom_port={server}"))
    shown = windows(server, "live")
    for title in CURVES.values():
        (trace,) = shown[title]["content"]["data"]
        assert shown[title]["title"] == title
        assert [int(x) for x in trace["x"]] == [0, 1, 2, 3]
        assert all(isinstance(y, float) for y in trace["y"])
    assert any("rainy-derained-clean" in window["title"] for window in shown.values())


def test_without_a_server_the_message_says_how_to_start_one() -> None:
    port = free_port()
    with pytest.raises(
        TrainingError,
        match=f"start one with `python -m visdom.server -port {port}`",
    ):
        VisdomCurves(port=port)
