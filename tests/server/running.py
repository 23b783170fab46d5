"""A server in a process of its own, as users start it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx

from tests.waiting import HANG_SECONDS, wait_until


@dataclass(frozen=True)
class Running:
    """A server that is ready."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=HANG_SECONDS, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return httpx.post(self.url + path, timeout=HANG_SECONDS, **options)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=HANG_SECONDS)

    def lines(self) -> list[dict[str, Any]]:
        """Return the log."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def metric(self, name: str) -> float:
        text = self.get("/metrics").text
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith((f"{name} ", f"{name}{{"))
        )


def start_serve(*arguments: object, log: Path, **environment: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "crdnet.cli", "serve", "--port", "0", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    with log.open("wb") as errors:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=environment)


@contextmanager
def run_server(*arguments: object, log: Path, **environment: str) -> Iterator[Running]:
    """Start `crdnet serve`, wait until it is ready, and end it."""
    process = start_serve(*arguments, log=log, **environment)
    try:
        server = Running(_url(process, log), process, log)
        wait_until(lambda: _is_ready(server))
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(HANG_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_ready(server: Running) -> bool:
    try:
        return server.get("/readyz").status_code == 200
    except httpx.TransportError:  # a short deadline for its clients may cut us off
        return False


def _url(process: "subprocess.Popen[bytes]", log: Path) -> str:
    def urls() -> list[str]:
        lines = log.read_text(encoding="utf-8").splitlines()
        whole = [line for line in lines if '"event": "listening"' in line and line.endswith("}")]
        return [json.loads(line)["url"] for line in whole]

    wait_until(lambda: bool(urls()) or process.poll() is not None)
    assert urls(), f"the server did not start: {log.read_text(encoding='utf-8')}"
    return urls()[0]
