"""E-mail over libcurl: SMTP over TLS from the start, or by STARTTLS; each on a connection of its own, in a thread.

libcurl says QUIT in one go and waits for the answer, for up to a minute: that must never be the loop's minute.
"""

import asyncio
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Final

import pycurl

from gateway.egress.door import Door, Guard
from gateway.egress.faults import explained
from gateway.egress.names import Resolved
from gateway.egress.transfer import Lent, set_proxy, set_trust, text_of
from gateway.errors import ConnectFailed, EgressError
from gateway.model import Mail, Reply

#: Messages of a door that are on their way at once; more of them wait.
MOST_AT_ONCE: Final = 32
#: Seconds that a server has for its goodbye, once it has taken a message.
GOODBYE_S: Final = 5.0
#: Statuses of a server's answers (RFC 5321, 4.2.1).
_REFUSED: Final = range(400, 600)
#: The last line of an answer that accepts a command.
_ACCEPTED: Final = re.compile(rb"2[0-9]{2}(?!-)")

_Report = Callable[[Reply | Exception], None]


class Mailer:
    """Sends the e-mails of one door; belongs to the loop that is running."""

    def __init__(self, door: Door, guard: Guard, ca_file: str) -> None:
        self._door, self._guard, self._ca_file = door, guard, ca_file
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, "mail")
        self._sending: set[_Sending] = set()

    async def send(self, mail: Mail, host: str, port: int, resolved: Resolved | None) -> Reply:
        """Send it once; the server's last answer. Raises EgressError. Whoever gives it up closes its connection at once."""
        done: asyncio.Future[Reply] = self._loop.create_future()
        sending = _Sending(self._door, self._guard, self._ca_file, mail, _address(mail, host, port), resolved)

        def settle(result: Reply | Exception) -> None:
            if done.done():
                return
            if isinstance(result, Reply):
                done.set_result(result)
            else:
                done.set_exception(result)

        def report(result: Reply | Exception) -> None:
            # The loop may have ended by now.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(settle, result)

        def run() -> None:
            try:
                sending.perform(report)
            finally:
                self._sending.discard(sending)

        self._sending.add(sending)
        self._threads.submit(run)
        try:
            reply = await done
        except BaseException:
            sending.cut()
            raise
        self._loop.call_later(GOODBYE_S, sending.cut)
        return reply

    def close(self) -> None:
        """Close every connection."""
        for sending in list(self._sending):
            sending.cut()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _address(mail: Mail, host: str, port: int) -> str:
    """The url for libcurl: its path is the name that the server is greeted with."""
    shown = f"[{host}]" if ":" in host else host
    return f"{mail.url.partition('://')[0]}://{shown}:{port}/{mail.sender.rpartition('@')[2]}"


class _Sending:
    """A libcurl handle for one e-mail, used once. Everything but ``cut`` happens in its thread."""

    def __init__(self, door: Door, guard: Guard, ca_file: str, mail: Mail, url: str, resolved: Resolved | None) -> None:
        self._door, self._guard, self._ca_file = door, guard, ca_file
        self._mail, self._url, self._resolved = mail, url, resolved
        self._read_to = 0
        #: The last line that the server has sent.
        self._line = b""
        self._fault: EgressError | None = None
        #: Copies of its sockets: a number may go to another connection as soon as libcurl closes its own.
        self._sockets: list[socket.socket] = []
        self._is_cut = Event()
        self._is_taken = False

    def cut(self) -> None:
        """End it wherever it is."""
        self._is_cut.set()
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def perform(self, report: _Report) -> None:
        """Send it, and report the answer as soon as it is there, or why there is none; one that was cut is never begun."""
        if self._is_cut.is_set():
            report(ConnectFailed("given up before it was sent"))
            return
        self._report = report
        curl = pycurl.Curl()
        try:
            self._set_up(curl)
            curl.perform()
            report(self._answer(curl))
        except pycurl.error as error:
            report(self._refusal(curl, error))
        except Exception as error:  # noqa: BLE001  the egress names it
            report(error)
        finally:
            curl.close()
            for each in self._sockets:
                each.close()

    def _set_up(self, curl: pycurl.Curl) -> None:
        mail, door = self._mail, self._door
        is_plain = door.plain_mail and mail.url.startswith("smtp:")
        options = {
            pycurl.NOSIGNAL: 1,
            pycurl.PROTOCOLS: pycurl.PROTO_SMTP | pycurl.PROTO_SMTPS,
            pycurl.URL: self._url,
            pycurl.USE_SSL: pycurl.USESSL_NONE if is_plain else pycurl.USESSL_ALL,
            pycurl.NOPROXY: "" if door.proxy else "*",
            pycurl.SSL_SESSIONID_CACHE: 0,
            pycurl.OPENSOCKETFUNCTION: self._open,
            pycurl.NOPROGRESS: 0,
            pycurl.XFERINFOFUNCTION: self._progress,
            pycurl.MAIL_FROM: f"<{mail.sender}>",
            pycurl.MAIL_RCPT: [f"<{each}>" for each in mail.recipients],
            pycurl.UPLOAD: 1,
            pycurl.INFILESIZE: len(mail.message),
            pycurl.READFUNCTION: self._read,
            pycurl.HEADERFUNCTION: self._take_line,
            pycurl.WRITEFUNCTION: self._take_line,
        }
        for option, value in options.items():
            curl.setopt(option, value)
        set_trust(curl, door, self._ca_file)
        if door.proxy:
            set_proxy(curl, door.proxy, self._ca_file)
        if door.proxy.startswith("http"):
            curl.setopt(pycurl.HTTPPROXYTUNNEL, 1)
        if self._resolved is not None:
            curl.setopt(pycurl.RESOLVE, [self._resolved.entry])
        if mail.login is not None:
            curl.setopt(pycurl.USERNAME, mail.login[0].encode())
            curl.setopt(pycurl.PASSWORD, mail.login[1].encode())

    def _answer(self, curl: pycurl.Curl) -> Reply:
        return Reply(status=int(curl.getinfo(pycurl.RESPONSE_CODE)), body=self._line.strip())

    def _refusal(self, curl: pycurl.Curl, error: pycurl.error) -> Reply | EgressError:
        """The answer by which the server refused it, or what went wrong."""
        code, said = error.args[:2]
        reply = self._answer(curl)
        if self._fault is not None:
            return self._fault
        # Whatever status the server refuses a login with.
        if code == pycurl.E_LOGIN_DENIED and reply.status not in _REFUSED:
            return Reply(status=535, body=reply.body)
        if code != pycurl.E_USE_SSL_FAILED and reply.status in _REFUSED:
            return reply
        return explained(code, str(said), curl.getinfo(pycurl.OS_ERRNO))

    # called by libcurl

    def _open(self, _purpose: int, address: tuple[int, int, int, tuple[str, int]]) -> Lent | int:
        family, kind, protocol, place = address
        try:
            self._guard.connecting(text_of(place[0]), place[1])
            made = socket.socket(family, kind, protocol)
            self._sockets.append(made.dup())
            return Lent(made.detach())
        except EgressError as error:
            self._fault = error
        except OSError as error:
            self._fault = ConnectFailed((error.strerror or "no socket").lower())
        return int(pycurl.SOCKET_BAD)

    def _progress(self, *_numbers: float) -> int:
        return 1 if self._is_cut.is_set() else 0

    def _read(self, size: int) -> bytes:
        begin = self._read_to
        piece = self._mail.message[begin : begin + size]
        self._read_to = begin + len(piece)
        return piece

    def _take_line(self, line: bytes) -> None:
        """Keep a line of an answer. A 2yz after the whole message means that it is taken, whatever follows (RFC 5321, 4.2.5)."""
        if not self._is_taken:
            self._line = line
            if self._read_to >= len(self._mail.message) and _ACCEPTED.match(line):
                self._is_taken = True
                self._report(Reply(status=int(line[:3]), body=line.strip()))
