"""Middleware around every request: authentication, common headers, one log line, metrics.

It is pure ASGI, so that routes notice when a client disconnects.
"""

import asyncio
import hmac
import logging
import traceback
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from urllib.parse import urlsplit
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crdnet.server.clients import ClientLimits, get_client, group_client
from crdnet.server.draining import Body
from crdnet.server.forwarding import apply_forwarding, is_address
from crdnet.server.metrics import Metrics
from crdnet.server.problems import Kind, ProblemError, make_response
from crdnet.server.settings import Settings

log = logging.getLogger("crdnet.server")

HEALTH_PATHS = ("/healthz", "/readyz")
"""Paths of health probes, which may use any host name and address."""
OPEN_PATHS = ("/", "/app", *HEALTH_PATHS)
"""Paths that need no key: pages, which have a field for the key, and health probes."""
OPEN_FOLDERS = ("/assets/", "/app/")
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
    """ASGI middleware for access, log and metrics; only the CORS middleware is outside it."""

    def __init__(
        self, app: ASGIApp, settings: Settings, metrics: Metrics, limits: ClientLimits
    ) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._limits = limits
        self._proxies = settings.proxy_networks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Applied first, because host, origin, limits and log use the headers of a trusted proxy.
        apply_forwarding(scope, self._proxies)
        if self._settings.root_path:
            scope["root_path"] = self._settings.root_path
        request_id = uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        began, status, size = perf_counter(), 0, 0
        # The routes support only GET; the response to HEAD has the same headers.
        is_head = scope["method"] == "HEAD"
        inner = {**scope, "method": "GET"} if is_head else scope
        body = Body(scope, receive, self._settings)

        async def send_on(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                await body.drain()
                status = message["status"]
                _complete(message, request_id)
            elif message["type"] == "http.response.body":
                if is_head:
                    message = {**message, "body": b""}
                size += len(message.get("body", b""))
            await send(message)

        try:
            self._check(scope)
            with self._hold(scope):
                await self._app(inner, body.receive, send_on)
        except ProblemError as problem:
            note(scope, problem.kind)
            await make_response(problem, request_id)(scope, receive, send_on)
        except ClientDisconnect:
            note(scope, Kind.CLIENT_GONE)
        except asyncio.CancelledError:  # the server stops, and its grace period is over
            note(scope, Kind.INTERRUPTED)
            # Draining would outlast the grace period.
            body.abandon()
            if not status:
                problem = ProblemError(Kind.INTERRUPTED, "the server is stopping; try again later")
                await make_response(problem, request_id)(scope, receive, send_on)
        except Exception as error:  # the last place that can log it and send a response
            note(scope, Kind.INTERNAL)
            _log_failure(error, request_id)
            if not status:
                problem = ProblemError(
                    Kind.INTERNAL,
                    "internal error; the server log has details under the request's id",
                )
                await make_response(problem, request_id)(scope, receive, send_on)
        finally:
            self._record(inner, status, size, perf_counter() - began)

    def _hold(self, scope: Scope) -> AbstractContextManager[None]:
        """Count a request against the limit of its client; health probes are exempt."""
        if _strip_root(scope) in HEALTH_PATHS:
            return nullcontext()
        return self._limits.hold_request(group_client(get_client(scope)))

    def _check(self, scope: Scope) -> None:
        """Check the host, the origin and the key of a request.

        Raises:
            ProblemError: The host, the origin or the key is not allowed.
        """
        headers, path = Headers(scope=scope), _strip_root(scope)
        host = headers.get("host", "")
        if path not in HEALTH_PATHS and not self._is_own(host):
            raise ProblemError(
                Kind.WRONG_HOST,
                f"the host {host[:100]!r} is not allowed; if it is right, start the server with "
                "--allowed-host",
            )
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            self._check_site(headers, host)
        if not self._settings.keys or path in OPEN_PATHS or path.startswith(OPEN_FOLDERS):
            return
        if not _has_key(headers.get("authorization", ""), self._settings.keys):
            # Browsers ask for a name and a password where they show a document; the page has a
            # field instead.
            scheme = "Bearer" if path.startswith("/v1/") else "Basic"
            raise ProblemError(
                Kind.KEY_MISSING,
                "the API key is missing or wrong; send it as: Authorization: Bearer KEY",
                {"WWW-Authenticate": f'{scheme} realm="crdnet"'},
            )

    def _check_site(self, headers: Headers, host: str) -> None:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        # A browser sends no cookie or key of ours by itself, so that "*" opens nothing private.
        if {"*", origin} & set(self._settings.cors_origins):
            return
        if self._settings.keys and headers.get("authorization", "").lower().startswith("bearer "):
            return  # which no browser sends for a page of another site that did not ask before
        # Browsers tell the site only over TLS or to this machine; else the origin must do.
        if site is not None:
            is_foreign = site not in ("none", "same-origin")
        else:
            is_foreign = origin is not None and not self._is_same(urlsplit(origin).netloc, host)
        if is_foreign:
            raise ProblemError(
                Kind.CROSS_SITE,
                f"pages of {(origin or 'another site')[:100]!r} are not allowed; to allow them, "
                "start the server with --cors-origin",
            )

    def _is_own(self, host: str) -> bool:
        """Return whether a host is a name of this server; only HTTP/1.0 may omit the host."""
        name = _strip_port(host)
        return not host or is_address(name) or bool({"*", name} & self._settings.hosts)

    def _is_same(self, netloc: str, host: str) -> bool:
        """Return whether an origin is the host of the request, or an allowed origin."""
        named = {each.lower() for each in self._settings.allowed_hosts}
        return netloc.lower() == host.lower() or _strip_port(netloc) in named

    def _record(self, scope: Scope, status: int, size: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        # A label with values chosen by clients would fill the memory of Prometheus.
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        kind = scope["state"].get("kind")
        self._metrics.count_answer(method, route, status, seconds)
        if kind is not None:
            self._metrics.count_problem(kind)
        log_line(
            "request",
            request_id=scope["state"]["request_id"],
            method=method,
            route=route,
            client=get_client(scope),
            status=status,
            outcome=kind or "done",
            bytes_in=scope["state"].get("bytes", 0),
            bytes_out=size,
            milliseconds=round(seconds * 1000),
        )


def note(scope: Scope, kind: Kind) -> None:
    """Note the kind of failure of a request, for log and metrics."""
    scope["state"]["kind"] = kind.slug


def _complete(message: Message, request_id: str) -> None:
    """Add the headers of every response, except those that the route has set."""
    headers = MutableHeaders(raw=message["headers"])
    # The pages set their own policy, and assets may be cached.
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    headers["x-request-id"] = request_id
    message["headers"] = headers.raw


def _strip_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() else host.lower()


def _strip_root(scope: Scope) -> str:
    """Return the path of a request without the root path of the proxy."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


def _has_key(authorization: str, keys: Sequence[str]) -> bool:
    """Return whether a header holds a key, as a bearer token or as the password of any user.

    The comparison takes constant time.
    """
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            given = b64decode(given, validate=True).decode("utf-8", "replace").partition(":")[2]
        except (Base64Error, ValueError):
            given = ""
    # All keys are compared, because stopping at a match would reveal it by the time taken.
    matches = [hmac.compare_digest(given.strip().encode(), key.encode()) for key in keys]
    return scheme.lower() in ("basic", "bearer") and any(matches)


def _log_failure(error: BaseException, request_id: str) -> None:
    # The places in the code without values, which may be private data of a client.
    places = [
        f"{frame.name} in {frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    log_line("failure", request_id=request_id, error=type(error).__name__, places=places[-8:])


def log_line(event: str, **said: object) -> None:
    """Log an event with its fields."""
    log.info(event, extra={"said": said})
