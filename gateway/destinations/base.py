"""What every kind of destination is made of, and what those that speak HTTP share. Plain values, no I/O."""

import calendar
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_tz
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from gateway import __version__
from gateway.errors import BuildError
from gateway.model import (
    Content,
    Dead,
    Delivered,
    Event,
    HttpRequest,
    OutboundRequest,
    Reply,
    Retry,
    Verdict,
)

Pairs = tuple[tuple[str, str], ...]

#: A destination can ask for no longer wait than this, seconds.
LONGEST_RETRY_AFTER_S: Final = 86400.0

#: Characters; servers refuse far shorter ones, and our own client longer ones.
LONGEST_URL: Final = 32_768

#: Fields that belong to the connection or to the framing of the body (RFC 9110, 7.6.1), never to a file.
RESERVED_HEADERS: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a destination's part of routes.yaml comes to, checked. Its repr hides whatever can hold a secret."""

    #: Of http and slack; scheme and host are the operator's literal words.
    url: str = field(default="", repr=False)
    #: Of a file.
    path: str = ""
    method: str | None = None
    headers: Pairs = field(default=(), repr=False)
    #: A header that no entry can replace: ``("authorization", "Bearer ...")``.
    auth: tuple[str, str] | None = field(default=None, repr=False)
    #: Of every request: ``headers``, ``auth`` and the gateway's own, by lower-case name.
    fixed_headers: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fixed = {name.lower(): value for name, value in (*self.headers, *([self.auth] if self.auth else []))}
        fixed |= {"user-agent": f"gateway/{__version__}", "accept-encoding": "identity"}
        object.__setattr__(self, "fixed_headers", MappingProxyType(fixed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an entry of routes.yaml rendered for one event."""

    event: Event = field(repr=False)
    delivery_id: str
    method: str | None = None
    #: Percent-encoded; with or without a leading slash.
    path: str = field(default="", repr=False)
    #: Names as written, values percent-encoded.
    query: Pairs = field(default=(), repr=False)
    headers: Pairs = field(default=(), repr=False)
    #: None: the exact bytes received.
    content: Content | None = field(default=None, repr=False)
    #: What travels with the exact bytes: the headers that the source signs or names events by.
    verbatim_headers: Pairs = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One type of destination: how it makes a request, and how it reads the answer."""

    #: Its ``type`` in routes.yaml.
    name: str
    #: How payload values are escaped in a readable text for it.
    escape: Literal["none", "slack"]
    #: Read by people: it needs a text, body or template.
    chat: bool
    #: Whether an entry's method, path and query mean something to it.
    shapes_request: bool
    #: Raises BuildError, and nothing else.
    build: Callable[[Target, Parts], OutboundRequest]
    #: Total. The second argument is the wall clock, seconds since the epoch.
    judge: Callable[[Reply, float], Verdict]


def http_request(
    target: Target, parts: Parts, *, method: str, url: str, body: bytes, defaults: Mapping[str, str]
) -> HttpRequest:
    """A request with its headers in order of precedence: defaults, destination, entry.

    The configuration has refused an entry's header that cannot be sent, or that auth or the gateway sets.
    """
    headers = {**defaults, **target.fixed_headers}
    headers.update((name.lower(), value) for name, value in parts.headers)
    headers["webhook-id"] = parts.delivery_id
    return HttpRequest(method=method, url=url, headers=tuple(headers.items()), body=body)


def sendable(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Of a sender's headers those that can be sent on; an odd one must not keep an event back."""
    fit = ((name.lower(), value) for name, value in pairs if _TOKEN.fullmatch(name) and _VALUE.fullmatch(value))
    return {name: value for name, value in fit if name not in RESERVED_HEADERS}


def json_bytes(value: object) -> bytes:
    """A JSON value as bytes; BuildError for what JSON or UTF-8 cannot say."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise BuildError("the content holds half a character (a lone surrogate), which UTF-8 cannot say") from None
    except RecursionError:
        raise BuildError("the content is nested too deeply") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise BuildError(f"the content is not JSON: {error}") from None


def judge_status(reply: Reply, now: float) -> Verdict:
    """The verdict by the status alone: 2xx is taken; 408, 425, 429 and 5xx may be later; the rest is final."""
    status = reply.status
    if 200 <= status < 300:
        return Delivered()
    if 300 <= status < 400:
        return Dead(f"redirects are not followed: answered {status}; put the final address into url")
    reason = f"answered {status}{beginning(reply.body)}"
    if 400 <= status < 500 and status not in (408, 425, 429):
        return Dead(reason)
    return Retry(reason, after_s=retry_after(reply.headers, now))


def beginning(body: bytes) -> str:
    """``": "`` and the first words of an answer on one line; nothing of an empty one."""
    text = body[:1000].decode("utf-8", "replace")
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return f": {line[:200]}" if line else ""


def retry_after(headers: Mapping[str, str], now: float) -> float:
    """How long an answer asks to wait (RFC 9110, 10.2.3), seconds of 0 to 24 h; 0 for what cannot be understood.

    A date is compared with the answer's own ``date``, or with ``now`` when there is none: their clock with
    their clock.
    """
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_RETRY_AFTER_S)
    until = _http_date(text)
    if until is None:
        return 0.0
    then = _http_date(headers.get("date", ""))
    return min(max(0.0, until - (now if then is None else then)), LONGEST_RETRY_AFTER_S)


def _http_date(text: str) -> float | None:
    try:
        parsed = parsedate_tz(text)
        return None if parsed is None else float(calendar.timegm(parsed[:9]) - (parsed[9] or 0))
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
