"""A database as one side of a copy."""
# ruff: noqa: S608  the only things put into these texts are our own constants

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self

import msgspec
from msgspec.structs import replace

from gateway.errors import StoreError, StoreLocked
from gateway.store.cluster import LAPSED_S
from gateway.store.copying import BYTES, COLUMNS, EVENTS, OF_DELIVERIES, PARTS, ROWS, Chunk, Place, Row
from gateway.store.postgres import migrate, schema
from gateway.store.postgres.address import Address
from gateway.store.postgres.connections import PLANNING, Connection, connect, translated
from gateway.store.postgres.rows import number_of, packed, seq_of, unpacked
from gateway.store.postgres.tables import DAY_BITS, PLACE_BITS, PLACES, belongs
from gateway.wording import count

_LOW: Final = (1 << DAY_BITS) - 1
#: Columns that are text here, of those that are str in a copy; the others are bytea.
_TEXT: Final = frozenset(
    [
        "id",
        "event_id",
        "route",
        "destination",
        "state",
        "outcome",
        "config_revision",
        "verb",
        "body_is",
        "event.source",
        "dedupe.source",
        "once.name",
        "held_back.name",
        "memory.name",
        "memory_wait.name",
        "came.source",
        "secret.source",
        "timing.head",
        "record.source",
        "awaited.source",
        "awaited.name",
        "awaited.key",
    ]
)
#: Columns that are bytes in a copy as well.
_BYTES: Final = frozenset({"sha256", "body", "sent_sha256", "dedupe.key", "track", "sealed"})
_FLAGS: Final = frozenset({"redact", "as_new", "finished"})
_NUMBERED: Final = (
    "seq event_seq delivery_seq received_at stored_at due attempts attempts_before_replay spent_s crashes "
    "last_status changed_at turn task number recorded_at started_at duration_s status sent_bytes next_s "
    "count size fired_at remembered_at since until expires rev failures next_probe probe_interval_s waits_until at minute events "
    "bucket total moved began position ends interval_s next_due redact as_new finished"
)
_NUMERIC: Final = frozenset(_NUMBERED.split())

#: Nobody begins to run on it while this is held; who runs on it holds none.
_ALONE: Final = "LOCK TABLE replica IN EXCLUSIVE MODE NOWAIT"
_ALIVE: Final = "SELECT count(*) FROM replica WHERE said IS NOT NULL AND seen > gateway_now() - $1::float8"
_HAS_ROWS: Final = (
    "SELECT EXISTS (SELECT 1 FROM event) OR EXISTS (SELECT 1 FROM activity) OR EXISTS (SELECT 1 FROM hold)"
)
_IS_COPYING: Final = "SELECT to_regclass('copying') IS NOT NULL"

_EVENTS: Final = f"""
SELECT {", ".join(f"e.{name}" for name in COLUMNS["event"].split())} FROM event e WHERE seq IN (
    SELECT seq FROM (
        SELECT seq, sum(size) OVER (ORDER BY seq) - size AS before FROM (
            SELECT seq, length(body) AS size FROM event WHERE seq > $1 ORDER BY seq LIMIT {EVENTS}
        ) s
    ) s WHERE before < {BYTES}
) ORDER BY seq
"""


def _listed(kind: str, prefix: str) -> str:
    return ", ".join(f"{prefix}{name}" for name in COLUMNS[kind].split())


#: Given are the events' numbers, the lowest and the highest that what belongs to them may have: it has their days.
#: A plan is made for each: one for any numbers would look through whole days.
_PLANNING: Final = {**PLANNING, "plan_cache_mode": "force_custom_plan"}
#: What there is to know of tables that have just been filled, before they are compared.
_ANALYZE: Final = "ANALYZE event, queue, done, attempt, notice, timing, held_back, dedupe"
_OF_EVENTS: Final = "event_seq = ANY ($1::bigint[])"
_SEQS: Final = f"""
seq = ANY (ARRAY(SELECT b.seq FROM unnest($1::bigint[]) AS k (seq) CROSS JOIN LATERAL (SELECT seq FROM {{}} WHERE {belongs("seq", "k.seq")} OFFSET 0) b))
"""
_WAITING: Final = _SEQS.format("queue")
_ENDED: Final = f"{_SEQS.format('done')} AND seq BETWEEN $2 AND $3"
_DELIVERY: Final = """
event_seq, seq, id, route, destination, {0}, attempts, attempts_before_replay, spent_s, crashes, reason, last_status,
last_answer, changed_at, lane, {1}, task
"""
_EITHER: Final = f"""
(SELECT seq, event_seq FROM queue WHERE {_WAITING} UNION ALL SELECT seq, event_seq FROM done WHERE {_ENDED}) d
"""
_OF_EVENT: Final = {
    "delivery": f"""
    SELECT {_DELIVERY.format("'pending'::text, due", "turn, ''::bytea")} FROM queue WHERE {_WAITING} UNION ALL
    SELECT {_DELIVERY.format("state, NULL", "NULL, cause")} FROM done WHERE {_ENDED} ORDER BY 1, 2
    """,
    "attempt": f"""
    SELECT d.event_seq, {_listed("attempt", "a.").partition(", ")[2]} FROM {_EITHER} JOIN attempt a ON a.delivery_seq = d.seq
    WHERE a.delivery_seq BETWEEN $2 AND $3 ORDER BY 1, 2, 3
    """,
    "notice": f"""
    SELECT d.event_seq, {_listed("notice", "n.").partition(", ")[2]} FROM {_EITHER} JOIN notice n ON n.delivery_seq = d.seq
    ORDER BY 1, 2
    """,
    "timing": f"""
    SELECT d.event_seq, {_listed("timing", "t.").partition(", ")[2]} FROM {_EITHER} JOIN timing t ON t.delivery_seq = d.seq
    ORDER BY 1, 2
    """,
    "memory_wait": f"""
    SELECT d.event_seq, {_listed("memory_wait", "w.").partition(", ")[2]} FROM {_EITHER}
    JOIN memory_wait w ON w.delivery_seq = d.seq ORDER BY 1, 2, 3, 4
    """,
    "held_back": f"SELECT {_listed('held_back', '')} FROM held_back WHERE {_OF_EVENTS} AND event_seq BETWEEN $2 AND $3 ORDER BY 1, 2",
}
#: The key that each other part is read by, with its types; numbers are added up.
_KEYS: Final = {
    "activity": {"seq": "bigint"},
    "dedupe": {"key": "bytea", "source": "text"},
    "once": {"name": "text", "key": "bytea"},
    "memory": {"name": "text", "key": "bytea"},
    "record": {"key": "bytea", "source": "text"},
    "hold": {"destination": "text"},
    "login": {"id": "text"},
    "rejected": {"seq": "bigint"},
    "came": {"minute": "bigint", "source": "text"},
    "awaited": {"source": "text", "name": "text", "key": "text"},
    "secret": {"seq": "bigint"},
    "went": {"minute": "bigint", "destination": "text", "outcome": "text", "bucket": "integer"},
}
_SUMS: Final = {"came": "events", "went": "attempts"}
_COUNT_AGAIN: Final = """
TRUNCATE tally;
INSERT INTO tally SELECT destination, 'pending', '', count(*) FROM queue GROUP BY 1;
INSERT INTO tally SELECT destination, state, cause, count(*) FROM done GROUP BY 1, 2, 3;
"""
# Tasks continue after the event that they had come to: in a copy they name its number.
_PLACES: Final = f"""
UPDATE activity SET
    position = coalesce((SELECT max(seq) FROM event e WHERE (e.seq & {_LOW}) >> {PLACE_BITS} <= activity.position), 0),
    ends = coalesce((SELECT max(seq) FROM event e WHERE (e.seq & {_LOW}) >> {PLACE_BITS} <= activity.ends), 0)
WHERE NOT finished
"""
_NUMBERS: Final = (
    f"""
    SELECT setval('number', greatest(
        1, (SELECT max((seq & {_LOW}) >> {PLACE_BITS}) FROM event), (SELECT max(turn >> {PLACE_BITS}) + 1 FROM queue)
    ))
    """,
    """
    SELECT setval(pg_get_serial_sequence('activity', 'seq'), greatest(1, (SELECT max(seq) FROM activity)))
    """,
)
_QUEUE: Final = frozenset({"due", "turn"})


class PostgresSide:
    """Keeps replicas from running on a database meanwhile."""

    def __init__(self, address: Address, connection: Connection, alone: Connection) -> None:
        self.name, self._address = address.name, address
        self._connection, self._alone = connection, alone

    @classmethod
    async def source(cls, address: Address) -> Self:
        """A store to copy. Raises StoreError."""
        return await cls._opened(address, is_target=False)

    @classmethod
    async def target(cls, address: Address) -> Self:
        """A store to be made, or to be continued. Raises StoreError."""
        await migrate.migrate(address)
        return await cls._opened(address, is_target=True)

    @classmethod
    async def _opened(cls, address: Address, *, is_target: bool) -> Self:
        if address.direct is None:
            raise StoreError(
                f"{address.name} is behind a pooler: set GATEWAY_STORE_DIRECT to the URL of the server itself"
            )
        address = replace(address, dsn=address.direct, pooler=False)
        connection = await connect(address, _PLANNING)
        alone = await connect(address)
        side = cls(address, connection, alone)
        try:
            async with translated(address):
                await (side._begin() if is_target else migrate.check(connection, address))
                await side._be_alone()
        except BaseException:
            await side.close()
            raise
        return side

    async def _begin(self) -> None:
        async with self._connection.transaction():
            if not await self._connection.fetchval(_IS_COPYING):
                if await self._connection.fetchval(_HAS_ROWS):
                    raise StoreError(f"{self.name} is not empty: a copy needs a database of its own")
                await self._connection.execute("CREATE TABLE copying (place bytea)")

    async def _be_alone(self) -> None:
        await self._alone.execute("BEGIN")
        if alive := await self._alone.fetchval(_ALIVE, LAPSED_S):
            raise StoreLocked(f"{self.name} is in use by {count(alive, 'replica')}: stop every gateway on it first")
        await self._alone.execute(_ALONE)

    async def events(self) -> int:
        return int(await self._connection.fetchval("SELECT count(*) FROM event"))

    # reading

    async def chunk(self, part: str, after: Place) -> Chunk:
        async with translated(self._address):
            return await (self._of_events(*after or (0,)) if part == "event" else self._of_key(part, after))

    async def _of_events(self, after: int) -> Chunk:
        events = await self._connection.fetch(_EVENTS, after)
        if not events:
            return Chunk({}, None)
        seqs = [row["seq"] for row in events]
        last = seqs[-1]
        rows = {"event": _unnumbered("event", _read("event", events))}
        for kind, statement in _OF_EVENT.items():
            found = _read(kind, await self._connection.fetch(statement, seqs, seqs[0] & ~_LOW, last | _LOW))
            rows[kind] = _unnumbered(kind, found)
        return Chunk(rows, (last,))

    async def _of_key(self, part: str, after: Place) -> Chunk:
        key, columns = _KEYS[part], COLUMNS[part].split()
        listed = [*columns, *(name for name in key if name not in columns)]
        given = ", ".join(f"${at}::{type_}" for at, type_ in enumerate(key.values(), start=1))
        where = f"WHERE ({', '.join(key)}) > ({given})" if after else ""
        table = part
        if part in _SUMS:
            table = f"(SELECT {', '.join(key)}, sum({_SUMS[part]})::bigint AS {_SUMS[part]} FROM {part} GROUP BY {', '.join(key)}) s"
        statement = f"SELECT {', '.join(listed)} FROM {table} {where} ORDER BY {', '.join(key)} LIMIT {ROWS}"
        rows = await self._connection.fetch(statement, *after)
        last = tuple(rows[-1][name] for name in key) if len(rows) == ROWS else None
        return Chunk({part: _unnumbered(part, _read(part, rows))}, last)

    # writing

    async def come_to(self) -> tuple[str, Place] | None:
        found = await self._connection.fetchval("SELECT place FROM copying")
        if found is None:
            return (PARTS[0], ())
        place = msgspec.msgpack.decode(found)
        return place and (place[0], tuple(place[1]))

    async def add(self, part: str, chunk: Chunk, then: tuple[str, Place] | None) -> None:  # noqa: ARG002  as every target
        async with translated(self._address), self._connection.transaction():
            seqs = {row[0]: seq_of(row[_STORED_AT], row[0]) for row in chunk.rows.get("event", ())}
            places = _places(chunk.rows.get("delivery", ()))
            await self._add_days({seq >> DAY_BITS for seq in seqs.values()})
            ids = {seqs[row[0]]: row[1] for row in chunk.rows.get("event", ())}
            for kind, rows in chunk.rows.items():
                await self._insert(kind, _numbered(kind, rows, seqs, places), ids)
            await self._connection.execute("DELETE FROM copying")
            await self._connection.execute("INSERT INTO copying VALUES ($1)", msgspec.msgpack.encode(then))
            if then is None:
                await self._connection.execute(_ANALYZE)

    async def _add_days(self, days: Iterable[int]) -> None:
        for day in sorted(days):
            if not await self._connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"event_d{day}"):
                await self._connection.execute(schema.day(day))

    async def _insert(self, kind: str, rows: Sequence[Row], event_ids: Mapping[int, str]) -> None:
        columns = COLUMNS[kind].split()
        records = [tuple(_written(kind, name, value) for name, value in zip(columns, row, strict=True)) for row in rows]
        if kind == "delivery":
            await self._insert_deliveries(columns, records, event_ids)
            return
        if kind in OF_DELIVERIES:
            columns, records = columns[1:], [row[1:] for row in records]
        await self._connection.copy_records_to_table(kind, records=records, columns=columns)

    async def _insert_deliveries(self, columns: list[str], rows: Sequence[Row], event_ids: Mapping[int, str]) -> None:
        state, grants = columns.index("state"), 0
        for table, without, is_pending in (("queue", {"state", "cause"}, True), ("done", _QUEUE, False)):
            kept = [at for at, name in enumerate(columns) if name not in without]
            records = [
                (*(row[at] for at in kept), event_ids[row[0]], grants)
                for row in rows
                if (row[state] == "pending") is is_pending
            ]
            names = [*(columns[at] for at in kept), "event_id", "grants"]
            await self._connection.copy_records_to_table(table, records=records, columns=names)

    async def finish(self) -> None:
        async with translated(self._address), self._connection.transaction():
            await self._connection.execute(_COUNT_AGAIN)
            await self._connection.execute(_PLACES)
            for statement in _NUMBERS:
                await self._connection.execute(statement)
            await self._connection.execute("DROP TABLE copying")

    async def close(self) -> None:
        for connection in (self._connection, self._alone):
            await connection.close()


_STORED_AT: Final = COLUMNS["event"].split().index("stored_at")


def _unnumbered(kind: str, rows: list[Row]) -> list[Row]:
    """Rows with the numbers that they have in a copy: those of events without their days, those of deliveries unique."""
    if kind in ("event", "held_back"):
        return [(number_of(row[0]), *row[1:]) for row in rows]
    if kind in ("delivery", *OF_DELIVERIES):
        return [(number_of(row[0]), row[1] & _LOW, *row[2:]) for row in rows]
    if kind == "activity":
        return [
            tuple(number_of(each) if at in _POSITIONS and each is not None else each for at, each in enumerate(row))
            for row in rows
        ]
    return rows


_POSITIONS: Final = frozenset(COLUMNS["activity"].split().index(name) for name in ("position", "ends"))


def _places(deliveries: Sequence[Row]) -> dict[int, int]:
    """By the number of a delivery in a copy: its place among those of its event."""
    places: dict[int, int] = {}
    counts: Counter[int] = Counter()
    for event, seq in sorted(row[:2] for row in deliveries):
        counts[event] += 1
        if counts[event] > PLACES:
            raise StoreError(f"an event has more than {PLACES} deliveries, which a PostgreSQL store cannot hold")
        places[seq] = counts[event]
    return places


def _numbered(kind: str, rows: Sequence[Row], seqs: Mapping[int, int], places: Mapping[int, int]) -> list[Row]:
    """Rows with the numbers that they have here."""
    if kind in ("event", "held_back"):
        return [(seqs[row[0]], *row[1:]) for row in rows]
    if kind in ("delivery", *OF_DELIVERIES):
        return [(seqs[row[0]], seqs[row[0]] | places[row[1]], *row[2:]) for row in rows]
    return list(rows)


def _is_text(kind: str, name: str) -> bool:
    return name in _TEXT or f"{kind}.{name}" in _TEXT


def _written(kind: str, name: str, value: Any) -> Any:
    """A value of a copy as it is stored here."""
    if value is None or name in _BYTES or f"{kind}.{name}" in _BYTES or _is_text(kind, name):
        return value
    if name in _FLAGS:
        return bool(value)
    return value if name in _NUMERIC else packed(value)


def _read(kind: str, records: Sequence[Sequence[Any]]) -> list[Row]:
    """Values as they are in a copy."""
    columns = COLUMNS[kind].split()
    readers = [_reader(kind, name) for name in columns]
    return [tuple(reader(value) for reader, value in zip(readers, record, strict=False)) for record in records]


def _reader(kind: str, name: str) -> Any:
    if name in _FLAGS:
        return lambda value: None if value is None else int(value)
    if name in _NUMERIC or name in _BYTES or f"{kind}.{name}" in _BYTES or _is_text(kind, name):
        return lambda value: value
    return lambda value: None if value is None else unpacked(value)
