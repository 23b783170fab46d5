"""Settings of the server, validated when they are created."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from crdnet.runtime import count_cpus

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Settings:
    """Addresses, models and limits of a server.

    Raises:
        ValueError: Settings contradict each other, or would leave the server open to everybody.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    unix_socket: str = ""
    """Path of a Unix socket to listen on instead of host and port; the permissions of its folder
    control access."""
    models: tuple[str, ...] = ("default",)
    """Models that clients may choose; the first is the default."""
    device: str = "auto"
    jobs: int = 2
    """Maximum number of images processed at once; they share the CPUs."""
    max_bytes: int = 32_000_000
    """Largest size of an upload, in bytes."""
    max_pixels: int = 50_000_000
    """Largest number of pixels of an image."""
    budget_pixels: int = 60_000_000
    """Largest total number of pixels of the images processed at once."""
    queue: int = 16
    """Maximum number of waiting images."""
    queue_seconds: float = 30.0
    """Longest time for which an image waits."""
    header_seconds: float = 10.0
    """Longest time to send the head of a request."""
    body_seconds: float = 60.0
    """Longest time to send the body of a request."""
    answer_seconds: float = 60.0
    """Longest time for a client to read a response."""
    codec_seconds: float = 30.0
    """Longest time to decode or encode an image."""
    work_seconds: float = 300.0
    """Longest time to process one image."""
    codec_megabytes: int = 3000
    """Limit of the address space of a codec process, in megabytes."""
    connections: int = 256
    """Maximum number of simultaneous connections."""
    client_connections: int = 128
    """Maximum number of simultaneous connections of one client; behind a trusted proxy, of
    simultaneous requests."""
    client_images_per_minute: float = 0.0
    """Maximum number of images of one client per minute; 0 sets no limit."""
    grace_seconds: float = 30.0
    """Longest time for running requests to finish after SIGTERM."""
    keys: tuple[str, ...] = ()
    """Keys, one of which a client must send; without keys, everybody who reaches the port is
    served."""
    no_auth: bool = False
    """True if other machines may be served without a key."""
    allowed_hosts: tuple[str, ...] = ()
    """Allowed host names, without port, besides IP addresses and the names of this machine; "*"
    allows any name. If empty, any name is allowed with a key, and no other without one."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the server, such as https://example.org."""

    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies whose X-Forwarded-For, -Proto and -Host are used."""
    root_path: str = ""
    """Path under which a proxy serves this server, such as /rain."""

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("the server needs a model; name one")
        if self.budget_pixels < self.max_pixels:
            raise ValueError(
                f"the budget of {self.budget_pixels:,} pixels is below the limit of one image, "
                f"{self.max_pixels:,}; raise the budget or lower the limit"
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
                "with --api-key-file or CRDNET_API_KEY, or use --no-auth"
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
        """Number of threads for one image."""
        return max(1, count_cpus() // self.jobs)

    @property
    def hosts(self) -> frozenset[str]:
        """Allowed host names besides IP addresses; "*" allows any name.

        The check stops pages of a name that resolves to this machine (DNS rebinding). A request to
        an IP address involves no name, and a page of another site has no key.
        """
        # A page of another name has no key, so rebinding gives it no access.
        if self.keys and not self.allowed_hosts:
            return frozenset("*")
        # The address of all interfaces is not a host name, although the log shows it.
        own = (
            ()
            if self.host in ("0.0.0.0", "::")
            else (f"[{self.host}]" if ":" in self.host else self.host,)
        )
        return frozenset(name.lower() for name in (*LOOPBACK_NAMES, *own, *self.allowed_hosts))

    @property
    def proxy_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The trusted proxies as networks."""
        return tuple(ip_network(each) for each in self.trusted_proxies)

    @property
    def upload_bytes(self) -> int:
        """Largest total size of the uploads in memory, in bytes."""
        return (self.jobs + self.queue) * self.max_bytes


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address of a host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
