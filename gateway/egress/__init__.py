"""The only door out: sends a finished request once, within a deadline. No retries, no redirects.

Foreign exceptions end here: ``send`` returns a Reply or raises an EgressError, whose text never holds a path, a query
or a credential.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

from gateway.egress.door import Door, Guard, Listeners
from gateway.egress.faults import explained
from gateway.egress.files import Lines
from gateway.egress.inbox import Inbox, InboxEntry
from gateway.errors import ConnectFailed, EgressError, TimedOut
from gateway.hiding.requests import masked_answer
from gateway.model import FileAppend, HttpRequest, OutboundRequest, Reply

if TYPE_CHECKING:
    import ssl

    import httpx

__all__ = ["Door", "Egress", "Inbox", "InboxEntry", "Transport"]

#: Seconds after which the unused connections through one door are closed, once another one is opened.
UNUSED_S: Final = 600.0

_PLAIN: Final = Door()


class Transport(Protocol):
    """What sends requests: ``httpx.AsyncBaseTransport``, or anything with its two methods."""

    async def handle_async_request(self, request: "httpx.Request") -> "httpx.Response": ...

    async def aclose(self) -> None: ...


class _Way:
    """The connections through one door."""

    __slots__ = ("busy", "left_at", "opening")

    def __init__(self, opening: "asyncio.Task[Transport]") -> None:
        self.opening = opening
        #: Attempts in flight, and when the last one ended (loop time).
        self.busy = 0
        self.left_at = opening.get_loop().time()


class Egress:
    """Sends requests over connections that are kept and shared. The caller limits how many are in flight."""

    def __init__(
        self, *, transport: "httpx.AsyncBaseTransport | Transport | None" = None, inbox: "Inbox | None" = None
    ) -> None:
        self._transport = transport
        self._inbox = inbox
        self._listeners = Listeners()
        self._ways: dict[Door, _Way] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._files: dict[str, Lines] = {}

    async def send(self, request: OutboundRequest, *, timeout_s: float, door: Door = _PLAIN) -> Reply:
        """Make one attempt and return the answer, with at most 16 KiB of its body.

        Raises AddressBlocked, ConnectFailed, TimedOut (no whole answer within ``timeout_s``), AnswerBroken or FileFailed.
        A line for a file is on disk when the Reply, a 200, is returned.
        """
        try:
            async with asyncio.timeout(timeout_s):
                match request:
                    case FileAppend():
                        return await self._append(request)
                    case HttpRequest():
                        return await self._exchange(request, door)
        except TimeoutError:
            raise TimedOut(f"no answer within {timeout_s:g} s") from None

    def avoid(self, *urls: str) -> None:
        """Never connect to the gateway's own listeners: ``http://127.0.0.1:8080``."""
        self._listeners.know(urls)

    async def warm(self, doors: Iterable[Door] = (_PLAIN,)) -> None:
        """Load in advance what the first attempts would wait for. Never fails: those attempts will report what is wrong."""
        for door in doors:
            with suppress(Exception):
                await asyncio.shield(self._way(door).opening)

    async def close(self) -> None:
        """Finish writing the lines of files and close every connection."""
        for file in self._files.values():
            await file.finished()
        for way in list(self._ways.values()):
            await _close(way)
        await asyncio.gather(*self._closing)
        if self._transport is not None:
            await self._transport.aclose()

    async def _append(self, request: FileAppend) -> Reply:
        file = self._files.setdefault(request.path, Lines(request.path))
        await file.append(request.line)
        return Reply(status=200)

    async def _exchange(self, request: HttpRequest, door: Door) -> Reply:
        own = self._transport_of_its_own(request)
        try:
            if own is not None:
                return await _carried(request, own)
            with self._through(door) as way:
                return await _carried(request, await _opened(way))
        except EgressError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a destination causes is a failed attempt
            raise explained(error) from None

    def _transport_of_its_own(self, request: HttpRequest) -> Transport | None:
        """What sends a request instead of a connection."""
        if request.url.startswith("inbox:"):
            if self._inbox is None:
                raise ConnectFailed("there is no inbox here: run gateway dev, or set the destination's url")
            return self._inbox
        return self._transport

    @contextmanager
    def _through(self, door: Door) -> Iterator[_Way]:
        way = self._way(door)
        way.busy += 1
        try:
            yield way
        finally:
            way.busy -= 1
            way.left_at = asyncio.get_running_loop().time()

    def _way(self, door: Door) -> _Way:
        way = self._ways.get(door)
        if way is None or _failed(way):
            self._give_up_unused()
            way = self._ways[door] = _Way(asyncio.create_task(self._open(door)))
        return way

    def _give_up_unused(self) -> None:
        """Close connections that are no longer used: those of a replaced certificate must not stay open for ever."""
        before = asyncio.get_running_loop().time() - UNUSED_S
        for door, way in list(self._ways.items()):
            if not way.busy and way.opening.done() and way.left_at < before:
                del self._ways[door]
                closing = asyncio.create_task(_close(way))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    async def _open(self, door: Door) -> Transport:
        tls = await asyncio.to_thread(_load, door.ca)
        from gateway.egress import wire

        return wire.open_transport(tls, Guard(door, self._listeners))


async def _carried(request: HttpRequest, transport: Transport) -> Reply:
    from gateway.egress import wire

    response = await transport.handle_async_request(wire.outgoing(request))
    try:
        body = await wire.beginning(response)
    finally:
        # After a whole answer the connection returns to the pool; after any other it is dropped.
        await response.aclose()
    return Reply(status=response.status_code, headers=wire.first_fields(response), body=masked_answer(body, request))


async def _opened(way: _Way) -> Transport:
    # It continues after an attempt whose time is up, so that the next one finds it done.
    return way.opening.result() if way.opening.done() else await asyncio.shield(way.opening)


def _failed(way: _Way) -> bool:
    return way.opening.done() and (way.opening.cancelled() or way.opening.exception() is not None)


async def _close(way: _Way) -> None:
    way.opening.cancel()
    await asyncio.wait([way.opening])
    if not _failed(way):
        await way.opening.result().aclose()


def _load(ca: str) -> "ssl.SSLContext":
    """The slow part of the first attempt, to be run in a thread: a third of a second of imports, and the certificates."""
    from gateway.egress import wire

    return wire.tls_context(ca)
