"""Who is at the other end of a request: the client behind trusted proxies, and which requests are of one party."""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from msgspec import Struct

from gateway.routing import forwarded
from gateway.routing.forwarded import Address, RawHeaders, address_of

Network = IPv4Network | IPv6Network

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
#: Senders remembered as verified.
_MOST_VERIFIED: Final = 4096


class Peers(Struct, frozen=True, kw_only=True):
    """What the operator says about the machines in front of the gateway."""

    #: Proxies whose word on the client's address is taken.
    trusted: tuple[Network, ...] = ()
    #: Whether shares are also for loopback and private addresses.
    share_private: bool = False

    def is_trusted(self, host: str) -> bool:
        address = address_of(host)
        return address is not None and self._trusts(address)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self.trusted)

    def client(self, peer: str, headers: RawHeaders) -> str:
        """The client's address: the nearest in X-Forwarded-For, or else Forwarded, that is not a trusted proxy.

        ``peer`` if it is not a trusted proxy. An entry that is not an address hides what is before it: the proxy
        that passed it on counts as the client. Header names are in lower case. Total.
        """
        client = address_of(peer)
        if client is None or not self._trusts(client):
            return peer
        for address in forwarded.clients(headers):
            if address is None:
                break
            client = address
            if not self._trusts(address):
                break
        return str(client)

    def scheme(self, headers: RawHeaders) -> str:
        """How clients reach the trusted proxy that made the request: ``https`` if it says so, else ``http``. Total."""
        return "https" if forwarded.scheme(headers) == "https" else "http"

    def seen(self, peer: str, headers: RawHeaders) -> tuple[str, str, str]:
        """The client of a request that ``peer`` passed on, its party, and the scheme. Total."""
        client = self.client(peer, headers)
        return client, self.party(client), self.scheme(headers)

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
        party = self._rules().party(host)
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
    address = address_of(host)
    if address is None:
        return host, True
    name = str(address)
    if isinstance(address, IPv6Address):
        name = str(IPv6Network((int(address), _V6_PREFIX), strict=False))
    return name, any(address in network for network in _PRIVATE)
