"""Who is at the other end of a request: the client behind trusted proxies, and which requests are of one party."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from msgspec import Struct

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
RawHeaders = Sequence[tuple[bytes, bytes]]

#: This machine, its networks and its providers' (RFC 1122, 1918, 6598, 3927, 4193, 4291): an ingress, a bridge or a
#: tunnel, with many senders behind one address.
_PRIVATE: Final = tuple(
    ip_network(each)
    for each in (
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16",
        "::1/128", "fc00::/7", "fe80::/10",
    )
)  # fmt: skip
#: A customer gets a /64 or more (RFC 6177): its single addresses are for free.
_V6_PREFIX: Final = 64
#: Proxies of one request that are looked at, from the nearest on.
_MOST_HOPS: Final = 32
#: Senders remembered as verified.
_MOST_VERIFIED: Final = 4096


class Peers(Struct, frozen=True, kw_only=True):
    """What the operator says about the machines in front of the gateway."""

    #: Proxies whose word on the client's address is taken.
    trusted: tuple[Network, ...] = ()
    #: Whether shares are also for loopback and private addresses.
    share_private: bool = False

    def is_trusted(self, host: str) -> bool:
        address = _address(host)
        return address is not None and self._trusts(address)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self.trusted)

    def client(self, peer: str, headers: RawHeaders) -> str:
        """The client's address: the nearest in X-Forwarded-For, or else Forwarded, that is not a trusted proxy.

        ``peer`` if it is not a trusted proxy. An entry that is not an address hides what is before it: the proxy
        that passed it on counts as the client. Header names are in lower case. Total.
        """
        client = _address(peer)
        if client is None or not self._trusts(client):
            return peer
        for host in _forwarded_for(headers):
            address = _address(host)
            if address is None:
                break
            client = address
            if not self._trusts(address):
                break
        return str(client)

    def scheme(self, headers: RawHeaders) -> str:
        """How clients reach the trusted proxy that made the request: ``https`` if it says so, else ``http``. Total."""
        return "https" if _forwarded_proto(headers) == "https" else "http"

    def party(self, host: str) -> str:
        """All addresses with the same party share what one client may have; empty: no share applies."""
        name, is_private = _party(host)
        return "" if is_private and not self.share_private else name


def party_of(host: str) -> str:
    """The name that all addresses of one client have in common: the address, or the network of an IPv6 one."""
    return _party(host)[0]


class Senders:
    """The peers by the file in force, and who of them has signed a request with one of its secrets."""

    def __init__(self, rules: Callable[[], Peers] = Peers) -> None:
        self._rules = rules
        #: (party, path); who was verified last is last.
        self._verified: dict[tuple[str, bytes], None] = {}

    @property
    def peers(self) -> Peers:
        return self._rules()

    def verified(self, host: str, path: bytes) -> None:
        """Remember that a request for ``path`` from this client was authentic.

        An address to which no share applies stands for many clients, and vouches for none of them.
        """
        party = self.peers.party(host)
        if not party:
            return
        self._verified.pop((party, path), None)
        self._verified[party, path] = None
        if len(self._verified) > _MOST_VERIFIED:
            del self._verified[next(iter(self._verified))]

    def has_verified(self, host: str, path: bytes) -> bool:
        """Whether one was before."""
        return (self.peers.party(host), path) in self._verified


@lru_cache(maxsize=4096)
def _party(host: str) -> tuple[str, bool]:
    """The name of its party, and whether it is on a private network."""
    address = _address(host)
    if address is None:
        return host, True
    name = str(address)
    if isinstance(address, IPv6Address):
        name = str(IPv6Network((int(address), _V6_PREFIX), strict=False))
    return name, any(address in network for network in _PRIVATE)


def _address(host: str) -> Address | None:
    """An address without its zone; the IPv4 address of a mapped one."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _forwarded_for(headers: RawHeaders) -> Iterator[str]:
    """The addresses that proxies noted, without ports, the nearest first; an unreadable one is empty."""
    for name, hosts in ((b"x-forwarded-for", _plain), (b"forwarded", _elements)):
        values = [value for header, value in headers if header == name]
        if values:
            yield from hosts(b",".join(values).decode("latin-1"))
            return


def _forwarded_proto(headers: RawHeaders) -> str:
    """The scheme that the nearest proxy noted, in X-Forwarded-Proto or else in Forwarded (RFC 7239); empty: none."""
    for name in (b"x-forwarded-proto", b"forwarded"):
        last = [value for header, value in headers if header == name][-1:]
        for hop in (next(_nearest(value.decode("latin-1"))).lower() for value in last):
            pairs = {key.strip(): said.strip(' "') for key, _, said in (each.partition("=") for each in hop.split(";"))}
            return hop if name == b"x-forwarded-proto" else pairs.get("proto", "")
    return ""


def _plain(value: str) -> Iterator[str]:
    yield from (_host(each) for each in _nearest(value))


def _elements(value: str) -> Iterator[str]:
    """The ``for`` of each element of a Forwarded header (RFC 7239)."""
    for element in _nearest(value):
        pairs = [pair.partition("=") for pair in element.split(";")]
        named = [node.strip() for key, _, node in pairs if key.strip().lower() == "for"]
        yield _host(named[0].removeprefix('"').removesuffix('"')) if len(named) == 1 else ""


def _nearest(value: str) -> Iterator[str]:
    # Not split as a whole: 32 KiB of commas are not worth a list. A quoted comma is in no address.
    for _ in range(_MOST_HOPS):
        value, comma, hop = value.rpartition(",")
        yield hop.strip()
        if not comma:
            return


def _host(written: str) -> str:
    """An address without the port: ``192.0.2.1:80``, ``[2001:db8::1]:80``, ``2001:db8::1``."""
    if written.startswith("["):
        return written[1:].partition("]")[0]
    return written.partition(":")[0] if written.count(":") == 1 else written
