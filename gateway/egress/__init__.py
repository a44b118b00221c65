"""The only door out: carries out a request that is ready, once, inside a deadline. No retries, no redirects.

Foreign exceptions end here: what comes out of ``send`` is a Reply or an EgressError, whose text never holds a
path, a query or a credential.
"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from gateway.egress.faults import explained
from gateway.egress.files import Lines
from gateway.egress.inbox import Inbox, InboxEntry
from gateway.egress.secrets import masked
from gateway.errors import ConnectFailed, EgressError, TimedOut
from gateway.model import FileAppend, HttpRequest, OutboundRequest, Reply

if TYPE_CHECKING:
    import ssl

    import httpx

__all__ = ["Egress", "Inbox", "InboxEntry", "Transport"]


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
        self._files: dict[str, Lines] = {}

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
        file = self._files.setdefault(request.path, Lines(request.path))
        await file.append(request.line)
        return Reply(status=200)

    async def _exchange(self, request: HttpRequest) -> Reply:
        try:
            transport = await self._transport_for(request)
            from gateway.egress import wire

            response = await transport.handle_async_request(wire.outgoing(request))
            try:
                body = await wire.beginning(response)
            finally:
                # Of a whole answer the connection goes back to the pool; of any other it is dropped.
                await response.aclose()
        except EgressError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a destination provokes is an attempt that failed
            raise explained(error) from None
        return Reply(status=response.status_code, headers=wire.first_fields(response), body=masked(body, request))

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
            tls = await asyncio.to_thread(_load)
            from gateway.egress import wire

            self._transport = wire.open_transport(tls)
        finally:
            self._opening = None


def _load() -> "ssl.SSLContext":
    """The slow part of the first attempt, for a thread: a third of a second of imports, and the certificates."""
    from gateway.egress import wire

    return wire.tls_context()
