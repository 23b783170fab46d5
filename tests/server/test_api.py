"""Answers of the API to valid images, and the probes of the server."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import crdnet
import crdnet.server.work
from crdnet.runtime import Session
from tests.images.making import gradient, heic, heic_cropped
from tests.server.images import DRY, JPEG, RAINY, SIZE, encode, make_scene
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def derainer(model: Path) -> crdnet.Derainer:
    return crdnet.Derainer(model, device="cpu", threads=1)


def test_an_image_comes_back_as_the_library_derains_it(
    client: TestClient, derainer: crdnet.Derainer
) -> None:
    answer = client.post("/v1/derain", content=JPEG)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content == derainer.run(JPEG).image
    assert answer.content != JPEG


def test_a_form_and_the_raw_bytes_get_the_same_answer(client: TestClient) -> None:
    raw = client.post("/v1/derain", params={"strength": 0.5}, content=RAINY)
    form = client.post(
        "/v1/derain", data={"strength": "0.5"}, files={"file": ("../../etc/passwd", RAINY)}
    )
    assert raw.status_code == form.status_code == 200
    assert raw.content == form.content


def test_strength_says_how_much_rain_is_taken_out(client: TestClient) -> None:
    answers = [
        client.post("/v1/derain", params={"strength": s}, content=RAINY).content
        for s in (0, 0.5, 1)
    ]
    none, half, all_of_it = (
        np.asarray(Image.open(BytesIO(answer)), np.int16) for answer in answers
    )
    assert np.array_equal(none, np.asarray(Image.open(BytesIO(RAINY))))
    assert np.abs(half - (none + all_of_it) / 2).max() <= 1
    assert np.abs(none - all_of_it).max() > 30


@pytest.mark.parametrize(
    ("suffix", "media"), [("jpg", "image/jpeg"), ("webp", "image/webp"), ("tiff", "image/tiff")]
)
def test_another_format_is_answered_where_it_is_asked_for(
    client: TestClient, suffix: str, media: str
) -> None:
    answer = client.post("/v1/derain", params={"format": suffix}, content=RAINY)
    assert answer.headers["content-type"] == media
    assert answer.headers["content-disposition"] == f'attachment; filename="derained.{suffix}"'
    assert Image.open(BytesIO(answer.content)).size == SIZE


def test_an_image_that_is_surely_dry_comes_back_byte_for_byte(client: TestClient) -> None:
    answer = client.post("/v1/derain", content=DRY)
    assert answer.headers["x-rain-left-alone"] == "true"
    assert answer.headers["x-rain-density"] == "none"
    assert answer.content == DRY
    assert (
        client.post("/v1/derain", params={"always": True}, content=DRY).headers["x-rain-left-alone"]
        == "false"
    )


def test_metadata_comes_back(client: TestClient) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    sent = encode(
        make_scene(rain=60),
        "JPEG",
        exif=exif.tobytes(),
        icc_profile=b"not a real profile, kept all the same",
    )
    image = Image.open(BytesIO(client.post("/v1/derain", content=sent).content))
    assert image.getexif()[0x010F] == "a camera"
    assert image.info["icc_profile"] == b"not a real profile, kept all the same"


def test_the_rain_is_told_in_headers_as_the_library_senses_it(
    client: TestClient, derainer: crdnet.Derainer
) -> None:
    headers = client.post("/v1/derain", content=RAINY).headers
    report = derainer.sense(RAINY)
    assert report.density is not None
    assert headers["x-rain-density"] == report.density.name.lower() != "none"
    assert float(headers["x-rain-score"]) == pytest.approx(report.score, abs=1e-4)
    shares = dict(each.split("=") for each in headers["x-rain-probabilities"].split(", "))
    assert list(shares) == ["none", "light", "medium", "heavy"]
    assert sum(map(float, shares.values())) == pytest.approx(1, abs=1e-3)
    stages = [part.split(";")[0] for part in headers["server-timing"].split(", ")]
    assert stages == ["look", "queue", "decode", "derain", "encode", "total"]


def test_sensing_answers_with_density_and_probabilities(
    client: TestClient, derainer: crdnet.Derainer
) -> None:
    said = client.post("/v1/sense", files={"file": RAINY}).json()
    report = derainer.sense(RAINY)
    assert report.density is not None
    assert said["density"] == report.density.name.lower()
    assert said["score"] == pytest.approx(report.score)
    assert sum(said["probabilities"].values()) == pytest.approx(1)
    assert (said["width"], said["height"], said["format"], said["model"]) == (
        *SIZE,
        "PNG",
        "streak",
    )


def test_a_model_that_senses_nothing_says_so(client: TestClient) -> None:
    said = client.post("/v1/sense", params={"model": "paper"}, content=RAINY).json()
    assert said["density"] is said["probabilities"] is said["score"] is None
    answer = client.post("/v1/derain", params={"model": "paper"}, content=RAINY)
    assert answer.headers["x-rain-density"] == "unknown"
    assert "x-rain-score" not in answer.headers


def test_the_models_are_listed_without_their_places(client: TestClient, model: Path) -> None:
    said = client.get("/v1/models")
    assert [(each["name"], each["default"]) for each in said.json()] == [
        ("streak", True),
        ("paper", False),
    ]
    assert str(model.parent) not in said.text


def test_the_server_is_ready_when_each_model_has_done_an_image(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    answer = client.get("/readyz")
    assert answer.status_code == 200 or answer.json()["type"] == "urn:crdnet:not-ready"
    wait_until(lambda: client.get("/readyz").status_code == 200)
    assert client.get("/readyz").json() == {"status": "ready"}


def test_metrics_count_requests_errors_pixels_and_densities(client: TestClient) -> None:
    def counted() -> dict[str, float]:
        lines = client.get("/metrics").text.splitlines()
        return {
            name: float(value)
            for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")
        }

    before = counted()
    client.post("/v1/derain", content=RAINY)
    client.post("/v1/derain", content=b"no image")
    after = counted()
    for name, more in {
        'crdnet_requests_total{method="POST",route="/v1/derain",status="200"}': 1,
        'crdnet_requests_total{method="POST",route="/v1/derain",status="415"}': 1,
        'crdnet_errors_total{kind="not-an-image"}': 1,
        "crdnet_pixels_done": SIZE[0] * SIZE[1],
        'crdnet_request_seconds_count{route="/v1/derain"}': 2,
        'crdnet_stage_seconds_count{stage="derain"}': 1,
    }.items():
        assert after[name] - before.get(name, 0) == more, name
    assert (
        after["crdnet_queue_length"]
        == after["crdnet_pixels_in_work"]
        == after["crdnet_upload_bytes"]
        == 0
    )
    assert (
        sum(
            after[name] - before[name]
            for name in after
            if name.startswith("crdnet_densities_total")
        )
        == 1
    )


def test_every_answer_has_an_id_and_headers_that_keep_browsers_from_guessing(
    client: TestClient,
) -> None:
    answers = [
        client.post("/v1/derain", content=RAINY),
        client.get("/"),
        client.get("/nowhere"),
        client.get("/healthz"),
    ]
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answers[0].headers["content-security-policy"].endswith("sandbox")
    assert answers[0].headers["content-disposition"].startswith("attachment")
    assert "cdn" not in client.get("/docs").text.lower()


def test_after_a_large_image_the_networks_memory_is_given_back(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrunk: list[str] = []
    monkeypatch.setattr(Session, "shrink", lambda _: shrunk.append("once"))
    monkeypatch.setattr(crdnet.server.work, "LARGE_PIXELS", SIZE[0] * SIZE[1])
    client.post("/v1/derain", content=RAINY)
    assert not shrunk
    client.post("/v1/derain", content=encode(make_scene(SIZE[0] + 1, SIZE[1], rain=60)))
    client.post("/v1/sense", content=encode(make_scene(SIZE[0] + 1, SIZE[1], rain=60)))
    assert len(shrunk) == 2


def test_a_heic_of_an_odd_size_comes_back_with_its_own_pixels(client: TestClient) -> None:
    odd, cropped = heic("gradient_61x37"), heic_cropped(10, 8, 33, 21)
    for content, size in ((odd, (61, 37)), (cropped, (33, 21))):
        answer = client.post("/v1/sense", content=content)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["width"], answer.json()["height"]) == size
        answer = client.post("/v1/derain", params={"format": "png", "strength": 0}, content=content)
        assert Image.open(BytesIO(answer.content)).size == size
    answer = client.post("/v1/derain", params={"format": "png"}, content=odd)
    pixels = np.asarray(Image.open(BytesIO(answer.content)))
    np.testing.assert_allclose(pixels, gradient(61, 37), atol=12)


@pytest.mark.parametrize(("name", "media"), [("jpeg", "image/jpeg"), ("tif", "image/tiff")])
def test_formats_have_their_other_names(client: TestClient, name: str, media: str) -> None:
    answer = client.post("/v1/derain", params={"format": name}, content=RAINY)
    assert answer.headers["content-type"] == media


def test_json_is_refused_with_what_to_send(client: TestClient) -> None:
    answer = client.post("/v1/derain", json={"image": "aGVsbG8="})
    assert answer.status_code == 415
    assert "the body is JSON; send the bytes" in answer.json()["detail"]


def test_metrics_tell_of_the_process(client: TestClient) -> None:
    assert "process_" in client.get("/metrics").text


def test_static_files_are_packed_and_fetched_once(client: TestClient) -> None:
    plain = client.get("/assets/page.js", headers={"accept-encoding": "identity"})
    packed = client.get("/assets/page.js", headers={"accept-encoding": "br, gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert packed.content == plain.content
    again = client.get("/assets/page.js", headers={"if-none-match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
