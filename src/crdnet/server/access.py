"""Middleware around every request: access, the headers of every answer, one line of log, the metrics.

Pure ASGI, so that routes see a client go away.
"""

import asyncio
import hmac
import logging
import traceback
from base64 import b64decode
from binascii import Error as Base64Error
from time import perf_counter
from urllib.parse import urlsplit
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crdnet.server.metrics import Metrics
from crdnet.server.problems import Kind, ProblemError, answer
from crdnet.server.settings import Settings

log = logging.getLogger("crdnet.server")

OPEN_PATHS = ("/", "/healthz", "/readyz")
"""What needs no key: the page has a field for it, and whoever watches over the server asks the
other two."""
OPEN_FOLDER = "/assets/"
_METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=()",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}


class AccessMiddleware:
    """ASGI middleware; the outermost but for CORS."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        began, status, size = perf_counter(), 0, 0

        async def send_on(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                _complete(message, request_id)
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, send_on)
        except ProblemError as problem:
            note(scope, problem.kind)
            await answer(problem, request_id)(scope, receive, send_on)
        except ClientDisconnect:
            note(scope, Kind.CLIENT_GONE)
        except asyncio.CancelledError:  # the server stops, and its grace is over
            note(scope, Kind.INTERRUPTED)
            if not status:
                told = ProblemError(
                    Kind.INTERRUPTED, "the server stops; send the image again later"
                )
                await answer(told, request_id)(scope, receive, send_on)
        except Exception as error:  # the last place where anything can be said
            note(scope, Kind.INTERNAL)
            _log_failure(error, request_id)
            if not status:
                told = ProblemError(
                    Kind.INTERNAL, "the fault is ours; the log has more under the request's id"
                )
                await answer(told, request_id)(scope, receive, send_on)
        finally:
            self._account(scope, status, size, perf_counter() - began)

    def _check(self, scope: Scope) -> None:
        """Refuse whom this server does not serve.

        Raises:
            ProblemError: The host, the origin or the key is wrong.
        """
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not {"*", _without_port(host)} & self._settings.hosts:
            raise ProblemError(
                Kind.WRONG_HOST,
                f"the server was called {host[:100]!r}; if that is right, start it with --allowed-host",
            )
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            self._check_site(headers, host)
        path = scope["path"]
        if self._settings.key is None or path in OPEN_PATHS or path.startswith(OPEN_FOLDER):
            return
        if not _has_key(headers.get("authorization", ""), self._settings.key):
            # Browsers ask for a name and a password where they show a document; the page has a
            # field instead.
            scheme = "Bearer" if path.startswith("/v1/") else "Basic"
            raise ProblemError(
                Kind.KEY_MISSING,
                "the API key is missing or wrong; send it as: Authorization: Bearer KEY",
                {"WWW-Authenticate": f'{scheme} realm="crdnet"'},
            )

    def _check_site(self, headers: Headers, host: str) -> None:
        origin = headers.get("origin")
        if origin in self._settings.cors_origins:
            return
        foreign = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if foreign or (origin is not None and urlsplit(origin).netloc.lower() != host.lower()):
            raise ProblemError(
                Kind.CROSS_SITE,
                f"the request comes from a page of {(origin or 'another site')[:100]!r}; name it with --cors-origin if "
                "it may",
            )

    def _account(self, scope: Scope, status: int, size: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        kind = scope["state"].get("kind")
        self._metrics.answered(method, route, status, seconds)
        if kind is not None:
            self._metrics.failed(kind)
        _log_line(
            "request",
            request_id=scope["state"]["request_id"],
            method=method,
            route=route,
            status=status,
            outcome=kind or "done",
            bytes_in=scope["state"].get("bytes", 0),
            bytes_out=size,
            milliseconds=round(seconds * 1000),
        )


def client_of(scope: Scope) -> str:
    """Return the address of the client, without its port; empty on a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def note(scope: Scope, kind: Kind) -> None:
    """Note how a request failed, for log and metrics."""
    scope["state"]["kind"] = kind.slug


def _complete(message: Message, request_id: str) -> None:
    """Add the headers that every answer has, but for those that a route has set itself."""
    headers = MutableHeaders(raw=message["headers"])
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    headers["x-request-id"] = request_id
    message["headers"] = headers.raw


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() else host.lower()


def _has_key(authorization: str, key: str) -> bool:
    """Whether a header holds the key, as a bearer's token or as the password of any name.

    In constant time.
    """
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            given = b64decode(given, validate=True).decode("utf-8", "replace").partition(":")[2]
        except (Base64Error, ValueError):
            given = ""
    return scheme.lower() in ("basic", "bearer") and hmac.compare_digest(
        given.strip().encode(), key.encode()
    )


def _log_failure(error: BaseException, request_id: str) -> None:
    # Where it happened, without the values: those may be a client's.
    places = [
        f"{frame.name} in {frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    _log_line("failure", request_id=request_id, error=type(error).__name__, places=places[-8:])


def _log_line(event: str, **said: object) -> None:
    log.info(event, extra={"said": said})
