"""Problem documents (RFC 9457): the answers to requests that fail."""

from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5


class Kind(Enum):
    """Kind of problem: last part of its type URN, HTTP status, and title."""

    BAD_REQUEST = "bad-request", 400, "The request is not well-formed"
    KEY_MISSING = "key-missing", 401, "An API key is needed"
    CROSS_SITE = "cross-site", 403, "Another site's page must not call this server"
    NO_SUCH_PAGE = "no-such-page", 404, "There is nothing here"
    WRONG_METHOD = "wrong-method", 405, "This is not done here"
    NOT_ACCEPTABLE = "not-acceptable", 406, "The answer is an image"
    TOO_SLOW = "too-slow", 408, "The upload took too long"
    TOO_LARGE = "too-large", 413, "The image is too large"
    NOT_AN_IMAGE = "not-an-image", 415, "This is not an image"
    WRONG_HOST = "wrong-host", 421, "The server does not go by this name"
    BROKEN_IMAGE = "broken-image", 422, "The image cannot be read"
    NOT_WRITTEN = "format-not-written", 422, "The format is read but not written"
    WRONG_PARAMETER = "wrong-parameter", 422, "A parameter is wrong"
    TOO_MANY = "too-many-images", 429, "Too many images in this minute"
    CLIENT_GONE = "client-gone", 499, "The client went away"
    INTERNAL = "internal", 500, "Something went wrong here"
    BUSY = "busy", 503, "Too much to do"
    INTERRUPTED = "interrupted", 503, "The work was interrupted"
    NOT_READY = "not-ready", 503, "Not ready yet"

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug, self.status, self.title = slug, status, title


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    """A name for this kind of problem, such as urn:crdnet:too-large."""
    title: str
    status: int
    detail: str
    """The input, the rule that it broke, and a remedy."""
    instance: str
    """The request, as in the header X-Request-ID."""


class ProblemError(Exception):
    """Error that ends a request with a problem document."""

    def __init__(self, kind: Kind, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail
        self.headers = dict(headers or {})
        # Without it, clients that retry automatically would return at once.
        if kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))


def make_document(problem: ProblemError, request_id: str) -> dict[str, Any]:
    """Return the problem document."""
    kind = problem.kind
    return Problem(
        type=f"urn:crdnet:{kind.slug}",
        title=kind.title,
        status=kind.status,
        detail=problem.detail,
        instance=f"urn:uuid:{request_id}",
    ).model_dump()


def make_response(problem: ProblemError, request_id: str) -> JSONResponse:
    """Return the HTTP response with the document of a problem."""
    return JSONResponse(
        make_document(problem, request_id),
        problem.kind.status,
        problem.headers,
        media_type=MEDIA_TYPE,
    )


def document_kinds(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """Return the entries of the API document for problems, by status."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    # Several kinds share a status, which the document lists once.
    said: dict[int, list[str]] = {}
    for kind in kinds:
        said.setdefault(kind.status, []).append(kind.title)
    return {
        status: {"description": "; ".join(titles), "content": {MEDIA_TYPE: schema}}
        for status, titles in said.items()
    }
