"""Refusals reach clients that are still sending their image."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import httpx2 as httpx
import pytest

from tests.server.proxies import caddy, nginx
from tests.server.running import Running
from tests.waiting import HANG_SECONDS

LARGE = bytes(12_000_000)
"""More than `server` takes of one image, and more than a socket keeps."""
ROUNDS = 5

Client = Callable[[str, Path], int]


def with_urllib(url: str, file: Path) -> int:
    request = Request(url, data=file.read_bytes(), headers={"Content-Type": "image/jpeg"})
    with pytest.raises(HTTPError) as caught:
        urlopen(request, timeout=HANG_SECONDS)
    caught.value.close()
    return caught.value.code


def with_httpx(url: str, file: Path) -> int:
    return httpx.post(url, content=file.read_bytes(), timeout=HANG_SECONDS).status_code


def with_httpx_in_chunks(url: str, file: Path) -> int:
    content = (file.read_bytes() for _ in range(1))
    return httpx.post(url, content=content, timeout=HANG_SECONDS).status_code


def with_curl(url: str, file: Path) -> int:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    # Without Expect, curl does not wait for leave to send.
    command = ["curl", "-sS", "-o", "-", "-w", "%{http_code}", "-H", "Expect:", "--data-binary"]
    answer = subprocess.run(
        [*command, f"@{file}", url],
        check=False,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert answer.returncode == 0, answer.stderr
    return int(answer.stdout[-3:])


CLIENTS = (with_urllib, with_httpx, with_httpx_in_chunks, with_curl)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("upload") / "large"
    file.write_bytes(LARGE)
    return file


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_a_refusal_reaches_a_client_that_is_still_sending(
    server: Running, client: Client, large: Path
) -> None:
    for _ in range(ROUNDS):
        assert client(f"{server.url}/v1/derain", large) == 413
    assert server.get("/healthz").status_code == 200


@pytest.mark.parametrize("proxy", [nginx, caddy], ids=lambda proxy: proxy.__name__)
def test_a_refusal_reaches_a_client_behind_a_proxy(
    server: Running, large: Path, tmp_path: Path, proxy: Callable[..., object]
) -> None:
    with proxy(server.url, tmp_path) as url:  # type: ignore[attr-defined]
        for client in CLIENTS:
            for _ in range(ROUNDS):
                assert client(f"{url}/v1/derain", large) == 413
