"""What every kind of destination is made of, and what those that speak HTTP share. Plain values, no I/O."""

import calendar
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_tz
from operator import attrgetter
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from gateway import __version__
from gateway.errors import BuildError
from gateway.event.paths import lookup
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


@dataclass(frozen=True, slots=True)
class Answer:
    """What rules of ``success`` look at."""

    status: int
    text: str
    #: Its body as JSON, or NO_JSON.
    json: object


#: In place of the value of a body that is no JSON: null is a value.
NO_JSON: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a destination's part of routes.yaml comes to, checked. Its repr hides whatever can hold a secret."""

    #: Of all that speak HTTP; scheme and host are the operator's literal words.
    url: str = field(default="", repr=False)
    #: Of a file.
    path: str = ""
    method: str | None = None
    headers: Pairs = field(default=(), repr=False)
    #: A header that no entry can replace: ``("authorization", "Bearer ...")``.
    auth: tuple[str, str] | None = field(default=None, repr=False)
    #: Where the login comes from, in words: ``auth.bearer is ${CRM_TOKEN}, which is read at start``.
    login: str = ""
    #: What its kind alone asks for: ``{"channel": "#leads"}``.
    options: Mapping[str, str] = field(default_factory=dict)
    #: Whether an answer is one that the operator counts as taken; None: the kind's own word counts.
    success: Callable[[Answer], bool] | None = None
    #: Where the JSON of an answer says how many seconds to wait.
    hint: tuple[str, ...] = ()
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


#: How payload values are escaped in what people read; each is known to the templates by this name.
Escape = Literal["none", "slack", "discord", "teams", "googlechat", "telegram"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A key of routes.yaml that one kind alone has; a text."""

    #: One line for people.
    about: str
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One type of destination: how it makes a request, and how it reads the answer."""

    #: Its ``type`` in routes.yaml.
    name: str
    escape: Escape = "none"
    #: Read by people: it needs a text, body or template.
    chat: bool = False
    #: Hosted for everyone on the internet: its name never stands for a private address.
    public: bool = False
    #: How many a destination of this kind takes, unless routes.yaml says otherwise: ``1/s``. None: as many as come.
    rate: str | None = None
    #: Of the keys that not every type has, those that it has.
    keys: frozenset[str] = frozenset({"url", "headers"})
    options: Mapping[str, Option] = field(default_factory=dict)
    #: Whether an entry's method, path and query mean something to it.
    shapes_request: bool = False
    #: Raises BuildError, and nothing else.
    build: Callable[[Target, Parts], OutboundRequest]
    #: What an answer means by the kind's own documentation. Total.
    read: Callable[[Target, Reply], Verdict]
    #: The status that an answer stands for, where its kind tells of an error inside a 2xx. Total.
    stands_for: Callable[[Reply], int] = attrgetter("status")
    #: Where its answers say in JSON how many seconds to wait.
    hint: tuple[str, ...] = ()

    def judge(self, target: Target, reply: Reply, now: float) -> Verdict:
        """What an attempt comes to: the operator's rules of success first, then the kind's own reading. Total.

        ``now`` is the wall clock, seconds since the epoch.
        """
        if target.success is not None and target.success(_answer(reply)):
            return Delivered()
        verdict = self.read(target, reply)
        if isinstance(verdict, Delivered) and target.success is not None:
            verdict = Retry(f"answered {reply.status}, which no rule of success takes{beginning(reply.body)}")
        if isinstance(verdict, Retry):
            hints = (hinted(reply.body, path) for path in (target.hint, self.hint) if path)
            return replace(verdict, after_s=max(retry_after(reply.headers, now), *hints, 0.0))
        return verdict


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


# --- what an answer means ---

#: What a status means when nobody knows better, and the remedy.
_MEANINGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "it does not understand the request: hold the content against its documentation",
        401: "it does not accept the login",
        402: "its plan does not cover this: see what is paid for",
        403: "it forbids this: check what the login may do",
        404: "nothing is there: correct url or path",
        405: "it does not take this method: correct method",
        408: "it waited too long for the request",
        409: "it conflicts with what is there; if that is as good as done, say so under success",
        410: "it is gone for good: put its new address into url, or remove the destination",
        413: "it is too large: send less of it",
        415: "it does not take this content type: send another, or set the header content-type",
        422: "it does not take these values: correct the content; if it has them already, say so under success",
        425: "too early for it",
        429: "too many requests: set rate to what it takes",
    }
)
#: Those that say something about who asks.
_OF_THE_LOGIN: Final = frozenset({401, 403})
#: Below 500, what may be better later.
_PASSING: Final = frozenset({408, 425, 429})


def read_status(target: Target, reply: Reply, meaning: str = "") -> Verdict:
    """The verdict by the status alone: 2xx is taken; 408, 425, 429 and 5xx may be later; the rest is final.

    ``meaning`` is what the kind knows of this answer, with the remedy, in place of what the status says.
    """
    status = reply.status
    if 200 <= status < 300:
        return Delivered()
    if 300 <= status < 400:
        return Dead(f"redirects are not followed: answered {status}; put the final address into url")
    reason = f"answered {status}{_meaning(target, status, meaning)}{beginning(reply.body)}"
    return Dead(reason) if 400 <= status < 500 and status not in _PASSING else Retry(reason)


def _meaning(target: Target, status: int, known: str) -> str:
    own_trouble = "it has trouble of its own" if 500 <= status < 600 else ""
    login = target.login or ("" if known else "the destination has no auth")
    parts = (known or _MEANINGS.get(status, own_trouble), login if status in _OF_THE_LOGIN else "")
    said = "; ".join(part for part in parts if part)
    return said and f" ({said})"


def _answer(reply: Reply) -> Answer:
    return Answer(reply.status, reply.body.decode("utf-8", "replace"), json_of(reply.body))


def json_of(body: bytes) -> object:
    """The JSON value of an answer; NO_JSON for all else."""
    try:
        value: object = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return NO_JSON
    return value


def beginning(body: bytes) -> str:
    """``": "`` and the first words of an answer on one line; nothing of an empty one."""
    text = body[:1000].decode("utf-8", "replace")
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return f": {line[:200]}" if line else ""


def hinted(body: bytes, path: Sequence[str]) -> float:
    """The seconds at ``path`` in the JSON of an answer, 0 to 24 h; 0 for what cannot be understood."""
    value = lookup(json_of(body), path)
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(min(max(value, 0), LONGEST_RETRY_AFTER_S))


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
