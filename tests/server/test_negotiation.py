"""Choice of the output format by the header Accept."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis.strategies import sampled_from, text
from PIL import Image
from starlette.testclient import TestClient

from crdnet.server.negotiation import MEDIA_TYPES, choose_format, choose_media_type
from crdnet.server.problems import ProblemError
from tests.server.images import DRY, JPEG, RAINY, encode, make_scene
from tests.server.test_bad_input import check_problem


@pytest.mark.parametrize(
    ("accept", "own", "chosen"),
    [
        ("", "PNG", None),
        ("*/*", "PNG", None),
        ("image/*", "JPEG", None),
        ("image/webp", "PNG", "WEBP"),
        ("IMAGE/WebP", "PNG", "WEBP"),
        ("image/webp, image/png", "PNG", None),
        ("image/webp, image/png;q=0.9", "PNG", "WEBP"),
        ("image/webp;q=0.2, image/jpeg;q=0.4", "PNG", "JPEG"),
        ("image/*;q=0.5, image/avif", "PNG", "AVIF"),
        ("image/*, image/png;q=0", "PNG", "JPEG"),
        ("application/octet-stream", "PNG", None),
        ("application/json, */*;q=0.1", "TIFF", None),
        ("image/png, */*;q=0.1", "HEIC", "PNG"),
        ("*/*", "HEIC", None),
    ],
)
def test_accept_chooses_the_format(accept: str, own: str, chosen: str | None) -> None:
    assert choose_format(accept, own) == chosen


@given(accept=text(alphabet="image/pngwb*;q=.01, "), own=sampled_from([*MEDIA_TYPES, "HEIC"]))
def test_any_header_chooses_a_format_or_is_refused(accept: str, own: str) -> None:
    try:
        chosen = choose_format(accept, own)
    except ProblemError as error:
        chosen = error.kind.slug
    assert chosen in (None, *MEDIA_TYPES, "not-acceptable")


@pytest.mark.parametrize("media_type", ["image/webp", "image/jpeg", "image/tiff"])
def test_the_answer_has_the_format_that_is_accepted(client: TestClient, media_type: str) -> None:
    answer = client.post("/v1/derain", content=RAINY, headers={"accept": media_type})
    assert answer.headers["content-type"] == media_type
    image = Image.open(BytesIO(answer.content))
    assert Image.MIME[str(image.format)] == media_type


def test_the_parameter_counts_more_than_the_header(client: TestClient) -> None:
    headers = {"accept": "image/webp"}
    answer = client.post("/v1/derain", params={"format": "jpeg"}, content=RAINY, headers=headers)
    assert answer.headers["content-type"] == "image/jpeg"


def test_a_dry_image_is_left_alone_in_a_format_that_is_accepted(client: TestClient) -> None:
    answer = client.post("/v1/derain", content=DRY, headers={"accept": "image/webp, image/png"})
    assert answer.content == DRY


def test_a_format_that_is_only_read_is_answered_in_one_that_is_accepted(
    client: TestClient,
) -> None:
    answer = client.post(
        "/v1/derain", content=encode(make_scene(), "BMP"), headers={"accept": "image/png"}
    )
    assert answer.headers["content-type"] == "image/png"


def test_bytes_are_sent_where_nothing_else_is_accepted(client: TestClient) -> None:
    answer = client.post("/v1/derain", content=JPEG, headers={"accept": "application/octet-stream"})
    assert answer.headers["content-type"] == "application/octet-stream"
    assert Image.open(BytesIO(answer.content)).format == "JPEG"
    assert choose_media_type("", "JPEG") == "image/jpeg"


def test_a_client_that_accepts_no_image_is_told_which_there_are(client: TestClient) -> None:
    answer = client.post("/v1/derain", content=RAINY, headers={"accept": "text/html"})
    assert "image/png" in check_problem(answer, 406, "not-acceptable")["detail"]


def test_the_quality_of_a_lossy_format_can_be_chosen(client: TestClient) -> None:
    sizes = [
        len(
            client.post(
                "/v1/derain", params={"format": "jpg", "quality": quality}, content=RAINY
            ).content
        )
        for quality in (10, 95)
    ]
    assert sizes[0] < sizes[1]
    answer = client.post("/v1/derain", params={"quality": 101}, content=RAINY)
    assert "quality" in check_problem(answer, 422, "wrong-parameter")["detail"]
