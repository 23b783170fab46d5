"""Who is served: hosts, sites, keys."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from crdnet.server import Settings, create_app
from crdnet.server.work import Work
from tests.server.conftest import BASE
from tests.server.pictures import RAINY
from tests.server.test_bad_input import problem

KEY = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def keyed(model: Path) -> Iterator[TestClient]:
    settings = Settings(
        models=(str(model),),
        device="cpu",
        key=KEY,
        allowed_hosts=("rain.example",),
        cors_origins=("https://friend.example",),
    )
    with TestClient(create_app(settings, Work(settings)), base_url=BASE) as client:
        yield client


def bearer(key: str = KEY) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize("path", ["/metrics", "/docs", "/openapi.json", "/v1/models", "/nowhere"])
def test_the_key_covers_metrics_and_documents(keyed: TestClient, path: str) -> None:
    problem(keyed.get(path), 401, "key-missing")
    assert keyed.get(path, headers=bearer()).status_code == (404 if path == "/nowhere" else 200)


@pytest.mark.parametrize("path", ["/", "/assets/page.js", "/assets/example.jpg", "/healthz"])
def test_the_page_and_the_health_need_no_key(keyed: TestClient, path: str) -> None:
    assert keyed.get(path).status_code == 200


@pytest.mark.parametrize("given", [KEY[:-1], KEY + "x", KEY.upper(), "", "é"])
def test_a_key_that_is_almost_right_is_wrong(keyed: TestClient, given: str) -> None:
    headers = {b"authorization": f"Bearer {given}".encode()}
    answer = keyed.post("/v1/sense", content=RAINY, headers=headers)
    problem(answer, 401, "key-missing")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert KEY not in answer.text


def test_browsers_may_give_the_key_as_a_password(keyed: TestClient) -> None:
    asked = keyed.get("/docs")
    assert asked.headers["www-authenticate"].startswith("Basic")
    for password, status in ((KEY, 200), (KEY[1:], 401)):
        basic = b64encode(f"anybody:{password}".encode()).decode()
        assert keyed.get("/docs", headers={"authorization": f"Basic {basic}"}).status_code == status
    assert keyed.get("/docs", headers={"authorization": "Basic ###"}).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("[::1]:9", 200),
        ("rain.example", 200),
        ("RAIN.example:80", 200),
        ("evil.example", 421),
    ],
)
def test_the_server_answers_to_its_own_names_only(
    keyed: TestClient, host: str, status: int
) -> None:
    answer = keyed.get("/healthz", headers={"host": host})
    assert answer.status_code == status
    if status != 200:
        problem(answer, 421, "wrong-host")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": BASE}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"origin": "https://friend.example", "sec-fetch-site": "cross-site"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
    ids=str,
)
def test_posts_from_other_sites_are_refused_unless_they_are_named(
    keyed: TestClient, headers: dict[str, str], status: int
) -> None:
    answer = keyed.post("/v1/sense", content=RAINY, headers=bearer() | headers)
    assert answer.status_code == status
    if status == 403:
        problem(answer, 403, "cross-site")


def test_only_named_sites_may_read_answers(keyed: TestClient, client: TestClient) -> None:
    friend = {"origin": "https://friend.example", "access-control-request-method": "POST"}
    assert (
        keyed.options("/v1/sense", headers=friend).headers["access-control-allow-origin"]
        == friend["origin"]
    )
    stranger = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in keyed.options("/v1/sense", headers=stranger).headers
    assert "access-control-allow-origin" not in client.get("/healthz", headers=friend).headers


def test_the_api_document_names_the_key(keyed: TestClient, client: TestClient) -> None:
    assert keyed.get("/openapi.json", headers=bearer()).json()["security"] == [{"key": []}]
    assert "security" not in client.get("/openapi.json").json()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"host": "0.0.0.0"}, "no API key is set"),
        ({"host": "192.0.2.1"}, "no API key is set"),
        ({"key": ""}, "printable ASCII"),
        ({"key": "a\nb"}, "printable ASCII"),
        ({"models": ()}, "needs a model"),
        ({"max_pixels": 2, "budget_pixels": 1}, "no room"),
    ],
    ids=str,
)
def test_settings_that_leave_the_server_open_or_useless_are_refused(
    wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(**wrong)


def test_other_machines_are_served_with_a_key_or_without_one_on_purpose() -> None:
    assert Settings(host="0.0.0.0", key=KEY).hosts == {"localhost", "127.0.0.1", "[::1]"}
    assert Settings(host="192.0.2.1", no_auth=True).hosts >= {"192.0.2.1"}
    assert Settings(host="::1").key is None
