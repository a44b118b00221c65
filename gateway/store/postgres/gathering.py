"""Deliveries that gather: those of a digest wait for their head, which sends all of them; of a key that is debounced only the
last one is sent.

Two appends with one key wait for each other by an advisory lock; an append that joins a digest, and the first attempt of it,
by the row of its head in ``timing``.
"""
# ruff: noqa: S608  the only things put into these texts are our own constants

import math
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

from gateway.store import rules
from gateway.store.nouns import NewDelivery, Outcome
from gateway.store.postgres.connections import Connection
from gateway.store.postgres.hints import lower
from gateway.store.postgres.rows import columns, lock_of, packed, to_json, unpacked

_NOW: Final = "gateway_now()"

OPEN: Final = """
SELECT open, delivery_seq, head, began, count, size FROM timing
WHERE sha256(open) = ANY (ARRAY(SELECT sha256(k) FROM unnest($1::bytea[]) k)) AND open = ANY ($1::bytea[]) FOR UPDATE
"""
WAITING: Final = f"""
SELECT seq, coalesce(leased_until > {_NOW}, false) AS is_leased FROM queue WHERE seq = ANY ($1::bigint[]) FOR UPDATE
"""
CLOSE: Final = "UPDATE timing SET open = NULL WHERE delivery_seq = ANY ($1::bigint[])"
JOIN: Final = """
UPDATE timing t SET count = t.count + k.count, size = t.size + k.size
FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) AS k (seq, count, size) WHERE t.delivery_seq = k.seq
"""
ADD: Final = """
INSERT INTO timing (delivery_seq, head, open, began, due, count, size)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::float8[], $5::float8[], $6::integer[], $7::bigint[])
"""
SEND_NOW: Final = f"""
UPDATE queue SET due = {_NOW} WHERE seq = ANY ($1::bigint[]) AND due > {_NOW} AND attempts = 0 RETURNING destination, due
"""
# Pending deliveries end, each with a state, a cause and a reason.
_KEPT: Final = "id, event_seq, event_id, route, destination, grants"
END: Final = f"""
WITH k AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[]) AS k (seq, state, cause, reason)
), waited AS (
    DELETE FROM queue q USING k WHERE q.seq = k.seq RETURNING q.*, k.state, k.cause, k.reason AS said
), counted AS (
    INSERT INTO tally (destination, state, cause, deliveries)
    SELECT destination, 'pending', ''::bytea, -count(*) FROM waited GROUP BY 1
    UNION ALL SELECT destination, state, cause, count(*) FROM waited GROUP BY 1, 2, 3
)
INSERT INTO done (seq, {_KEPT}, state, cause, attempts, attempts_before_replay, spent_s, crashes, reason, last_status, last_answer, lane,
    changed_at, task)
SELECT seq, {_KEPT}, state, cause, attempts, attempts_before_replay, spent_s, crashes, said, last_status, last_answer, lane,
    {_NOW}, task FROM waited
RETURNING seq
"""
# As the index has it, which is only of deliveries in digests.
CLOSE_HEADS: Final = """
UPDATE timing SET open = NULL WHERE head = ANY ($1::text[]) AND head <> '' AND open IS NOT NULL
"""
MEMBERS: Final = """
SELECT delivery_seq, head FROM timing WHERE head = ANY ($1::text[]) AND head <> '' ORDER BY delivery_seq
"""
EVENTS: Final = "SELECT event_id FROM queue WHERE seq = ANY ($1::bigint[]) ORDER BY event_seq, seq"
OF_DIGESTS: Final = """
SELECT delivery_seq, head, size FROM timing WHERE delivery_seq = ANY ($1::bigint[]) AND head <> '' ORDER BY delivery_seq
"""
HEADS: Final = "SELECT DISTINCT head FROM timing WHERE delivery_seq = ANY ($1::bigint[]) AND head <> ''"
IDS: Final = (
    "SELECT seq, id, event_seq, destination, state FROM delivery WHERE seq = ANY ($1::bigint[]) ORDER BY event_seq, seq"
)
WITHOUT_BODY: Final = "SELECT seq FROM event WHERE seq = ANY ($1::bigint[]) AND body_is <> 'kept'"
LEAVE: Final = (
    "DELETE FROM timing WHERE delivery_seq = ANY ($1::bigint[]) RETURNING delivery_seq, head, open, began, due"
)
HEADED_BY: Final = "UPDATE timing SET head = $2 WHERE head = $1 AND head <> ''"
AS_HEAD: Final = "UPDATE timing SET open = $2, began = $3, due = $4 WHERE delivery_seq = $1"
SET_DUE: Final = f"UPDATE queue SET due = $2 WHERE seq = $1 RETURNING destination, due <= {_NOW} AS is_due"
COUNT_AGAIN: Final = """
UPDATE timing SET (count, size) = (SELECT count(*), coalesce(sum(size), 0) FROM timing WHERE head = $1 AND head <> '')
WHERE head = $1 AND head <> '' AND delivery_seq = (SELECT min(seq) FROM delivery WHERE id = $1)
"""


class _Group(Struct, kw_only=True):
    """The open digest of a key, or its delivery that waits to be sent unless another one comes."""

    seq: int
    head: str
    began: float
    count: int
    size: int
    #: Whether it was there before this transaction, and what joins it.
    is_stored: bool = False
    more: int = 0
    more_size: int = 0


class _Added(Struct, kw_only=True):
    """A new row of ``timing``."""

    seq: int
    head: str
    key: bytes | None
    began: float
    due: float
    size: int
    count: int = 1


def keys_of(news: Iterable[NewDelivery]) -> Collection[bytes]:
    """The keys of those that gather."""
    return {_key(each) for each in news if each.gather is not None}


def locks_of(keys: Iterable[bytes]) -> Sequence[int]:
    return [lock_of("gather", key) for key in keys]


def _key(new: NewDelivery) -> bytes:
    assert new.gather is not None
    return to_json([new.gather.what, new.route, new.destination, unpacked(packed(new.gather.key))])


class Gathering(Struct, kw_only=True):
    """What the new deliveries of a transaction join, close and supersede. The locks of their keys are held."""

    now: float
    groups: dict[bytes, _Group]
    #: Seqs of stored deliveries that are being attempted.
    leased: frozenset[int]
    #: Seqs of stored ones that are pending.
    waiting: frozenset[int]
    added: dict[int, _Added] = field(default_factory=dict)
    closed: list[int] = field(default_factory=list)
    full: list[int] = field(default_factory=list)
    #: By seq: the reason.
    superseded: dict[int, str] = field(default_factory=dict)
    joined: list[_Group] = field(default_factory=list)

    @classmethod
    async def of(cls, connection: Connection, keys: Collection[bytes], now: float) -> "Gathering":
        """With what the keys have now."""
        if not keys:
            return cls(now=now, groups={}, leased=frozenset(), waiting=frozenset())
        groups = {
            open_: _Group(seq=seq, head=head, began=began, count=count, size=size, is_stored=True)
            for open_, seq, head, began, count, size in await connection.fetch(OPEN, sorted(keys))
        }
        rows = await connection.fetch(WAITING, sorted(each.seq for each in groups.values())) if groups else ()
        return cls(
            now=now,
            groups=groups,
            leased=frozenset(row["seq"] for row in rows if row["is_leased"]),
            waiting=frozenset(row["seq"] for row in rows),
        )

    def due(self, new: NewDelivery, seq: int, size: int) -> float:
        """When a new delivery is due; infinity in a digest of another one. ``size``: bytes of its event's body."""
        assert new.gather is not None
        gather, key = new.gather, _key(new)
        group = self.groups.get(key)
        if gather.what == "debounce":
            began = self.now if group is None else self._superseded(group, new.id)
            due = rules.debounced_due(gather, now=self.now, began=began, quiet_s=new.wait_s)
            self._opens(key, _Group(seq=seq, head="", began=began, count=1, size=0), due)
            return due
        if group is not None and rules.joins(gather, count=group.count, size=group.size, more=size):
            self._joins(group, seq, size)
            if group.count >= gather.most:
                self._close(key, group, is_sent=gather.is_sent_full)
            return math.inf
        if group is not None:
            self._close(key, group, is_sent=gather.is_sent_full)
        due = self.now + new.wait_s
        self._opens(key, _Group(seq=seq, head=new.id, began=self.now, count=1, size=size), due)
        if gather.most <= 1:
            self._close(key, self.groups[key], is_sent=False)
        return due

    def _opens(self, key: bytes, group: _Group, due: float) -> None:
        self.groups[key] = group
        self.added[group.seq] = _Added(
            seq=group.seq, head=group.head, key=key, began=group.began, due=due, size=group.size
        )

    def _joins(self, group: _Group, seq: int, size: int) -> None:
        self.added[seq] = _Added(seq=seq, head=group.head, key=None, began=self.now, due=self.now, size=size)
        group.count, group.size = group.count + 1, group.size + size
        if not group.is_stored:
            head = self.added[group.seq]
            head.count, head.size = group.count, group.size
        elif not group.more:
            self.joined.append(group)
        group.more, group.more_size = group.more + 1, group.more_size + size

    def _close(self, key: bytes, group: _Group, *, is_sent: bool) -> None:
        del self.groups[key]
        if group.is_stored:
            self.closed.append(group.seq)
        else:
            self.added[group.seq].key = None
        if is_sent:
            self.full.append(group.seq)

    def _superseded(self, group: _Group, successor: str) -> float:
        """When the first event of the key came that nothing was sent for."""
        if group.is_stored:
            self.closed.append(group.seq)
            if group.seq in self.leased or group.seq not in self.waiting:
                return self.now
        else:
            self.added[group.seq].key = None
        self.superseded[group.seq] = rules.superseded(successor)
        return group.began

    async def write(self, connection: Connection) -> Sequence[tuple[str, float]]:
        """After the deliveries: the destinations of digests that are full and due now, and since when."""
        if self.closed:
            await connection.execute(CLOSE, self.closed)
        if self.joined:
            await connection.execute(JOIN, *columns([(each.seq, each.more, each.more_size) for each in self.joined], 3))
        await _add(connection, list(self.added.values()))
        if self.superseded:
            ended = [(seq, "discarded", b"", packed(reason)) for seq, reason in sorted(self.superseded.items())]
            await connection.fetch(END, *columns(ended, 4))
        return [tuple(row) for row in await connection.fetch(SEND_NOW, self.full)] if self.full else ()


async def gathered(connection: Connection, head: str) -> Sequence[str]:
    """The ids of the events of a digest, in the order of acceptance; nothing joins it from now on."""
    await connection.execute(CLOSE_HEADS, [head])
    seqs = [seq for seq, _ in await connection.fetch(MEMBERS, [head])]
    return [row["event_id"] for row in await connection.fetch(EVENTS, seqs)]


async def follow(connection: Connection, outcomes: Sequence[Outcome]) -> int:
    """The others of digests take the outcomes of their heads; how many have ended."""
    heads = {outcome.lease.delivery.id: rules.settled(outcome.lease.delivery, outcome) for outcome in outcomes}
    await connection.execute(CLOSE_HEADS, sorted(heads))
    ended = [
        (seq, heads[head].state.value, packed(heads[head].cause), packed(heads[head].reason))
        for seq, head in await connection.fetch(MEMBERS, sorted(heads))
    ]
    return len(await connection.fetch(END, *columns(ended, 4))) if ended else 0


async def leave(connection: Connection, seqs: Collection[int], due: MutableMapping[str, float]) -> None:
    """These are not sent with others any more: where one was the head of a digest, the next one is.

    The destinations of those that are due now are added to ``due``.
    """
    leaving = await connection.fetch(LEAVE, list(seqs))
    if not leaving:
        return
    ids = {row["seq"]: row["id"] for row in await connection.fetch(IDS, [row["delivery_seq"] for row in leaving])}
    heads = {row["head"] for row in leaving if row["head"]}
    for seq, head, *was in leaving:
        if ids.get(seq) == head:
            heads.discard(head)
            if (following := await _headed_by_next(connection, head, was, due)) is not None:
                heads.add(following)
    for head in sorted(heads):
        await connection.execute(COUNT_AGAIN, head)


async def _headed_by_next(
    connection: Connection, head: str, was: Sequence[Any], due: MutableMapping[str, float]
) -> str | None:
    """Let the first one of those that a head has left be the head; its id, if there is one."""
    seqs = [seq for seq, _ in await connection.fetch(MEMBERS, [head])]
    members = await connection.fetch(IDS, seqs)
    if not members:
        return None
    first = members[0]
    open_, began, moment = was
    await connection.execute(HEADED_BY, head, first["id"])
    await connection.execute(AS_HEAD, first["seq"], open_, began, moment)
    row = await connection.fetchrow(SET_DUE, first["seq"], moment)
    if row is not None and row["is_due"]:
        lower(due, row["destination"], moment)
    return str(first["id"])


async def with_digests(
    connection: Connection, dues: Mapping[int, float], due: MutableMapping[str, float]
) -> Mapping[int, float]:
    """Deliveries that are to be replayed with when each is due, and all the others of their digests: due is the head alone.

    What has lost its body is not sent with the others again.
    """
    heads = [row["head"] for row in await connection.fetch(HEADS, list(dues))]
    if not heads:
        return dues
    seqs = [seq for seq, _ in await connection.fetch(MEMBERS, heads)]
    events = {row["event_seq"]: row["seq"] for row in await connection.fetch(IDS, seqs)}
    gone = [events[row["seq"]] for row in await connection.fetch(WITHOUT_BODY, list(events))]
    await leave(connection, gone, due)
    found = dict(dues)
    for row in await connection.fetch(HEADS, list(dues)):
        head = row["head"]
        members = await connection.fetch(IDS, [seq for seq, _ in await connection.fetch(MEMBERS, [head])])
        moment = min(dues[each["seq"]] for each in members if each["seq"] in dues)
        if all(each["id"] != head for each in members):
            await _headed_by_next(connection, head, (None, moment, moment), {})
            head = members[0]["id"]
        found |= {each["seq"]: moment if each["id"] == head else math.inf for each in members}
    return found


async def copied(connection: Connection, copies: Mapping[int, tuple[int, str, float]]) -> None:
    """New deliveries for what was in digests are in digests: those of one slice that were in one.

    ``copies``: by the seq of the delivery that each is a copy of, its own seq, its id, and when it is due.
    """
    found = await connection.fetch(OF_DIGESTS, list(copies)) if copies else ()
    heads: dict[str, _Added] = {}
    rows: list[_Added] = []
    for old, head, size in found:
        seq, id_, due = copies[old]
        first = heads.setdefault(head, _Added(seq=seq, head=id_, key=None, began=due, due=due, size=0, count=0))
        first.count, first.size = first.count + 1, first.size + size
        if first.seq == seq:
            rows.append(first)
        else:
            rows.append(_Added(seq=seq, head=first.head, key=None, began=due, due=due, size=size))
            await connection.execute(SET_DUE, seq, math.inf)
    await _add(connection, rows)


async def _add(connection: Connection, added: Sequence[_Added]) -> None:
    rows = [(each.seq, each.head, each.key, each.began, each.due, each.count, each.size) for each in added]
    if rows:
        await connection.execute(ADD, *(list(column) for column in zip(*rows, strict=True)))
