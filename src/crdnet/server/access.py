"""Middleware around every request: access, headers of every answer, one line of log, metrics.

Pure ASGI, so that routes see a client go away.
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
"""Probes call them by whatever name and address they have."""
OPEN_PATHS = ("/", "/app", *HEALTH_PATHS)
"""Paths that need no key: the page has a field for the key, and monitors ask for the other two."""
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
    """ASGI middleware; the outermost but for CORS."""

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
        # First: host, origin, limits and log below go by what a trusted proxy says.
        apply_forwarding(scope, self._proxies)
        if self._settings.root_path:
            scope["root_path"] = self._settings.root_path
        request_id = uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        began, status, size = perf_counter(), 0, 0
        # The routes know GET alone; the answer to HEAD has the same headers.
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
        except asyncio.CancelledError:  # the server stops, and its grace is over
            note(scope, Kind.INTERRUPTED)
            # Draining would outlast the grace.
            body.abandon()
            if not status:
                problem = ProblemError(
                    Kind.INTERRUPTED, "the server stops; send the image again later"
                )
                await make_response(problem, request_id)(scope, receive, send_on)
        except Exception as error:  # the last place where anything can be said
            note(scope, Kind.INTERNAL)
            _log_failure(error, request_id)
            if not status:
                problem = ProblemError(
                    Kind.INTERNAL, "the fault is ours; the log has more under the request's id"
                )
                await make_response(problem, request_id)(scope, receive, send_on)
        finally:
            self._record(inner, status, size, perf_counter() - began)

    def _hold(self, scope: Scope) -> AbstractContextManager[None]:
        """Count a request of its client; probes always pass."""
        if _strip_root(scope) in HEALTH_PATHS:
            return nullcontext()
        return self._limits.hold_request(group_client(get_client(scope)))

    def _check(self, scope: Scope) -> None:
        """Refuse whom this server does not serve.

        Raises:
            ProblemError: The host, the origin or the key is wrong.
        """
        headers, path = Headers(scope=scope), _strip_root(scope)
        host = headers.get("host", "")
        if path not in HEALTH_PATHS and not self._is_own(host):
            raise ProblemError(
                Kind.WRONG_HOST,
                f"the server was called {host[:100]!r}; if that is right, start it with "
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
                f"the request comes from a page of {(origin or 'another site')[:100]!r}; name it "
                "with --cors-origin if it may",
            )

    def _is_own(self, host: str) -> bool:
        """Return whether a host is a name of this server. Only HTTP/1.0 may leave it out."""
        name = _strip_port(host)
        return not host or is_address(name) or bool({"*", name} & self._settings.hosts)

    def _is_same(self, netloc: str, host: str) -> bool:
        """Return whether an origin is the host that was called, or an allowed one."""
        named = {each.lower() for each in self._settings.allowed_hosts}
        return netloc.lower() == host.lower() or _strip_port(netloc) in named

    def _record(self, scope: Scope, status: int, size: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        # A label that clients choose freely would fill the memory of Prometheus.
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
    """Note how a request failed, for log and metrics."""
    scope["state"]["kind"] = kind.slug


def _complete(message: Message, request_id: str) -> None:
    """Add the headers that every answer has, but for those that a route has set itself."""
    headers = MutableHeaders(raw=message["headers"])
    # The pages have a policy of their own, and assets may be cached.
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    headers["x-request-id"] = request_id
    message["headers"] = headers.raw


def _strip_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() else host.lower()


def _strip_root(scope: Scope) -> str:
    """Return the path of a request, without the path under which a proxy serves us."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


def _has_key(authorization: str, keys: Sequence[str]) -> bool:
    """Return whether a header holds a key, as a bearer's token or as the password of any name.

    In constant time.
    """
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            given = b64decode(given, validate=True).decode("utf-8", "replace").partition(":")[2]
        except (Base64Error, ValueError):
            given = ""
    # All keys are compared: stopping at the first would tell which one matched by its time.
    matches = [hmac.compare_digest(given.strip().encode(), key.encode()) for key in keys]
    return scheme.lower() in ("basic", "bearer") and any(matches)


def _log_failure(error: BaseException, request_id: str) -> None:
    # Where it happened, without the values: those may be a client's.
    places = [
        f"{frame.name} in {frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    log_line("failure", request_id=request_id, error=type(error).__name__, places=places[-8:])


def log_line(event: str, **said: object) -> None:
    """Log an event with what there is to say of it."""
    log.info(event, extra={"said": said})
