"""Connections before there is a request: a cap on their number, and deadlines for the head and for the answer.

uvicorn bounds the time between two requests alone: a head, or the answer to it, may trickle for
ever.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from crdnet.server.problems import MEDIA_TYPE, RETRY_SECONDS
from crdnet.server.settings import Settings

LINGER_SECONDS = 3.0
"""Time for which a connection stays open after its answer if its client sends nothing more. A
connection that is closed while its client sends is reset, and the answer is lost."""
LINGER_UPLOADS = 4
"""A client that has its answer may send so many times the largest upload before it is cut off."""
_AT_ONCE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
"""For SO_LINGER: on, for 0 seconds."""
_FULL = (
    b'{"type": "urn:crdnet:busy", "title": "Too much to do", "status": 503, '
    b'"detail": "too many connections; come again later", "instance": "about:blank"}'
)
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: %b\r\nRetry-After: %d\r\nContent-Length: %d\r\n"
    b"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n%b"
    % (MEDIA_TYPE.encode(), RETRY_SECONDS, len(_FULL), _FULL)
)


class _Transport:
    """Transport whose `close` waits until the client has sent what it is sending."""

    def __init__(self, transport: asyncio.Transport, linger: Callable[[], bool]) -> None:
        self._transport, self._linger = transport, linger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Close the connection, or have it drained first."""
        if not self._linger():
            self._transport.close()


class LimitedProtocol(H11Protocol):
    """uvicorn's protocol with limits; `limited_by` makes the class that knows them."""

    limits: Settings
    refused: Callable[[], None]
    _refused = False
    _drained: int | None = None
    """Bytes read and thrown away since the answer; None: the connection is not to be closed yet."""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or tell it that there are too many."""
        super().connection_made(_Transport(transport, self._linger))  # type: ignore[arg-type]
        if len(self.connections) <= self.limits.connections:
            self._end_after(self.limits.header_seconds)
            return
        type(self).refused()
        self._refused = True
        transport.write(_REFUSAL)
        if transport.can_write_eof():
            transport.write_eof()
        self._end_after(LINGER_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Take what came; a complete head ends the wait for it."""
        if self._refused:
            return
        if self._drained is not None:
            self._drain(data)
            return
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before and not self.cycle.response_complete:
            self._begin()

    def eof_received(self) -> None:
        """Close a connection whose client has sent all it was sending."""
        if self._drained is not None:
            self._close()

    def _linger(self) -> bool:
        """Return whether a connection that is to be closed is drained first."""
        if self._drained is not None:
            return True
        if self.conn.their_state is not h11.SEND_BODY or self.transport.is_closing():
            return False
        self._drained = 0
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._end_after(LINGER_SECONDS)
        self.loop.call_later(self.limits.body_seconds, self._end)
        return True

    def _drain(self, data: bytes) -> None:
        assert self._drained is not None
        self._drained += len(data)
        if self._drained > LINGER_UPLOADS * self.limits.max_bytes:
            self._end()
        elif not self.flow.write_paused:
            self._end_after(LINGER_SECONDS)

    def _close(self) -> None:
        self.transport._transport.close()  # type: ignore[attr-defined]

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of this one, but not for ever."""
        if not self.flow.write_paused:
            self._end_after(self._patience())
        before = self.cycle
        super().on_response_complete()
        if self.cycle is not before:  # the next request was here already
            self._begin()

    def pause_writing(self) -> None:
        """Give a client that does not fetch its answer a deadline."""
        super().pause_writing()
        self._end_after(self.limits.answer_seconds)

    def resume_writing(self) -> None:
        """Go on with a client that has fetched its answer."""
        super().resume_writing()
        if self.cycle.response_complete:
            self._end_after(self._patience())
        else:
            self._clear()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._clear()
        super().connection_lost(exc)

    def _patience(self) -> float:
        if self.conn.their_state is h11.SEND_BODY:
            return LINGER_SECONDS
        return self.timeout_keep_alive + self.limits.header_seconds

    def _begin(self) -> None:
        """A request is here; its client still has to fetch what was answered before."""
        if not self.flow.write_paused:
            self._clear()

    def _end_after(self, seconds: float) -> None:
        self._clear()
        self._deadline = self.loop.call_later(seconds, self._end)

    def _end(self) -> None:
        # An abort takes back from the client what it has not read yet; that is right only where it
        # does not read.
        if self.transport.get_write_buffer_size():
            # Else the system would keep megabytes for a client that does not come.
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE
            )
            self.transport.abort()
        else:
            self._close()

    def _clear(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def limited_by(limits: Settings, refused: Callable[[], None]) -> Any:
    """Return the protocol class for uvicorn.

    Args:
        limits: What bounds a connection.
        refused: Called for every connection over the cap.
    """
    return type(
        "LimitedByProtocol",
        (LimitedProtocol,),
        {"limits": limits, "refused": staticmethod(refused)},
    )
