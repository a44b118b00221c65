"""The only door out: carries out a request that is ready, once, inside a deadline. No retries, no redirects.

Foreign exceptions end here: what comes out of ``send`` is a Reply or an EgressError, whose text never holds a
path, a query or a credential.
"""

import asyncio
import os
import socket
import ssl
import stat
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, cast

from gateway.errors import AnswerBroken, ConnectFailed, EgressError, FileFailed, TimedOut
from gateway.model import FileAppend, HttpRequest, OutboundRequest, Reply

if TYPE_CHECKING:
    import aiohttp
    import httpx
    from aiohttp.abc import AbstractResolver
    from aiohttp.connector import Connection
    from aiohttp.http_parser import RawResponseMessage
    from aiohttp.streams import StreamReader

#: Bytes of an answer that are read; the connection of a longer one is dropped.
LONGEST_ANSWER: Final = 16_384
#: How long an idle connection is kept, seconds: below the 5 s after which Node, uvicorn and Apache close
#: theirs. A request that crosses such a close on the wire is lost, and a POST is not sent again by itself.
KEEP_ALIVE_S: Final = 4.0
#: What an answer's header may come to: a line or a field in bytes, and how many fields.
LONGEST_FIELD: Final = 8_190
MOST_FIELDS: Final = 128
#: Interim answers (``100 Continue``) that are skipped before the answer proper.
MOST_INTERIM: Final = 20
#: How long the addresses of a name are kept, seconds.
NAMES_KEPT_S: Final = 30
#: Names that are looked up at the same time.
MOST_LOOKUPS: Final = 32
#: Requests that an inbox keeps.
INBOX_SIZE: Final = 200

#: Whose fault an exception of the HTTP libraries is, by the name of its class or of the nearest base;
#: of any other it is AnswerBroken.
FAULTS: Final[Mapping[str, type[EgressError]]] = MappingProxyType(
    {
        "aiohttp.ClientConnectorError": ConnectFailed,
        "aiohttp.ClientConnectorDNSError": ConnectFailed,
        "aiohttp.ClientConnectorSSLError": ConnectFailed,
        "aiohttp.ClientConnectorCertificateError": ConnectFailed,
        "aiohttp.ClientSSLError": ConnectFailed,
        "aiohttp.ClientProxyConnectionError": ConnectFailed,
        "aiohttp.ClientHttpProxyError": ConnectFailed,
        "aiohttp.UnixClientConnectorError": ConnectFailed,
        "aiohttp.ServerFingerprintMismatch": ConnectFailed,
        "aiohttp.InvalidURL": ConnectFailed,
        "aiohttp.InvalidUrlClientError": ConnectFailed,
        "aiohttp.NonHttpUrlClientError": ConnectFailed,
        "aiohttp.ConnectionTimeoutError": TimedOut,
        "aiohttp.ServerTimeoutError": TimedOut,
        "aiohttp.SocketTimeoutError": TimedOut,
        "httpx.ConnectError": ConnectFailed,
        "httpx.ProxyError": ConnectFailed,
        "httpx.UnsupportedProtocol": ConnectFailed,
        "httpx.InvalidURL": ConnectFailed,
        "httpx.ConnectTimeout": TimedOut,
        "httpx.PoolTimeout": TimedOut,
        "httpx.ReadTimeout": TimedOut,
        "httpx.TimeoutException": TimedOut,
        "httpx.WriteTimeout": TimedOut,
    }
)

#: What is said of an exception that says too much, or too little, itself.
REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ClientPayloadError": "the answer broke off",
        "ClientResponseError": "the answer is not HTTP, or its header is too large",
        "ConnectError": "no connection",
        "ConnectTimeout": "no connection in time",
        "EofStream": "the connection was closed before an answer came",
        "InvalidURL": "the url cannot be used",
        "InvalidUrlClientError": "the url cannot be used",
        "NonHttpUrlClientError": "the url is neither http nor https",
        "ReadError": "the answer broke off",
        "ReadTimeout": "no answer in time",
        "RemoteProtocolError": "the answer is not HTTP",
        "ServerDisconnectedError": "the connection was closed before an answer came",
        "UnsupportedProtocol": "the url is neither http nor https",
    }
)

#: What an answer may repeat of a request: characters from which it is masked as a possible secret.
SHORTEST_SECRET: Final = 6
SHORTEST_PATH_SECRET: Final = 16

_NUMERIC = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
_NO_SUCH_NAME = (socket.EAI_NONAME, socket.EAI_NODATA)

#: Headers that are no secret; every other value might be one.
_PUBLIC_HEADERS = frozenset(
    {"accept-encoding", "content-type", "user-agent", "webhook-id", "x-webhook-event", "x-webhook-signature"}
)


class Transport(Protocol):
    """What carries requests: ``httpx.AsyncBaseTransport``, or anything with its two methods."""

    async def handle_async_request(self, request: "httpx.Request") -> "httpx.Response": ...

    async def aclose(self) -> None: ...


class Egress:
    """Sends requests over connections that are kept and shared; the number in flight is the caller's to bound."""

    def __init__(
        self, *, transport: "httpx.AsyncBaseTransport | Transport | None" = None, inbox: "Inbox | None" = None
    ) -> None:
        self._transport: Transport | None = transport
        self._inbox = inbox
        self._opening: asyncio.Task[None] | None = None
        self._files: dict[str, _File] = {}

    async def send(self, request: OutboundRequest, *, timeout_s: float) -> Reply:
        """Carry out one attempt and return the answer, with at most 16 KiB of its body.

        Raises ConnectFailed, TimedOut (no whole answer within ``timeout_s``), AnswerBroken or FileFailed.
        A file's line is on the disk when the Reply, a 200, comes back.
        """
        try:
            async with asyncio.timeout(timeout_s):
                match request:
                    case FileAppend():
                        return await self._append(request)
                    case HttpRequest():
                        return await self._exchange(request)
        except TimeoutError:
            raise TimedOut(f"no answer within {timeout_s:g} s") from None

    async def warm(self) -> None:
        """Load ahead what the first attempt would wait for. Never fails: what is wrong, that attempt will say."""
        with suppress(Exception):
            await self._opened()

    async def close(self) -> None:
        """Finish the lines that wait for the disk and close every connection."""
        for file in self._files.values():
            await file.finished()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._transport is not None:
            await self._transport.aclose()

    async def _append(self, request: FileAppend) -> Reply:
        file = self._files.setdefault(request.path, _File(request.path))
        await file.append(request.line)
        return Reply(status=200)

    async def _exchange(self, request: HttpRequest) -> Reply:
        try:
            transport = await self._transport_for(request)
            response = await transport.handle_async_request(_foreign(request))
            try:
                body = await _beginning(response)
            finally:
                # Of a whole answer the connection goes back to the pool; of any other it is dropped.
                await response.aclose()
        except EgressError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a destination provokes is an attempt that failed
            raise explained(error) from None
        return Reply(status=response.status_code, headers=_first_fields(response), body=_masked(body, request))

    async def _transport_for(self, request: HttpRequest) -> Transport:
        if request.url.startswith("inbox:"):
            if self._inbox is None:
                raise ConnectFailed("there is no inbox here: run gateway dev, or set the destination's url")
            return self._inbox
        return self._transport or await self._opened()

    async def _opened(self) -> Transport:
        if self._transport is None:
            if self._opening is None:
                self._opening = asyncio.create_task(self._open())
            # It goes on behind an attempt whose time is up, so that the next one finds it done.
            await asyncio.shield(self._opening)
        assert self._transport is not None
        return self._transport

    async def _open(self) -> None:
        try:
            self._transport = await _open_transport()
        finally:
            self._opening = None


async def _open_transport() -> Transport:
    tls = await asyncio.to_thread(_prepare)
    import aiohttp
    from httpx_aiohttp import AiohttpTransport

    session = aiohttp.ClientSession(
        # No limit here: the caller bounds what is in flight, for each destination.
        connector=aiohttp.TCPConnector(
            limit=0, keepalive_timeout=KEEP_ALIVE_S, ssl=tls, resolver=_resolver(), ttl_dns_cache=NAMES_KEPT_S
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        # A request is sent with the headers that it was built with.
        skip_auto_headers=("accept-encoding", "content-type", "user-agent"),
        # One deadline over the whole attempt is set by ``send``.
        timeout=aiohttp.ClientTimeout(),
        response_class=_response_class(),
        read_bufsize=LONGEST_ANSWER,
        max_line_size=LONGEST_FIELD,
        max_field_size=LONGEST_FIELD,
        max_headers=MOST_FIELDS,
    )
    # There is no public switch: a PUT or DELETE that was reset would be sent twice in one attempt.
    session._retry_connection = False  # noqa: SLF001
    return AiohttpTransport(client=session, verify=tls)


def _resolver() -> "AbstractResolver":
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Resolver(AbstractResolver):
        """Looks each name up in a thread of its own: one without an answer delays no other, nor the end.

        uvloop's own look-up does two at a time, and a pool's threads are waited for when the process ends.
        """

        def __init__(self) -> None:
            self._slots = asyncio.Semaphore(MOST_LOOKUPS)

        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            async with self._slots:
                found = await _looked_up(host, port, family)
            return [
                ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
                for kind, address in found
            ]

        async def close(self) -> None:
            """Nothing is open."""

    return Resolver()


async def _looked_up(host: str, port: int, family: int) -> list[tuple[int, str]]:
    """The family and the address in digits of each; socket.gaierror for none."""
    found: Future[list[tuple[int, str]]] = Future()
    # From here on nothing but its thread ends it, not even a caller who has gone.
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


def _response_class() -> "type[aiohttp.ClientResponse]":
    import aiohttp

    class Response(aiohttp.ClientResponse):
        """Bounds what aiohttp does not.

        It skips interim answers (1xx) without end and without giving way: measured, a flood held the event loop
        for 1.5 s and took 60 MiB in the 4 s of its attempt. And it closes a failed connection only when all that
        was written has been taken: one whose other side never reads stayed open, with the body, for ever.
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

    return Response


def _prepare() -> ssl.SSLContext:
    """The slow part of the first attempt, in a thread: a third of a second of imports, and the certificates."""
    import httpx_aiohttp  # noqa: F401

    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _foreign(request: HttpRequest) -> "httpx.Request":
    import httpx

    # The encoding unsaid is found out again at every look at a header, and content in place of a stream that is
    # read costs three more passes over the headers: together a fifth of the cost of a request.
    foreign = httpx.Request(request.method, _address(request.url), stream=httpx.ByteStream(request.body))
    foreign.headers = httpx.Headers(dict(request.headers), encoding="ascii")
    foreign.read()
    return foreign


@lru_cache(maxsize=256)
def _address(url: str) -> "httpx.URL":
    """Most destinations have one url, and taking it apart for every request is a fifth of the cost."""
    import httpx

    return httpx.URL(url)


async def _beginning(response: "httpx.Response") -> bytes:
    chunks = aiter(cast("httpx.AsyncByteStream", response.stream))
    body = b""
    async for chunk in chunks:
        body += chunk
        if len(body) >= LONGEST_ANSWER:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
            break
    return body[:LONGEST_ANSWER]


def _first_fields(response: "httpx.Response") -> Mapping[str, str]:
    fields: dict[str, str] = {}
    for name, value in response.headers.raw:
        fields.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return MappingProxyType(fields)


def _masked(body: bytes, request: HttpRequest) -> bytes:
    """The answer without what it repeats of the request: ``Cannot POST /services/T0/B0/...`` goes on record."""
    if len(body) < SHORTEST_SECRET:
        return body
    # The longest first: one secret may be a part of another.
    for secret in sorted(_secrets(request), key=len, reverse=True):
        body = body.replace(secret.encode(), b"***")
    return body


def _secrets(request: HttpRequest) -> Iterator[str]:
    """What could be a secret: long parts of a path, values of a query, values of headers."""
    address, _, query = request.url.partition("?")
    yield from (part for part in address.split("/")[3:] if len(part) >= SHORTEST_PATH_SECRET)
    values = [piece.partition("=")[2] for piece in query.split("&")]
    for name, value in request.headers:
        if name not in _PUBLIC_HEADERS:
            values += [value, value.rpartition(" ")[2]]
    yield from (value for value in values if len(value) >= SHORTEST_SECRET)


# --- what went wrong, in words that hold no secret ---


def explained(error: Exception) -> EgressError:
    """Our own error for one of the HTTP libraries'; AnswerBroken with the name of a class that is unknown."""
    original = error.__cause__ if _library(type(error)) == "httpx" else None
    if isinstance(original, Exception):
        error = original
    names = (f"{_library(base)}.{base.__name__}" for base in type(error).__mro__)
    fault = next((FAULTS[name] for name in names if name in FAULTS), AnswerBroken)
    return fault(_reason(error))


def _library(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _reason(error: Exception) -> str:
    system = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    match system:
        case ssl.SSLCertVerificationError():
            return f"TLS: {system.verify_message}"
        case ssl.SSLError():
            return f"TLS: {(system.reason or 'no common ground').replace('_', ' ').lower()}"
        case socket.gaierror():
            return "name not found" if system.errno in _NO_SUCH_NAME else "the name server did not answer"
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
    return REASONS.get(type(error).__name__, type(error).__name__)


# --- files ---


class _File:
    """One file's lines: those that wait together share one write and one fsync."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def append(self, line: bytes) -> None:
        """Return when the line is on the disk. A line whose caller has gone before it was written is left out."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((line, done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await done

    async def finished(self) -> None:
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        while batch := [(line, done) for line, done in self._waiting if not done.done()]:
            self._waiting.clear()
            failure = await asyncio.to_thread(_append_durably, self._path, [line for line, _ in batch])
            for _, done in batch:
                if not done.done():
                    done.set_exception(FileFailed(failure)) if failure else done.set_result(None)
        self._waiting.clear()


def _append_durably(path: str, lines: Sequence[bytes]) -> str:
    """Append whole lines and fsync; what went wrong in words, or nothing."""
    data = b"".join(line + b"\n" for line in lines)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            _append(descriptor, data)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
        return f"cannot append to {path!r}: {reason}"
    return ""


def _append(descriptor: int, data: bytes) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    # A crash can leave half a line: it is ended first, so that it spoils no other.
    if status.st_size and os.pread(descriptor, 1, status.st_size - 1) != b"\n":
        data = b"\n" + data
    while data:
        data = data[os.write(descriptor, data) :]
    os.fsync(descriptor)


# --- gateway dev ---


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxEntry:
    """One request that was recorded instead of sent."""

    destination: str
    method: str
    #: With its query.
    path: str
    #: Lower-case names; what could be a credential is masked.
    headers: Mapping[str, str] = field(repr=False)
    body: str = field(repr=False)
    #: Wall clock, seconds since the epoch.
    received_at: float


class Inbox:
    """A transport that records requests for ``inbox://<destination>/...`` and answers each with 200 ``ok``."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: deque[InboxEntry] = deque(maxlen=INBOX_SIZE)

    def entries(self) -> Sequence[InboxEntry]:
        """The newest 200, newest first."""
        return tuple(reversed(self._entries))

    async def handle_async_request(self, request: "httpx.Request") -> "httpx.Response":
        import httpx

        fields = ((name.lower(), value) for name, value in request.headers.items())
        headers = {name: value if name in _PUBLIC_HEADERS else "***" for name, value in fields}
        self._entries.append(
            InboxEntry(
                destination=request.url.host,
                method=request.method,
                path=request.url.raw_path.decode("ascii"),
                headers=MappingProxyType(headers),
                body=request.content.decode("utf-8", "replace"),
                received_at=self._clock(),
            )
        )
        return httpx.Response(200, content=b"ok")

    async def aclose(self) -> None:
        """Nothing is open."""
