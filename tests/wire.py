"""A wire to a server that can be cut: while it is, nothing comes through and nothing is closed, as when a network fails."""

import asyncio
from contextlib import suppress
from pathlib import Path

from tests.relay import Relay


class Wire(Relay):
    """Carries everything to a Unix socket."""

    def __init__(self, to: Path) -> None:
        super().__init__()
        self._to = to
        self._is_whole = asyncio.Event()
        self._is_whole.set()

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._is_whole.clear)

    def mend(self) -> None:
        """What was sent meanwhile comes through now, as TCP would send it again."""
        self._loop.call_soon_threadsafe(self._is_whole.set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await self._is_whole.wait()
            far_reader, far_writer = await asyncio.open_unix_connection(self._to)
            try:
                ways = [self._carry(reader, far_writer), self._carry(far_reader, writer)]
                done, left = await asyncio.wait(map(asyncio.ensure_future, ways), return_when=asyncio.FIRST_COMPLETED)
                for each in left:
                    each.cancel()
                await asyncio.gather(*done, *left, return_exceptions=True)
            finally:
                far_writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._is_whole.wait()
            writer.write(data)
            await writer.drain()
