"""The running gateway, by its admin API."""

import getpass
import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.cli import check
from gateway.errors import GatewayError
from gateway.wording import printable

API_TIMEOUT_S: Final = 30.0
#: A stream that is silent for so long is dead: the gateway sends something every 10 s.
STREAM_TIMEOUT_S: Final = 40.0
#: Bytes of one message of a stream; what is longer is none of ours.
LONGEST_MESSAGE: Final = 16 * 1024 * 1024


class ApiRefused(GatewayError):
    """The running gateway answered no."""

    def __init__(self, message: str, status: int = 0) -> None:
        self.status = status
        super().__init__(message)


class Unreachable(GatewayError):
    """Nobody answers at the address that was named."""

    exit_code = 3


class NobodyListens(Unreachable):
    """The connection was refused."""


def ask(
    url: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    query: Mapping[str, object] | None = None,
    key: str = "",
) -> Any:
    """The decoded answer of the running gateway; None when no address was named and nobody listens at the usual one.

    Parameters of ``query`` that are empty are left out. ``key`` makes a POST that is repeated the same one.
    """
    address = url or check.usual_address("GATEWAY_ADMIN_BIND", "127.0.0.1:8081")
    try:
        with _meaning(address), _opened(_request(address, path, body, query or {}, key), API_TIMEOUT_S) as response:
            return msgspec.json.decode(response.read())
    except NobodyListens:
        if url:
            raise
        return None


def require(url: str, path: str, body: Mapping[str, Any] | None = None, **more: Any) -> Any:
    """As ``ask``; Unreachable when nobody listens."""
    answer = ask(url, path, body, **more)
    if answer is None:
        raise Unreachable("no gateway is running here: start it, or name its admin address with --url")
    return answer


def part(text: str) -> str:
    """A name or an id as one part of a path."""
    return urllib.parse.quote(text, safe="")


def who() -> str:
    """The person at the command line, for the record of what was done."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "cli"


# --- a stream ---


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a stream of server-sent events."""

    kind: str
    data: str


@contextmanager
def listening(url: str, path: str, query: Mapping[str, object]) -> Iterator[Iterator[Message]]:
    """The messages of a stream as they come, until it ends or raises Unreachable. Raises NobodyListens."""
    address = url or check.usual_address("GATEWAY_ADMIN_BIND", "127.0.0.1:8081")
    with _meaning(address):
        response = _opened(_request(address, path, None, query, ""), STREAM_TIMEOUT_S)
    with response:
        yield messages(_lines(response, address))


def _lines(response: http.client.HTTPResponse, address: str) -> Iterator[bytes]:
    while True:
        with _meaning(address):
            line = response.readline(LONGEST_MESSAGE)
        if not line:
            return
        yield line


def messages(lines: Iterable[bytes]) -> Iterator[Message]:
    """The messages in a stream of server-sent events (WHATWG HTML, 9.2.6). An unfinished last one is none.

    A comment, which is how the other side says that it is there, comes out as an empty message.
    """
    kind, data = "", list[str]()
    for line in lines:
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if not text:
            if data:
                yield Message(kind or "message", "\n".join(data))
            kind, data = "", []
        elif name == "":
            yield Message("", "")
        elif name == "event":
            kind = value
        elif name == "data":
            data.append(value)


# --- one request ---


@contextmanager
def _meaning(address: str) -> Iterator[None]:
    """Say what a failure of a request means."""
    try:
        yield
    except urllib.error.HTTPError as error:
        raise ApiRefused(_refusal(address, error), error.code) from None
    except (msgspec.DecodeError, ValueError):
        raise ApiRefused(f"{address} is no gateway's admin address: write --url http://127.0.0.1:8081") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        kind = NobodyListens if isinstance(reason, ConnectionRefusedError) else Unreachable
        raise kind(f"no gateway answers at {address} ({reason}): is it running, and is --url right?") from None


def _opened(request: urllib.request.Request, timeout_s: float) -> http.client.HTTPResponse:
    # A proxy of the environment is for other machines.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    response: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
    return response


def _request(
    address: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, object], key: str
) -> urllib.request.Request:
    if not address.startswith(("http://", "https://")):
        raise ValueError(address)
    asked = urllib.parse.urlencode({name: value for name, value in query.items() if value not in (None, "")})
    whole = f"{address.rstrip('/')}{path}{'?' if asked else ''}{asked}"
    request = urllib.request.Request(whole)  # noqa: S310  the operator's own address
    if token := check.environment(Path(".env")).get("GATEWAY_ADMIN_TOKEN"):
        request.add_header("authorization", f"Bearer {token}")
    if key:
        request.add_header("idempotency-key", key)
    if body is not None:
        request.data = msgspec.json.encode(body)
        request.add_header("content-type", "application/json")
    return request


def _refusal(url: str, error: urllib.error.HTTPError) -> str:
    try:
        said = str(msgspec.json.decode(error.read())["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        said = "is it a gateway's admin address?"
    hint = " (GATEWAY_ADMIN_TOKEN)" if error.code == 401 else ""
    return f"{url} answered {error.code}: {printable(said)}{hint}"
