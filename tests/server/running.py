"""A server in a process of its own, as users start it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx

START_SECONDS = 120.0
"""On a machine that has other things to do."""


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

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def lines(self) -> list[dict[str, Any]]:
        """Return the log."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def metric(self, name: str) -> float:
        text = httpx.get(f"{self.url}/metrics").text
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith((f"{name} ", f"{name}{{"))
        )


def crdnet_serve(*arguments: object, log: Path, **environment: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "crdnet.cli", "serve", "--port", "0", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    with log.open("wb") as errors:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=environment)


@contextmanager
def running(*arguments: object, log: Path, **environment: str) -> Iterator[Running]:
    """Start `crdnet serve`, wait until it is ready, and end it."""
    process = crdnet_serve(*arguments, log=log, **environment)
    try:
        server = Running(_url(process, log), process, log)
        _until_ready(server)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _url(process: "subprocess.Popen[bytes]", log: Path) -> str:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines():
            if '"event": "listening"' in line and line.endswith("}"):
                return str(json.loads(line)["url"])
        time.sleep(0.05)
    raise AssertionError(f"the server did not start: {log.read_text(encoding='utf-8')}")


def _until_ready(server: Running) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if httpx.get(f"{server.url}/readyz").status_code == 200:
            return
        time.sleep(0.1)
    raise AssertionError(f"the server was never ready: {server.log.read_text(encoding='utf-8')}")
