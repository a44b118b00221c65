"""The nouns: what is stored and what is sent. Frozen values without behaviour; no I/O and no clock.

Times inside a stored noun are seconds since the Unix epoch by the wall clock (for people);
durations are seconds. The store keeps its own clock for what is due.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from types import MappingProxyType
from typing import Literal

# Seeded by the system once: asking it for each id costs a system call, and the interpreter's lock with it.
_noise = Random().getrandbits  # noqa: S311  ids are names, not secrets

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def new_id(prefix: Literal["evt", "dlv", "act"], now: float) -> str:
    """``evt_``, ``dlv_`` or ``act_`` + a UUIDv7 (RFC 9562, 5.7) of ``now``: later ids sort later, to the millisecond."""
    milliseconds = int(now * 1000) & 0xFFFF_FFFF_FFFF
    noise = _noise(80)
    number = milliseconds << 80 | 0x7 << 76 | (noise >> 68 & 0xFFF) << 64 | 0b10 << 62 | noise & 0x3FFF_FFFF_FFFF_FFFF
    digits = f"{number:032x}"
    return f"{prefix}_{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Secret:
    """A text that never shows itself: not in a repr, a log line or a traceback. ``reveal()`` is easy to search for."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


class DeliveryState(StrEnum):
    """What became of a delivery. Leased, retrying or held are views of ``pending`` and never stored."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    #: A person said no.
    DISCARDED = "discarded"


#: Every legal move; whatever is not here never happens. Back to pending is a replay.
MOVES: Mapping[DeliveryState, frozenset[DeliveryState]] = MappingProxyType(
    {
        DeliveryState.PENDING: frozenset({DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.DISCARDED}),
        DeliveryState.DEAD: frozenset({DeliveryState.PENDING, DeliveryState.DISCARDED}),
        DeliveryState.DELIVERED: frozenset({DeliveryState.PENDING}),
        DeliveryState.DISCARDED: frozenset(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One verified webhook, as it was received."""

    #: ``evt_`` + UUIDv7.
    id: str
    #: The name of its source in routes.yaml.
    source: str
    #: ``contact.created``; at most 200 characters.
    type: str
    #: Wall clock, seconds since the epoch.
    received_at: float
    #: Lower-case names; repeated fields joined by ``, ``. Without authorization, cookie and hop-by-hop fields.
    headers: Mapping[str, str]
    #: The exact bytes received.
    body: bytes
    #: SHA-256 of ``body``: its checksum and its default dedupe key.
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one destination because of one route."""

    #: ``dlv_`` + UUIDv7; the ``webhook-id`` of every attempt.
    id: str
    event_id: str
    route: str
    destination: str
    state: DeliveryState = DeliveryState.PENDING
    #: Attempts made so far, over all replays.
    attempts: int = 0
    #: Attempts made before the last replay: the retry schedule starts anew behind them.
    attempts_before_replay: int = 0
    #: Planned waiting since it was made or replayed, seconds.
    spent_s: float = 0.0
    #: How often the process died while it worked on this delivery, since it was made or replayed.
    crashes: int = 0
    #: Seconds from now until it is due, negative once overdue; None: it is not pending, or behind another one of its lane.
    due_in_s: float | None = None
    #: Why the last attempt failed or why it is dead.
    reason: str = ""
    #: HTTP status of the last answer.
    last_status: int | None = None
    #: The beginning of the last answer's body.
    last_answer: str = ""
    #: Deliveries of one destination and lane start one after the other, in the order of acceptance; None: it has none.
    lane: str | None = None
    #: What it tells of, if it is one of ``failed``.
    notice: "Notice | None" = None
    #: Of a dead one: what it has in common with others, ``answered 422``; the group in which people look at it.
    cause: str = ""
    #: The replay that made it pending last, an activity's id; empty: none did.
    replayed_by: str = ""

    @property
    def is_behind(self) -> bool:
        """Whether it waits for another one of its lane."""
        return self.state is DeliveryState.PENDING and self.due_in_s is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a delivery of ``failed`` tells of: one that is dead, and how many more like it there were."""

    #: Of the dead one, as its destination, route, attempts and reason are.
    id: str
    destination: str
    route: str
    attempts: int
    reason: str
    #: HTTP status of its last answer.
    status: int | None = None
    #: Dead ones of the same destination that this delivery stands for, this one included.
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at one delivery, and what came of it."""

    #: 1-based, over all replays.
    number: int
    #: Wall clock, seconds since the epoch.
    started_at: float
    duration_s: float
    outcome: Literal["delivered", "retry", "dead"]
    #: HTTP status of the answer, if one came.
    status: int | None = None
    reason: str = ""
    #: The beginning of the answer's body, at most 1,024 characters.
    answer: str = ""
    #: Which routes.yaml made the request.
    config_revision: str = ""
    #: Size and SHA-256 of the body that was sent; bodies themselves are not stored.
    sent_bytes: int = 0
    sent_sha256: bytes = b""
    #: Seconds until the next attempt, if there is to be one.
    next_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request that is ready to be sent. Its repr hides url and headers: both can hold secrets."""

    method: str
    url: str = field(repr=False)
    #: Lower-case names, values without CR, LF, NUL; all ASCII.
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False, default=b"")

    @property
    def sent(self) -> bytes:
        """What an attempt records the SHA-256 of."""
        return self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAppend:
    """One line for an NDJSON file, without its newline."""

    path: str
    line: bytes

    @property
    def sent(self) -> bytes:
        """What an attempt records the SHA-256 of."""
        return self.line


OutboundRequest = HttpRequest | FileAppend


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A destination's answer. A durable append to a file is a 200 without a body."""

    status: int
    #: Lower-case names; the first of repeated fields.
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)
    #: At most the first 16 KiB. It may repeat secrets of the request, so its repr hides it.
    body: bytes = field(repr=False, default=b"")
    #: The body as it may be quoted in a reason or go on record; None: as it is.
    shown: bytes | None = None

    @property
    def quotable(self) -> bytes:
        """What may be shown of the body."""
        return self.body if self.shown is None else self.shown


# --- what was rendered: the content of a request before its destination's kind gives it a shape ---


@dataclass(frozen=True, slots=True)
class Text:
    """One readable text, already escaped for its kind; each kind wraps it in its own way."""

    text: str


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON value: a ``body:`` tree or a ``.json.j2`` template."""

    value: object


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes as they are, a ``.txt.j2`` template's; empty for ``body: ""``."""

    body: bytes
    content_type: str


Content = Text | Json | Raw


# --- what an attempt comes to ---


@dataclass(frozen=True, slots=True)
class Delivered:
    """The destination has taken it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Not taken; it may be later."""

    reason: str
    #: As a verdict: the least wait the destination asked for. As an outcome: the wait that was chosen. Seconds.
    after_s: float = 0.0
    #: How much of the retry budget that wait uses up, seconds.
    spent_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Dead:
    """Not taken, and trying again would not change that."""

    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """Not tried after all (shutting down): as if it had never been claimed. No attempt is recorded."""


Verdict = Delivered | Retry | Dead


# --- what crosses the store's seam ---


# --- what people ask the store ---


# --- what people do ---
