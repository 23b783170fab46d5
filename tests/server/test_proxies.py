"""The server behind the proxies of docs/server.md, and behind an nginx with its defaults."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.server.images import RAINY
from tests.server.proxies import caddy, nginx
from tests.server.running import Running, run_server
from tests.waiting import HANG_SECONDS, wait_until

Proxy = Callable[[str, Path], AbstractContextManager[str]]
KEY = "correct-horse-battery-staple"
DEFAULT_NGINX = "server { listen 80; location / { proxy_pass http://127.0.0.1:8000; } }"


@pytest.fixture(scope="module")
def keyed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if not (shutil.which("nginx") or shutil.which("caddy")):
        pytest.skip("neither nginx nor caddy is installed")
    log = tmp_path_factory.mktemp("log") / "keyed.log"
    arguments = ("-m", model, "-d", "cpu", "--trusted-proxy", "127.0.0.1")
    with run_server(*arguments, log=log, CRDNET_API_KEY=KEY) as server:
        yield server


def default_nginx(server: str, folder: Path) -> AbstractContextManager[str]:
    return nginx(server, folder, DEFAULT_NGINX)


@pytest.mark.parametrize("proxy", [nginx, caddy, default_nginx], ids=lambda proxy: proxy.__name__)
def test_the_page_works_behind_a_proxy(keyed: Running, tmp_path: Path, proxy: Proxy) -> None:
    with proxy(keyed.url, tmp_path) as url:
        host = {"host": "rain.example.org"}
        page = httpx.get(f"{url}/", headers=host, timeout=HANG_SECONDS)
        assert page.status_code == 200
        # What a browser sends for a post of that page, without TLS.
        headers = host | {
            "origin": "http://rain.example.org",
            "authorization": f"Bearer {KEY}",
            "content-type": "application/octet-stream",
        }
        answer = httpx.post(
            f"{url}/v1/derain", content=RAINY, headers=headers, timeout=HANG_SECONDS
        )
        assert answer.status_code == 200


@pytest.mark.parametrize("proxy", [nginx, caddy], ids=lambda proxy: proxy.__name__)
def test_clients_are_told_apart_behind_a_proxy(
    keyed: Running, tmp_path: Path, proxy: Proxy
) -> None:
    with proxy(keyed.url, tmp_path) as url:
        answer = httpx.get(
            f"{url}/healthz", headers={"x-forwarded-for": "6.6.6.6"}, timeout=HANG_SECONDS
        )

    def line() -> list[str]:
        request_id = answer.headers["x-request-id"]
        return [each["client"] for each in keyed.lines() if each.get("request_id") == request_id]

    wait_until(lambda: bool(line()))
    assert line() == ["127.0.0.1"]  # the client of the proxy, whatever it says of itself


def test_http_1_0_without_a_host_is_served(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
