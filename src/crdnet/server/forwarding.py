"""Headers of trusted proxies: the client of a request, its scheme and its host."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.datastructures import MutableHeaders
from starlette.types import Scope

Networks = Sequence[IPv4Network | IPv6Network]


def apply_forwarding(scope: Scope, trusted: Networks) -> None:
    """Write into a request's scope what a trusted proxy says in `X-Forwarded-*`.

    A proxy on a Unix socket has no address; it is trusted where any proxy is.
    """
    client = scope.get("client")
    if not trusted or not (client is None or is_trusted(client[0], trusted)):
        return
    headers = MutableHeaders(scope=scope)
    # Some proxies add a header of their own behind that of the client, and edit none.
    listed = ",".join(headers.getlist("x-forwarded-for")).split(",")
    hops = [each.strip() for each in listed if each.strip()]
    # Each proxy appends whom it heard; what is left of the last stranger is the stranger's word.
    strangers = [each for each in hops if not is_trusted(each, trusted)]
    if hops:
        scope["client"] = ((strangers or hops)[-1], 0)
    # A scheme that nobody knows would get into the links of answers.
    if (scheme := headers.get("x-forwarded-proto", "").strip().lower()) in ("http", "https"):
        scope["scheme"] = scheme
    # It is checked like any other host.
    if host := headers.get("x-forwarded-host", "").strip():
        headers["host"] = host


def is_address(host: str) -> bool:
    """Return whether a host, without its port, is an IP address."""
    return parse_address(host) is not None


def is_trusted(address: str, trusted: Networks) -> bool:
    """Return whether an address is that of a trusted proxy."""
    parsed = parse_address(address)
    return parsed is not None and any(parsed in each for each in trusted)


def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return an address, which may stand in brackets; None if the host is none.

    An address of IPv4 that is written as one of IPv6 (::ffff:1.2.3.4) is that of IPv4.
    """
    try:
        parsed = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed
