"""Proxies in front of a server, with the configurations of docs/server.md."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.waiting import HANG_SECONDS, wait_until

DOCS = Path(__file__).parents[2] / "docs" / "server.md"


def read_documented(language: str) -> str:
    """Return the block of the documentation in a language."""
    blocks = re.findall(rf"(?ms)^```{language}\n(.*?)^```", DOCS.read_text(encoding="utf-8"))
    assert len(blocks) == 1
    return str(blocks[0])


def find_free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def nginx(server: str, folder: Path, block: str | None = None) -> Iterator[str]:
    """Run nginx with a server block, by default the documented one."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    port = find_free_port()
    block = block or read_documented("nginx")
    block = re.sub(r"listen .*?;", f"listen 127.0.0.1:{port};", block)
    block = re.sub(r"(?m)^ *ssl_.*?;\n", "", block)
    block = block.replace("http://127.0.0.1:8000", server)
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    user = "user root;\n" if os.geteuid() == 0 else ""
    config.write_text(
        f"{user}daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{block}}}\n",
        encoding="utf-8",
    )
    yield from _run(["nginx", "-p", str(folder), "-c", str(config)], port)


@contextmanager
def caddy(server: str, folder: Path) -> Iterator[str]:
    """Run Caddy with the documented configuration."""
    if shutil.which("caddy") is None:
        pytest.skip("caddy is not installed")
    port = find_free_port()
    site = read_documented("caddy").replace("rain.example.org", f"http://:{port}")
    site = site.replace("127.0.0.1:8000", server.removeprefix("http://"))
    config = folder / "Caddyfile"
    config.write_text("{\nadmin off\n}\n" + site, encoding="utf-8")
    yield from _run(["caddy", "run", "--adapter", "caddyfile", "--config", str(config)], port)


def _run(command: list[str], port: int) -> Iterator[str]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(port) or process.poll() is not None)
        assert process.poll() is None
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(HANG_SECONDS)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=HANG_SECONDS).is_success
    except httpx.TransportError:
        return False
