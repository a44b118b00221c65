"""A scripted mail server on a real socket, in its own thread.

::

    with MailServer(tls=context) as server:             # STARTTLS; implicit=True: TLS from the start
        server.says(b"RCPT", b"550 5.1.1 no such user")
        ...
        [mail] = server.mails
"""

import asyncio
import base64
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from tests.ending import end, turns

DEADLINE_S = 60.0


@dataclass(frozen=True)
class Accepted:
    """One message that the server took."""

    sender: bytes
    recipients: tuple[bytes, ...]
    #: With the dots of the protocol removed.
    message: bytes
    login: tuple[str, str] | None
    is_tls: bool
    greeted: bytes


@dataclass
class _Session:
    sender: bytes = b""
    recipients: list[bytes] = field(default_factory=list)
    login: tuple[str, str] | None = None
    is_tls: bool = False
    greeted: bytes = b""


class MailServer:
    """Takes every message, unless it is told to say something else to a command."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, implicit: bool = False, login: bool = False) -> None:
        self._tls, self._implicit, self._login = tls, implicit, login
        self._answers: dict[bytes, bytes] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: list[asyncio.StreamWriter] = []
        self._serving: list[asyncio.Task[None]] = []
        self.mails: list[Accepted] = []
        #: Every command, as it came.
        self.commands: list[bytes] = []
        self.connections = 0
        self.port = 0

    def says(self, verb: bytes, answer: bytes) -> None:
        """Answer a command with something else; empty: nothing at all."""
        self._answers[verb] = answer

    def __enter__(self) -> Self:
        self._thread.start()
        tls = self._tls if self._implicit else None
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=tls), self._loop
        )
        self._server = started.result(DEADLINE_S)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(DEADLINE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    async def _end(self) -> None:
        await end(self._server)
        for writer in self._writers:
            # One that is closed already, as Python 3.11.2 says it.
            with suppress(AttributeError):
                writer.transport.abort()
        await turns()

    @property
    def url(self) -> str:
        return f"{'smtps' if self._implicit else 'smtp'}://127.0.0.1:{self.port}"

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Known at once: a task that is cancelled before it begins would leave it open.
        self._writers.append(writer)
        self._serving.append(self._loop.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        session = _Session(is_tls=self._implicit)
        with suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            writer.write(self._answers.get(b"", b"220 mail.test ESMTP") + b"\r\n")
            while line := await reader.readline():
                self.commands.append(line.rstrip())
                if not await self._answer(line.rstrip(), session, reader, writer):
                    break
        writer.close()

    async def _answer(
        self, line: bytes, session: _Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        verb = line.split(b" ")[0].split(b":")[0].upper()
        told = self._answers.get(b"EHLO" if verb == b"HELO" else verb)
        if told is not None:
            writer.write(told + b"\r\n" if told else b"")
            return True
        match verb:
            case b"EHLO":
                session.greeted = line.partition(b" ")[2]
                offers = [b"STARTTLS"] * (self._tls is not None and not session.is_tls) + [b"AUTH PLAIN"] * self._login
                writer.write(
                    b"".join(b"250-" + each + b"\r\n" for each in [b"mail.test", *offers]) + b"250 8BITMIME\r\n"
                )
            case b"STARTTLS":
                writer.write(b"220 go on\r\n")
                assert self._tls is not None
                await writer.start_tls(self._tls)
                session.is_tls = True
            case b"AUTH":
                _, _, plain = line.split(b" ") if line.count(b" ") == 2 else (b"", b"", b"")
                if not plain:
                    writer.write(b"334 \r\n")
                    plain = await reader.readline()
                _, user, password = base64.b64decode(plain).split(b"\0")
                session.login = (user.decode(), password.decode())
                writer.write(b"235 welcome\r\n")
            case b"MAIL":
                session.sender = line.partition(b":")[2].split(b" ")[0]
                writer.write(b"250 ok\r\n")
            case b"RCPT":
                session.recipients.append(line.partition(b":")[2])
                writer.write(b"250 ok\r\n")
            case b"DATA":
                writer.write(b"354 go on\r\n")
                lines: list[bytes] = []
                while (each := await reader.readline()) != b".\r\n":
                    lines.append(each[1:] if each.startswith(b".") else each)
                self._take(session, b"".join(lines))
                writer.write(self._answers.get(b".", b"250 2.0.0 queued as 1A2B") + b"\r\n")
            case b"QUIT":
                writer.write(b"221 bye\r\n")
                return False
            case _:
                writer.write(b"502 what\r\n")
        return True

    def _take(self, session: _Session, message: bytes) -> None:
        if not self._answers.get(b".", b"2").startswith(b"2"):
            return
        self.mails.append(
            Accepted(session.sender, tuple(session.recipients), message, session.login, session.is_tls, session.greeted)
        )


def headers(message: bytes) -> Mapping[str, str]:
    """The decoded header of a message, by lower-case name."""
    from email import message_from_bytes
    from email.policy import default

    return {name.lower(): str(value) for name, value in message_from_bytes(message, policy=default).items()}
