"""What every store decides alike: words of a search, causes of failures, when there is room, what a task takes and says, how
much is kept. Pure.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from gateway.errors import BodyGone
from gateway.model import MOVES, Dead, Delivery, DeliveryState, Discard, Retry, Waits
from gateway.store.activities import Progress, TaskVerb
from gateway.store.nouns import BodyIs, Gather, NewDelivery, Outcome
from gateway.store.queries import DeliveryQuery
from gateway.wording import few, iso_time

# --- words of a search ---

#: As SQLite's ``ascii`` tokenizer sees a word.
_WORD: Final = re.compile("[0-9A-Za-z\x80-\U0010ffff]+")


def words_in(text: str) -> tuple[str, ...]:
    """Words as an index of payloads has them: runs of letters and digits; everything but ASCII is a letter."""
    return tuple(_WORD.findall(text))


# --- what a query selects ---


class Selectable(Protocol):
    """A delivery as far as a query looks at it."""

    @property
    def state(self) -> str: ...
    @property
    def destination(self) -> str: ...
    @property
    def route(self) -> str: ...
    @property
    def cause(self) -> str: ...


def selects(which: DeliveryQuery, delivery: Selectable) -> bool:
    """Whether a delivery itself matches a query; the query may also narrow the event."""
    return (
        which.state in (None, delivery.state)
        and which.destination in ("", delivery.destination)
        and which.cause in (None, delivery.cause)
        and which.route in ("", delivery.route)
    )


# --- causes of dead letters ---

#: What differs between failures of one kind: quoted values, ids, long numbers.
_VARYING: Final = re.compile(r"""["'“‘][^"'”’]*["'”’]|\b(?:evt|dlv|act)_\S+|\b(?=\w*\d)[0-9a-fA-F-]{8,}\b|\d{5,}""")
_STATUS: Final = re.compile(r"answered [1-9][0-9]{2}\b")
#: Characters.
_LONGEST_CAUSE: Final = 120


#: In the reason of a template that failed, what comes before the types of its events.
_OF_TYPES: Final = " (event type"


def with_types(reason: str, types: Collection[str]) -> str:
    """The reason of a template that failed on events of these types, which are no part of its cause."""
    return f"{reason}{_OF_TYPES}{'s' if len(types) > 1 else ''} {few(sorted(types))})"


def cause_of(reason: str) -> str:
    """What a dead delivery has in common with others: the status of the answer, or the reason without its values."""
    if status := _STATUS.match(reason):
        return status[0]
    text = _VARYING.sub("…", reason.partition("; gave up after")[0].partition(_OF_TYPES)[0])
    return text if len(text) <= _LONGEST_CAUSE else text[: _LONGEST_CAUSE - 1] + "…"


# --- notices ---

#: Further dead deliveries of one destination within this time are reported in one message, seconds.
TOGETHER_S: Final = 60.0

# --- damage ---


def damaged(event_id: str) -> str:
    """Why an event whose stored body has changed is never sent."""
    return f"event {event_id}: its stored body no longer matches its checksum and is not sent: check the disk"


# --- files beside the store's ---


def link_message(path: str) -> str:
    """Why a file of the gateway's own that is a symbolic link is refused: writing to it would overwrite its target."""
    return f"{path} is a symbolic link, and the gateway overwrites this file: remove the link"


# --- what is kept ---

#: Refused requests of each source, so that a flood at one path leaves those of the others; older ones are forgotten.
REJECTED_KEPT: Final = 500
#: Activities; older ones are forgotten unless they are unfinished tasks.
ACTIVITIES_KEPT: Final = 10_000

# --- tasks: replays, reroutes and discards ---

#: Deliveries that one slice of a task moves.
SLICE: Final = 500
#: A replica that continues a task holds it for this long after each slice, seconds; then another one may take it on.
TASK_LEASE_S: Final = 30.0

#: States from which each kind of task takes deliveries. A reroute leaves delivered ones alone and makes missing ones.
TAKES: Final[Mapping[str, tuple[DeliveryState, ...]]] = MappingProxyType(
    {
        "replay": (DeliveryState.DEAD, DeliveryState.DELIVERED),
        "reroute": (DeliveryState.DEAD,),
        "discard": (DeliveryState.DEAD, DeliveryState.PENDING),
    }
)
#: States whose deliveries a slice may still replay or discard when it gets to them.
MAY_BE_REPLAYED: Final = tuple(state for state, moves in MOVES.items() if DeliveryState.PENDING in moves)
MAY_BE_DISCARDED: Final = tuple(state for state, moves in MOVES.items() if DeliveryState.DISCARDED in moves)

_GONE: Final = {
    "removed": "retention.bodies has removed its body",
    "redacted": "what redact names was removed from its body",
    "forgotten": "it was forgotten, and its data is erased",
}


def states_taken(verb: TaskVerb, which: DeliveryQuery) -> tuple[DeliveryState, ...]:
    """States from which a task for many takes deliveries: dead ones only, unless another state is named."""
    wanted = which.state or DeliveryState.DEAD
    return tuple(state for state in TAKES[verb] if state is wanted)


def reused(key: str, activity_id: str) -> str:
    """Why a task with the key of another one is refused."""
    return f'key "{key}" belongs to {activity_id}, which was asked for something else: send a new key'


def overlap(verb: TaskVerb, activity_id: str) -> str:
    """Why a replay is refused while another one has yet to reach some of its deliveries."""
    return (
        f"{activity_id} has yet to replay some of these deliveries, and a {verb} now would send them twice: wait until it "
        f"is finished, or stop it: gateway replay --stop {activity_id}"
    )


class Named(NamedTuple):
    """A delivery that a task names by its id or by the id of its event."""

    #: Its number in the store.
    number: int
    state: DeliveryState
    event_id: str
    body_is: BodyIs


def movable(verb: TaskVerb, named: Iterable[Named]) -> list[int]:
    """Numbers of those that the task may move, in order. Raises BodyGone if one cannot be sent again."""
    named = list(named)
    taken = [each for each in named if each.state in TAKES[verb]]
    # Of a forgotten event nothing is left to take; whoever names it is told so.
    buried = [each for each in named if each.body_is == "forgotten"]
    gone = next((each for each in (*buried, *taken) if each.body_is != "kept"), None)
    if gone is not None and verb != "discard":
        raise BodyGone(unsendable(gone.event_id, gone.body_is))
    return sorted(each.number for each in taken)


class Slice(NamedTuple):
    """What a task moves next."""

    #: Numbers of deliveries.
    deliveries: Sequence[int]
    #: Number of the last event that it covers.
    position: int
    is_last: bool


def next_slice(groups: Iterable[Sequence[tuple[int, int]]], *, ends: int, size: int) -> Slice:
    """Whole events in the order of acceptance: up to ``size`` deliveries, or one event with more.

    ``groups``: for each group of deliveries the first ``size`` rows (event, delivery) after the previous slice, ordered.
    ``ends``: the last event of the task.
    """
    found: list[tuple[int, int]] = []
    cut = ends
    for rows in groups:
        if len(rows) == size:
            # There may be more rows, also of the last event here.
            cut = min(cut, _last_whole(rows))
        found += rows
    taken = sorted(row for row in found if row[0] <= cut)
    if len(taken) > size:
        cut = min(cut, _last_whole(taken[:size]))
        taken = [row for row in taken if row[0] <= cut]
    return Slice([delivery for _, delivery in taken], cut, cut >= ends)


def _last_whole(rows: Sequence[tuple[int, int]]) -> int:
    """The last event of which these rows surely have every delivery; the only one if they are all of one event."""
    last = rows[-1][0]
    before = [event for event, _ in rows if event < last]
    return before[-1] if before else last


def paced(deliveries: Sequence[int], start: float, interval_s: float) -> Mapping[int, float]:
    """When each delivery of a slice is due."""
    return {delivery: start + at * interval_s for at, delivery in enumerate(deliveries)}


def discard_reason(by: str, why: str) -> str:
    """The reason that a discarded delivery shows."""
    return f"discarded by {by}: {why}" if why else f"discarded by {by}"


def unsendable(event_id: str, body_is: BodyIs) -> str:
    """Why an event without its body is not sent again."""
    return f"event {event_id} cannot be sent again: {_GONE[body_is]}"


def stop_reason(by: str) -> str:
    """The reason that a new delivery shows when its replay was stopped before it was sent."""
    return f"its replay was stopped by {by}"


def state_before(last_outcome: str | None) -> DeliveryState:
    """The state that a replayed delivery returns to when its replay is stopped first; None: it was never tried."""
    return DeliveryState.DELIVERED if last_outcome == "delivered" else DeliveryState.DEAD


class Standing(NamedTuple):
    """How many deliveries that a task has moved are in one state."""

    state: DeliveryState
    #: Whether it was tried, and not since the task moved it.
    is_untried: bool
    deliveries: int


def progress(total: int, moved: int, standing: Iterable[Standing], *, is_finished: bool, stopped_by: str) -> Progress:
    """How far a task has come. What ended without a new attempt was taken back when the task was stopped."""
    counts = dict.fromkeys(("pending", "delivered", "dead", "not_sent", "discarded"), 0)
    for each in standing:
        was_taken_back = each.is_untried and each.state in MAY_BE_REPLAYED
        name = "not_sent" if was_taken_back else each.state.value
        counts[name] += each.deliveries
    return Progress(
        total=max(total, moved),
        moved=moved,
        pending=counts["pending"],
        delivered=counts["delivered"],
        dead=counts["dead"],
        not_sent=counts["not_sent"],
        discarded=counts["discarded"],
        is_finished=is_finished,
        stopped_by=stopped_by,
    )


# --- erasures ---

#: States whose deliveries end when their event is forgotten.
FORGOTTEN: Final = tuple(state for state, moves in MOVES.items() if DeliveryState.DISCARDED in moves)


def forgotten_reason(by: str) -> str:
    """The reason that a delivery of a forgotten event shows if it was not delivered."""
    return f"forgotten by {by}"


def tombstone(*, by: str, at: float, activity_id: str, size: int, discarded: int, attempts: int) -> bytes:
    """The body of a forgotten event. ``at``: wall clock; ``size``: bytes of the body that was there."""
    said = {
        "by": by,
        "at": iso_time(at),
        "activity": activity_id,
        "bytes_erased": size,
        "deliveries_discarded": discarded,
        "attempts_cleared": attempts,
    }
    return msgspec.json.encode({"forgotten": said})


@cache
def _word(value: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![0-9A-Za-z]){re.escape(value)}(?![0-9A-Za-z])")


def mentions(text: str, value: str) -> bool:
    """Whether a text has a value as a word of its own: ``id 451 is gone`` has 451, ``14516`` has not."""
    return value in text and _word(value).search(text) is not None


# --- new deliveries: which of them start at once ---


def admitted(
    new: NewDelivery, lane: str | None, busy_lanes: set[tuple[str, str]], *, others_due: bool
) -> Literal["leased", "due", "later", "behind"]:
    """Whether a new delivery starts at once, waits for a slot, is due later, or waits for those ahead of it in its lane.

    ``busy_lanes``: (destination, lane) of every lane with a pending delivery. The first one pending in a lane may go;
    when it ends, the next one is due. A delivery that is replayed goes to the end of its lane.
    """
    if lane is not None and (new.destination, lane) in busy_lanes:
        return "behind"
    if new.wait_s > 0:
        return "later"
    return "due" if others_due or new.lease_s is None else "leased"


#: Bytes of the bodies in one digest: they are in memory together.
DIGEST_BYTES: Final = 1024 * 1024


def joins(gather: Gather, *, count: int, size: int, more: int) -> bool:
    """Whether an event with a body of ``more`` bytes joins a digest of so many events and bytes."""
    return count < gather.most and size + more <= DIGEST_BYTES


def debounced_due(gather: Gather, *, now: float, began: float, quiet_s: float) -> float:
    """When the last event of a key is sent if no other one comes; ``began``: when the first one came."""
    return min(now + quiet_s, max(now, began + gather.at_most_s))


def superseded(successor: str) -> str:
    """The reason that a debounced delivery shows once another event of its key has come."""
    return f"superseded by {successor}: of the events of a key only the last one is sent (debounce)"


def fires(expires: float | None, now: float) -> bool:
    """Whether an entry that fires once per key fires, given until when its last firing for this key counts."""
    return expires is None or expires <= now


# --- outcomes ---


class Settled(NamedTuple):
    """The columns of a delivery that an outcome changes."""

    state: DeliveryState
    attempts: int
    spent_s: float
    reason: str
    last_status: int | None
    last_answer: str
    cause: str


def settled(before: Delivery, outcome: Outcome) -> Settled:
    """A delivery as its outcome leaves it; an outcome without an attempt keeps what the last attempt said."""
    result, attempt = outcome.result, outcome.attempt
    state, reason, spent_s, cause = DeliveryState.DELIVERED, "", before.spent_s, ""
    if isinstance(result, Waits):
        state, reason = before.state, before.reason
    elif isinstance(result, Retry):
        state, reason, spent_s = before.state, result.reason, spent_s + result.spent_s
    elif isinstance(result, Dead):
        state, reason, cause = DeliveryState.DEAD, result.reason, cause_of(result.reason)
    elif isinstance(result, Discard):
        state, reason = DeliveryState.DISCARDED, result.reason
    if attempt is None:
        return Settled(state, before.attempts, spent_s, reason, before.last_status, before.last_answer, cause)
    return Settled(state, attempt.number, spent_s, reason, attempt.status, attempt.answer, cause)


def next_notice(last_due: float | None, now: float) -> float | None:
    """When to notify of a dead delivery, given when the last notice of its destination was or is due.

    The first one goes out at once, and the others of the next TOGETHER_S together at the end of that time. None: a
    notice is waiting, and covers this one too.
    """
    if last_due is None:
        return now
    return None if last_due > now else max(now, last_due + TOGETHER_S)
