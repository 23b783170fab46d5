"""Body of a request, which is read to its end before the answer begins.

A client that sends first and reads later, or a proxy in front of it, loses an answer that comes
while it still sends: its connection is reset. Therefore the rest of a refused upload is read and
discarded, within bounds of time and bytes.
"""

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from crdnet.server.settings import Settings

STALL_SECONDS = 3.0
"""A client that sends nothing for so long is answered."""
MOST_UPLOADS = 4
"""At most so many times the largest upload is read and discarded."""


class Body:
    """Body of one request.

    Args:
        scope: The request.
        receive: Gives its messages.
        settings: Bounds of time and bytes.
    """

    def __init__(self, scope: Scope, receive: Receive, settings: Settings) -> None:
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "0")
        self._receive = receive
        self._seconds, self._most = settings.body_seconds, MOST_UPLOADS * settings.max_bytes
        self._seen = 0
        # What can never be drained within the bounds is answered at once.
        is_empty = declared == "0" and "transfer-encoding" not in headers
        self._is_drained = is_empty or (declared.isdecimal() and int(declared) > self._most)
        self._is_held_back = headers.get("expect", "").lower() == "100-continue"
        """Whether the client sends nothing before it is told to."""

    async def receive(self) -> Message:
        """Return the next message of the client."""
        # Asking uvicorn for the body makes it send "100 Continue".
        self._is_held_back = False
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if not message.get("more_body", False):
            self.abandon()
        return message

    def abandon(self) -> None:
        """Read nothing more before the answer."""
        self._is_drained = True

    async def drain(self) -> None:
        """Read and discard what the client still sends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                while not (self._is_drained or self._is_held_back) and self._seen <= self._most:
                    async with asyncio.timeout(STALL_SECONDS):
                        await self.receive()
        self.abandon()
