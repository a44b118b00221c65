"""httpx and aiohttp: loaded only with the first attempt, since that takes a third of a second.

Requests and answers are httpx's; connections are aiohttp's, through ``httpx-aiohttp``.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import Future
from functools import partial
from types import MappingProxyType
from typing import Final, cast

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType, Connection
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader
from httpx_aiohttp import AiohttpTransport

from gateway.egress.door import Guard
from gateway.errors import AnswerBroken
from gateway.model import HttpRequest

#: Bytes of an answer that are read; the connection is dropped after a longer one.
LONGEST_ANSWER: Final = 16_384
#: Seconds that an idle connection is kept: less than the 5 s after which Node, uvicorn and Apache close theirs. A
#: request that crosses such a close on the wire is lost, and a POST is not repeated automatically.
KEEP_ALIVE_S: Final = 4.0
#: Limits of an answer's header: bytes of a line or field, and number of fields.
LONGEST_FIELD: Final = 8_190
MOST_FIELDS: Final = 128
#: Interim answers (``100 Continue``) that are skipped before the final answer.
MOST_INTERIM: Final = 20
#: Seconds that the addresses of a name are cached.
NAMES_KEPT_S: Final = 30
#: Concurrent name look-ups.
MOST_LOOKUPS: Final = 32

_NUMERIC = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


def tls_context(ca: str) -> ssl.SSLContext:
    """A context that verifies certificates against ``ca`` (PEM) or the system's; TLS 1.2 or newer.

    Takes 20 ms: keep it off the event loop.
    """
    context = ssl.create_default_context(cadata=ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def open_transport(tls: ssl.SSLContext, guard: Guard) -> httpx.AsyncBaseTransport:
    """A transport with its own connections, each to an address that ``guard`` allows. Needs a running loop."""
    session = aiohttp.ClientSession(
        # No limit here: the caller limits what is in flight to each destination.
        connector=aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEP_ALIVE_S,
            ssl=tls,
            resolver=Resolver(guard),
            ttl_dns_cache=NAMES_KEPT_S,
            socket_factory=partial(_socket, guard),
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        # A request is sent with exactly the headers that it was built with.
        skip_auto_headers=("accept-encoding", "content-type", "user-agent"),
        # ``send`` sets one deadline for the whole attempt.
        timeout=aiohttp.ClientTimeout(),
        response_class=Response,
        read_bufsize=LONGEST_ANSWER,
        max_line_size=LONGEST_FIELD,
        max_field_size=LONGEST_FIELD,
        max_headers=MOST_FIELDS,
    )
    # There is no public option. Without this, a PUT or DELETE that is reset would be sent twice in one attempt.
    session._retry_connection = False  # noqa: SLF001
    return AiohttpTransport(client=session, verify=tls)


def _socket(guard: Guard, found: AddrInfoType) -> socket.socket:
    """Called for every connection, even to a numeric address, which is never looked up."""
    family, kind, protocol, _, address = found
    guard.connecting(str(address[0]), int(address[1]))
    return socket.socket(family, kind, protocol)


# --- a request out, an answer in ---


def outgoing(request: HttpRequest) -> httpx.Request:
    """The request as httpx has it. The obvious way to build one costs twice as much: nearly half of an attempt.

    ``content`` instead of a stream, and no explicit encoding, cost four more passes over the headers. A url is parsed
    only if something looks into it, and on the way to aiohttp nothing does.
    """
    outgoing = httpx.Request(request.method, _SOMEWHERE, stream=httpx.ByteStream(request.body))
    outgoing.headers = httpx.Headers(dict(request.headers), encoding="ascii")
    outgoing.url = Address(request.url)
    outgoing.read()
    return outgoing


_SOMEWHERE: Final = httpx.URL("http://localhost/")


class Address(httpx.URL):
    """A url that is not parsed until it has to be."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __getattr__(self, name: str) -> object:
        # A missing attribute is one that the parser would have set.
        super().__init__(self._text)
        return object.__getattribute__(self, name)

    def __str__(self) -> str:
        return self._text


async def beginning(response: "httpx.Response") -> bytes:
    """The first 16 KiB of an answer's body, as received."""
    chunks = aiter(cast("httpx.AsyncByteStream", response.stream))
    body = b""
    async for chunk in chunks:
        body += chunk
        if len(body) >= LONGEST_ANSWER:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
            break
    return body[:LONGEST_ANSWER]


def first_fields(response: httpx.Response) -> Mapping[str, str]:
    """An answer's header: lower-case names; the first of repeated fields wins."""
    fields: dict[str, str] = {}
    for name, value in response.headers.raw:
        fields.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return MappingProxyType(fields)


# --- what aiohttp does not limit ---


class Resolver(AbstractResolver):
    """Looks each name up in a thread of its own, so that one without an answer delays neither the others nor the shutdown.

    uvloop's own look-up does two at a time, and the process waits for the threads of a pool when it ends.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._slots = asyncio.Semaphore(MOST_LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        async with self._slots:
            found = await _looked_up(host, port, family)
        self._guard.resolved(host, port, [address for _, address in found])
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in found
        ]

    async def close(self) -> None:
        """Nothing is open."""


async def _looked_up(host: str, port: int, family: int) -> list[tuple[int, str]]:
    """The family and the numeric form of each address; socket.gaierror if there is none."""
    found: Future[list[tuple[int, str]]] = Future()
    # From here on only its thread ends it, even if the caller is cancelled.
    found.set_running_or_notify_cancel()

    def look_up() -> None:
        try:
            infos = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            found.set_result([(info[0], socket.getnameinfo(info[4], _NUMERIC)[0]) for info in infos])
        except UnicodeError:
            found.set_exception(socket.gaierror(socket.EAI_NONAME, "not a host name"))
        except Exception as error:  # noqa: BLE001 - the caller's to explain
            found.set_exception(error)

    threading.Thread(target=look_up, name=f"lookup {host}", daemon=True).start()
    return await asyncio.wrap_future(found)


class Response(aiohttp.ClientResponse):
    """Limits what aiohttp does not.

    It skips interim answers (1xx) without a limit and without yielding: in a measurement, a flood blocked the event
    loop for 1.5 s and took 60 MiB in the 4 s of its attempt. And it closes a failed connection only when everything
    written has been read: one whose peer never reads stayed open, with the body, for ever.
    """

    async def start(self, connection: "Connection") -> aiohttp.ClientResponse:
        protocol = connection.protocol
        assert protocol is not None
        self._wire = protocol.transport
        read, left = protocol.read, MOST_INTERIM

        async def counted() -> "tuple[RawResponseMessage, StreamReader]":
            nonlocal left
            if left < 0:
                raise AnswerBroken(f"more than {MOST_INTERIM} interim answers (1xx)")
            left -= 1
            return await read()

        protocol.read = counted  # type: ignore[method-assign]
        try:
            return await super().start(connection)
        except BaseException:
            self._drop()
            raise
        finally:
            del protocol.read

    async def __aexit__(self, *exception: object) -> None:
        kept = False
        try:
            await super().__aexit__(None, None, None)
            kept = self._wire is not None and not self._wire.is_closing()
        finally:
            if not kept:
                self._drop()

    def _drop(self) -> None:
        if self._wire is not None:
            self._wire.abort()
