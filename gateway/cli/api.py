"""Requests to the admin API of a running gateway."""

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

from gateway.cli.surroundings import environment, usual_address
from gateway.errors import GatewayError
from gateway.wording import printable

API_TIMEOUT_S: Final = 30.0
#: A stream that is silent for this long is dead: the gateway sends something every 10 s.
STREAM_TIMEOUT_S: Final = 40.0
#: Longest message of a stream, bytes; the gateway sends none that is longer.
LONGEST_MESSAGE: Final = 16 * 1024 * 1024


class ApiRefused(GatewayError):
    """The running gateway refused the request."""

    def __init__(self, message: str, status: int = 0) -> None:
        self.status = status
        super().__init__(message)


class Unreachable(GatewayError):
    """No gateway answers at the given address."""

    exit_code = 3


class NotRunning(Unreachable):
    """No address was given, and no gateway listens at the usual one."""


def ask(
    url: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    query: Mapping[str, object] | None = None,
    key: str = "",
) -> Any:
    """The decoded answer of the running gateway; a request with a ``body`` is a POST.

    ``url`` "" is the usual address. Empty parameters of ``query`` are left out. A POST repeated with the same ``key``
    is carried out once. Raises NotRunning, Unreachable, ApiRefused.
    """
    with _translated(url), _opened(_request(url, path, body, query or {}, key), API_TIMEOUT_S) as response:
        return msgspec.json.decode(response.read())


def part(text: str) -> str:
    """A name or an id as one segment of a path."""
    return urllib.parse.quote(text, safe="")


def who() -> str:
    """The user at the command line, for the record of what was done."""
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
    """The messages of a stream as they arrive, until it ends or raises Unreachable. Raises as ``ask`` does."""
    with _translated(url):
        response = _opened(_request(url, path, None, query, ""), STREAM_TIMEOUT_S)
    with response:
        yield messages(_lines(response, url))


def _lines(response: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    while True:
        with _translated(url):
            line = response.readline(LONGEST_MESSAGE)
        if not line:
            return
        yield line


def messages(lines: Iterable[bytes]) -> Iterator[Message]:
    """The messages in a stream of server-sent events (WHATWG HTML, 9.2.6), without an unfinished last one.

    A comment, with which the gateway shows that it is alive, becomes an empty message.
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


def _address(url: str) -> str:
    return url or usual_address("GATEWAY_ADMIN_BIND", "127.0.0.1:8081")


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Raise what a failed request means."""
    try:
        yield
    except urllib.error.HTTPError as error:
        raise ApiRefused(_refusal(_address(url), error), error.code) from None
    except (msgspec.DecodeError, ValueError):
        raise ApiRefused(f"{_address(url)} is not a gateway's admin address: use --url http://127.0.0.1:8081") from None
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(url, getattr(error, "reason", error)) from None


def _unreachable(url: str, reason: object) -> Unreachable:
    if not url and isinstance(reason, ConnectionRefusedError):
        return NotRunning(f"no gateway is running at {_address(url)}: start it, or give its admin address with --url")
    return Unreachable(f"no gateway answers at {_address(url)} ({reason}): is it running, and is --url right?")


def _opened(request: urllib.request.Request, timeout_s: float) -> http.client.HTTPResponse:
    # Proxies of the environment are for other machines.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    response: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
    return response


def _request(
    url: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, object], key: str
) -> urllib.request.Request:
    address = _address(url)
    if not address.startswith(("http://", "https://")):
        raise ValueError(address)
    asked = urllib.parse.urlencode({name: value for name, value in query.items() if value not in (None, "")})
    whole = f"{address.rstrip('/')}{path}{'?' if asked else ''}{asked}"
    request = urllib.request.Request(whole)  # noqa: S310  the operator's own address
    if token := environment(Path(".env")).get("GATEWAY_ADMIN_TOKEN"):
        request.add_header("authorization", f"Bearer {token}")
    if key:
        request.add_header("idempotency-key", key)
    if body is not None:
        request.data = msgspec.json.encode(body)
        request.add_header("content-type", "application/json")
    return request


def _refusal(address: str, error: urllib.error.HTTPError) -> str:
    try:
        said = str(msgspec.json.decode(error.read())["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        said = "is it a gateway's admin address?"
    hint = " (GATEWAY_ADMIN_TOKEN)" if error.code == 401 else ""
    return f"{address} answered {error.code}: {printable(said)}{hint}"
