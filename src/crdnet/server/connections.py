"""Limits and deadlines of connections, which apply before a request is complete.

uvicorn limits only the time between two requests; a client may send a head or read a response
without end. uvicorn also answers malformed HTTP in plain text, not with a problem document.
"""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from crdnet.server.clients import group_client, make_crowd_error
from crdnet.server.draining import STALL_SECONDS
from crdnet.server.forwarding import is_trusted
from crdnet.server.problems import MEDIA_TYPE, Kind, ProblemError, make_document
from crdnet.server.settings import Settings

# For SO_LINGER: on, for 0 seconds.
_AT_ONCE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class LimitedProtocol(H11Protocol):
    """HTTP protocol of uvicorn with limits; `make_protocol` creates a subclass for them."""

    limits: Settings
    on_refusal: Callable[[], None]
    _is_refused = False
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(
        self,
        transport: asyncio.Transport,  # type: ignore[override]  # only TCP is served
    ) -> None:
        """Accept a connection, or refuse it with a response if there are too many."""
        super().connection_made(transport)
        try:
            self._check_caps()
        except ProblemError as problem:
            type(self).on_refusal()
            self._refuse(problem)
        else:
            self._end_after(self.limits.header_seconds)

    def _check_caps(self) -> None:
        """Check the number of all connections, and of those of the client.

        Raises:
            ProblemError: There are too many connections.
        """
        if len(self.connections) > self.limits.connections:
            raise ProblemError(Kind.BUSY, "too many connections; try again later")
        # Clients behind a proxy are counted per request, by the forwarded address.
        if self.client is None or is_trusted(self.client[0], self.limits.proxy_networks):
            return
        client = group_client(self.client[0])
        served = (
            each.client
            for each in self.connections
            if isinstance(each, LimitedProtocol) and not each._is_refused
        )
        count = sum(each is not None and group_client(each[0]) == client for each in served)
        if count > self.limits.client_connections:
            raise make_crowd_error(self.limits.client_connections)

    def _refuse(self, problem: ProblemError) -> None:
        """Send a response outside a request, and close the connection once it has been read."""
        # Further data is read and dropped; otherwise closing would reset the connection.
        self._is_refused = True
        self.transport.write(_render_problem(problem))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._end_after(STALL_SECONDS)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - it names a library
        """Respond to malformed HTTP with a problem document."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering and self.cycle.response_started:
            self.transport.close()  # a second response would mix with the first
            return
        if is_answering:
            # The route of the request must not respond too.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._refuse(ProblemError(Kind.BAD_REQUEST, "the request is not well-formed HTTP/1.1"))

    def data_received(self, data: bytes) -> None:
        """Parse received data; a complete head ends its deadline."""
        if self._is_refused:
            return
        # uvicorn creates a new cycle when a head is complete.
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before and not self.cycle.response_complete:
            self._begin()

    def on_response_complete(self) -> None:
        """Set the deadline for the next request, or for the rest of this one."""
        if not self.flow.write_paused:
            self._end_after(self._choose_patience())
        before = self.cycle
        super().on_response_complete()
        if self.cycle is not before:  # the next request had arrived already
            self._begin()

    def pause_writing(self) -> None:
        """Set a deadline for a client that does not read its response."""
        super().pause_writing()
        self._end_after(self.limits.answer_seconds)

    def resume_writing(self) -> None:
        """End the deadline of a client that has read its response."""
        super().resume_writing()
        if self.cycle.response_complete:
            self._end_after(self._choose_patience())
        else:
            self._clear()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline."""
        self._clear()
        super().connection_lost(exc)

    def _choose_patience(self) -> float:
        # After an early response, a client may still send its body before the next request.
        if self.conn.their_state is h11.SEND_BODY:
            return STALL_SECONDS
        return self.timeout_keep_alive + self.limits.header_seconds

    def _begin(self) -> None:
        """End the deadline of the head, unless the client has yet to read an earlier response."""
        if not self.flow.write_paused:
            self._clear()

    def _end_after(self, seconds: float) -> None:
        self._clear()
        self._deadline = self.loop.call_later(seconds, self._end)

    def _end(self) -> None:
        # An abort discards data that the client has not read yet, so it is used only for a client
        # that does not read.
        if self.transport.get_write_buffer_size():
            # Otherwise the system would keep megabytes for a client that does not read.
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE
            )
            self.transport.abort()
        else:
            self.transport.close()

    def _clear(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _render_problem(problem: ProblemError) -> bytes:
    """Return the bytes of a response outside a request."""
    request_id = uuid4().hex
    document = json.dumps(make_document(problem, request_id)).encode()
    status = HTTPStatus(problem.kind.status)
    headers = problem.headers | {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(document)),
        "X-Content-Type-Options": "nosniff",
        "X-Request-ID": request_id,
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + document


def make_protocol(limits: Settings, on_refusal: Callable[[], None]) -> Any:
    """Return the protocol class for uvicorn.

    Args:
        limits: Settings with the limits of connections.
        on_refusal: Called for every connection that exceeds the limits.
    """
    return type(
        "LimitedByProtocol",
        (LimitedProtocol,),
        {"limits": limits, "on_refusal": staticmethod(on_refusal)},
    )
