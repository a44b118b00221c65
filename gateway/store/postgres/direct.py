"""How new events are stored where no order has to be kept: one statement stores all of them, and decides for itself."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

from gateway.errors import StoreUnavailable
from gateway.model import Delivery
from gateway.store import rules
from gateway.store.nouns import Appended, Lease, NewEvent
from gateway.store.postgres import statements as sql
from gateway.store.postgres.calls import Append
from gateway.store.postgres.connections import Connection, Line
from gateway.store.postgres.rows import columns, event_row, number_of, seq_of, token_of

_NO_LANES: Final[set[tuple[str, str]]] = set()

#: (source, key)
Key = tuple[str, bytes]
#: Of a key the new event that it belongs to, or the id of one that is stored.
Owners = Mapping[Key, NewEvent | str]


class Added(Struct, kw_only=True):
    """What a transaction adds, for hints and counts after its commit."""

    #: By the store's clock.
    now: float
    leases: list[Lease] = field(default_factory=list)
    #: New pending deliveries.
    pending: int = 0
    #: Destinations of those that were not leased and are due.
    due: set[str] = field(default_factory=set)
    #: Destinations of those that are due later, and when.
    later: list[tuple[str, float]] = field(default_factory=list)
    event_ids: list[str] = field(default_factory=list)
    #: The answer to each call; None: it had the key of another event, which has expired since.
    answers: list[list[Appended] | None] = field(default_factory=list)


class _Given(Struct, kw_only=True):
    """What the statement is given: rows in which the place of an event's number stands for the number."""

    firsts: dict[Key, NewEvent]
    events: list[tuple[Any, ...]]
    deliveries: list[tuple[Any, ...]]

    @property
    def keys(self) -> list[tuple[str, bytes, str, float]]:
        """In one order for every replica."""
        return sorted((*key, new.event.id, new.window_s) for key, new in self.firsts.items())

    @property
    def count(self) -> int:
        """The numbers that it takes."""
        return len(self.events)


class _Found(Struct, kw_only=True):
    """What it answers."""

    now: float
    numbers: Sequence[int]
    #: Ids of the events whose keys are new; None: all.
    taken: Collection[str] | None
    #: Destinations for which others are due.
    due: Collection[str]


async def append(line: Line, replica: int, calls: Sequence[Append], due_since: Callable[[str], float]) -> Added:
    """Store the events of calls without lanes and firings. Raises StoreError, and StoreUnavailable."""
    given = _given(calls)
    try:
        found = await _stored(line, replica, given, due_since)
    except StoreUnavailable:
        # Its answer was lost, perhaps.
        after_all = await _stored_after_all(line, replica, given)
        if after_all is None:
            raise
        found = after_all
    owners: Owners = given.firsts
    if found.taken is not None:
        async with line.alone() as connection:
            owners = await owners_of(connection, given.firsts, set(found.taken))
    return _answered(calls, given, owners, found)


async def _stored(line: Line, replica: int, given: _Given, due_since: Callable[[str], float]) -> _Found:
    came = sorted(Counter(row[2] for row in given.events).items())
    pending = sorted(Counter(row[5] for row in given.deliveries).items())
    wanted = [destination for destination, _ in pending]
    asked = (given.keys, given.count, wanted, [due_since(each) for each in wanted])
    counts = (*columns(came, 2), *columns(pending, 2))
    async with line.alone() as connection:
        row = await connection.fetchrow(sql.APPEND, *asked, given.events, given.deliveries, replica, *counts)
    now, numbers, taken, due = row
    return _Found(now=now, numbers=numbers, taken=taken, due=due)


async def _stored_after_all(line: Line, replica: int, given: _Given) -> _Found | None:
    """What the statement has answered, from what is stored; None: nothing is."""
    async with line.alone() as connection:
        stored = await connection.fetch(sql.STORED, [row[1] for row in given.events])
    if not stored:
        return None
    async with line.alone() as connection:
        leased = {
            row["id"]
            for row in await connection.fetch(sql.STORED_LEASED, [row[1] for row in given.deliveries], replica)
        }
    numbers = {row["id"]: number_of(row["seq"]) for row in stored}
    return _Found(
        now=stored[0]["stored_at"],
        numbers=[numbers.get(row[1], 0) for row in given.events],
        taken=[row["id"] for row in stored],
        due={row[5] for row in given.deliveries if row[1] not in leased},
    )


async def owners_of(connection: Connection, firsts: Mapping[Key, NewEvent], taken: set[str]) -> Owners:
    """Of each key the event that it belongs to, if there still is one; ``taken``: ids of the new ones."""
    owners: dict[Key, NewEvent | str] = {key: new for key, new in firsts.items() if new.event.id in taken}
    known = [key for key in firsts if key not in owners]
    if known:
        for source, key, event_id in await connection.fetch(sql.KEY_OWNERS, *columns(known, 2)):
            owners[source, key] = event_id
    return owners


def _given(calls: Sequence[Append]) -> _Given:
    firsts: dict[Key, NewEvent] = {}
    events: list[tuple[Any, ...]] = []
    deliveries: list[tuple[Any, ...]] = []
    #: Destinations for which others wait by then.
    due = set[str]()
    for call in calls:
        for new in call.events:
            key = (new.event.source, new.key)
            if key in firsts:
                continue
            firsts[key] = new
            at, event_id = len(events) + 1, new.event.id
            events.append(event_row(at, new.event, redact=new.is_redacted_later))
            for place, each in enumerate(new.deliveries, 1):
                destination, lease_s = each.destination, each.lease_s
                if rules.admitted(each, None, _NO_LANES, others_due=destination in due) == "due":
                    due.add(destination)
                    lease_s = None
                deliveries.append((place, each.id, at, event_id, each.route, destination, None, lease_s, None, None))
    return _Given(firsts=firsts, events=events, deliveries=deliveries)


def _answered(calls: Sequence[Append], given: _Given, owners: Owners, found: _Found) -> Added:
    granting = _Granting(added=Added(now=found.now), numbers=found.numbers, due=set(found.due))
    rows = iter(given.deliveries)
    left = set(map(id, given.firsts.values()))
    for call in calls:
        answers: list[Appended] = []
        for new in call.events:
            owner = owners.get((new.event.source, new.key))
            if id(new) in left:
                left.discard(id(new))
                own = [next(rows) for _ in new.deliveries]
                if owner is new:
                    answers.append(Appended(new.event.id, False, granting.leases(call.replica, own)))
                    continue
            if owner is not None:
                answers.append(Appended(owner if isinstance(owner, str) else owner.event.id, True))
        granting.added.answers.append(answers if len(answers) == len(call.events) else None)
    return granting.added


class _Granting(Struct, kw_only=True):
    """The leases of what was stored, as the statement has decided."""

    added: Added
    numbers: Sequence[int]
    due: set[str]

    def leases(self, replica: str, rows: Sequence[tuple[Any, ...]]) -> tuple[Lease, ...]:
        """Those of one event, from the rows of its deliveries."""
        added = self.added
        added.pending += len(rows)
        granted = []
        for place, id_, at, event_id, route, destination, _, lease_s, _, _ in rows:
            if lease_s is None or destination in self.due:
                added.due.add(destination)
                continue
            delivery = Delivery(id=id_, event_id=event_id, route=route, destination=destination, due_in_s=0.0)
            granted.append(
                Lease(delivery, replica, token_of(seq_of(added.now, self.numbers[at - 1]) | place, 1), lease_s)
            )
        added.leases += granted
        return tuple(granted)
