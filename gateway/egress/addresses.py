"""What an IP address is: public, private, or one that no destination may have.

The table is explicit: what Python's ``ipaddress`` calls global changes from version to version, and on 3.11 that
includes NAT64, 6to4 and a cloud's metadata address. Sources: the IANA registries of special-purpose addresses
(RFC 6890), and the clouds' own pages on their metadata services.
"""

import re
import socket
from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from msgspec import Struct

Address = IPv4Address | IPv6Address


class Reach(IntEnum):
    """Where an address leads; the higher, the worse."""

    PUBLIC = 0
    #: This machine or its network.
    PRIVATE = 1
    #: Not allowed for any destination, whatever routes.yaml says.
    FORBIDDEN = 2


class Standing(Struct, frozen=True):
    """What the table says about an address."""

    reach: Reach
    #: In words: ``a private address (RFC 1918)``.
    what: str


_METADATA: Final = "a cloud's metadata address"
_LINK_LOCAL: Final = "a link-local address, where clouds keep their metadata"
_RESERVED: Final = "a reserved address"

#: The first network that contains an address decides.
_TABLE: Final[Sequence[tuple[Reach, str, Sequence[str]]]] = (
    (Reach.FORBIDDEN, "the unspecified address", ("0.0.0.0/8", "::/128")),
    (Reach.FORBIDDEN, _LINK_LOCAL, ("169.254.0.0/16", "fe80::/10")),
    # Azure; Alibaba Cloud; Oracle Cloud, also by IPv6; AWS, with its name and time servers; Google Cloud; Scaleway.
    (
        Reach.FORBIDDEN,
        _METADATA,
        ("168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32", "fd00:c1::a9fe:a9fe/128"),
    ),
    (Reach.FORBIDDEN, _METADATA, ("fd00:ec2::/32", "fd20:ce::254/128", "fd00:42::42/128")),
    (Reach.FORBIDDEN, "a multicast address", ("224.0.0.0/4", "ff00::/8")),
    (Reach.FORBIDDEN, "the broadcast address", ("255.255.255.255/32",)),
    (Reach.FORBIDDEN, "an address for examples only", ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")),
    (Reach.FORBIDDEN, "an address for examples only", ("2001:db8::/32", "3fff::/20")),
    (Reach.FORBIDDEN, _RESERVED, ("192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4")),
    (Reach.PRIVATE, "this machine's own address (loopback)", ("127.0.0.0/8", "::1/128")),
    (Reach.PRIVATE, "a private address (RFC 1918)", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")),
    (Reach.PRIVATE, "a provider's internal address (RFC 6598)", ("100.64.0.0/10",)),
    (Reach.PRIVATE, "a test network's address (RFC 2544)", ("198.18.0.0/15", "2001:2::/48")),
    (Reach.PRIVATE, "a private address (RFC 4193)", ("fc00::/7", "fec0::/10")),
    (Reach.PRIVATE, "a NAT64 address of a local network (RFC 8215)", ("64:ff9b:1::/48",)),
    # No service is offered there any more (RFC 7526), and newer Pythons call them private too; the address inside can be worse.
    (Reach.PRIVATE, "the address of a tunnel (6to4, Teredo)", ("2001::/32", "2002::/16")),
    # These say nothing by themselves: the IPv4 address inside decides.
    (Reach.PUBLIC, "a public address", ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")),
    (Reach.FORBIDDEN, _RESERVED, ("2001::/23",)),
    (Reach.PUBLIC, "a public address", ("0.0.0.0/0", "2000::/3")),
    (Reach.FORBIDDEN, _RESERVED, ("::/0",)),
)


def _networks(version: int) -> Sequence[tuple[IPv4Network | IPv6Network, Standing]]:
    networks = ((ip_network(text), Standing(reach, what)) for reach, what, texts in _TABLE for text in texts)
    return [(network, standing) for network, standing in networks if network.version == version]


_NETWORKS: Final = {4: _networks(4), 6: _networks(6)}
_MAPPED: Final = tuple(IPv6Network(each) for each in ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
_OWN_NAT64: Final = IPv6Network("64:ff9b:1::/48")
#: Positions of the bytes of the IPv4 address, by the length of the NAT64 prefix: 48, 56, 64, 96 (RFC 6052, 2.2).
_OWN_NAT64_LAYOUTS: Final = ((6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12), (12, 13, 14, 15))
_TEREDO: Final = IPv6Network("2001::/32")
_6TO4: Final = IPv6Network("2002::/16")
#: How the interface half of an ISATAP address begins (RFC 5214, 6.1).
_ISATAP: Final = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")


@lru_cache(maxsize=4096)
def standing(address: Address) -> Standing:
    """The worst of the address itself and of every IPv4 address inside it."""
    worst = _listed(address)
    for inner in embedded(address):
        found = _listed(inner)
        if found.reach > worst.reach:
            worst = Standing(found.reach, f"a way to {inner}, {found.what}")
    return worst


def _listed(address: Address) -> Standing:
    return next(standing for network, standing in _NETWORKS[address.version] if address in network)


def embedded(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that packets to an IPv6 address may reach."""
    if not isinstance(address, IPv6Address):
        return
    packed = address.packed
    if any(address in network for network in _MAPPED):
        yield IPv4Address(packed[12:])
    elif address in _OWN_NAT64:
        candidates = [bytes(packed[at] for at in layout) for layout in _OWN_NAT64_LAYOUTS]
        # With a prefix of another length these bytes are zeros.
        yield from (IPv4Address(each) for each in candidates if each[0])
    elif address in _6TO4:
        yield IPv4Address(packed[2:6])
    elif address in _TEREDO:
        yield IPv4Address(packed[4:8])
        yield IPv4Address(bytes(each ^ 0xFF for each in packed[12:]))
    if packed[8:12] in _ISATAP:
        yield IPv4Address(packed[12:])


def without_mapping(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped one; any other address unchanged."""
    return getattr(address, "ipv4_mapped", None) or address


# --- hosts as they are written ---


def literal(host: str) -> Address | None:
    """The address that a host is, in its usual spelling; None for a name or an odd spelling."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def odd_spelling(host: str) -> str | None:
    """The usual spelling of an oddly spelled IPv4 address: ``127.0.0.1`` for 2130706433, 0x7f.1 or 0177.0.0.1.

    Empty for a host that ends like an address but is not valid; None for every other host. What ends in a number is
    never a name (WHATWG URL, "ends in a number checker").
    """
    bare = host.rstrip(".")
    if ":" in bare or not re.fullmatch(r"[0-9]+|0[xX][0-9A-Fa-f]*", bare.rpartition(".")[2]):
        return None
    if bare == host and literal(host) is not None:
        return None
    try:
        return str(IPv4Address(socket.inet_aton(bare)))
    except (OSError, ValueError):
        return ""


def is_localhost(host: str) -> bool:
    """Whether a name means this machine by definition (RFC 6761, 6.3)."""
    bare = host.lower().rstrip(".")
    return bare == "localhost" or bare.endswith(".localhost")
