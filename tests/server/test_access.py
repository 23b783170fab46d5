"""Access by host, origin and key."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from crdnet.server import Settings, create_app
from crdnet.server.work import Work
from tests.server.conftest import BASE
from tests.server.images import RAINY
from tests.server.test_bad_input import check_problem

KEY = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def keyed(model: Path) -> Iterator[TestClient]:
    settings = Settings(
        models=(str(model),),
        device="cpu",
        keys=(KEY,),
        allowed_hosts=("rain.example",),
        cors_origins=("https://friend.example",),
    )
    with TestClient(create_app(settings, Work(settings)), base_url=BASE) as client:
        yield client


def make_bearer(key: str = KEY) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize("path", ["/metrics", "/docs", "/openapi.json", "/v1/models", "/nowhere"])
def test_the_key_covers_metrics_and_documents(keyed: TestClient, path: str) -> None:
    check_problem(keyed.get(path), 401, "key-missing")
    assert keyed.get(path, headers=make_bearer()).status_code == (
        404 if path == "/nowhere" else 200
    )


@pytest.mark.parametrize("path", ["/", "/assets/page.js", "/assets/example.jpg", "/healthz"])
def test_the_page_and_the_health_need_no_key(keyed: TestClient, path: str) -> None:
    assert keyed.get(path).status_code == 200


@pytest.mark.parametrize("given", [KEY[:-1], KEY + "x", KEY.upper(), "", "é"])
def test_a_key_that_is_almost_right_is_wrong(keyed: TestClient, given: str) -> None:
    headers = {b"authorization": f"Bearer {given}".encode()}
    answer = keyed.post("/v1/sense", content=RAINY, headers=headers)
    check_problem(answer, 401, "key-missing")
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
        ("10.1.2.3:8000", 200),
        ("0.0.0.0:8000", 200),
        ("", 200),
        ("evil.example", 421),
        ("10.1.2.3.evil.example", 421),
    ],
)
def test_the_server_answers_to_its_own_names_only(
    keyed: TestClient, host: str, status: int
) -> None:
    answer = keyed.get("/v1/models", headers={"host": host} | make_bearer())
    assert keyed.get("/healthz", headers={"host": host}).status_code == 200
    assert answer.status_code == status
    if status != 200:
        check_problem(answer, 421, "wrong-host")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": BASE}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"origin": "https://friend.example", "sec-fetch-site": "cross-site"}, 200),
        ({"origin": "http://rain.example"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": BASE, "sec-fetch-site": "cross-site"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
    ids=str,
)
def test_posts_from_other_sites_are_refused_unless_they_are_named(
    keyed: TestClient, headers: dict[str, str], status: int
) -> None:
    # As a browser does by itself; it never sends a bearer's token by itself.
    basic = {"authorization": f"Basic {b64encode(f'x:{KEY}'.encode()).decode()}"}
    answer = keyed.post("/v1/sense", content=RAINY, headers=basic | headers)
    assert answer.status_code == status
    if status == 403:
        check_problem(answer, 403, "cross-site")


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
    assert keyed.get("/openapi.json", headers=make_bearer()).json()["security"] == [{"key": []}]
    assert "security" not in client.get("/openapi.json").json()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"host": "0.0.0.0"}, "no API key is set"),
        ({"host": "192.0.2.1"}, "no API key is set"),
        ({"keys": ("",)}, "printable ASCII"),
        ({"keys": ("a\nb",)}, "printable ASCII"),
        ({"models": ()}, "needs a model"),
        ({"root_path": "rain/"}, "begins with a slash"),
        ({"trusted_proxies": ("nginx",)}, "address or a network"),
        ({"max_pixels": 2, "budget_pixels": 1}, "below the limit of one image"),
    ],
    ids=str,
)
def test_settings_that_leave_the_server_open_or_useless_are_refused(
    wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(**wrong)


def test_other_machines_are_served_with_a_key_or_without_one_on_purpose() -> None:
    assert Settings(host="0.0.0.0", keys=(KEY,)).hosts == {"*"}
    assert "*" not in Settings(host="0.0.0.0", no_auth=True).hosts
    assert Settings(host="192.0.2.1", no_auth=True).hosts >= {"192.0.2.1"}
    assert Settings(host="::1").keys == ()


def test_a_second_key_is_as_good_as_the_first(model: Path) -> None:
    settings = Settings(models=(str(model),), device="cpu", keys=("first", "second"))
    client = TestClient(create_app(settings), base_url=BASE)
    for key, status in (("first", 200), ("second", 200), ("third", 401)):
        assert client.get("/v1/models", headers=make_bearer(key)).status_code == status


def test_head_is_answered_as_get_without_a_body(client: TestClient) -> None:
    for path in ("/", "/healthz", "/v1/models", "/assets/page.js"):
        got, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == got.headers["content-length"]


@pytest.fixture(scope="module")
def proxied(model: Path) -> TestClient:
    settings = Settings(
        models=(str(model),), device="cpu", trusted_proxies=("10.0.0.0/8",), root_path="/rain"
    )
    return TestClient(create_app(settings), base_url=BASE, client=("10.0.0.9", 1))


@pytest.mark.parametrize("prefix", ["", "/rain"], ids=["stripped", "whole"])
def test_a_root_path_may_be_stripped_or_not(proxied: TestClient, prefix: str) -> None:
    for path in ("/", "/healthz", "/assets/page.js", "/v1/models"):
        assert proxied.get(prefix + path).status_code == 200
    assert proxied.get(prefix + "/openapi.json").json()["servers"] == [{"url": "/rain"}]


def test_what_a_trusted_proxy_forwards_counts(
    proxied: TestClient, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "crdnet.server")
    forwarded = {
        "x-forwarded-for": "6.6.6.6, 192.0.2.7, 10.0.0.3",
        "x-forwarded-host": "evil.example",
    }
    check_problem(proxied.get("/v1/models", headers=forwarded), 421, "wrong-host")
    assert client.get("/v1/models", headers=forwarded).status_code == 200
    clients = [vars(record)["said"]["client"] for record in caplog.records]
    assert clients == ["192.0.2.7", "testclient"]


def test_any_site_may_post_if_all_are_named(model: Path) -> None:
    settings = Settings(models=(str(model),), device="cpu", cors_origins=("*",))
    stranger = {"origin": "https://anywhere.example", "sec-fetch-site": "cross-site"}
    with TestClient(create_app(settings), base_url=BASE) as client:
        answer = client.post("/v1/sense", content=RAINY, headers=stranger)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
