"""Start and stop of the server: sockets, signals, log."""

import json
import logging
import os
import signal
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from crdnet.errors import CRDNetError
from crdnet.server.app import create_app
from crdnet.server.connections import make_protocol
from crdnet.server.settings import Settings

log = logging.getLogger("crdnet.server")
BACKLOG = 2048
"""Number of connections that the kernel queues until they are accepted, above the limit of
connections."""


class _Lines(logging.Formatter):
    """Formatter that writes one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for a record."""
        said = getattr(record, "said", {})
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps(
            {"time": time, "level": record.levelname.lower(), "event": record.getMessage(), **said}
        )


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, and finish the running requests before returning.

    Raises:
        CRDNetError: The model cannot be opened, or the address is not available.
    """
    app = create_app(settings)
    _log_json_lines()
    config = uvicorn.Config(
        app,
        http=make_protocol(settings, app.state.metrics.count_refusal),
        # The limits in `connections` are tested with this loop and with h11.
        loop="asyncio",
        ws="none",
        lifespan="on",
        # `access` logs one line per request; a Server header would tell attackers the version.
        log_config=None,
        access_log=False,
        server_header=False,
        # `forwarding` handles proxy headers, also for networks and behind Unix sockets.
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(settings.grace_seconds)),
    )
    # uvicorn handles the signal and raises it again for the previous handler after it has stopped.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with _listen(settings) as listening:
            log.info("listening", extra={"said": {"url": _format_url(listening)}})
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        signal.signal(signal.SIGTERM, before)


def _format_url(listening: socket.socket) -> str:
    name = listening.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _listen(settings: Settings) -> socket.socket:
    if settings.unix_socket:
        return _listen_on_file(settings.unix_socket)
    # Bound here, because uvicorn would exit instead of raising.
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CRDNetError(
            f"cannot listen on {settings.host}, port {settings.port} "
            f"({os.strerror(error.errno or 0)}); choose another --port"
        ) from error


def _listen_on_file(path: str) -> socket.socket:
    """Listen on a Unix socket; replace a socket that a killed server left."""
    listening = socket.socket(socket.AF_UNIX)
    try:
        # Only the socket of a killed server may be replaced, not that of a running one.
        if Path(path).is_socket() and not _is_served(path):
            Path(path).unlink()
        listening.bind(path)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise CRDNetError(
            f"cannot listen on {path} ({os.strerror(error.errno or 0)}); choose another "
            "--unix-socket"
        ) from error
    return listening


def _is_served(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def _log_json_lines() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # uvicorn's lines about starting and stopping repeat those of this module.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
