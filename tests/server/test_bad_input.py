"""Bad input gets the documented status and a problem document; the next request is served."""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.server.images import DRY, JPEG, RAINY, encode, make_png_claiming, make_scene

POLYGLOT = b"<html><script>alert(1)</script></html>" + JPEG


def check_problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    said: dict[str, Any] = answer.json()
    assert set(said) == {"type", "title", "status", "detail", "instance"}
    assert (answer.status_code, said["status"], said["type"]) == (
        status,
        status,
        f"urn:crdnet:{kind}",
    ), said
    assert said["instance"] == f"urn:uuid:{answer.headers['x-request-id']}"
    assert said["detail"]
    assert "\n" not in said["detail"]
    return said


def post_refused(client: TestClient, query: str = "", **sent: Any) -> httpx.Response:
    """Return the answer to what is refused before the network sees a pixel of it."""

    def pixels_done() -> str:
        (line,) = re.findall(r"(?m)^crdnet_pixels_done .*$", client.get("/metrics").text)
        return str(line)

    before = pixels_done()
    answer = client.post(f"/v1/derain{query}", **sent)
    assert pixels_done() == before
    return answer


@pytest.fixture(autouse=True)
def _the_next_request_is_served(client: TestClient) -> Iterator[None]:
    yield
    assert client.post("/v1/sense", content=RAINY).status_code == 200


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        (b"", 422, "broken-image"),
        (b"this is text", 415, "not-an-image"),
        (b"%PDF-1.7 and so on", 415, "not-an-image"),
        (POLYGLOT, 415, "not-an-image"),
        (JPEG[: len(JPEG) // 2], 422, "broken-image"),
        (JPEG[:20], 422, "broken-image"),
        (RAINY[:-60], 422, "broken-image"),
        (make_png_claiming(0, 5), 422, "broken-image"),
        (make_png_claiming(1001, 1000, rows=1000), 413, "too-large"),
        (make_png_claiming(60_000, 60_000), 413, "too-large"),
        (make_png_claiming(1, 40_000, rows=40_000), 413, "too-large"),
        (make_png_claiming(40_000, 1), 413, "too-large"),
        (bytes(2_000_001), 413, "too-large"),
        (encode(make_scene(), "BMP"), 422, "format-not-written"),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else None,
)
def test_bad_bytes_are_told_apart(
    client: TestClient, content: bytes, status: int, kind: str
) -> None:
    check_problem(post_refused(client, content=content), status, kind)


def test_an_animation_is_refused_by_name(client: TestClient) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    buffer = BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    assert (
        "frames"
        in check_problem(client.post("/v1/derain", content=buffer.getvalue()), 422, "broken-image")[
            "detail"
        ]
    )


def test_a_format_that_is_only_read_can_be_had_in_another(client: TestClient) -> None:
    answer = client.post(
        "/v1/derain", params={"format": "png"}, content=encode(make_scene(), "BMP")
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "strength=2",
        "strength=-0.1",
        "strength=nan",
        "strength=",
        "format=exe",
        "always=perhaps",
        "colour=red",
        "model=nope",
    ],
)
def test_wrong_parameters_are_named(client: TestClient, query: str) -> None:
    name = query.partition("=")[0]
    answer = post_refused(client, f"?{query}", content=RAINY)
    assert name in check_problem(answer, 422, "wrong-parameter")["detail"]


def test_a_model_is_never_looked_for_in_the_file_system(client: TestClient, model: Path) -> None:
    check_problem(
        client.post("/v1/derain", params={"model": str(model)}, content=RAINY),
        422,
        "wrong-parameter",
    )


@pytest.mark.parametrize(
    ("form", "status", "kind"),
    [
        ({"files": {"photo": RAINY}}, 422, "wrong-parameter"),
        ({"files": [("file", RAINY), ("file", RAINY)]}, 400, "bad-request"),
        (
            {"files": {"file": RAINY}, "data": {f"field{n}": "x" for n in range(1000)}},
            400,
            "bad-request",
        ),
        ({"files": {"file": RAINY}, "data": {"strength": "2"}}, 422, "wrong-parameter"),
        ({"files": {"file": RAINY}, "data": {"strength": "x" * 100_000}}, 400, "bad-request"),
        ({"files": {"file": b""}}, 422, "broken-image"),
        (
            {
                "content": b"nonsense",
                "headers": {"content-type": "multipart/form-data; boundary=x"},
            },
            400,
            "bad-request",
        ),
        (
            {"content": b"nonsense", "headers": {"content-type": "multipart/form-data"}},
            400,
            "bad-request",
        ),
        ({"content": RAINY, "headers": {"content-encoding": "gzip"}}, 415, "not-an-image"),
    ],
    ids=[
        "wrong field",
        "two files",
        "1,000 fields",
        "strength 2",
        "long field",
        "empty",
        "no parts",
        "no boundary",
        "gzip",
    ],
)
def test_bad_forms_are_told_apart(
    client: TestClient, form: dict[str, Any], status: int, kind: str
) -> None:
    check_problem(post_refused(client, **form), status, kind)


def test_a_name_like_a_path_is_never_used(client: TestClient) -> None:
    answer = client.post("/v1/derain", files={"file": ("../../evil\r\nX-Evil: 1", RAINY)})
    assert answer.status_code == 200
    assert "evil" not in str(answer.headers).lower()


def test_what_is_not_here_is_told_in_the_same_words(client: TestClient) -> None:
    check_problem(client.get("/v1/nothing"), 404, "no-such-page")
    wrong = client.get("/v1/derain")
    check_problem(wrong, 405, "wrong-method")
    assert wrong.headers["allow"] == "POST"


def test_a_polyglot_is_answered_as_what_it_is_and_as_nothing_else(client: TestClient) -> None:
    answer = client.post("/v1/derain", content=JPEG + b"<html><script>alert(1)</script>")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment")


def test_upload_parts_stay_in_memory(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from tempfile import SpooledTemporaryFile  # noqa: PLC0415

    def fail(*_: object) -> None:
        raise AssertionError("an upload went to disk")

    monkeypatch.setattr(SpooledTemporaryFile, "rollover", fail)
    large = DRY + bytes(1_500_000)  # what comes after a PNG's end is not looked at
    assert client.post("/v1/sense", files={"file": large}).status_code == 200
