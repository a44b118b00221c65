"""How a destination may be reached, and what stops a connection to anywhere else."""

import re
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from gateway.egress.addresses import Address, Reach, is_localhost, literal, odd_spelling, standing, without_mapping
from gateway.errors import AddressBlocked

#: Addresses that a guard remembers to have let pass.
MOST_PASSED: Final = 4096
_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """How a destination may be reached. Equal doors share connections, others never do."""

    #: Whether its name may resolve to public addresses only. Numeric addresses and localhost are always the operator's choice.
    public: bool = False
    #: PEM certificates to trust instead of the system's; empty: the system's.
    ca: str = field(default="", repr=False)
    #: Files of a client certificate and its key (PEM), read again for each new connection; empty: none is shown.
    cert: str = ""
    key: str = ""
    #: The least version of TLS.
    least_tls: Literal["1.2", "1.3"] = "1.2"
    #: ``http://``, ``https://`` or ``socks5h://`` with host and port, and a login if it needs one; empty: no proxy.
    proxy: str = field(default="", repr=False)
    #: Whether HTTP/2 is offered over TLS.
    http2: bool = False
    #: Whether e-mail may go out without TLS, to ``smtp://``.
    plain_mail: bool = False


def certificates(data: bytes) -> str:
    """The certificates of a PEM file and nothing else from it. ValueError if it has none that can be read."""
    found = b"\n".join(_CERTIFICATE.findall(data)).decode("ascii", "replace")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found)
    except (ssl.SSLError, ValueError):
        raise ValueError("no certificate in PEM form") from None
    return found


class Listeners:
    """The gateway's own addresses."""

    def __init__(self) -> None:
        self.bound: frozenset[tuple[Address, int]] = frozenset()

    def know(self, urls: Iterable[str]) -> None:
        """Set where the gateway listens: ``http://127.0.0.1:8080``; ``0.0.0.0`` and ``[::]`` mean every address it has."""
        parts = [urlsplit(url) for url in urls]
        bound = ((literal((each.hostname or "").partition("%")[0]), each.port) for each in parts)
        self.bound = frozenset((without_mapping(address), port) for address, port in bound if address and port)

    def include(self, address: Address, port: int) -> bool:
        """Whether a connection to that address would end here."""
        own = without_mapping(address)
        bound = (each for each, taken in self.bound if taken == port)
        return any(each == own or (each.is_unspecified and _is_of_this_machine(own)) for each in bound)


def _is_of_this_machine(address: Address) -> bool:
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    # The kernel knows them all, even those added after the start; a bound UDP socket sends nothing.
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((str(address), 0))
        return True
    return False


class Guard:
    """Checks every address before a connection is made. Raises AddressBlocked."""

    def __init__(self, door: Door, listeners: Listeners) -> None:
        self.door = door
        self.listeners = listeners
        #: Addresses and ports that passed, and while the gateway listened where.
        self._passed: set[tuple[str, int]] = set()
        self._passed_with = listeners.bound

    def resolved(self, host: str, port: int, addresses: Iterable[str]) -> None:
        """Refuse a name if any one of its addresses is refused: the outcome must not depend on luck."""
        plain = odd_spelling(host)
        if plain is not None:
            raise AddressBlocked(f"blocked address: {host} is an odd spelling: write {plain or 'a name'} into url")
        for text in addresses:
            address = literal(text.partition("%")[0])
            if address is None:
                raise AddressBlocked(f"blocked address: {host} is {text}, which cannot be checked: name another host")
            self._refuse(f"{host} is {address}", address, port)
            found = standing(address)
            # The names of this machine are the operator's word, as 127.0.0.1 is, as long as they mean it.
            is_own = is_localhost(host) and without_mapping(address).is_loopback
            if self.door.public and found.reach is Reach.PRIVATE and not is_own:
                raise AddressBlocked(
                    f"blocked address: {host} is {address}, {found.what}; only public ones are allowed here: "
                    "correct the name, or write public: false into the destination, then replay"
                )

    def connecting(self, text: str, port: int) -> None:
        """The last look, at the very address, whoever named it."""
        if self._passed_with is not self.listeners.bound or len(self._passed) > MOST_PASSED:
            self._passed, self._passed_with = set(), self.listeners.bound
        if (text, port) in self._passed:
            return
        address = literal(text.partition("%")[0])
        if address is None:
            raise AddressBlocked(f"blocked address: {text} cannot be checked: write a name or another address into url")
        self._refuse(str(address), address, port)
        self._passed.add((text, port))

    def _refuse(self, what: str, address: Address, port: int) -> None:
        found = standing(address)
        if found.reach is Reach.FORBIDDEN:
            raise AddressBlocked(
                f"blocked address: {what}, {found.what}: no destination may use it; correct it, then replay"
            )
        if self.listeners.include(address, port):
            raise AddressBlocked(
                f"blocked address: {what}, and port {port} there is the gateway itself: "
                "write the receiver's address into url, then replay"
            )
