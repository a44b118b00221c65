"""The nouns: what is stored and what is sent. Frozen values without behaviour; no I/O and no clock.

Times inside a stored noun are seconds since the Unix epoch by the wall clock (for people);
durations are seconds. The store keeps its own clock for what is due.
"""

from collections.abc import Mapping
from enum import StrEnum
from random import Random
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

# Seeded once by the system: asking it for each id would cost a system call, and the interpreter's lock with it.
_noise = Random().getrandbits  # noqa: S311  ids are names, not secrets

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def new_id(prefix: Literal["evt", "dlv", "act"], now: float) -> str:
    """``evt_``, ``dlv_`` or ``act_`` + a UUIDv7 (RFC 9562, 5.7) of ``now``: later ids sort later, to the millisecond."""
    milliseconds = int(now * 1000) & 0xFFFF_FFFF_FFFF
    noise = _noise(80)
    number = milliseconds << 80 | 0x7 << 76 | (noise >> 68 & 0xFFF) << 64 | 0b10 << 62 | noise & 0x3FFF_FFFF_FFFF_FFFF
    digits = f"{number:032x}"
    return f"{prefix}_{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def time_of(id_: str) -> float | None:
    """When an id was made, seconds since the epoch, to the millisecond; None for anything else."""
    digits = id_.partition("_")[2].replace("-", "")[:12]
    try:
        return int(digits, 16) / 1000 if len(digits) == 12 else None
    except ValueError:
        return None


class Secret:
    """A text that never shows itself in a repr, a log line or a traceback. ``reveal()`` is easy to search for."""

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
    """The state of a delivery. Leased, retrying and held are views of ``pending`` and never stored."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    #: A person, or the file, decided that it is never sent.
    DISCARDED = "discarded"


#: Every legal move; anything else never happens. Back to pending is a replay.
MOVES: Mapping[DeliveryState, frozenset[DeliveryState]] = MappingProxyType(
    {
        DeliveryState.PENDING: frozenset({DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.DISCARDED}),
        DeliveryState.DEAD: frozenset({DeliveryState.PENDING, DeliveryState.DISCARDED}),
        DeliveryState.DELIVERED: frozenset({DeliveryState.PENDING}),
        DeliveryState.DISCARDED: frozenset(),
    }
)


class Misfit(Struct, frozen=True):
    """Where an event does not fit the schema of its source, and why."""

    #: ``payload.data.email``.
    path: str
    #: Words that follow it: ``is not a text``.
    reason: str


class Event(Struct, frozen=True, kw_only=True):
    """One verified webhook, as it was received."""

    #: ``evt_`` + UUIDv7.
    id: str
    #: The name of its source in routes.yaml.
    source: str
    #: ``contact.created``; at most 200 characters.
    type: str
    #: Wall clock, seconds since the epoch.
    received_at: float
    #: Lower-case names; repeated fields are joined by ``, ``. Without authorization, cookie and hop-by-hop fields.
    headers: Mapping[str, str]
    #: The exact bytes received.
    body: bytes
    #: SHA-256 of ``body``: its checksum and its default dedupe key.
    sha256: bytes
    #: The sender's id of the event where no signature covers it: for people, who search for it. Empty: none.
    label: str = ""
    #: What followed the ``?`` of its request, without the fields that show a secret.
    query: str = ""
    #: What was known of the record it is about and what it changed, as ``tracks.encoded`` writes it. Empty: nothing.
    track: bytes = b""
    #: Set when it was received and kept with it; None: it fits, or its source has no schema.
    invalid: Misfit | None = None


class Delivery(Struct, frozen=True, kw_only=True):
    """One event on its way to one destination because of one route."""

    #: ``dlv_`` + UUIDv7; the ``webhook-id`` of every attempt.
    id: str
    event_id: str
    route: str
    destination: str
    state: DeliveryState = DeliveryState.PENDING
    #: Attempts so far, over all replays.
    attempts: int = 0
    #: Attempts before the last replay: the retry schedule started again after them.
    attempts_before_replay: int = 0
    #: Planned waiting since it was created or replayed, seconds.
    spent_s: float = 0.0
    #: How many times the process died while it worked on this delivery, since it was created or replayed.
    crashes: int = 0
    #: Seconds from now until it is due, negative when overdue; None: it is not pending, or another one is ahead of it in
    #: its lane.
    due_in_s: float | None = None
    #: Why the last attempt failed or why it is dead.
    reason: str = ""
    #: HTTP status of the last answer.
    last_status: int | None = None
    #: The beginning of the last answer's body.
    last_answer: str = ""
    #: Deliveries of one destination and lane start one after the other, in the order of acceptance; None: no lane.
    lane: str | None = None
    #: What it notifies of, if it comes from ``failed``.
    notice: "Notice | None" = None
    #: If it is dead: the cause that groups it with others, ``answered 422``.
    cause: str = ""
    #: The id of the activity that last replayed it; empty: none did.
    replayed_by: str = ""
    #: The id of the delivery that sends its event together with others, its own if it is the one; empty: it is in no digest.
    digest: str = ""
    #: If it sends a digest: how many events it has so far.
    gathered: int = 0

    @property
    def waits(self) -> bool:
        """Whether its first attempt is still to come, and is not due yet."""
        is_untried = self.state is DeliveryState.PENDING and self.attempts == self.attempts_before_replay
        return is_untried and self.due_in_s is not None and self.due_in_s > 0

    @property
    def is_behind(self) -> bool:
        """Whether it waits for another one ahead of it in its lane."""
        return self.state is DeliveryState.PENDING and self.due_in_s is None and not self.digest

    @property
    def is_member(self) -> bool:
        """Whether another delivery sends its event, in a digest."""
        return self.digest not in ("", self.id)


class Notice(Struct, frozen=True, kw_only=True):
    """The content of a delivery from ``failed``: a delivery that is dead, and how many like it there were."""

    #: The dead delivery's; so are destination, route, attempts and reason.
    id: str
    destination: str
    route: str
    attempts: int
    reason: str
    #: HTTP status of its last answer.
    status: int | None = None
    #: The number of dead deliveries of that destination that this notice is about.
    count: int = 1


class Lookup(Struct, frozen=True, kw_only=True):
    """One look-up that an attempt made before it built its request. What was asked is not kept, only what came of it."""

    #: What templates call its answer.
    name: str
    destination: str
    method: str = "GET"
    #: HTTP status of the answer; None: there was none.
    status: int | None = None
    duration_s: float = 0.0
    #: Bytes of the answer's body.
    size: int = 0
    #: Whether it found anything: a 404 and an empty answer are null.
    found: bool = False
    #: Whether it was answered from memory.
    cached: bool = False


class Attempt(Struct, frozen=True, kw_only=True):
    """One try at one delivery, and its result."""

    #: 1-based, over all replays.
    number: int
    #: Wall clock, seconds since the epoch.
    started_at: float
    duration_s: float
    outcome: Literal["delivered", "retry", "dead", "discarded"]
    #: HTTP status of the answer, if there was one.
    status: int | None = None
    reason: str = ""
    #: The beginning of the answer's body, at most 1,024 characters.
    answer: str = ""
    #: The revision of routes.yaml that built the request.
    config_revision: str = ""
    #: Size and SHA-256 of the body that was sent; the body itself is not stored.
    sent_bytes: int = 0
    sent_sha256: bytes = b""
    #: Seconds until the next attempt, if there is one.
    next_s: float | None = None
    #: What it recalled, and what was remembered of the answer, a line each; at most 1,024 characters.
    memory: str = ""
    #: What its route looked up first, in the order of the file, as far as it came.
    lookups: tuple[Lookup, ...] = ()
    #: The element of the route's ``choose`` that was sent, from 1; 0: the route has none, or none held.
    choice: int = 0


class HttpRequest(Struct, frozen=True, kw_only=True):
    """A request that is ready to be sent. Its repr hides url and headers: both can contain secrets."""

    method: str
    url: str
    #: Lower-case names; values without CR, LF and NUL; all ASCII.
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def __repr__(self) -> str:
        return f"HttpRequest(method={self.method!r}, {len(self.body)} bytes)"

    @property
    def sent(self) -> bytes:
        """The bytes whose SHA-256 an attempt records."""
        return self.body


class FileAppend(Struct, frozen=True, kw_only=True):
    """One line for an NDJSON file, without its newline."""

    path: str
    line: bytes

    @property
    def sent(self) -> bytes:
        """The bytes whose SHA-256 an attempt records."""
        return self.line


class Mail(Struct, frozen=True, kw_only=True):
    """One e-mail that is ready to be sent. Its repr hides the login and what it says."""

    #: ``smtps://mail.example.com``, or ``smtp://mail.example.com:587``.
    url: str
    #: Addresses without names: ``sales@example.com``.
    sender: str
    recipients: tuple[str, ...]
    #: User and password; None: it does not log in.
    login: tuple[str, str] | None = None
    #: The message (RFC 5322); its lines end in CRLF.
    message: bytes
    #: ``text/plain``, ``text/html``, or ``multipart/alternative`` of both.
    content_type: str = "text/plain"
    #: What people read of it, as JSON: ``{"from", "to", "subject", "text", "html"}``.
    said: bytes

    def __repr__(self) -> str:
        return f"Mail({len(self.recipients)} recipients, {len(self.message)} bytes)"

    @property
    def sent(self) -> bytes:
        """The bytes whose SHA-256 an attempt records."""
        return self.message

    @property
    def shown(self) -> HttpRequest:
        """It as a request, for those who only look at it: its envelope as headers, and what it says as the body."""
        headers = (("from", self.sender), ("to", ", ".join(self.recipients)), ("content-type", self.content_type))
        return HttpRequest(method="MAIL", url=self.url, headers=headers, body=self.said)


OutboundRequest = HttpRequest | FileAppend | Mail


class Reply(Struct, frozen=True, kw_only=True):
    """A destination's answer. A durable append to a file is a 200 without a body."""

    status: int
    #: Lower-case names; the first of repeated fields.
    headers: Mapping[str, str] = NO_HEADERS
    #: At most the first 16 KiB of the answer to an attempt. It may repeat secrets of the request, so its repr hides it.
    body: bytes = b""
    #: The body as it may be quoted in a reason or go on record; None: as it is.
    shown: bytes | None = None

    def __repr__(self) -> str:
        return f"Reply(status={self.status}, {len(self.body)} bytes)"

    @property
    def quotable(self) -> bytes:
        """What may be shown of the body."""
        return self.body if self.shown is None else self.shown


# --- rendered content, before the destination's kind makes a request of it ---


class Text(Struct, frozen=True):
    """One readable text, already escaped for its kind; each kind wraps it in its own way."""

    text: str


class Json(Struct, frozen=True):
    """A JSON value: a ``body:`` tree or a ``.json.j2`` template."""

    value: object


class Raw(Struct, frozen=True):
    """Bytes as they are, from a ``.txt.j2`` template; empty for ``body: ""``."""

    body: bytes
    content_type: str


Content = Text | Json | Raw


# --- the result of an attempt ---


class Delivered(Struct, frozen=True, tag=True):
    """The destination has accepted it."""


class Retry(Struct, frozen=True, tag=True):
    """Not accepted; it may be later."""

    reason: str
    #: In a verdict: the shortest wait that the destination asked for. In an outcome: the wait that was chosen. Seconds.
    after_s: float = 0.0
    #: How much of the retry budget that wait uses up, seconds.
    spent_s: float = 0.0


class Dead(Struct, frozen=True, tag=True):
    """Not accepted, and trying again would not change that."""

    reason: str


class Discard(Struct, frozen=True, tag=True):
    """Not to be sent, because the file says so."""

    reason: str


class Release(Struct, frozen=True, tag=True):
    """Not tried after all, as if it had never been claimed. No attempt is recorded."""


class Waits(Struct, frozen=True, tag=True):
    """Not tried yet: what it needs of another answer is not remembered. No attempt is recorded, and nothing is spent."""

    #: Seconds until it is tried without, unless what it waits for is remembered before.
    after_s: float


Verdict = Delivered | Retry | Dead


class Announcement(Struct, frozen=True):
    """Something that happened to the gateway itself, as an event of the source ``gateway``."""

    #: ``circuit.opened``: the event's type without ``gateway.``.
    happened: str
    #: A sentence for people.
    message: str
    fields: Mapping[str, object]
    #: The page of the console that shows more.
    page: str = "destinations"
    #: What several replicas may notice and only one is to say has the same key, and is said once; empty: it is said.
    key: str = ""
