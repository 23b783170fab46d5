"""Settings of the server, checked when they are made."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from crdnet.runtime import count_cpus

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Settings:
    """Limits and places of a server.

    Raises:
        ValueError: They contradict each other, or would leave the server open to everybody.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    """0 takes a free one."""
    unix_socket: str = ""
    """A socket in the file system to listen on instead of host and port; its folder says who may
    reach it."""
    models: tuple[str, ...] = ("default",)
    """Models that clients may choose; the first is the default."""
    device: str = "auto"
    jobs: int = 2
    """Images in work at once; they share the processors."""
    max_bytes: int = 32_000_000
    """Largest size of an upload."""
    max_pixels: int = 50_000_000
    """Most pixels of an image."""
    budget_pixels: int = 60_000_000
    """Most pixels of all images in work at once."""
    queue: int = 16
    """Images that may wait."""
    queue_seconds: float = 30.0
    """Longest wait of an image."""
    header_seconds: float = 10.0
    """Longest time to send the head of a request."""
    body_seconds: float = 60.0
    """Longest time to send the body of a request."""
    answer_seconds: float = 60.0
    """Longest time to fetch an answer."""
    codec_seconds: float = 30.0
    """Longest time to decode or encode an image."""
    work_seconds: float = 300.0
    """Longest time for which one image is in work."""
    codec_megabytes: int = 3000
    """Address space of a process that decodes."""
    connections: int = 256
    """Connections at once."""
    client_connections: int = 128
    """Connections of one client at once; behind a trusted proxy, its requests."""
    client_images_per_minute: float = 0.0
    """Images of one client in a minute; 0 does not limit them."""
    grace_seconds: float = 30.0
    """Longest time for requests in work to end after SIGTERM."""
    keys: tuple[str, ...] = ()
    """Clients must know one of them; none serves everybody who can reach the port."""
    no_auth: bool = False
    """Whether other machines may be served without a key."""
    allowed_hosts: tuple[str, ...] = ()
    """Names, without port, by which the server may be called, beside IP addresses and the names of
    this machine; "*" is any. None: any name with a key, else no further one."""
    cors_origins: tuple[str, ...] = ()
    """Such as https://example.org: whose pages may call the server."""

    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose X-Forwarded-For, -Proto and -Host count."""
    root_path: str = ""
    """Path under which a proxy serves this server, such as /rain."""

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("a server needs a model to serve; name one")
        if self.budget_pixels < self.max_pixels:
            raise ValueError(
                f"a budget of {self.budget_pixels:,} pixels has no room for an image of "
                f"{self.max_pixels:,}; raise it or lower the size of an image"
            )
        if not all(key and key.isascii() and key.isprintable() for key in self.keys):
            raise ValueError(
                "an API key is one line of printable ASCII characters; make it with: "
                "openssl rand -hex 32"
            )
        if (
            not self.unix_socket
            and not is_loopback(self.host)
            and not self.keys
            and not self.no_auth
        ):
            raise ValueError(
                f"{self.host} can be reached from other machines, and no API key is set; give one "
                "with --api-key-file or CRDNET_API_KEY, or say --no-auth"
            )
        if self.root_path and (self.root_path[0] != "/" or self.root_path[-1] == "/"):
            raise ValueError(
                "a root path begins with a slash and does not end with one, got "
                f"{self.root_path!r}; give one such as /rain"
            )
        try:
            _ = self.proxy_networks
        except ValueError as error:
            raise ValueError(
                f"a trusted proxy is an address or a network such as 10.0.0.0/8: {error}"
            ) from error

    @property
    def threads(self) -> int:
        """Processors for one image."""
        return max(1, count_cpus() // self.jobs)

    @property
    def hosts(self) -> frozenset[str]:
        """The names by which the server may be called, beside IP addresses; "*" is any.

        They keep pages away that have their own name resolved to this machine (DNS rebinding). No
        name resolves to an address that is written out, and such a page has no key.
        """
        # A page of another name has no key, so that rebinding gains nothing.
        if self.keys and not self.allowed_hosts:
            return frozenset("*")
        # The address of all interfaces is no name, though our log shows it.
        own = (
            ()
            if self.host in ("0.0.0.0", "::")
            else (f"[{self.host}]" if ":" in self.host else self.host,)
        )
        return frozenset(name.lower() for name in (*LOOPBACK_NAMES, *own, *self.allowed_hosts))

    @property
    def proxy_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The trusted proxies."""
        return tuple(ip_network(each) for each in self.trusted_proxies)

    @property
    def upload_bytes(self) -> int:
        """Most bytes of all uploads in memory."""
        return (self.jobs + self.queue) * self.max_bytes


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host's address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
