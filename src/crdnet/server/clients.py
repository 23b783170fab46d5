"""Limits per client: simultaneous requests, and images per minute.

A client is an IPv4 address or an IPv6 /64 network, all of which one machine may use. Behind a
trusted proxy, the client is the address that the proxy forwards.
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
    """Return the client to which an address belongs: the address, or its IPv6 network."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return parsed.packed[:8].hex()
    return address if parsed is None else str(parsed)


class ClientLimits:
    """Counter of the requests and the images of each client; it belongs to one event loop.

    Images are limited by the generic cell rate algorithm (ITU-T I.371): a client may send the
    images of one minute at once, and then one more after each equal interval.

    Args:
        requests: Maximum number of simultaneous requests of one client.
        images_per_minute: Maximum number of images of one client per minute; 0 sets no limit.
        clock: Function that returns the time in seconds.
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
        """Time at which each client may send the images of a whole minute again."""

    @contextmanager
    def hold_request(self, client: str) -> Iterator[None]:
        """Count a request during the context.

        Raises:
            ProblemError: The client already has the maximum number of requests.
        """
        if self._requests[client] >= self._most:
            raise make_crowd_error(self._most)
        self._requests[client] += 1
        try:
            yield
        finally:
            self._requests[client] -= 1
            # A counter would keep a zero for each past address.
            if not self._requests[client]:
                del self._requests[client]

    def count_image(self, client: str) -> None:
        """Count an image of a client.

        Raises:
            ProblemError: The client has already sent the maximum number of images per minute.
        """
        if not self._rate:
            return
        now = self._clock()
        # Only clients of the last minute are kept, because addresses would fill the memory.
        self._used_until = {each: until for each, until in self._used_until.items() if until > now}
        until = self._used_until.get(client, now) + _MINUTE / self._rate
        # A rate below one image per minute still allows the first one.
        wait = until - now - max(_MINUTE, _MINUTE / self._rate)
        if wait > 1e-6:  # sums of seconds are not exact
            raise ProblemError(
                Kind.TOO_MANY,
                f"at most {self._rate:g} images per minute are accepted from one client; try again "
                f"in {ceil(wait)} seconds",
                {"Retry-After": str(ceil(wait))},
            )
        self._used_until[client] = until


def make_crowd_error(most: int) -> ProblemError:
    """Return the problem for a client with too many simultaneous connections or requests."""
    return ProblemError(
        Kind.BUSY, f"one client may have {most} connections at once; use fewer, or try again later"
    )
