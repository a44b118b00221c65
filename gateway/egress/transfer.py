"""One transfer over libcurl: what is set once for each handle, what is set for each request, and what libcurl calls back.

Whatever a destination sends is bounded here. libcurl is never given a second chance to send what it has read.
"""

import os
import re
import select
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Final, NamedTuple

import pycurl

from gateway.egress.door import Door, Guard
from gateway.egress.faults import by_proxy, by_socket, explained
from gateway.egress.names import Resolved
from gateway.errors import AnswerBroken, ConnectFailed, EgressError
from gateway.model import HttpRequest, Reply

#: How long an idle connection is kept, seconds: below the 5 s after which Node, uvicorn and Apache close
#: theirs. A request that crosses such a close on the wire is lost, and a POST is not sent again by itself.
KEEP_ALIVE_S: Final = 4
#: Limits of an answer's header: a line in bytes, and the number of fields.
LONGEST_FIELD: Final = 8_190
MOST_FIELDS: Final = 128
#: Interim answers (``100 Continue``) that are skipped before the answer itself.
MOST_INTERIM: Final = 20
#: How long a connection lives that shows a client certificate, seconds.
CERTIFICATE_KEPT_S: Final = 300
#: CURLOPT_SUPPRESS_CONNECT_HEADERS, which pycurl has no name for: the answer of a proxy to CONNECT is not the answer.
_SUPPRESS_CONNECT_HEADERS: Final = 265
#: libcurl never looks a name up: it uses what it was given until it is given something newer.
_FOR_EVER: Final = -1
#: Methods whose request says its length even when it has no body (RFC 9110, 8.6).
_WITH_LENGTH: Final = frozenset({"POST", "PUT", "PATCH"})
#: libcurl adds these by itself unless a request has them; a header without a value takes them away.
_UNASKED: Final = ("accept", "expect", "content-type", "user-agent")

_STATUS: Final = re.compile(rb"HTTP/(?:1\.[01]|2) ([1-9][0-9]{2})(?![0-9])")
_TOO_LARGE: Final = "the answer is not HTTP, or its header is too large"


class Shape(NamedTuple):
    """What a handle is set up for."""

    method: str
    has_body: bool
    #: The path of a Unix socket; empty: it connects to an address.
    socket: str = ""


#: A connection by its two ends: their address and port, ours.
Ends = tuple[str, int, str, int]


_NOWHERE: Final[Ends] = ("", 0, "", 0)


class Transfer:
    """A libcurl handle for requests of one method, used again and again, one at a time."""

    def __init__(
        self,
        guard: Guard,
        door: Door,
        ca_file: str,
        kept: dict[Ends, int],
        made: Callable[[int], None],
        shape: Shape,
    ) -> None:
        self._guard = guard
        #: The descriptors of connections that may be used again, shared by all transfers of an engine.
        self._kept = kept
        self._report_made = made
        self._is_unix = bool(shape.socket)
        self._may_be_http2 = door.http2
        self._has_proxy = bool(door.proxy)
        #: Whether what comes on the next connection is not wrapped: by TLS, or by a proxy.
        self._is_plain = False
        #: Whether a request without TLS is a proxy's to carry out, so that a 407 is the proxy's.
        self._is_relayed = door.proxy.startswith("http")
        #: The addresses that libcurl was given last.
        self._given: Resolved | None = None
        self.curl = pycurl.Curl()
        self.forget()
        self._set_up(door)
        set_trust(self.curl, door, ca_file)
        if door.proxy:
            set_proxy(self.curl, door.proxy, ca_file)
        if shape.socket:
            self.curl.setopt(pycurl.UNIX_SOCKET_PATH, shape.socket)
        self._set_method(shape)

    def _set_up(self, door: Door) -> None:
        options = {
            pycurl.NOSIGNAL: 1,
            pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_2TLS if door.http2 else pycurl.CURL_HTTP_VERSION_1_1,
            # A path is sent as it was written, dots and all.
            pycurl.PATH_AS_IS: 1,
            # The environment's proxies are not used, nor are its exceptions from ours.
            pycurl.NOPROXY: "" if door.proxy else "*",
            pycurl.MAXAGE_CONN: KEEP_ALIVE_S,
            # A resumed session is not verified again, for days: neither a certificate that expired nor our new one would count.
            pycurl.SSL_SESSIONID_CACHE: 0,
            pycurl.DNS_CACHE_TIMEOUT: _FOR_EVER,
            pycurl.OPENSOCKETFUNCTION: self._open,
            pycurl.SOCKOPTFUNCTION: self._made_socket,
            pycurl.PREREQFUNCTION: self._is_allowed,
            pycurl.READFUNCTION: self._read,
            pycurl.SEEKFUNCTION: _never_again,
            pycurl.HEADERFUNCTION: self._take_line,
            pycurl.WRITEFUNCTION: self._take_body,
        }
        for option, value in options.items():
            self.curl.setopt(option, value)

    def _set_method(self, shape: Shape) -> None:
        self._has_length = shape.has_body or shape.method in _WITH_LENGTH
        if self._has_length:
            self.curl.setopt(pycurl.POST, 1)
        if shape.method == "HEAD":
            self.curl.setopt(pycurl.NOBODY, 1)
        elif shape.method != ("POST" if self._has_length else "GET"):
            self.curl.setopt(pycurl.CUSTOMREQUEST, shape.method)
        # A kept connection may turn out to be dead: libcurl then sends again what has no body to rewind. And those
        # over a Unix socket cannot be told apart.
        self._is_kept = shape.has_body and not shape.socket
        #: Whether the next connection is to be new.
        self._is_fresh = not self._is_kept
        if not self._is_kept:
            self.curl.setopt(pycurl.FRESH_CONNECT, 1)
            self.curl.setopt(pycurl.FORBID_REUSE, 1)

    def forget(self) -> None:
        """Let go of the last request and its answer."""
        self._body = b""
        self._read_to = self._most = self._status = self._interim = 0
        self._fields: list[bytes] = []
        self._answer = bytearray()
        self._is_early = False
        self._fault: EgressError | None = None
        #: The descriptors of sockets that were made for this transfer.
        self._made: list[int] = []
        self._ends: Ends | None = None
        #: The transfer was ended because enough of the answer was read.
        self.is_enough = False
        #: It was ended before anything was sent: the kept connection had been closed, or an answer nobody asked for was on it.
        self.is_stale = False

    def prepare(self, request: HttpRequest, url: str, resolved: Resolved | None, most: int) -> None:
        """Make ready to send a request once and to keep at most ``most`` bytes of the answer's body."""
        self._body, self._most = request.body, most
        self._is_plain = not self._has_proxy and url.startswith("http:")
        self.curl.setopt(pycurl.URL, url)
        self.curl.setopt(pycurl.HTTPHEADER, _lines(request.headers))
        if self._has_length:
            self.curl.setopt(pycurl.POSTFIELDSIZE, len(request.body))
        self._give(resolved)
        if self._is_fresh and self._is_kept:
            self._is_fresh = False
            self.curl.setopt(pycurl.FRESH_CONNECT, 0)

    def prepare_again(self) -> None:
        """Make ready to send on a new connection what was not sent on a kept one."""
        self._fault, self.is_stale, self._is_fresh = None, False, True
        self.curl.setopt(pycurl.FRESH_CONNECT, 1)

    def only_connect(self, url: str, resolved: Resolved | None) -> list[str]:
        """Make ready to connect and send nothing; what libcurl says about it is added to the list."""
        said: list[str] = []
        self.curl.setopt(pycurl.URL, url)
        self.curl.setopt(pycurl.CONNECT_ONLY, 1)
        self.curl.setopt(pycurl.VERBOSE, 1)
        self.curl.setopt(pycurl.DEBUGFUNCTION, lambda _kind, text: said.append(text_of(text)))
        self._give(resolved)
        return said

    def _give(self, resolved: Resolved | None) -> None:
        if resolved is not None and resolved is not self._given:
            self.curl.setopt(pycurl.RESOLVE, [resolved.entry])
            self._given = resolved

    # what became of it

    def reply(self) -> Reply:
        """The answer. Raises AnswerBroken for a success before the whole request was sent, ConnectFailed for a proxy's 407."""
        if self._may_be_http2 and self.curl.getinfo(pycurl.INFO_HTTP_VERSION) == pycurl.CURL_HTTP_VERSION_2:
            # Its answers name their requests, and frames may come at any time.
            self._kept.pop(self._ends or _NOWHERE, None)
        if 200 <= self._status < 300 and (self._is_early or self.curl.getinfo(pycurl.SIZE_UPLOAD_T) < len(self._body)):
            raise AnswerBroken("it answered before the whole request was sent, so it has not accepted it")
        if self._status == 407 and self._is_relayed and self.curl.getinfo(pycurl.EFFECTIVE_URL).startswith("http:"):
            raise by_proxy(self._status)
        return Reply(status=self._status, headers=_first_fields(self._fields), body=bytes(self._answer[: self._most]))

    def failure(self, error: pycurl.error) -> EgressError:
        """Why it failed: what a callback found, else what libcurl says."""
        code, said = error.args[:2]
        os_errno = self.curl.getinfo(pycurl.OS_ERRNO)
        about_socket = by_socket(os_errno) if self._is_unix and code == pycurl.E_COULDNT_CONNECT else None
        return self._fault or about_socket or explained(code, str(said), os_errno)

    # called by libcurl

    def _open(self, _purpose: int, address: tuple[int, int, int, tuple[str, int]]) -> "Lent | int":
        family, kind, protocol, place = address
        if self._is_unix:
            return connecting(family, kind, protocol, place)
        try:
            self._guard.connecting(text_of(place[0]), place[1])
            return connecting(family, kind, protocol, place)
        except EgressError as error:
            self._fault = error
        except OSError as error:
            self._fault = ConnectFailed((error.strerror or "no socket").lower())
        return int(pycurl.SOCKET_BAD)

    def _made_socket(self, descriptor: int, _purpose: int) -> int:
        self._made.append(descriptor)
        self._report_made(descriptor)
        return int(pycurl.SOCKOPT_OK)

    def _is_allowed(self, address: str, own: str, port: int, own_port: int) -> int:
        """Called when a connection is there, new or kept, before anything is sent on it."""
        if self._is_unix:
            return int(pycurl.PREREQFUNC_OK)
        self._ends = ends = (address, port, own, own_port)
        if self._made:
            self._kept[ends] = made = self._made[0] if len(self._made) == 1 else _with_port(self._made, own_port)
            if self._is_plain and has_news(made):
                self._fault = AnswerBroken("it answered before the request was sent, so it has not accepted it")
                return int(pycurl.PREREQFUNC_ABORT)
        elif (descriptor := self._kept.get(ends)) is not None and has_news(descriptor):
            self.is_stale = True
            return int(pycurl.PREREQFUNC_ABORT)
        try:
            self._guard.connecting(address, port)
        except EgressError as error:
            self._fault = error
            return int(pycurl.PREREQFUNC_ABORT)
        return int(pycurl.PREREQFUNC_OK)

    def _read(self, size: int) -> bytes:
        begin = self._read_to
        piece = self._body[begin : begin + size]
        self._read_to = begin + len(piece)
        return piece

    def _take_line(self, line: bytes) -> int | None:
        if line.startswith(b"HTTP/"):
            return self._take_status(line)
        if line not in (b"\r\n", b"\n"):
            self._fields.append(line)
            if len(line) > LONGEST_FIELD or len(self._fields) > MOST_FIELDS:
                return self._stop(_TOO_LARGE)
        return None

    def _take_status(self, line: bytes) -> int | None:
        self._fields.clear()
        found = _STATUS.match(line)
        if found is None:
            return self._stop("the answer is not HTTP: its status is not three digits")
        self._status = int(found[1])
        if self._status == 101:
            return self._stop("it switched to another protocol (101), which nobody asked for")
        if self._status < 200:
            self._interim += 1
            return (
                self._stop(f"more than {MOST_INTERIM} interim answers (1xx)") if self._interim > MOST_INTERIM else None
            )
        self._is_early = self._read_to < len(self._body)
        return None

    def _take_body(self, data: bytes) -> int | None:
        self._answer += data
        self.is_enough = len(self._answer) >= self._most
        return -1 if self.is_enough else None

    def _stop(self, reason: str) -> int:
        self._fault = AnswerBroken(reason)
        return -1


def set_trust(curl: pycurl.Curl, door: Door, ca_file: str) -> None:
    """Which certificates count, and which one is shown."""
    least = pycurl.SSLVERSION_TLSv1_3 if door.least_tls == "1.3" else pycurl.SSLVERSION_TLSv1_2
    curl.setopt(pycurl.SSLVERSION, least)
    if door.ca:
        curl.setopt(pycurl.CAINFO_BLOB, door.ca.encode())
    else:
        # libcurl reads a file once for all connections of a multi handle, but a text for each.
        curl.setopt(pycurl.CAINFO, ca_file)
    if door.cert:
        curl.setopt(pycurl.SSLCERT, door.cert)
        curl.setopt(pycurl.SSLKEY, door.key or door.cert)
        # A certificate that was replaced is in use after so long on busy connections, too.
        curl.setopt(pycurl.MAXLIFETIME_CONN, CERTIFICATE_KEPT_S)


def set_proxy(curl: pycurl.Curl, proxy: str, ca_file: str) -> None:
    """Go through a proxy."""
    curl.setopt(pycurl.PROXY, proxy)
    curl.setopt(pycurl.PROXY_CAINFO, ca_file)
    curl.setopt(pycurl.PROXY_SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
    curl.setopt(_SUPPRESS_CONNECT_HEADERS, 1)


def _with_port(descriptors: Sequence[int], port: int) -> int:
    """Of the sockets that were raced against each other, the one that is connected from this port."""
    for descriptor in descriptors:
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
            if copy.getsockname()[1] == port:
                return descriptor
    return descriptors[-1]


def has_news(descriptor: int) -> bool:
    """Whether something has come on an idle connection: its end, or an answer to nothing (RFC 9112, 9.2).

    libcurl looks at most once a second: what came in between would be taken for the answer to the next request.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class Lent:
    """A socket for libcurl, which makes a copy of its own: this one is closed as soon as nobody refers to it."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def __del__(self) -> None:
        os.close(self._descriptor)


def connecting(family: int, kind: int, protocol: int, _address: tuple[str, int]) -> Lent:
    """The socket of a connection to an address that was checked."""
    return Lent(socket.socket(family, kind, protocol).detach())


def _never_again(_offset: int, _origin: int) -> int:
    """Libcurl wants to send a body again, on another connection: nobody would know that it went out twice."""
    return int(pycurl.SEEKFUNC_FAIL)


def text_of(address: object) -> str:
    """What libcurl gives as a text or as bytes."""
    return address.decode("ascii", "replace") if isinstance(address, bytes) else str(address)


def _lines(headers: Sequence[tuple[str, str]]) -> list[str]:
    given = dict(headers)
    lines = [f"{name}: {value}" if value else f"{name};" for name, value in headers]
    return [*lines, *[f"{name}:" for name in _UNASKED if name not in given]]


def _first_fields(lines: Sequence[bytes]) -> Mapping[str, str]:
    """An answer's header: lower-case names, the first of repeated fields."""
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return MappingProxyType(fields)
