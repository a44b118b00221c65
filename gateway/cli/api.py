"""Requests to the admin API of a running gateway."""

import getpass
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from gateway.cli.client import FAILURES, Client, NobodyListens, Unreachable
from gateway.cli.surroundings import environment, usual_address
from gateway.errors import GatewayError
from gateway.wording import printable

API_TIMEOUT_S: Final = 30.0
#: A stream that is silent for this long is dead: the gateway sends something every 10 s.
STREAM_TIMEOUT_S: Final = 40.0
#: Longest message of a stream, bytes; the gateway sends none that is longer.
LONGEST_MESSAGE: Final = 16 * 1024 * 1024


class ApiRefused(GatewayError):
    """The running gateway refused the request; ``problems``: those of its routes.yaml, if that is why."""

    def __init__(self, message: str, status: int = 0, problems: Sequence[Mapping[str, Any]] = ()) -> None:
        self.status = status
        self.problems = problems
        super().__init__(message)


class ApiMisused(ApiRefused):
    """The running gateway cannot make sense of what was asked."""

    exit_code = 2


#: Answers that speak of what was asked for, and not of the gateway.
_ABOUT_THE_QUESTION: Final = frozenset({400, 404, 409})
#: Where a name is asked for. One that is unknown was mistyped, while an event may only be gone.
_BY_NAME: Final = ("/api/destinations/", "/api/sources/")


def ask(
    url: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    query: Mapping[str, object] | None = None,
    key: str = "",
    token: str = "",
) -> Any:
    """The decoded answer of the running gateway; a request with a ``body`` is a POST.

    ``url`` "" is the usual address. Empty parameters of ``query`` are left out. A POST repeated with the same ``key``
    is carried out once. ``token``: instead of GATEWAY_ADMIN_TOKEN. Raises NobodyListens if there is none at the usual address, Unreachable, ApiRefused.
    """
    with _translated(url), Client(_address(url), timeout_s=API_TIMEOUT_S) as client:
        target = _target(client, path, query or {})
        if body is None:
            status, answer = client.answer("GET", target, headers=_headers(key, token))
        else:
            headers = {**_headers(key, token), "content-type": "application/json"}
            status, answer = client.answer("POST", target, body=msgspec.json.encode(body), headers=headers)
        if status // 100 != 2:
            raise _refused(url, status, answer, path)
        return msgspec.json.decode(answer)


def part(text: str) -> str:
    """A name or an id as one segment of a path."""
    return quote(text, safe="")


def who() -> str:
    """The user at the command line, for the record of what was done."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "cli"


# --- a stream ---


class Message(Struct, frozen=True):
    """One message of a stream of server-sent events."""

    kind: str
    data: str


@contextmanager
def listening(url: str, path: str, query: Mapping[str, object]) -> Iterator[Iterator[Message]]:
    """The messages of a stream as they arrive, until it ends or raises Unreachable. Raises as ``ask`` does."""
    with _translated(url):
        client = Client(_address(url), timeout_s=STREAM_TIMEOUT_S)
    with client:
        with _translated(url):
            response = client.open("GET", _target(client, path, query), headers=_headers())
            if response.status // 100 != 2:
                raise _refused(url, response.status, response.read(), path)
        with response:
            yield messages(_lines(response, url))


def _lines(response: HTTPResponse, url: str) -> Iterator[bytes]:
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
    # An untrusted certificate is a ValueError, too.
    except FAILURES as error:
        raise _unreachable(url, error) from None
    except (msgspec.DecodeError, ValueError):
        raise ApiRefused(f"{_address(url)} is not a gateway's admin address: use --url http://127.0.0.1:8081") from None


def _unreachable(url: str, reason: Exception) -> Unreachable:
    if not url and isinstance(reason, ConnectionRefusedError):
        return NobodyListens(
            f"no gateway is running at {_address(url)}: start it, or give its admin address with --url"
        )
    return Unreachable(f"no gateway answers at {_address(url)} ({reason}): is it running, and is --url right?")


def _target(client: Client, path: str, query: Mapping[str, object]) -> str:
    asked = urlencode({name: value for name, value in query.items() if value not in (None, "")})
    return f"{client.path}{path}{'?' if asked else ''}{asked}"


def _headers(key: str = "", token: str = "") -> Mapping[str, str]:
    token = token or environment(Path(".env")).get("GATEWAY_ADMIN_TOKEN", "")
    headers = {"authorization": f"Bearer {token}" if token else "", "idempotency-key": key}
    return {name: value for name, value in headers.items() if value}


def _refused(url: str, status: int, body: bytes, path: str) -> ApiRefused:
    problems: Sequence[Mapping[str, Any]] = ()
    try:
        answer = msgspec.json.decode(body)
        problems = answer.get("problems", ())
        # /readyz says why it is not ready.
        said = str(answer.get("error") or answer["status"])
    except (msgspec.DecodeError, KeyError, AttributeError):
        return ApiRefused(f"{_address(url)} answered {status}: is it a gateway's admin address?", status)
    if status in _ABOUT_THE_QUESTION:
        is_misuse = status == 400 or (status == 404 and path.startswith(_BY_NAME))
        return (ApiMisused if is_misuse else ApiRefused)(printable(said), status, problems)
    hint = " (GATEWAY_ADMIN_TOKEN)" if status == 401 else ""
    return ApiRefused(f"{_address(url)} answered {status}: {printable(said)}{hint}", status, problems)
