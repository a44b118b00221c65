"""The only door out: sends a finished request once, within a deadline. No retries, no redirects.

Foreign exceptions end here: ``send`` returns a Reply or raises an EgressError, whose text never holds a path, a query
or a credential.
"""

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

from gateway.egress.deadline import Deadline
from gateway.egress.door import Door, Guard, Listeners
from gateway.egress.faults import of_exception
from gateway.egress.files import Lines
from gateway.egress.inbox import Inbox, InboxEntry
from gateway.egress.names import Names
from gateway.errors import ConnectFailed, EgressError, TimedOut
from gateway.model import FileAppend, HttpRequest, Mail, OutboundRequest, Reply

if TYPE_CHECKING:
    from gateway.egress.documents import Documents
    from gateway.egress.engine import Engine

__all__ = ["Carrier", "Door", "Egress", "Inbox", "InboxEntry"]

#: Seconds after which the unused connections through one door are closed, once another one is opened.
UNUSED_S: Final = 600.0

#: Bytes of the answer to an attempt that are read; the connection of a longer one is dropped.
LONGEST_ANSWER: Final = 16_384

_PLAIN: Final = Door()


class Carrier(Protocol):
    """What carries a request out, once: an engine's connections, an inbox, a test's own."""

    async def exchange(self, request: HttpRequest, most: int) -> Reply: ...

    async def close(self) -> None: ...


class _Way:
    """The connections through one door."""

    __slots__ = ("busy", "engine", "left_at", "now", "opening")

    def __init__(self, opening: "asyncio.Task[Engine]") -> None:
        self.opening = opening
        #: None until they can be used.
        self.engine: Engine | None = None
        #: The time of the loop.
        self.now = opening.get_loop().time
        #: Attempts in flight, and when the last one ended.
        self.busy = 0
        self.left_at = self.now()

    async def opened(self) -> "Engine":
        # It continues after an attempt whose time is up, so that the next one finds it done.
        self.engine = await asyncio.shield(self.opening)
        return self.engine


class Egress:
    """Sends requests over connections that are kept and shared. The caller limits how many are in flight."""

    def __init__(self, *, carrier: Carrier | None = None, inbox: "Inbox | None" = None) -> None:
        self._carrier = carrier
        self._inbox = inbox
        self._listeners = Listeners()
        #: Shared by all doors, each of which checks what it is told.
        self._names = Names()
        self._ways: dict[Door, _Way] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._files: dict[str, Lines] = {}

    async def send(
        self, request: OutboundRequest, *, timeout_s: float, door: Door = _PLAIN, most: int = LONGEST_ANSWER
    ) -> Reply:
        """Make one attempt and return the answer, with at most ``most`` bytes of its body.

        Raises AddressBlocked, ConnectFailed, TimedOut (no whole answer within ``timeout_s``), AnswerBroken or FileFailed.
        A line for a file is on disk when the Reply, a 200, is returned.
        """
        try:
            with Deadline(timeout_s):
                match request:
                    case FileAppend():
                        return await self._append(request)
                    case HttpRequest() | Mail():
                        return await self._exchange(request, door, most)
        except TimeoutError:
            raise TimedOut(f"no answer within {timeout_s:g} s") from None

    @cached_property
    def documents(self) -> "Documents":
        """The keys and certificates of senders."""
        from gateway.egress.documents import Documents

        return Documents(self)

    def avoid(self, *urls: str) -> None:
        """Never connect to the gateway's own listeners: ``http://127.0.0.1:8080``."""
        self._listeners.know(urls)

    async def close(self) -> None:
        """Finish writing the lines of files and close every connection."""
        for file in self._files.values():
            await file.finished()
        for way in list(self._ways.values()):
            await _close(way)
        await asyncio.gather(*self._closing)
        await self._names.close()
        if self._carrier is not None:
            await self._carrier.close()

    async def _append(self, request: FileAppend) -> Reply:
        file = self._files.setdefault(request.path, Lines(request.path))
        await file.append(request.line)
        return Reply(status=200)

    async def _exchange(self, request: HttpRequest | Mail, door: Door, most: int) -> Reply:
        try:
            if own := self._own_carrier(request):
                return await own.exchange(request.shown if isinstance(request, Mail) else request, most)
            way = self._way(door)
            way.busy += 1
            try:
                engine = way.engine or await way.opened()
                return await (engine.mail(request) if isinstance(request, Mail) else engine.exchange(request, most))
            finally:
                way.busy -= 1
                way.left_at = way.now()
        except EgressError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a destination provokes is an attempt that failed
            raise of_exception(error) from None

    def _own_carrier(self, request: HttpRequest | Mail) -> Carrier | None:
        """What carries a request instead of connections."""
        if request.url.startswith("inbox:"):
            if self._inbox is None:
                raise ConnectFailed("there is no inbox here: run gateway dev, or set the destination's url")
            return self._inbox
        return self._carrier

    def _way(self, door: Door) -> _Way:
        way = self._ways.get(door)
        if way is None or (way.engine is None and _failed(way)):
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

    async def _open(self, door: Door) -> "Engine":
        ca_file = await asyncio.to_thread(_load, door)
        from gateway.egress.engine import Engine

        return Engine(door, Guard(door, self._listeners), ca_file, self._names)


def _failed(way: _Way) -> bool:
    return way.opening.done() and (way.opening.cancelled() or way.opening.exception() is not None)


async def _close(way: _Way) -> None:
    way.opening.cancel()
    await asyncio.wait([way.opening])
    if not _failed(way):
        await way.opening.result().close()


def _load(door: Door) -> str:
    """The slow part of the first attempt, for a thread: libcurl, and where the system's certificates are."""
    import pycurl  # noqa: F401

    from gateway.egress import trust

    return trust.bundle_for(door)
