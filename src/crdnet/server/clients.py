"""Limits of one client: requests at once, and images per minute.

A client is an address; of IPv6 it is a network of 64 bits, all of which one machine may use. Behind
a trusted proxy it is the address that the proxy forwards.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from math import ceil

from starlette.types import Scope

from crdnet.server.forwarding import parse_address
from crdnet.server.problems import Kind, ProblemError

_MINUTE = 60.0


def get_client(scope: Scope) -> str:
    """Return the address of the client, without its port; empty on a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def group_client(address: str) -> str:
    """Return the name under which the requests of an address are counted."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return parsed.packed[:8].hex()
    return address if parsed is None else str(parsed)


class ClientLimits:
    """Counts the requests and the images of each client; belongs to one event loop.

    Images are limited by the generic cell rate algorithm (ITU-T I.371): a client may use the images
    of one minute at once, and then gets one more in equal intervals.

    Args:
        requests: Requests of one client at once.
        images_per_minute: 0 does not limit them.
        clock: Returns seconds.
    """

    def __init__(
        self,
        requests: int,
        images_per_minute: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._rate, self._clock = requests, images_per_minute, clock
        self._requests: Counter[str] = Counter()
        self._used_until: dict[str, float] = {}
        """Time at which all images of a client have been earned back."""

    @contextmanager
    def hold_request(self, client: str) -> Iterator[None]:
        """Count a request while the context lasts.

        Raises:
            ProblemError: The client has as many as it may have.
        """
        if self._requests[client] >= self._most:
            raise make_crowd_error(self._most)
        self._requests[client] += 1
        try:
            yield
        finally:
            self._requests[client] -= 1
            # A counter keeps zeros, one for each address that ever came.
            if not self._requests[client]:
                del self._requests[client]

    def count_image(self, client: str) -> None:
        """Count an image.

        Raises:
            ProblemError: The client has sent as many as it may send in this minute.
        """
        if not self._rate:
            return
        now = self._clock()
        # Clients of the last minute alone: addresses would fill the memory.
        self._used_until = {each: until for each, until in self._used_until.items() if until > now}
        until = self._used_until.get(client, now) + _MINUTE / self._rate
        # A rate below one image per minute still allows the first one.
        wait = until - now - max(_MINUTE, _MINUTE / self._rate)
        if wait > 1e-6:  # sums of seconds are not exact
            raise ProblemError(
                Kind.TOO_MANY,
                f"at most {self._rate:g} images per minute are taken from one client; come again "
                f"in {ceil(wait)} seconds",
                {"Retry-After": str(ceil(wait))},
            )
        self._used_until[client] = until


def make_crowd_error(most: int) -> ProblemError:
    """Return the problem of a client with too many connections or requests at once."""
    return ProblemError(
        Kind.BUSY, f"one client may have {most} connections at once; use fewer, or come again later"
    )
