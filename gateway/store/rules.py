"""What every store decides alike: which failures have a cause in common, what is told together, what a task takes, how much is kept."""

import re
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from gateway.errors import BodyGone
from gateway.model import Dead, Delivery, DeliveryState, Retry
from gateway.store.nouns import (
    TAKES,
    DeliveryQuery,
    NewDelivery,
    Outcome,
    Task,
)

#: What differs between failures that are alike: quoted values, ids, long numbers.
_VARYING: Final = re.compile(r"""["'“‘][^"'”’]*["'”’]|\b(?:evt|dlv|act)_\S+|\b(?=\w*\d)[0-9a-fA-F-]{8,}\b|\d{5,}""")


_STATUS: Final = re.compile(r"answered [1-9][0-9]{2}\b")


#: Characters.
_LONGEST_CAUSE: Final = 120


def cause_of(reason: str) -> str:
    """What a dead delivery has in common with others: the status that it was answered, or the reason without its values."""
    if status := _STATUS.match(reason):
        return status[0]
    text = _VARYING.sub("…", reason.partition("; gave up after")[0])
    return text if len(text) <= _LONGEST_CAUSE else text[: _LONGEST_CAUSE - 1] + "…"


#: What more dead deliveries of one destination there are within this time, one message tells, seconds.
TOGETHER_S: Final = 60.0


#: Requests that were refused and are remembered.
REJECTED_KEPT: Final = 1000


#: Activities that are remembered.
ACTIVITIES: Final = 10_000


#: Deliveries that one slice of a task moves.
SLICE: Final = 500


def states_taken(verb: str, which: DeliveryQuery) -> tuple[DeliveryState, ...]:
    """What a task takes: of many only the dead, unless another state is named."""
    wanted = which.state or DeliveryState.DEAD
    return tuple(state for state in TAKES[verb] if state is wanted)


def movable(task: Task, rows: Sequence[Any]) -> list[int]:
    """Of those named by id the ones that the task may move."""
    taken = [row for row in rows if row[2] in TAKES[task.verb]]
    gone = {row[4]: row[3] for row in taken if row[3] != "kept" and task.verb != "discard"}
    for event_id, body_is in gone.items():
        why = (
            "retention.bodies has removed its body"
            if body_is == "removed"
            else "what redact names was removed from its body"
        )
        raise BodyGone(f"event {event_id} cannot be sent again: {why}")
    return sorted(row[1] for row in taken)


# --- new deliveries: which of them start at once ---


def admitted(
    new: NewDelivery, lane: str | None, busy_lanes: set[tuple[str, str]], *, others_due: bool
) -> Literal["leased", "due", "behind"]:
    """Whether a new delivery starts at once, waits for a slot, or waits for the deliveries ahead of it in its lane.

    ``busy_lanes``: (destination, lane) of every lane with a pending delivery. The first one pending in a lane may go;
    when it ends, the next one is due. A delivery that is replayed goes to the end of its lane.
    """
    if lane is not None and (new.destination, lane) in busy_lanes:
        return "behind"
    return "due" if others_due or new.lease_s is None else "leased"


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
    if isinstance(result, Retry):
        state, reason, spent_s = before.state, result.reason, spent_s + result.spent_s
    elif isinstance(result, Dead):
        state, reason, cause = DeliveryState.DEAD, result.reason, cause_of(result.reason)
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
