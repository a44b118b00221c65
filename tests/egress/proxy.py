"""A proxy on a real socket: HTTP with CONNECT, or SOCKS5 by name."""

import asyncio
import base64
import ssl
import threading
from contextlib import suppress
from typing import Self


class Proxy:
    """Carries everything to one port of this machine, whatever it is asked for; remembers what that was."""

    def __init__(self, port: int, *, login: str = "", refuses: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._to = port
        self._login = login
        self._refuses = refuses
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        #: ``CONNECT hooks.example:443``, ``POST http://hooks.example/x``, ``SOCKS hooks.example:80``.
        self.asked: list[str] = []
        #: The whole of each request for HTTP, up to the end of its header.
        self.heads: list[str] = []
        self.port = 0

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
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Each layer of an aborted transport is closed at a later turn of the loop.
        for _ in range(5):
            await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            first = await reader.readexactly(1)
            begin = await (self._socks(reader, writer) if first == b"\x05" else self._http(first, reader, writer))
            if begin is not None:
                there, back = await asyncio.open_connection("127.0.0.1", self._to)
                try:
                    back.write(begin)
                    await asyncio.gather(_pipe(reader, back), _pipe(there, writer))
                finally:
                    back.transport.abort()

    async def _http(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        head = first + await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b" ", 2)
        self.asked.append(f"{method.decode()} {target.decode()}")
        self.heads.append(head.decode("latin-1").lower())
        wanted = b"basic " + base64.b64encode(self._login.encode()).lower()
        if self._refuses or (self._login and wanted not in head.lower()):
            writer.write(b"HTTP/1.1 %d No\r\ncontent-length: 0\r\n\r\n" % (self._refuses or 407))
            await writer.drain()
            return None
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\nx-proxy: yes\r\n\r\n")
            return b""
        return head.replace(target, b"/" + target.split(b"/", 3)[3], 1)

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(b"\x05\x00")
        kind = (await reader.readexactly(4))[3]
        assert kind == 3, "not by name"
        name = await reader.readexactly((await reader.readexactly(1))[0])
        port = int.from_bytes(await reader.readexactly(2))
        self.asked.append(f"SOCKS {name.decode()}:{port}")
        writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        return b""


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    with suppress(OSError):
        writer.write_eof()
