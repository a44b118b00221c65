"""A wire to a server that can be cut: while it is, nothing comes through and nothing is closed, as when a network fails."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self


class Wire:
    """Listens on a TCP port of 127.0.0.1 and carries everything to a Unix socket."""

    def __init__(self, to: Path) -> None:
        self._to = to
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_whole = asyncio.Event()
        self._is_whole.set()
        self.port = 0

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._is_whole.clear)

    def mend(self) -> None:
        """What was sent meanwhile comes through now, as TCP would send it again."""
        self._loop.call_soon_threadsafe(self._is_whole.set)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Each aborted transport is closed at a later turn of the loop.
        for _ in range(5):
            await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
