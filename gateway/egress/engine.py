"""libcurl, by pycurl: loaded with the first attempt, and nowhere else.

One engine has the connections of one door. Each dials an address that the guard has checked: when the name is looked up, when
the socket is made, and again when the connection is used once more.
"""

from contextlib import suppress
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import pycurl

from gateway.egress.addresses import literal
from gateway.egress.door import Door, Guard
from gateway.egress.names import Names, Resolved
from gateway.egress.transfer import Ends, Transfer
from gateway.errors import ConnectFailed
from gateway.model import HttpRequest, Reply

#: Idle connections that an engine keeps, to all hosts.
MOST_IDLE: Final = 1_000
#: Transfers that wait to be used again, for each method.
MOST_SPARE: Final = 256


class Engine:
    """The connections through one door; belongs to the loop that is running."""

    def __init__(self, door: Door, guard: Guard, ca_file: str) -> None:
        self._door = door
        self._guard = guard
        self._ca_file = ca_file
        self._names = Names(guard)
        self._multi = pycurl.AsyncCurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, MOST_IDLE)
        #: The descriptors of connections that may be used again, by their ends.
        self._kept: dict[Ends, int] = {}
        #: Transfers that are not in use, by method and whether there is a body.
        self._spare: dict[tuple[str, bool], list[Transfer]] = {}

    async def exchange(self, request: HttpRequest, most: int) -> Reply:
        """Send a request once; its answer, with at most ``most`` bytes of the body. Raises EgressError."""
        resolved = await self._resolved(request.url)
        method, has_body = shape = (request.method, bool(request.body))
        spare = self._spare.setdefault(shape, [])
        transfer = spare.pop() if spare else self._transfer(method, has_body=has_body)
        if len(self._kept) > 2 * MOST_IDLE:
            # Most are closed by now. For those that are not, libcurl's own look has to do once.
            self._kept.clear()
        transfer.prepare(request, resolved, most)
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

    async def connect(self, url: str) -> str:
        """Connect, over TLS where the url says so, and send nothing; to what: ``192.0.2.1, TLSv1.3``. Raises EgressError."""
        transfer = self._transfer("GET", has_body=False)
        said = transfer.only_connect(url, await self._resolved(url))
        await self._carry_out(transfer)
        return f"{transfer.curl.getinfo(pycurl.PRIMARY_IP)}, {_tls_version(said) or 'without TLS'}"

    async def close(self) -> None:
        """Close every connection."""
        await self._names.close()
        await self._multi.aclose()
        self._spare.clear()

    def _transfer(self, method: str, *, has_body: bool) -> Transfer:
        return Transfer(self._guard, self._door, self._ca_file, self._kept, method, has_body=has_body)

    async def _resolved(self, url: str) -> Resolved | None:
        """The checked addresses of the url's host; None for an address in digits."""
        host, port, is_literal = origin(url)
        if is_literal:
            return None
        return self._names.known(host, port) or await self._names.resolve(host, port)

    async def _carry_out(self, transfer: Transfer) -> None:
        done = self._multi.add_handle(transfer.curl)
        try:
            await done
        except pycurl.error as error:
            if not (transfer.is_enough or transfer.is_stale):
                raise transfer.failure(error) from None
        except BaseException:
            # Given up: its connection has half an answer, and is closed now, not at the loop's next turn.
            with suppress(RuntimeError, pycurl.error):
                self._multi.remove_handle(transfer.curl)
            raise


def origin(url: str) -> tuple[str, int, bool]:
    """The host and the port of a url, and whether the host is an address. Raises ConnectFailed for one that cannot be used."""
    end = url.find("/", len("https://"))
    return _origin(url.partition("?")[0] if end < 0 else url[:end])


@lru_cache(maxsize=4096)
def _origin(begin: str) -> tuple[str, int, bool]:
    try:
        parts = urlsplit(begin)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ConnectFailed("the url cannot be used") from None
    if parts.scheme not in ("http", "https"):
        raise ConnectFailed("the url is neither http nor https")
    if not host or not begin.isascii() or not begin.isprintable() or " " in begin:
        raise ConnectFailed("the url cannot be used")
    return host, port or (443 if parts.scheme == "https" else 80), literal(host) is not None


def _tls_version(said: list[str]) -> str:
    """Of ``SSL connection using TLSv1.3 / TLS_AES_256_GCM_SHA384 / ...``."""
    _, _, found = "".join(said).partition("SSL connection using ")
    return found.partition(" ")[0]
