"""Records that events are about: which requests were planned on a record that has changed since. Every store decides alike."""

from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from gateway.store.nouns import NewEvent

#: (source, key)
RecordKey = tuple[str, str]


class Decided(Struct, kw_only=True):
    """What a transaction does to records."""

    #: Positions of the requests that have to be planned again: nothing of them is stored.
    stale: set[int] = field(default_factory=set)
    #: Their new events, whose keys are free again.
    refused: list[NewEvent] = field(default_factory=list)
    #: By record, the event that is its last one now.
    written: dict[RecordKey, NewEvent] = field(default_factory=dict)


def keys_of(requests: Iterable[Sequence[NewEvent]]) -> list[RecordKey]:
    """The records that the events of these requests are about, each once, in one order for every replica."""
    return sorted(
        {(new.event.source, new.record.key) for events in requests for new in events if new.record is not None}
    )


def decide(requests: Sequence[Sequence[NewEvent]], owners: Iterable[str | None], last: dict[RecordKey, str]) -> Decided:
    """Which of these requests, in their order, go on from where their records are.

    ``owners``: of each event the id of the earlier one that it repeats, None if it is new. ``last``: of each record the id
    of the event that has written it; it is changed. A duplicate changes no record. Whoever repeats an event that is not
    stored after all has to ask again, too.
    """
    decided, theirs = Decided(), iter(owners)
    gone = set[str]()
    for at, events in enumerate(requests):
        known = [next(theirs) for _ in events]
        new = [event for event, owner in zip(events, known, strict=True) if owner is None]
        moved = None if gone.intersection(filter(None, known)) else _moved(new, last)
        if moved is None:
            decided.stale.add(at)
            decided.refused += new
            gone.update(each.event.id for each in new)
        else:
            decided.written.update(moved)
            last.update({key: each.event.id for key, each in moved.items()})
    return decided


def _moved(new: Sequence[NewEvent], last: dict[RecordKey, str]) -> dict[RecordKey, NewEvent] | None:
    """The records that new events of one request write; None if one of them was planned on another state of its record."""
    moved: dict[RecordKey, NewEvent] = {}
    for each in new:
        if each.record is None:
            continue
        key = (each.event.source, each.record.key)
        present = moved[key].event.id if key in moved else last.get(key, "")
        if present != each.record.after:
            return None
        moved[key] = each
    return moved
