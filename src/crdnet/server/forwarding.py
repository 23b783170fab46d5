"""Headers of trusted proxies, which state the client, scheme and host of a request."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.datastructures import MutableHeaders
from starlette.types import Scope

Networks = Sequence[IPv4Network | IPv6Network]


def apply_forwarding(scope: Scope, trusted: Networks) -> None:
    """Set client, scheme and host in the scope of a request from `X-Forwarded-*` headers.

    The headers count only from a trusted proxy. A proxy on a Unix socket has no address; it is
    trusted if any proxy is.
    """
    client = scope.get("client")
    if not trusted or not (client is None or is_trusted(client[0], trusted)):
        return
    headers = MutableHeaders(scope=scope)
    # Some proxies append a second header after that of the client instead of editing it.
    listed = ",".join(headers.getlist("x-forwarded-for")).split(",")
    hops = [each.strip() for each in listed if each.strip()]
    # Each proxy appends the address of its peer. From the right, the first untrusted address is the
    # client; entries to its left are set by the client itself and are ignored.
    strangers = [each for each in hops if not is_trusted(each, trusted)]
    if hops:
        scope["client"] = ((strangers or hops)[-1], 0)
    # An unknown scheme would appear in the links of responses.
    if (scheme := headers.get("x-forwarded-proto", "").strip().lower()) in ("http", "https"):
        scope["scheme"] = scheme
    # The forwarded host is checked later like any other host.
    if host := headers.get("x-forwarded-host", "").strip():
        headers["host"] = host


def is_address(host: str) -> bool:
    """Return whether a host, without its port, is an IP address."""
    return parse_address(host) is not None


def is_trusted(address: str, trusted: Networks) -> bool:
    """Return whether an address belongs to a trusted proxy."""
    parsed = parse_address(address)
    return parsed is not None and any(parsed in each for each in trusted)


def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address of a host, which may be in brackets; None if it is not an address.

    An IPv4-mapped IPv6 address (::ffff:1.2.3.4) is returned as IPv4.
    """
    try:
        parsed = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed
