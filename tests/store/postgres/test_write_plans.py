"""What every event is asked for goes by an index, with a million retries parked as with none."""

import asyncio

import pytest

from gateway.store import migrate, open_store
from gateway.store.cluster import Replica
from gateway.store.postgres import gathering, plans, statements, tasks, watching
from gateway.store.postgres.tables import DAY_BITS, DAY_S, PLACE_BITS
from tests import postgres
from tests.store.given import Clock, delivered, new_event, terms, wants
from tests.store.postgres.executed import ASKING, generic_plans, recorded
from tests.store.test_copying import fill

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
ENDED = f"""
WITH n AS (SELECT (floor(gateway_now() / {DAY_S})::bigint << {DAY_BITS}) | (n << {PLACE_BITS}) AS seq, n FROM generate_series(1, {{0}}) n),
events AS (
    INSERT INTO event (seq, id, source, type, received_at, stored_at, headers, sha256, body)
    SELECT seq, 'evt_old_' || n, 'crm', '', 0, 0, '{{{{}}}}', sha256('{{{{}}}}'), '{{{{}}}}' FROM n
), ended AS (
    INSERT INTO done (seq, id, event_seq, event_id, route, destination, changed_at, state, grants, attempts,
        attempts_before_replay, spent_s, crashes, reason, last_answer, cause)
    SELECT seq | 1, 'dlv_old_' || n, seq, 'evt_old_' || n, 'to-slack', 'slack', 0, 'delivered', 1, 1, 0, 0, 0, '', '', '' FROM n
)
INSERT INTO attempt SELECT seq | 1, 1, 0, 0, 0.1, 'delivered', 200, '', '', '', 1, '', NULL FROM n
"""
NUMBER = "SELECT setval('number', {})"
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


@pytest.fixture(scope="module", params=postgres.VERSIONS)
def url(request):
    with postgres.database(server=postgres.of_version(request.param)) as url:
        asyncio.run(migrate(url))
        filled = (each.format(ROWS) for each in (QUEUE, ENDED, DEDUPE, TIMING, NUMBER))
        postgres.run(url, *filled, "ANALYZE")
        yield url


@pytest.fixture(scope="module", params=postgres.VERSIONS)
def emptied(request):
    """A database whose statistics say that the queue is empty, as it often is when it is vacuumed."""
    with postgres.database(server=postgres.of_version(request.param)) as url:
        asyncio.run(migrate(url))
        postgres.run(url, DEDUPE.format(ROWS), "ANALYZE", "VACUUM ANALYZE queue", QUEUE.format(ROWS))
        yield url


def unbounded(plan):
    """Every scan of the queue that no condition on its index bounds."""
    is_scan = plan["Node Type"] not in ("ModifyTable", "Bitmap Heap Scan")
    is_of_queue = plan.get("Relation Name") == "queue" or plan.get("Index Name", "").startswith("queue")
    if is_scan and is_of_queue and "Index Cond" not in plan:
        yield plan.get("Index Name", plan["Node Type"])
    for part in plan.get("Plans", ()):
        yield from unbounded(part)


def read_whole(plan, *, limited=False):
    """Tables and indexes that a plan reads without a condition or a limit."""
    limited = limited or plan["Node Type"] == "Limit"
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    if "Index Name" in plan and "Index Cond" not in plan and not limited:
        yield plan["Index Name"]
    for part in plan.get("Plans", ()):
        yield from read_whole(part, limited=limited)


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
    plan = plan_of(url, name)
    assert set(scans(plan)) <= SMALL
    assert list(rescans(plan)) == []


def plans_of(url, asked):
    """Each statement of ``asked`` with its plan."""

    async def collected():
        return [each async for each in generic_plans(url, asked)]

    return asyncio.run(collected())


def plan_of(url, name):
    [(_, plan)] = plans_of(url, {text_of(name): ASKED[name]})
    return plan


@pytest.mark.parametrize("name", OF_THE_QUEUE)
def test_the_queue_is_never_read_whole_though_it_was_empty_when_it_was_vacuumed(emptied, name):
    assert list(unbounded(plan_of(emptied, name))) == []


#: Read whole by some statements: one row, a row for each replica or destination, sums that are put together by and by, and
#: tasks that have not ended.
FEW = SMALL | {"meta", "reload", "replica", "replica_pkey", "hold_pkey", "tally", "activity_unfinished"}
#: Begun by people, a few times a day: these may read a day whole that was empty when they were planned.
RARE = {plans.NAMED, tasks.REPLAY, tasks.DISCARD}


async def lived_through(url):
    """Whatever becomes of events, and what a replica asks besides."""
    store = await open_store(url)
    try:
        await fill(store, Clock(), events=12)
        await store.assigned("main", terms("slack", "crm", "later"))
        me = Replica(id=store.cluster.me, host="web-1:7", version="1.0", config="9f2c01ab", started_at=0.0)
        await store.cluster.beat(me)
        await store.wake()
        await store.hasten([each.id for each in (await store.deliveries()).rows])
        for lease in await store.claim("main", wants("slack", "crm", "later")):
            await store.load([lease.delivery.event_id])
            await store.recall(lease.delivery.id, [("crm-id", "1")])
            await store.gathered(lease.delivery.id)
            await store.crashed(lease.delivery.id)
            await store.settle([delivered(lease)])
        await store.append([new_event("slack", key=b"again")])
        await store.append([new_event("slack", key=b"again")])
    finally:
        await store.close()


def statements_of(work):
    """What is executed meanwhile, with what it was given; without what is planned anew each time."""
    found, planning = {}, set()
    with recorded(*ASKING, "execute") as executed:
        asyncio.run(work)
    for connection, query, values in executed:
        if "force_custom_plan" in query:
            planning.add(connection)
        elif query in ("COMMIT", "ROLLBACK"):
            planning.discard(connection)
        elif connection not in planning:
            found.setdefault(query, values)
    return {
        query: values
        for query, values in found.items()
        if query.split()[0] in ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")
    }


def test_whatever_becomes_of_an_event_no_statement_reads_a_table_or_an_index_whole(url):
    asked = statements_of(lived_through(url))
    assert len(asked) > 50
    for query, plan in plans_of(url, {query: values for query, values in asked.items() if query not in RARE}):
        assert set(read_whole(plan)) <= FEW, query
