"""libcurl, by pycurl: loaded with the first attempt, and nowhere else.

One engine has the connections of one door. Each dials an address that the guard has checked: when the name is looked up, when
the socket is made, and again when the connection is used once more.
"""

from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import pycurl

from gateway.egress import unix
from gateway.egress.addresses import literal
from gateway.egress.door import Door, Guard
from gateway.egress.mail import Mailer
from gateway.egress.multi import Multi
from gateway.egress.names import Addresses, Names, Resolved
from gateway.egress.transfer import Ends, Shape, Transfer
from gateway.errors import ConnectFailed
from gateway.model import HttpRequest, Mail, Reply

_PORTS: Final = {"http": 80, "https": 443, "socks5h": 1080, "smtp": 587, "smtps": 465}
#: Idle connections that an engine keeps, to all hosts.
MOST_IDLE: Final = 1_000
#: Transfers that wait to be used again, for each method.
MOST_SPARE: Final = 256


class Engine:
    """The connections through one door; belongs to the loop that is running."""

    def __init__(self, door: Door, guard: Guard, ca_file: str, names: Names) -> None:
        self._door = door
        # Behind a proxy it is the proxy that is connected to; its address is the operator's word.
        self._guard = Guard(Door(), guard.listeners) if door.proxy else guard
        self._ca_file = ca_file
        self._addresses = Addresses(names, self._guard)
        self._multi = Multi(most_idle=MOST_IDLE, may_be_http2=door.http2)
        #: The descriptors of connections that may be used again, by their ends.
        self._kept: dict[Ends, int] = {}
        #: Transfers that are not in use.
        self._spare: dict[Shape, list[Transfer]] = {}
        self._mailer: Mailer | None = None

    async def exchange(self, request: HttpRequest, most: int) -> Reply:
        """Send a request once; its answer, with at most ``most`` bytes of the body. Raises EgressError."""
        where = target(request.url)
        resolved = await self._resolved(where)
        shape = Shape(request.method, bool(request.body), where.socket)
        spare = self._spare.setdefault(shape, [])
        transfer = spare.pop() if spare else self._transfer(shape)
        if len(self._kept) > 2 * MOST_IDLE:
            # Most are closed by now. For those that are not, libcurl's own look has to do once.
            self._kept.clear()
        transfer.prepare(request, where.url, resolved, most)
        try:
            await self._carry_out(transfer)
            if transfer.is_stale:
                transfer.prepare_again()
                await self._carry_out(transfer)
            return transfer.reply()
        finally:
            transfer.forget()
            if len(spare) < MOST_SPARE:
                spare.append(transfer)

    async def mail(self, mail: Mail) -> Reply:
        """Send an e-mail once; the server's last answer. Raises EgressError."""
        where = target(mail.url)
        if self._mailer is None:
            self._mailer = Mailer(self._door, self._guard, self._ca_file)
        return await self._mailer.send(mail, *where.origin[:2], await self._resolved(where))

    async def connect(self, url: str) -> str:
        """Connect, over TLS where the url says so, and send nothing; to what: ``192.0.2.1, TLSv1.3``. Raises EgressError."""
        where = target(url)
        transfer = self._transfer(Shape("GET", has_body=False, socket=where.socket))
        said = transfer.only_connect(_like_http(where), await self._resolved(where))
        await self._carry_out(transfer)
        there = where.socket or transfer.curl.getinfo(pycurl.PRIMARY_IP)
        by = " (the proxy)" if self._door.proxy else ""
        return f"{there}{by}, {_tls_version(said) or 'without TLS'}"

    async def close(self) -> None:
        """Close every connection."""
        self._multi.close()
        self._spare.clear()
        if self._mailer is not None:
            self._mailer.close()

    def _transfer(self, shape: Shape) -> Transfer:
        return Transfer(self._guard, self._door, self._ca_file, self._kept, self._multi.made, shape)

    async def _resolved(self, where: "Target") -> Resolved | None:
        """The checked addresses of what is connected to; None where there is no name to look up."""
        host, port, is_literal = origin(self._door.proxy) if self._door.proxy else where.origin
        if is_literal or where.socket:
            return None
        return await self._addresses.resolve(host, port)

    async def _carry_out(self, transfer: Transfer) -> None:
        try:
            await self._multi.carry_out(transfer.curl)
        except pycurl.error as error:
            if not (transfer.is_enough or transfer.is_stale):
                raise transfer.failure(error) from None


class Target(NamedTuple):
    """Where a request goes."""

    #: As libcurl reads it.
    url: str
    #: Host, port, and whether the host is an address.
    origin: tuple[str, int, bool]
    #: The path of a Unix socket, for ``http+unix://%2Frun%2Fapp.sock/path``.
    socket: str = ""


def target(url: str) -> Target:
    """Where a url leads. Raises ConnectFailed for one that cannot be used."""
    if not url.startswith(unix.SCHEME):
        return Target(url, origin(url))
    try:
        path, asked = unix.parted(url)
    except ValueError as error:
        raise ConnectFailed(f"{error}: {unix.EXAMPLE}") from None
    return Target(asked, ("localhost", 80, True), path)


def _like_http(where: Target) -> str:
    """A url that is connected to in the same way, over TLS from the start or not, by a handle that speaks HTTP only."""
    scheme = where.url.partition("://")[0]
    if not scheme.startswith("smtp"):
        return where.url
    host, port, _ = where.origin
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if scheme == 'smtps' else 'http'}://{shown}:{port}/"


def origin(url: str) -> tuple[str, int, bool]:
    """The host and the port of a url, and whether the host is an address. Raises ConnectFailed for one that cannot be used."""
    end = url.find("/", len("https://") if not url.startswith("socks5h") else len("socks5h://"))
    return _origin(url.partition("?")[0] if end < 0 else url[:end])


@lru_cache(maxsize=4096)
def _origin(begin: str) -> tuple[str, int, bool]:
    try:
        parts = urlsplit(begin)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ConnectFailed("the url cannot be used") from None
    if parts.scheme not in _PORTS:
        raise ConnectFailed("the url is neither http nor https")
    if not host or not begin.isascii() or not begin.isprintable() or " " in begin:
        raise ConnectFailed("the url cannot be used")
    return host, port or _PORTS[parts.scheme], literal(host) is not None


def _tls_version(said: list[str]) -> str:
    """Of ``SSL connection using TLSv1.3 / TLS_AES_256_GCM_SHA384 / ...``."""
    _, _, found = "".join(said).partition("SSL connection using ")
    return found.partition(" ")[0]
