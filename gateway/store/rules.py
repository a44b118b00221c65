"""What every store decides alike: which failures have a cause in common, what is told together, what a task takes, how much is kept."""

import re
from collections.abc import Sequence
from typing import Any, Final

from gateway.errors import BodyGone
from gateway.model import DeliveryState
from gateway.store.nouns import (
    TAKES,
    DeliveryQuery,
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
