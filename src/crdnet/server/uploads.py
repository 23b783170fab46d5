"""Reading of the body of a request into bounded memory: the bytes of the image, and form fields."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.formparsers import MultiPartException, MultiPartParser

from crdnet.server.admission import Share
from crdnet.server.problems import Kind, ProblemError
from crdnet.server.settings import Settings

MOST_FIELDS = 8
# Fields that a multipart body may have beside its file.
_AROUND_BYTES = 65_536


class _InMemory(MultiPartParser):
    """Parser that keeps every part in memory; Starlette's writes parts over 1 MB to disk."""

    spool_max_size = 2**62


@dataclass(frozen=True)
class Upload:
    """Image and form fields of a request."""

    content: bytes
    fields: dict[str, str]
    """Fields of the form, without its file."""


async def read_upload(request: Request, settings: Settings, share: Share) -> Upload:
    """Read a body: a multipart form with a `file`, or the bytes of an image.

    Raises:
        ProblemError: The body is too large, too slow, empty, or not a valid form.
    """
    declared = request.headers.get("content-length", "0")
    # Checked before any byte is read.
    if declared.isdecimal() and int(declared) > settings.max_bytes + _AROUND_BYTES:
        raise _make_size_error(int(declared), settings)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ProblemError(
            Kind.NOT_AN_IMAGE,
            f"the body has the encoding {request.headers['content-encoding'][:20]!r}; send the "
            "image without a content encoding",
        )
    if request.headers.get("content-type", "").startswith("application/json"):
        raise ProblemError(
            Kind.NOT_AN_IMAGE,
            "the body is JSON; send the bytes of the image as they are, or a multipart form with "
            "the image in the field file, and parameters in the query",
        )
    is_form = parse_options_header(request.headers.get("content-type"))[0] == b"multipart/form-data"
    try:
        async with asyncio.timeout(settings.body_seconds):
            upload = await (_read_form if is_form else _read_raw)(request, settings, share)
    except TimeoutError as error:
        raise ProblemError(
            Kind.TOO_SLOW,
            f"the body did not arrive within {settings.body_seconds:g} seconds; send it faster",
        ) from error
    if len(upload.content) > settings.max_bytes:
        raise _make_size_error(len(upload.content), settings)
    if not upload.content:
        raise ProblemError(Kind.BROKEN_IMAGE, "the image is empty (0 bytes); send an image's bytes")
    return upload


async def _read_raw(request: Request, settings: Settings, share: Share) -> Upload:
    body = bytearray()
    async for chunk in _read_bounded(request, settings.max_bytes, settings, share):
        body += chunk
    return Upload(bytes(body), {})


async def _read_form(request: Request, settings: Settings, share: Share) -> Upload:
    stream = _read_bounded(request, settings.max_bytes + _AROUND_BYTES, settings, share)
    parser = _InMemory(
        request.headers, stream, max_files=1, max_fields=MOST_FIELDS, max_part_size=_AROUND_BYTES
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        said = error.message if isinstance(error, MultiPartException) else "it is damaged"
        raise ProblemError(
            Kind.BAD_REQUEST,
            f"the form cannot be read ({said[:200]}); send one part named file, and at most "
            f"{MOST_FIELDS} others",
        ) from error
    try:
        file = form.get("file")
        if file is None:
            raise ProblemError(
                Kind.WRONG_PARAMETER, "the form has no field named file; send the image in it"
            )
        # The parser treats a part without a file name as text; its bytes are the same.
        content = (
            file.encode("utf-8", "surrogateescape") if isinstance(file, str) else await file.read()
        )
        others = form.multi_items()
        if any(not isinstance(value, str) for name, value in others if name != "file"):
            raise ProblemError(
                Kind.WRONG_PARAMETER, "the form has a second file; send one image per request"
            )
        return Upload(content, {name: str(value) for name, value in others if name != "file"})
    finally:
        await form.close()


async def _read_bounded(
    request: Request, most: int, settings: Settings, share: Share
) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of a body up to a number of bytes."""
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > most:
            raise _make_size_error(seen, settings)
        # Counted on arrival, because a declared length may be wrong.
        share.take(len(chunk))
        yield chunk


def _make_size_error(size: int, settings: Settings) -> ProblemError:
    return ProblemError(
        Kind.TOO_LARGE,
        f"the body has {size:,} bytes or more, and at most {settings.max_bytes:,} are accepted; "
        "send a smaller image",
    )
