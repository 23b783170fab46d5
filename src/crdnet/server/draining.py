"""Body of a request, which is read to its end before the response begins.

A client or proxy that sends the whole body before it reads loses a response that comes earlier,
because its connection is reset. Therefore the rest of a refused upload is read and discarded,
within limits of time and bytes.
"""

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from crdnet.server.settings import Settings

STALL_SECONDS = 3.0
"""Longest time without data, in seconds, after which the response is sent."""
MOST_UPLOADS = 4
"""Limit of the discarded bytes, as a multiple of the largest allowed upload."""


class Body:
    """Body of one request.

    Args:
        scope: ASGI scope of the request.
        receive: ASGI function that returns the next message.
        settings: Settings with the limits of time and bytes.
    """

    def __init__(self, scope: Scope, receive: Receive, settings: Settings) -> None:
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "0")
        self._receive = receive
        self._seconds, self._most = settings.body_seconds, MOST_UPLOADS * settings.max_bytes
        self._seen = 0
        # A body that cannot be drained within the limits gets its response at once.
        is_empty = declared == "0" and "transfer-encoding" not in headers
        self._is_drained = is_empty or (declared.isdecimal() and int(declared) > self._most)
        self._is_held_back = headers.get("expect", "").lower() == "100-continue"
        """True if the client waits for "100 Continue" before it sends the body."""

    async def receive(self) -> Message:
        """Return the next message of the client."""
        # The first call for the body makes uvicorn send "100 Continue".
        self._is_held_back = False
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if not message.get("more_body", False):
            self.abandon()
        return message

    def abandon(self) -> None:
        """Send the response without reading the rest of the body."""
        self._is_drained = True

    async def drain(self) -> None:
        """Read and discard the rest of the body."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                while not (self._is_drained or self._is_held_back) and self._seen <= self._most:
                    async with asyncio.timeout(STALL_SECONDS):
                        await self.receive()
        self.abandon()
