"""The server behind the proxies of docs/server.md, and behind an nginx with its defaults."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from ipaddress import ip_network
from pathlib import Path

import httpx2 as httpx
import pytest

from crdnet.server.forwarding import apply_forwarding
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


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        (["6.6.6.6", "192.0.2.1"], "192.0.2.1"),
        (["[2001:db8::1], 192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1, ::ffff:10.0.0.2"], "192.0.2.1"),
        (["192.0.2.1, [::ffff:10.0.0.2]"], "192.0.2.1"),
        (["10.0.0.2"], "10.0.0.2"),
    ],
)
def test_the_client_is_the_last_stranger_that_a_proxy_forwards(
    forwarded: list[str], client: str
) -> None:
    """Also where a proxy adds a header behind that of the client, as HAProxy does."""
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    scope = {"type": "http", "client": ("10.0.0.1", 1), "headers": headers}
    apply_forwarding(scope, [ip_network("10.0.0.0/8")])
    assert scope["client"] == (client, 0)


def test_http_1_0_without_a_host_is_served(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
