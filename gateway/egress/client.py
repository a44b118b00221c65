"""httpx over the door out, where a flow of requests matters and speed does not: look-ups, keys, tokens, what doctor asks.

Imported on first use. Addresses, deadlines, TLS, redirects, proxies and an answer's header are the door's business, as for
every attempt; httpx has no connections, timeouts or trust of its own here.
"""

from typing import Final
from urllib.parse import quote

import httpx

import gateway
from gateway.egress import Door, Egress, unix
from gateway.errors import AnswerBroken, ConnectFailed
from gateway.model import HttpRequest, Reply

#: Bytes of an answer: one whose value an entry remembers; and keys, tokens, look-ups.
LONGEST_VALUE: Final = 262_144
LONGEST_DOCUMENT: Final = 1_048_576

#: Headers of a request that are the connection's: the door writes its own.
_HOP_BY_HOP: Final = frozenset({"accept-encoding", "connection", "content-length", "transfer-encoding"})
#: Headers of an answer that httpx is not shown: it would keep the one, and unpack for the other.
_KEPT_BACK: Final = frozenset({"set-cookie", "content-encoding"})


def client(egress: Egress, *, door: Door, timeout_s: float, most: int, socket: str = "") -> httpx.AsyncClient:
    """A client whose requests go out through ``door``, each within ``timeout_s`` seconds, redirects not followed.

    ``most`` is the longest answer in bytes. ``socket`` is the path of a Unix socket that gets every request instead of the
    url's host. What goes wrong on the way is raised as ``Egress.send`` raises it, a longer answer as
    AnswerBroken; only a url that cannot be read is httpx's own InvalidURL.
    """
    transport = Transport(egress, door=door, timeout_s=timeout_s, most=most, socket=socket)
    headers = {"user-agent": f"gateway/{gateway.__version__}"}
    return httpx.AsyncClient(transport=transport, headers=headers, timeout=None, trust_env=False)  # noqa: S113  Transport has it


class Transport(httpx.AsyncBaseTransport):
    """Carries each request of httpx out as one attempt of an Egress, which outlives it."""

    def __init__(self, egress: Egress, *, door: Door, timeout_s: float, most: int, socket: str = "") -> None:
        self._egress = egress
        self._door = door
        self._timeout_s = timeout_s
        self._most = most
        self._socket = socket

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, read whole."""
        body = await request.aread()
        sent = HttpRequest(method=request.method, url=self._url(request.url), headers=_headers(request), body=body)
        # One byte more than fits, to know a longer answer from one that just fits.
        reply = await self._egress.send(sent, timeout_s=self._timeout_s, door=self._door, most=self._most + 1)
        return httpx.Response(reply.status, headers=self._checked(reply), content=reply.body, request=request)

    def _url(self, url: httpx.URL) -> str:
        """Without the login, which httpx has made a header of, and without the fragment."""
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        if self._socket:
            origin = unix.SCHEME + quote(self._socket, safe="")
        return origin + url.raw_path.decode("ascii")

    def _checked(self, reply: Reply) -> list[tuple[str, str]]:
        """The header of an answer that is whole and not packed; no cookie is kept."""
        if len(reply.body) > self._most:
            raise AnswerBroken(f"the answer is longer than {self._most} bytes")
        if reply.body and reply.headers.get("content-encoding", "identity").lower() != "identity":
            # A few bytes can unpack to more than there is memory.
            raise AnswerBroken("the answer is in an encoding that nobody asked for")
        return [(name, value) for name, value in reply.headers.items() if name not in _KEPT_BACK]


def _headers(request: httpx.Request) -> tuple[tuple[str, str], ...]:
    fields = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in request.headers.raw]
    for name, value in fields:
        if not (name + value).isascii() or not (name + value).isprintable():
            raise ConnectFailed(f"the header {name!a} contains a line break or a non-ASCII character: remove it")
    return (*(each for each in fields if each[0] not in _HOP_BY_HOP), ("accept-encoding", "identity"))
