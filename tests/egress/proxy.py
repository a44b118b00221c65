"""A proxy on a real socket: HTTP with CONNECT, or SOCKS5 by name."""

import asyncio
import base64
import ssl
from contextlib import suppress

from tests.relay import Relay


class Proxy(Relay):
    """Carries everything to one port of this machine, whatever it is asked for; remembers what that was."""

    def __init__(self, port: int, *, login: str = "", refuses: int = 0, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self._to = port
        self._login = login
        self._refuses = refuses
        #: ``CONNECT hooks.example:443``, ``POST http://hooks.example/x``, ``SOCKS hooks.example:80``.
        self.asked: list[str] = []
        #: The whole of each request for HTTP, up to the end of its header.
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
