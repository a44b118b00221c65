"""What every event is asked for goes by an index, with a million retries parked as with none."""

import asyncio

import asyncpg
import pytest

from gateway.store import migrate
from gateway.store.postgres import gathering, statements, watching
from gateway.store.postgres.connections import PLANNING
from tests import postgres

ROWS = 20_000
#: Tables that may be read whole: they have a row for each destination at most.
SMALL = {"holder"}
QUEUE = """
INSERT INTO queue (seq, id, event_seq, event_id, route, destination, due, changed_at, lane, turn, task)
SELECT (n::bigint << 12) | 1, 'dlv_' || n, n::bigint << 12, 'evt_' || n, 'to-slack', 'd' || n % 3, gateway_now() + 86400, 0, 'lane', n, 1 FROM generate_series(1, {}) n
"""
TIMING = """
INSERT INTO timing SELECT n, 'dlv_' || n, int4send(n), 0, 0, 1, 1 FROM generate_series(1, {}) n
"""
DEDUPE = "INSERT INTO dedupe SELECT 'crm', int4send(n), 'evt_' || n, 0 FROM generate_series(1, {}) n"

_seq, _text, _bytes, _number = [1, 2], ["a", "b"], [b"a", b"b"], [1.0, 2.0]
_key = ("a", b"a", "b", 1.0)
_event = (1, "a", "a", b"a", 1.0, b"a", b"a", b"a", True, b"a")
_delivery = (1, "a", 1, "a", "a", "a", 1.0, 1.0, b"a", 1)
_attempt = (1, 1.0, 1.0, "a", 1, b"a", b"a", "a", 1, b"a", 1.0, 1)
_outcome = (1, 1, "delivered", 1.0, 1, 1.0, b"a", 1, b"a", b"a", *_attempt)

ASKED = {
    "TAKE_KEYS": ([_key], 4, _text, _number),
    "APPEND": ([_key], 4, _text, _number, [_event], [_delivery], 1, _text, _seq, _text, _seq),
    "STORED": (_text,),
    "STORED_LEASED": (_text, 1),
    "KEY_OWNERS": (_text, _bytes),
    "BUSY_LANES": (_text, _bytes),
    "FIRE": (_text, _bytes, _text, _number, 1.0),
    "ADD": (1.8e9, [_event], 1, [_delivery], _text, _seq, _text, _seq),
    "CLAIM": (["d1", "d2"], [10, 10], [30.0, 30.0], 1, [], [1.0, 1.0]),
    "SETTLE": ([_outcome],),
    "SETTLE_OVER": ([_outcome],),
    "NEXT_IN_LANES": (_text, _bytes),
    "GIVE_BACK": (_seq, 1),
    "NOTE": (_seq, [1, 1], _bytes, _bytes),
    "CRASHED": ("dlv_1",),
    "LOAD": (_text,),
    "DUE": (0.0,),
    "OPEN": (_bytes,),
    "WAITING": (_seq,),
    "CLOSE": (_seq,),
    "JOIN": (_seq, _seq, _seq),
    "SEND_NOW": (_seq,),
    "CLOSE_HEADS": (_text,),
    "MEMBERS": (_text,),
    "EVENTS": (_seq,),
    "HEADS": (_seq,),
    "IDS": (_seq,),
    "COUNT_AGAIN": ("a",),
    "LEAVE": (_seq,),
    "END": (_seq, _text, _bytes, _bytes),
}


OF_THE_QUEUE = (
    "TAKE_KEYS",
    "APPEND",
    "STORED_LEASED",
    "BUSY_LANES",
    "CLAIM",
    "SETTLE",
    "SETTLE_OVER",
    "NEXT_IN_LANES",
    "GIVE_BACK",
    "CRASHED",
    "WAITING",
    "SEND_NOW",
    "EVENTS",
    "END",
)


@pytest.fixture(scope="module")
def url():
    url = postgres.fresh()
    asyncio.run(migrate(url))
    postgres.run(url, QUEUE.format(ROWS), DEDUPE.format(ROWS), TIMING.format(ROWS), "ANALYZE")
    yield url
    postgres.drop(url)


@pytest.fixture(scope="module")
def emptied():
    """A database whose statistics say that the queue is empty, as it often is when it is vacuumed."""
    url = postgres.fresh()
    asyncio.run(migrate(url))
    postgres.run(url, DEDUPE.format(ROWS), "ANALYZE", "VACUUM ANALYZE queue", QUEUE.format(ROWS))
    yield url
    postgres.drop(url)


def unbounded(plan):
    """Every scan of the queue that no condition on its index bounds."""
    is_scan = plan["Node Type"] not in ("ModifyTable", "Bitmap Heap Scan")
    is_of_queue = plan.get("Relation Name") == "queue" or plan.get("Index Name", "").startswith("queue")
    if is_scan and is_of_queue and "Index Cond" not in plan:
        yield plan.get("Index Name", plan["Node Type"])
    for part in plan.get("Plans", ()):
        yield from unbounded(part)


def scans(plan):
    """Every table that a plan reads from its first row to its last."""
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from scans(part)


def tables(plan):
    """Every table that a plan reads."""
    yield from [plan["Relation Name"]] if "Relation Name" in plan else []
    for part in plan.get("Plans", ()):
        yield from tables(part)


def rescans(plan):
    """Whatever is read as a whole for each row of something else: that takes the time of the rows squared."""
    inner = plan["Plans"][1] if plan["Node Type"] == "Nested Loop" else {}
    if (
        inner.get("Node Type") in ("Materialize", "CTE Scan", "Function Scan", "Append")
        and not set(tables(inner)) & SMALL
    ):
        yield inner["Node Type"]
    for part in plan.get("Plans", ()):
        yield from rescans(part)


def text_of(name):
    return next(getattr(each, name) for each in (statements, gathering, watching) if hasattr(each, name))


@pytest.mark.parametrize("name", ASKED)
def test_nothing_is_read_whole(url, name):
    async def explained():
        connection = await asyncpg.connect(url, server_settings={**PLANNING, "plan_cache_mode": "force_generic_plan"})
        try:
            statement = await connection.prepare(text_of(name))
            return await statement.explain(*ASKED[name])
        finally:
            await connection.close()

    [explanation] = asyncio.run(explained())
    assert set(scans(explanation["Plan"])) <= SMALL
    assert list(rescans(explanation["Plan"])) == []


@pytest.mark.parametrize("name", OF_THE_QUEUE)
def test_the_queue_is_never_read_whole_though_it_was_empty_when_it_was_vacuumed(emptied, name):
    async def explained():
        connection = await asyncpg.connect(
            emptied, server_settings={**PLANNING, "plan_cache_mode": "force_generic_plan"}
        )
        try:
            return await (await connection.prepare(text_of(name))).explain(*ASKED[name])
        finally:
            await connection.close()

    [explanation] = asyncio.run(explained())
    assert list(unbounded(explanation["Plan"])) == []
